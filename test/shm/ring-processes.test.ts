/** Rings between real processes: at full speed, through kill -9 on either side, and asleep as often as possible. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LaneCounters } from '../../src/shm/lanes.ts';
import { workerInbox } from '../../src/shm/layout.ts';
import { announceLane, releaseInboxOfDead } from '../../src/shm/mailbox.ts';
import type { Segment } from '../../src/shm/segment.ts';
import { closeDescriptor } from '../../src/sys/socket.ts';
import { prng } from '../support/prng.ts';
import { doorbellsOf, smallSegment } from '../support/shared.ts';
import { within } from '../support/until.ts';
import { consumerLane, type PeerOptions, PROGRESS, producerLane } from './ring-peer.ts';

const SCRIPT = fileURLToPath(new URL('./ring-peer.ts', import.meta.url));
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const KILLS = Number(process.env.FUZZ_ROUNDS ?? 12);
const REPLAY = `(moments of the kills: FUZZ_SEED=${SEED} FUZZ_ROUNDS=${KILLS}, though the processes keep their own time)`;

interface Report {
  started?: number;
  sent?: number;
  problem?: string;
  /** How many messages of each life of the producer have come, up to the last. */
  lives?: Record<number, number>;
}

const DEFAULTS: PeerOptions = { life: 0, count: 0, burst: 0, lengthMax: 700_000, answers: false };

/** A process at one side of the ring. */
class PeerProcess {
  readonly child: ChildProcess;
  readonly reports: Report[] = [];
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
  readonly started: Promise<void>;

  constructor(role: string, options: Partial<PeerOptions>, segment: Segment, doorbells: number[]) {
    const text = JSON.stringify({ ...DEFAULTS, ...options });
    this.child = spawn(process.execPath, [SCRIPT, role, text], {
      stdio: ['ignore', 'pipe', 'inherit', segment.fd, ...doorbells],
    });
    let rest = '';
    this.started = new Promise((resolve) => {
      this.child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop()!;
        for (const line of lines) this.reports.push(JSON.parse(line));
        resolve();
      });
    });
    this.exit = new Promise((resolve) => this.child.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** Kills it this long after it began to work; answers whether it was still at it. */
  async killAfter(ms: number): Promise<void> {
    await within(this.started, 'the start of a peer');
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.child.kill('SIGKILL');
    const { signal } = await within(this.exit, 'the end of a killed peer');
    assert.equal(signal, 'SIGKILL', this.problem);
  }

  /** Its last word, once it has ended well. */
  async end(): Promise<Report> {
    const { code, signal } = await within(this.exit, 'the end of a peer', 60_000);
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, this.problem);
    return this.reports[this.reports.length - 1];
  }

  get problem(): string {
    return `${JSON.stringify(this.reports.find(({ problem }) => problem !== undefined) ?? this.reports)} ${REPLAY}`;
  }
}

class Stage {
  readonly segment = smallSegment();
  readonly doorbells = doorbellsOf(this.segment);
  private readonly peers: PeerProcess[] = [];

  start(role: string, options: Partial<PeerOptions>): PeerProcess {
    const peer = new PeerProcess(role, options, this.segment, this.doorbells);
    this.peers.push(peer);
    return peer;
  }

  [Symbol.dispose](): void {
    for (const { child } of this.peers) child.kill('SIGKILL');
    for (const fd of [this.segment.fd, ...this.doorbells]) closeDescriptor(fd);
  }
}

test('a producer is killed again and again: nothing published is lost, torn, twice or out of order', async () => {
  using stage = new Stage();
  const { segment, doorbells } = stage;
  const random = prng(SEED);
  const consumer = stage.start('consumer', {});
  await within(consumer.started, 'the start of the consumer');
  const published: number[] = [];
  for (let life = 0; life < KILLS; life++) {
    await stage.start('producer', { life, count: 2 ** 31 }).killAfter(random.next() * 40);
    published.push(new LaneCounters(segment, producerLane()).get(PROGRESS));
    // As the manager does for a process that could not ring any more.
    announceLane(segment, producerLane(), doorbells);
  }
  const last = await stage.start('producer', { life: KILLS, count: 5000 }).end();
  published.push(last.sent!);
  const { lives } = await consumer.end();
  for (const [life, count] of published.entries()) {
    const arrived = lives![life] ?? 0;
    // One more may have been published in the moment before its producer could note it.
    assert.ok(arrived === count || (arrived === count + 1 && life < KILLS), `life ${life}: ${arrived} of ${count}`);
  }
  assert.ok(published.reduce((sum, count) => sum + count, 0) > 5000 + KILLS * 100, `${published}`);
});

test('a consumer is killed again and again: one message is lost at most, and the producer is not left asleep', async () => {
  using stage = new Stage();
  const { segment } = stage;
  const random = prng(SEED);
  const producer = stage.start('producer', { count: 2 ** 31 });
  await within(producer.started, 'the start of the producer');
  const progress: number[] = [];
  for (let life = 0; life < KILLS; life++) {
    await stage.start('consumer', { life }).killAfter(random.next() * 40);
    progress.push(new LaneCounters(segment, consumerLane(segment, life)).get(PROGRESS));
    releaseInboxOfDead(segment, workerInbox(segment.layout, 0), consumerLane(segment, life));
  }
  assert.equal(producer.child.exitCode, null, producer.problem);
  for (let i = 1; i < progress.length; i++) assert.ok(progress[i] >= progress[i - 1], `${progress}`);
  assert.ok(progress[progress.length - 1] > KILLS * 100, `${progress}`);
  // The last consumer goes on until it has seen much more than a ring can hold.
  const last = stage.start('consumer', { life: KILLS });
  const goal = progress[progress.length - 1] + 20_000;
  await within(last.started, 'the start of the last consumer');
  const counters = new LaneCounters(segment, consumerLane(segment, KILLS));
  while (counters.get(PROGRESS) < goal) {
    assert.equal(last.child.exitCode, null, last.problem);
    assert.equal(producer.child.exitCode, null, producer.problem);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

test('both sides sleep after every few messages, and always wake', async () => {
  using stage = new Stage();
  const count = 40_000;
  const consumer = stage.start('consumer', { answers: true });
  const producer = stage.start('producer', { count, burst: 3, lengthMax: 100, answers: true });
  assert.equal((await producer.end()).sent, count);
  assert.deepEqual((await consumer.end()).lives, { 0: count });
});

test('the producer sleeps whenever the ring is full, and always wakes', async () => {
  using stage = new Stage();
  const count = 3000;
  const consumer = stage.start('consumer', {});
  const producer = stage.start('producer', { count, lengthMax: 3_000_000 });
  assert.equal((await producer.end()).sent, count);
  assert.deepEqual((await consumer.end()).lives, { 0: count });
});
