/**
 * Clients of all kinds, and a server whose processes die and are replaced at random. Every message that does not come back
 * must have been in the hands of a process that was killed. FUZZ_SEED=<seed> FUZZ_ROUNDS=<n> node --test test/reliability/chaos.test.ts
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { SWOOLE_PROCESS } from '../../src/index.ts';
import { socketDirectory } from '../support/datagram-client.ts';
import { MessageReader, message } from '../support/load.ts';
import { type Prng, prng } from '../support/prng.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { makePair, settingsOf } from '../tls/certificates.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 10);
const WORKERS = 2;
const CLIENTS_OF_A_KIND = 4;
/** All that is under way together fits into one ring: nothing of it waits in the memory of a worker, and dies with it. */
const LENGTH_MAX = 50_000;
const WINDOW = 3;
const NUDGE_MS = 500;
const SETTLE_MS = 60_000;

class Talker {
  readonly wrongs: string[] = [];
  answered = 0;
  lost = 0;
  talking = true;
  private readonly socket: Socket;
  private readonly reader = new MessageReader();
  private readonly lengths: number[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private expected = 0;
  private readonly nudger: NodeJS.Timeout;
  private answeredThen = 0;
  private readonly id: number;
  private readonly random: Prng;

  constructor(id: number, socket: Socket) {
    this.id = id;
    this.socket = socket;
    this.random = prng(SEED + id);
    socket.on('data', (chunk: Buffer) => {
      for (const answer of this.reader.push(chunk)) this.check(answer);
      while (this.talking && this.lengths.length - this.expected < WINDOW) this.say();
    });
    for (const event of ['end', 'error', 'close']) socket.on(event, () => this.wrongs.push(`${id}: ${event}`));
    // Where all that was under way is lost, only more of it shows that.
    this.nudger = setInterval(() => {
      if (this.answered === this.answeredThen && !this.isComplete) this.say();
      this.answeredThen = this.answered;
    }, NUDGE_MS);
  }

  say(): void {
    const length = 12 + Math.floor(this.random.next() ** 4 * LENGTH_MAX);
    const bytes = Buffer.concat([this.rest, message(this.id, this.lengths.push(length) - 1, length)]);
    // Cut anywhere; but node:tls mixes up what is written around an empty write.
    const cut = this.random.int(bytes.length);
    if (cut > 0) this.socket.write(bytes.subarray(0, cut));
    this.rest = bytes.subarray(cut);
    setImmediate(() => {
      if (this.rest.length > 0) this.socket.write(this.rest);
      this.rest = Buffer.alloc(0);
    });
  }

  /** True exactly when the newest message has come back. */
  get isComplete(): boolean {
    return this.expected === this.lengths.length;
  }

  private check(answer: Buffer): void {
    const sequence = answer.readUInt32BE(8);
    const length = this.lengths[sequence];
    if (sequence < this.expected || length === undefined)
      this.wrongs.push(`${this.id}: got ${sequence}, not ${this.expected}`);
    else if (!answer.equals(message(this.id, sequence, length)))
      this.wrongs.push(`${this.id}: wrong bytes in ${sequence}`);
    this.lost += sequence - this.expected;
    this.expected = sequence + 1;
    this.answered++;
  }

  stop(): void {
    clearInterval(this.nudger);
    this.socket.removeAllListeners();
    this.socket.on('error', () => {});
    this.socket.destroy();
  }
}

function workerPid(server: TestServer, id: number): number {
  return server.events('$worker').findLast((event) => event.id === id)!.pid;
}

test('what does not come back was in the hands of a process that was killed', async (t) => {
  t.diagnostic(`FUZZ_SEED=${SEED} FUZZ_ROUNDS=${ROUNDS}`);
  const path = join(socketDirectory(), 'chaos.sock');
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: WORKERS, reactor_num: 2, open_length_check: true, heartbeat_idle_time: 60 },
    args: { path, tls: settingsOf(makePair('localhost')) },
    setup: ({ server, swoole, report, args }) => {
      const framed = { open_length_check: true, heartbeat_idle_time: 60 };
      const { SWOOLE_SOCK_TCP, SWOOLE_SSL, SWOOLE_SOCK_UNIX_STREAM } = swoole;
      const secure = server.listen('127.0.0.1', 0, SWOOLE_SOCK_TCP | SWOOLE_SSL);
      const local = server.listen(args.path, 0, SWOOLE_SOCK_UNIX_STREAM);
      if (secure === false || local === false) throw new Error('no port');
      secure.set({ ...framed, ...args.tls });
      local.set(framed);
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      server.on('close', (_server, fd) => report('close', { fd }));
      server.on('managerStart', () => report('managerStart'));
    },
  });
  const kinds = [
    () => connect({ port: server.port, host: '127.0.0.1' }),
    () => tlsConnect({ port: server.portAt(1), host: '127.0.0.1', rejectUnauthorized: false }),
    () => connect({ path }),
  ];
  const talkers = Array.from({ length: kinds.length * CLIENTS_OF_A_KIND }, (_, id) => new Talker(id, kinds[id % 3]()));
  t.after(() => {
    for (const talker of talkers) talker.stop();
  });
  for (const talker of talkers) talker.say();
  const sum = (of: (talker: Talker) => number): number => talkers.reduce((total, talker) => total + of(talker), 0);
  const progress = (): Promise<unknown> => {
    const before = talkers.map((talker) => talker.answered);
    const moved = (): boolean =>
      talkers.every((talker, i) => talker.wrongs.length > 0 || talker.answered >= before[i] + 2);
    return server.until(moved, 'answers for everybody', SETTLE_MS);
  };
  await progress();

  const random = prng(SEED);
  /** What may be lost. */
  let handled = 0;
  const kill = (pid: number, cost: number): void => {
    try {
      process.kill(pid, 'SIGKILL');
      handled += cost;
    } catch {
      // It has ended meanwhile.
    }
  };
  const deeds = [
    () => server.kill('SIGUSR1'),
    () => kill(workerPid(server, random.int(WORKERS)), 1),
    () => {
      for (let id = 0; id < WORKERS; id++) kill(workerPid(server, id), 1);
    },
    () => {
      server.kill('SIGUSR1');
      kill(workerPid(server, random.int(WORKERS)), 1);
    },
    // Workers that end and their successors die with it.
    () => kill(server.events('managerStart').at(-1)!.pid, 2 * WORKERS),
  ];
  const done: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const deed = random.int(deeds.length);
    done.push(deed);
    deeds[deed]();
    await progress();
  }
  for (const talker of talkers) talker.talking = false;
  await server.until(
    () => talkers.every((each) => each.isComplete || each.wrongs.length > 0),
    'all answers',
    SETTLE_MS,
  );
  const lost = sum((talker) => talker.lost);
  t.diagnostic(
    `deeds ${done.join(' ')}; ${sum((talker) => talker.answered)} answers, ${lost} lost of at most ${handled}`,
  );
  assert.deepEqual(
    talkers.flatMap((talker) => talker.wrongs),
    [],
  );
  assert.ok(lost <= handled, `${lost} lost, ${handled} were in the hands of who was killed`);
  assert.deepEqual(server.events('close'), []);
});
