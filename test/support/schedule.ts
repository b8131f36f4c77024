/**
 * A random life of a reactor: many clients of all kinds at once send, read slowly, stop, leave and reset, while a worker
 * answers, sends files, pauses, is full and closes, on a kernel whose calls fail as a seed says.
 *
 *   steps ──> quiet: no faults, everybody reads and takes ──> farewell: all that is open is closed ──> nothing is left
 *
 * At each of these points an oracle looks at what must be true of every connection:
 *
 *   always     what arrived is a prefix of what was sent, in both directions; packages are the packages that were sent
 *   quiet      where nobody was hurt (a reset, an error of the network), all of it has arrived
 *   farewell   each connection was told of once and ended once; each mark in its output was called once
 *   at last    no descriptor, no slot and no count is left; counters add up
 *
 * A step is told in `log`, and the same seed does the same again.
 */
import assert from 'node:assert/strict';
import { SWOOLE_SOCK_UNIX_STREAM } from '../../src/constants.ts';
import { type AddressRange, parseAddressRange } from '../../src/protocol/ip-address.ts';
import type { ReactorPort } from '../../src/reactor/port.ts';
import { QUEUED_BYTES, QUEUED_FILES } from '../../src/shm/connections.ts';
import { ABORTED, ACCEPTED, CLOSED, RECEIVED_BYTES } from '../../src/shm/counters.ts';
import { TcpStream } from './fake-stream.ts';
import { RandomFaults } from './faults.ts';
import { type Framing, Pair, sizeFor } from './pair.ts';
import { PlainPeer, TlsPeer } from './peers.ts';
import { type Prng, prng } from './prng.ts';
import { assertBytes, type Served, Stage } from './reactor.ts';
import { tlsConfig } from './tls-client.ts';

const LENGTH = { kind: 'length', type: 'N', lengthOffset: 0, bodyOffset: 4, max: 1024 * 1024 } as const;
const LINES = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1024 * 1024 } as const;
const RAW = { kind: 'raw' } as const;

const EVERYBODY = parseAddressRange('0.0.0.0/0') as AddressRange;
const CLIENTS_MAX = 10;
const FILE_BYTES = 200_000;
/** Steps of one schedule. */
const STEPS = 250;
/** Turns that are enough for everything that is under way, on a kernel that does its best. */
const QUIET_TURNS = 4000;

export class Schedule {
  /** What has happened, for whoever looks for the reason. */
  readonly log: string[] = [];
  private readonly random: Prng;
  private readonly stage: Stage;
  private readonly faults: RandomFaults;
  private readonly pairs: Pair[] = [];
  private readonly file: Buffer;
  private readonly pauses: boolean;
  /** The worker does nothing on its own any more. */
  private farewells = false;

  constructor(seed: number) {
    const random = prng(seed);
    this.random = random;
    const ports = Array.from({ length: 1 + random.int(4) }, () => portFor(random));
    this.stage = new Stage({ ports, slots: 96, maxConnections: CLIENTS_MAX });
    this.pauses = random.int(2) === 0;
    this.file = random.bytes(FILE_BYTES);
    const { kernel, receiver } = this.stage;
    kernel.file('/file', this.file);
    kernel.file('/copied', this.file, 22);
    this.faults = new RandomFaults(random, {
      harmless: [0, 0.05, 0.3][random.int(3)],
      deadly: [0, 0, 0.01][random.int(3)],
    });
    kernel.faults = this.faults;
    receiver.room = [100, 5000, 65536][random.int(3)];
    receiver.closesAtOnce = random.int(2) === 0;
    receiver.onConnect = (served) => this.connected(served);
    receiver.onPackage = (served) => this.took(served);
  }

  /** Throws where something is not as it must be. */
  run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.step();
      this.lookAlways();
    }
    if (this.random.int(2) === 0) this.quiet();
    this.farewell();
  }

  free(): void {
    for (const { peer } of this.pairs) peer.free();
  }

  // ---- steps --------------------------------------------------------------------------------------------------------

  private step(): void {
    const { random, stage } = this;
    const choice = random.int(100);
    if (choice < 35) stage.turn();
    else if (choice < 42) this.connect();
    else if (choice < 70) this.withPair((pair) => this.clientStep(pair));
    else if (choice < 94) this.withPair((pair) => this.workerStep(pair));
    else if (choice < 96) {
      stage.receiver.full = !stage.receiver.full;
      this.tell(`the receiver is ${stage.receiver.full ? '' : 'not '}full`);
    } else if (choice < 98) {
      const open = stage.kernel.open();
      stage.kernel.wakeForNothing(open[random.int(open.length)]);
    } else stage.pass(random.int(30));
  }

  private tell(text: string): void {
    this.log.push(text);
  }

  private withPair(act: (pair: Pair) => void): void {
    const recent = this.pairs.slice(-CLIENTS_MAX);
    if (recent.length !== 0) act(recent[this.random.int(recent.length)]);
  }

  private connect(): void {
    const { random, stage } = this;
    const port = stage.ports[random.int(stage.ports.length)];
    const client = stage.kernel.connect(port.listener, port.socketType === SWOOLE_SOCK_UNIX_STREAM ? 'unix' : 'tcp');
    for (const stream of [client.stream, client.server]) {
      stream.sendRoom = 2000 + random.int(64_000);
      if (stream instanceof TcpStream) {
        stream.receiveRoom = 2000 + random.int(64_000);
        stream.lag = random.int(3) === 0;
      }
    }
    const peer = port.tls === null ? new PlainPeer(client) : new TlsPeer(client);
    const name = `client ${this.pairs.length}`;
    this.pairs.push(new Pair(name, peer, port, random));
    this.tell(`${name} connects to port ${port.index}: ${port.framing.kind}${port.tls === null ? '' : ', TLS'}`);
  }

  private connected(served: Served): void {
    const socket = this.stage.kernel.streamAt(served.connection.fd);
    const pair = this.pairs.find(({ peer }) => peer.client.server === socket);
    assert.ok(pair !== undefined && pair.served === null, 'told of twice');
    pair.served = served;
  }

  /** Workers act in the middle of their callbacks, too. */
  private took(served: Served): void {
    const pair = this.pairs.find((each) => each.served === served);
    assert.ok(pair !== undefined);
    if (served.packages.length === pair.switchesAfter) {
      this.stage.table.switchProtocol(served.slot, served.serial, 1);
      pair.switched = true;
    }
    if (this.farewells) return;
    if (this.random.int(8) === 0) this.workerStep(pair);
  }

  private clientStep(pair: Pair): void {
    const { random } = this;
    const { peer, name } = pair;
    if (pair.left) return;
    const { stream } = peer.client;
    const choice = random.int(40);
    if (choice < 18) this.sendSome(pair);
    else if (choice < 34) {
      this.tell(`${name} reads`);
      peer.read([10, 1000, 100_000][random.int(3)]);
      if (random.int(8) === 0) peer.nag();
    } else if (choice < 37 && stream instanceof TcpStream) {
      stream.arrive();
      (peer.client.server as TcpStream).arrive();
      if (random.int(3) === 0 && peer instanceof PlainPeer && pair.served !== null && stream.mayBeUrgent)
        peer.client.urgent(33);
    } else if (choice === 37 && peer.waiting === 0) {
      this.tell(`${name} ends`);
      pair.finished = true;
      peer.end();
    } else if (choice === 38) {
      this.tell(`${name} closes`);
      pair.finished = true;
      pair.left = true;
      // What it has not read, or what has not arrived when somebody sends to it, becomes a reset.
      pair.hurt ||= stream.incoming.length !== 0 || stream.unsent() !== 0 || peer.waiting !== 0;
      peer.client.close();
    } else if (choice === 39) {
      this.tell(`${name} resets`);
      pair.finished = true;
      pair.left = true;
      pair.hurt = true;
      peer.client.reset();
    }
  }

  private sendSome(pair: Pair): void {
    const { peer, plan } = pair;
    if (pair.finished || peer.client.error !== 0) return;
    if (pair.greeting.length !== 0) {
      pair.greeting = pair.greeting.subarray(peer.send(pair.greeting.subarray(0, 1 + this.random.int(50))));
      return;
    }
    const length = Math.min(sizeFor(this.random), pair.allowed - pair.sent);
    const count = length === 0 ? 0 : peer.send(plan.subarray(pair.sent, pair.sent + length));
    pair.sent += count;
    if (count !== 0) this.tell(`${pair.name} sends ${count}`);
  }

  private workerStep(pair: Pair): void {
    const { random, stage } = this;
    const { served, name } = pair;
    if (served === null || served.closes !== 0) {
      if (served !== null && random.int(3) === 0) this.answerClose(served);
      return;
    }
    const { connection } = served;
    const choice = random.int(40);
    if (choice < 20) this.answer(pair);
    else if (choice < 24) this.sendFile(pair);
    else if (choice < 28) {
      const mark = { told: [] as boolean[], before: pair.answered.length };
      pair.marks.push(mark);
      stage.reactor.whenSent(connection, (sent) => mark.told.push(sent));
    } else if (choice < 32 && this.pauses) {
      this.tell(`${name} is paused`);
      pair.everPaused = true;
      stage.reactor.pause(connection);
    } else if (choice < 37) {
      this.tell(`${name} is resumed`);
      stage.reactor.resume(connection);
    } else if (choice < 39) this.close(pair, false);
    else if (random.int(2) === 0) this.close(pair, true);
  }

  private answer(pair: Pair): void {
    const { random, stage } = this;
    const length = random.int(10) === 0 ? 0 : sizeFor(random);
    const bytes = random.bytes(length);
    this.tell(`${length} bytes to ${pair.name}`);
    if (random.int(3) === 0) {
      const text = bytes.toString('hex');
      pair.answers.push(Buffer.from(text));
      stage.send(pair.served as Served, text);
    } else {
      pair.answers.push(bytes);
      stage.send(pair.served as Served, bytes);
    }
  }

  private sendFile(pair: Pair): void {
    const { random, stage } = this;
    const offset = random.int(FILE_BYTES - 1);
    const length = 1 + random.int(FILE_BYTES - offset);
    this.tell(`a file of ${length} bytes to ${pair.name}`);
    pair.answers.push(this.file.subarray(offset, offset + length));
    const { connection } = pair.served as Served;
    stage.reactor.sendFile(connection, random.int(3) === 0 ? '/copied' : '/file', offset, length);
  }

  /** The worker answers that its close callback has run, where that is not at once. */
  private answerClose(served: Served): void {
    const connection = this.stage.reactor.find(served.slot, served.serial);
    if (connection !== null && this.stage.receiver.closesAtOnce === false)
      this.stage.reactor.finishClose(connection, false);
  }

  // ---- the oracle ---------------------------------------------------------------------------------------------------

  private lookAlways(): void {
    for (const pair of this.pairs) {
      const { peer, served } = pair;
      // An error of the network, which the kernel has let happen.
      if (peer.client.server.broken) pair.hurt = true;
      if (peer.client.received.length !== pair.lookedAt) {
        pair.lookedAt = peer.client.received.length;
        assertPrefix(peer.received, pair.answered, `what ${pair.name} got`);
      }
      if (served === null) continue;
      assert.ok(served.closes <= 1, `${pair.name} ended twice`);
      const above = served.fulls - served.empties;
      assert.ok(above === 0 || above === 1, `the watermarks of ${pair.name} take turns`);
      for (; pair.takenAt < served.packages.length; pair.takenAt++)
        this.lookAtPackage(pair, served.packages[pair.takenAt]);
    }
  }

  /** The next read, or package, of a connection. */
  private lookAtPackage(pair: Pair, bytes: Buffer): void {
    const { framing, packages, plan, sent, taken } = pair;
    if (framing.kind === 'raw') assertPrefix(bytes, plan.subarray(taken, sent), `from ${pair.name}`);
    else assertBytes(bytes, packages[pair.takenAt]);
    pair.taken += bytes.length;
  }

  /** Everything that can arrive does, and nobody waits for an event that does not come. */
  private quiet(): void {
    this.tell('quiet');
    this.faults.off = true;
    this.stage.receiver.full = false;
    this.comeToRest();
    this.lookAlways();
    for (const pair of this.pairs) this.lookQuiet(pair);
  }

  private comeToRest(): void {
    const { stage } = this;
    for (let turn = 0, still = 0; still < 5; turn++) {
      assert.ok(turn < QUIET_TURNS, 'the reactor does not come to rest');
      const before = this.progress();
      for (const pair of this.pairs) this.takeEverything(pair);
      stage.pass(10);
      still = this.progress() === before ? still + 1 : 0;
      // Accepting may rest for a second.
      if (still === 4) stage.pass(1100);
    }
  }

  private progress(): string {
    const all = this.pairs.map(({ peer, served, sent }) => [
      peer.client.received.length,
      peer.waiting,
      served?.frees,
      sent,
    ]);
    return `${this.stage.counters.get(RECEIVED_BYTES)} ${all.join()}`;
  }

  private takeEverything(pair: Pair): void {
    const { peer, served } = pair;
    const { stream, server } = peer.client;
    if (!pair.left) peer.read(Number.POSITIVE_INFINITY);
    this.sendSome(pair);
    for (const each of [stream, server])
      if (each instanceof TcpStream) {
        each.lag = false;
        each.arrive();
      }
    if (served === null) return;
    if (served.closes !== 0) this.answerClose(served);
    else this.stage.reactor.resume(served.connection);
  }

  private lookQuiet(pair: Pair): void {
    const { name, peer, served } = pair;
    if (served === null || pair.hurt) return;
    const words = this.stage.table.words;
    const open = this.stage.reactor.find(served.slot, served.serial);
    if (open !== null) {
      assert.equal(words[served.connection.base + QUEUED_BYTES], 0, `output of ${name} waits`);
      assert.equal(words[served.connection.base + QUEUED_FILES], 0, `a file for ${name} waits`);
      assert.equal(served.fulls, served.empties, `${name} is told that its output has gone`);
    }
    // Who leaves in silence is told of output that came later by a reset.
    const complete = !pair.closedHere && !(pair.left && pair.everPaused);
    if (complete) {
      const whole = pair.framing.kind === 'raw' ? pair.sent : wholePackages(pair);
      assert.equal(served.received.length, whole, `of what ${name} has sent ${pair.sent}`);
    }
    if (!pair.left) assert.equal(peer.received.length, pair.answered.length, `what ${name} got`);
    if (pair.finished) assert.equal(served.closes, 1, `${name} has ended`);
    if (open === null && !pair.left) assert.ok(peer.client.ended || peer.client.error !== 0, `${name} sees the end`);
  }

  /** Each is ended by one side or the other, while clients still read slowly and send; then everything comes to its end. */
  private farewell(): void {
    const { stage, random } = this;
    this.tell('farewell');
    this.farewells = true;
    for (const pair of this.pairs) if (random.int(2) === 0) this.close(pair, false);
    for (let step = 0; step < 100; step++) {
      if (random.int(2) === 0) stage.turn();
      else this.withPair((pair) => this.clientStep(pair));
      this.lookAlways();
    }
    this.quiet();
    for (const pair of this.pairs) if (!pair.left) pair.peer.client.close();
    stage.settle();
    for (const { served } of this.pairs) if (served !== null) this.answerClose(served);
    stage.reactor.stopAccepting();
    stage.pass(70_000);
    this.lookAtLast();
  }

  private close(pair: Pair, reset: boolean): void {
    const { served, name } = pair;
    if (served === null || served.closes !== 0) return;
    this.tell(`${name} is ${reset ? 'reset' : 'closed'}`);
    pair.closedHere = true;
    pair.hurt ||= reset;
    this.stage.close(served, reset);
  }

  private lookAtLast(): void {
    const { stage } = this;
    const { counters, receiver } = stage;
    stage.assertClean();
    for (const pair of this.pairs) {
      if (pair.served !== null) assert.equal(pair.served.closes, 1, `${pair.name} has ended`);
      for (const { told, before } of pair.marks) {
        assert.equal(told.length, 1, `a mark of ${pair.name}`);
        if (!pair.hurt && !pair.left) assert.ok(told[0] && pair.peer.received.length >= before, `${pair.name} waited`);
      }
    }
    assert.equal(counters.get(ACCEPTED), counters.get(CLOSED));
    assert.ok(counters.get(ACCEPTED) <= receiver.served.length + counters.get(ABORTED));
    const delivered = receiver.served.reduce((sum, { received }) => sum + received.length, 0);
    assert.ok(counters.get(RECEIVED_BYTES) >= delivered);
  }
}

function wholePackages({ packages, sent }: Pair): number {
  let whole = 0;
  for (const { length } of packages) {
    if (whole + length > sent) break;
    whole += length;
  }
  return whole;
}

function assertPrefix(actual: Buffer, whole: Buffer, what: string): void {
  assert.ok(actual.length <= whole.length, `${what}: more than was sent`);
  if (!actual.equals(whole.subarray(0, actual.length))) assert.fail(`${what}: other bytes than were sent`);
}

function portFor(random: Prng): Partial<ReactorPort> {
  const framing: Framing = [RAW, LENGTH, LINES][random.int(3)];
  const one: Partial<ReactorPort> = { framing, bufferHighWatermark: 1000 + random.int(100_000) };
  if (framing.kind !== 'raw' && random.int(3) === 0) one.otherFramings = [framing === LINES ? LENGTH : LINES];
  switch (random.int(6)) {
    case 0:
    case 1:
      one.socketType = SWOOLE_SOCK_UNIX_STREAM;
      break;
    case 2:
      one.tls = tlsConfig();
      break;
    case 3:
      one.proxyFrom = [EVERYBODY];
      break;
  }
  return one;
}

/** Runs the schedule of a seed. What it throws tells how to run it again. */
export function runSchedule(seed: number): void {
  const schedule = new Schedule(seed);
  try {
    schedule.run();
  } catch (error) {
    const [who] = /client \d+/.exec(String(error)) ?? [''];
    const steps = schedule.log.filter((line) => new RegExp(`${who}\\b`).test(line)).slice(-30);
    const again = `npm run fuzz -- --seed ${seed}`;
    throw new Error(`seed ${seed} fails, again with: ${again}\n  ${steps.join('\n  ')}`, { cause: error });
  } finally {
    schedule.free();
  }
}
