/** A reactor on the fake kernel, between clients and a receiver that are both in the test's hands. */
import assert from 'node:assert/strict';
import { SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM } from '../../src/constants.ts';
import type { Connection } from '../../src/reactor/connection.ts';
import type { PacketDelivery } from '../../src/reactor/datagram.ts';
import type { Delivery } from '../../src/reactor/delivery.ts';
import { READ_BYTES } from '../../src/reactor/limits.ts';
import { isDatagram, type ReactorPort } from '../../src/reactor/port.ts';
import { Reactor } from '../../src/reactor/reactor.ts';
import type { ReactorOptions } from '../../src/reactor/reactor-options.ts';
import type { ReactorSettings } from '../../src/reactor/settings.ts';
import { ConnectionTable } from '../../src/shm/connections.ts';
import { LaneCounters } from '../../src/shm/lanes.ts';
import { reactorLane } from '../../src/shm/layout.ts';
import type { Segment } from '../../src/shm/segment.ts';
import { WorkerTable } from '../../src/shm/workers.ts';
import { allocate } from '../../src/sys/memory.ts';
import { closeDescriptor } from '../../src/sys/socket.ts';
import { type Client, FakeKernel } from './kernel.ts';
import { smallSegment } from './shared.ts';

/** What the receiver knows of one connection. */
export class Served {
  readonly connection: Connection;
  readonly slot: number;
  readonly serial: number;
  /** Each read of an unframed connection, each package of a framed one. */
  readonly packages: Buffer[] = [];
  /** How often its close callback has run, */
  closes = 0;
  /** and how often its slot was freed. */
  frees = 0;
  fulls = 0;
  empties = 0;

  constructor(connection: Connection) {
    this.connection = connection;
    this.slot = connection.slot;
    this.serial = connection.serial;
  }

  get received(): Buffer {
    return Buffer.concat(this.packages);
  }
  get text(): string {
    return this.received.toString('latin1');
  }
}

/** A worker, as the reactor sees it. */
export class Receiver implements Delivery {
  readonly served: Served[] = [];
  /** Takes nothing. */
  full = false;
  /** The most that one read may bring. */
  room = READ_BYTES;
  /** Runs close callbacks at once (BASE); else the test answers with finishClose() (PROCESS). */
  closesAtOnce = true;
  onConnect: ((served: Served) => void) | null = null;
  onPackage: ((served: Served, bytes: Buffer) => void) | null = null;
  onClose: ((served: Served) => void) | null = null;
  readonly memory = allocate(READ_BYTES);
  address = this.memory.address;
  private readonly table: ConnectionTable;
  private readonly bySlot = new Map<number, Served>();

  constructor(table: ConnectionTable) {
    this.table = table;
  }

  of(connection: Connection): Served {
    const served = this.bySlot.get(connection.slot);
    assert.ok(served !== undefined, `slot ${connection.slot} was never connected`);
    assert.equal(served.frees, 0, 'told of a connection that was freed');
    return served;
  }

  connect(connection: Connection): void {
    const served = new Served(connection);
    this.served.push(served);
    this.bySlot.set(connection.slot, served);
    this.onConnect?.(served);
  }

  reserve(connection: Connection): number {
    this.of(connection);
    return this.full ? -1 : this.room;
  }
  deliver(connection: Connection, length: number): void {
    assert.ok(length > 0 && length <= this.room);
    this.take(connection, Buffer.from(this.memory.u8.subarray(0, length)));
  }
  deliverPackage(connection: Connection, bytes: Uint8Array, start: number, length: number): boolean {
    if (this.full) return false;
    this.take(connection, Buffer.from(bytes.subarray(start, start + length)));
    return true;
  }
  private take(connection: Connection, bytes: Buffer): void {
    const served = this.of(connection);
    assert.equal(served.closes, 0, 'data behind the end');
    served.packages.push(bytes);
    this.onPackage?.(served, bytes);
  }
  canTake(): boolean {
    return !this.full;
  }

  close(connection: Connection): boolean {
    const served = this.of(connection);
    this.callBack(served);
    return this.closesAtOnce;
  }
  /** Runs the close callback, unless somebody has: the table knows. */
  callBack(served: Served): void {
    if (!this.table.takeClose(served.slot, served.serial, 0)) return;
    served.closes++;
    this.onClose?.(served);
  }

  bufferFull(connection: Connection): void {
    this.of(connection).fulls++;
  }
  bufferEmpty(connection: Connection): void {
    this.of(connection).empties++;
  }
  freed(connection: Connection): void {
    const served = this.bySlot.get(connection.slot);
    // A TLS connection may end before anybody knows of it.
    if (served?.serial !== connection.serial) return;
    served.frees++;
  }
}

/** As deepEqual, which takes minutes to tell how two long Buffers differ. */
export function assertBytes(actual: Buffer, expected: Buffer): void {
  if (actual.equals(expected)) return;
  let at = 0;
  while (at < actual.length && actual[at] === expected[at]) at++;
  assert.fail(`${actual.length} bytes instead of ${expected.length}, and others from ${at} on`);
}

export function port(changes: Partial<ReactorPort> = {}): ReactorPort {
  return {
    index: 0,
    listener: -1,
    socketType: SWOOLE_SOCK_TCP,
    framing: { kind: 'raw' },
    otherFramings: [],
    socketBufferSize: 8 * 1024 * 1024,
    bufferHighWatermark: 1024 * 1024,
    bufferLowWatermark: 0,
    heartbeatIdleMs: 0,
    maxIdleMs: 0,
    packageMs: 0,
    proxyFrom: null,
    socketOptions: {
      nodelay: true,
      keepalive: false,
      keepIdleSeconds: 0,
      keepIntervalSeconds: 0,
      keepCount: 0,
      userTimeoutMs: 0,
      receiveBufferBytes: 0,
      sendBufferBytes: 0,
    },
    tls: null,
    ...changes,
  };
}

export type StageOptions = Partial<Omit<ReactorOptions, 'ports' | 'packets' | 'settings'> & ReactorSettings> & {
  /** What is special about each port; one plain one by default. */
  ports?: Partial<ReactorPort>[];
  packets?: PacketDelivery;
  slots?: number;
};

/** The reactor with everything around it. */
export class Stage {
  readonly kernel = new FakeKernel();
  readonly segment: Segment;
  readonly table: ConnectionTable;
  readonly workers: WorkerTable;
  readonly counters: LaneCounters;
  readonly ports: ReactorPort[];
  readonly receiver: Receiver;
  readonly reactor: Reactor;
  readonly logged: string[] = [];
  /** What may stay open: epoll and the listeners. */
  private readonly own: number[];

  constructor({
    ports = [{}],
    packets,
    slots = 16,
    maxConnections = slots,
    delayReceive = false,
    heartbeatCheckMs = 0,
    maxQueuedBytes = 0,
    ...changes
  }: StageOptions = {}) {
    this.segment = smallSegment({ slotsPerOwner: slots });
    // Mapped it stays; tests make many.
    closeDescriptor(this.segment.fd);
    this.table = new ConnectionTable(this.segment);
    this.workers = new WorkerTable(this.segment);
    this.counters = new LaneCounters(this.segment, reactorLane(0));
    this.receiver = new Receiver(this.table);
    this.ports = ports.map((changed, index) => {
      const one = port({ index, ...changed });
      one.listener = isDatagram(one.socketType) ? this.kernel.datagramSocket() : this.kernel.listen();
      return one;
    });
    this.reactor = new Reactor({
      kernel: this.kernel,
      owner: 0,
      reactorCount: 1,
      segment: this.segment,
      connections: this.table,
      workers: this.workers,
      counters: this.counters,
      delivery: this.receiver,
      ports: this.ports,
      settings: { maxConnections, delayReceive, heartbeatCheckMs, maxQueuedBytes },
      log: (_level, text) => this.logged.push(text),
      packets: packets ?? null,
      ...changes,
    });
    this.reactor.startAccepting();
    this.own = this.kernel.open();
  }

  /** One turn of the loop, as a thread runs it. */
  turn(timeoutMs = 0): number {
    const events = this.reactor.poll(timeoutMs);
    this.reactor.endTurn();
    this.reactor.invariants();
    return events;
  }

  turns(count: number): void {
    for (let i = 0; i < count; i++) this.turn();
  }

  /** Turns until nothing is left to do at once. Time does not pass. */
  settle(): void {
    // What a turn does to the kernel, the next one is told of.
    for (let i = 0, quiet = 0; quiet < 2; i++) {
      quiet = this.turn() === 0 && !this.reactor.hasReady ? quiet + 1 : 0;
      assert.ok(i < 1000, 'the loop spins');
    }
  }

  /** Lets time go by as the loop sleeps: so long as it allows, again and again. */
  pass(ms: number): void {
    const until = this.kernel.time + ms;
    while (this.kernel.time < until) {
      const before = this.kernel.time;
      const most = Math.min(this.reactor.timeoutMs(), until - before);
      this.turn(most);
      // A turn with events takes some time, too.
      if (this.kernel.time === before) this.kernel.time++;
    }
  }

  /** Turns and reads until nothing comes any more; answers all that the client ever got. */
  readAll(client: Client): Buffer {
    do this.settle();
    while (client.read(50_000) !== 0);
    return client.received;
  }

  /** A client that is connected, and what the receiver knows of it. */
  connect(portIndex = 0): { client: Client; served: Served } {
    const { listener, socketType } = this.ports[portIndex];
    const before = this.receiver.served.length;
    const client = this.kernel.connect(listener, socketType === SWOOLE_SOCK_UNIX_STREAM ? 'unix' : 'tcp');
    this.settle();
    const served = this.receiver.served[before];
    assert.ok(served !== undefined, 'no connection was told of');
    return { client, served };
  }

  /** Sends to a connection as a worker would. */
  send({ connection }: Served, bytes: Uint8Array | string): void {
    if (typeof bytes === 'string') this.reactor.sendText(connection, bytes);
    else this.reactor.send(connection, bytes, 0, bytes.length, 0);
    this.reactor.invariants();
  }

  /** Closes a connection as a worker does: its callback, then the end. */
  close(served: Served, reset = false): void {
    this.receiver.callBack(served);
    const connection = this.reactor.find(served.slot, served.serial);
    if (connection !== null) this.reactor.finishClose(connection, reset);
    this.reactor.invariants();
  }

  /** Nothing may be left of the connections that there were, and nothing that was planned may not have happened. */
  assertClean(): void {
    assert.deepEqual(this.kernel.open(...this.own), [], 'descriptors that nobody has closed');
    assert.equal(this.segment.connections, 0);
    this.table.forEach(0, (slot) => assert.fail(`slot ${slot} is still in use`));
    for (const served of this.receiver.served) assert.equal(served.frees, 1);
    assert.deepEqual(this.kernel.script.left, []);
  }
}
