/**
 * The owner of sockets: accepts, reads, frames, writes, and notices who left. It runs blocking in a thread of the master
 * (PROCESS) or nested in Node's loop of a worker (BASE); where its input goes is the Delivery's affair.
 *
 * Sockets are watched edge triggered, once for their whole life: an event sets `readable`, a short read clears it, and
 * pausing or a full ring costs no system call. One turn handles at most EVENTS_MAX events and one read of each socket,
 * then what others asked for, then hands the gathered output to the kernel.
 */

import { SWOOLE_LOG_WARNING } from '../constants.ts';
import { type ConnectionTable, FLAG_PAUSED, STATE, STATE_ACTIVE } from '../shm/connections.ts';
import { BLOCKED, BLOCKS, CLOSES_STALLED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import {
  EAGAIN,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  EPROTO,
  SO_ERROR,
  SOL_SOCKET,
} from '../sys/constants.ts';
import { Epoll } from '../sys/epoll.ts';
import { type Kernel, linux } from '../sys/kernel.ts';
import { allocate } from '../sys/memory.ts';
import { Acceptor } from './acceptor.ts';
import { ACTIVE, type Connection, OPENING } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { Datagrams } from './datagram.ts';
import type { Delivery } from './delivery.ts';
import { Ending } from './ending.ts';
import { Framings } from './framings.ts';
import { IdleWatch } from './idle-watch.ts';
import { Input } from './input.ts';
import {
  BLOCKED_RETRY_MS,
  EVENTS_MAX,
  HANDSHAKES_MAX,
  LINGER_CHECK_MS,
  READ_BYTES,
  TURN_READ_BYTES,
} from './limits.ts';
import { Lingerers } from './linger.ts';
import { Output } from './output.ts';
import { isDatagram, isUnix, type ReactorPort } from './port.ts';
import { PROXY_GATE } from './proxy-gate.ts';
import type { ReactorOptions } from './reactor-options.ts';
import { SocketWatch } from './socket-watch.ts';
import { TlsEngine } from './tls.ts';
import { PlainTransport, READ_ON } from './transport.ts';
import type { TurnClock } from './turn-clock.ts';

/** What epoll carries for a descriptor that is no connection: minus one minus the port's index, PROXY_GATE, or this. */
const DOORBELL = -0x7fffffff;
/** After these a short read does not tell that the socket is empty: recv() stops at urgent data (EPOLLPRI), too. */
const READ_TO_THE_END = EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

export class Reactor implements TurnClock {
  readonly epoll: Epoll;
  now: number;
  seconds: number;

  private readonly kernel: Kernel;
  private readonly table: ConnectionTable;
  readonly counters: LaneCounters;
  private readonly delivery: Delivery;
  private readonly ports: ReactorPort[];
  private readonly delayReceive: boolean;
  readonly log: (level: number, text: string) => void;
  private readonly words: Int32Array;
  private readonly connections: ConnectionPool;
  private readonly lingerers: Lingerers;

  /** Connections to read in the next turn although no event will come. */
  private ready: Connection[] = [];
  /** Those that had no helping in this turn: the next begins with them. */
  private late: Connection[] = [];
  private blocked: Connection[] = [];

  private readonly input = allocate(READ_BYTES);
  /** For what nobody reads. Not `input`: callbacks close others while it is being cut into packages. */
  private readonly waste = allocate(READ_BYTES);
  private readonly reading: Input;
  private readonly datagrams: Datagrams | null;
  private readonly acceptor: Acceptor;
  private readonly idleWatch: IdleWatch;
  readonly output: Output;
  private readonly watch: SocketWatch;
  private readonly ending: Ending;
  /** Null where no port uses TLS. */
  private readonly tls: TlsEngine | null;

  private nextTick = 0;

  constructor(options: ReactorOptions) {
    const kernel = options.kernel ?? linux;
    this.kernel = kernel;
    this.epoll = new Epoll(EVENTS_MAX, kernel);
    this.now = kernel.now();
    this.seconds = kernel.wallNow() / 1000;
    this.table = options.connections;
    this.counters = options.counters;
    this.delivery = options.delivery;
    this.ports = options.ports;
    this.delayReceive = options.settings.delayReceive;
    this.log = options.log;
    this.words = options.connections.words;
    const framings = new Framings(options.ports);
    const plain = new PlainTransport(kernel);
    this.connections = new ConnectionPool(
      options.connections,
      options.owner,
      options.reactorId ?? options.owner,
      options.segment.layout.slotsPerOwner,
      plain,
      framings,
    );
    this.lingerers = new Lingerers(kernel, this.waste);
    this.ending = new Ending(options, kernel, this.connections, this.lingerers, this);
    this.watch = new SocketWatch(this.epoll, this.connections);
    this.output = new Output(kernel, this.table, this.delivery, this.watch, this.ending);
    this.reading = new Input(options, framings, this, this.ending, this.input);
    this.acceptor = new Acceptor(options, kernel, this.epoll, this.connections, this.input, this);
    this.idleWatch = new IdleWatch(options, kernel, this.waste, this.ending);
    this.tls = options.ports.some((port) => port.tls !== null)
      ? new TlsEngine(plain, this.table, options.ports, this.output, this.ending)
      : null;
    const { packets } = options;
    const packetPorts = options.ports.filter((port) => port.listener !== -1 && isDatagram(port.socketType));
    const receives = packets !== null && packetPorts.length !== 0;
    this.datagrams = receives ? new Datagrams(this.epoll, packetPorts, packets, this.counters, this.log, kernel) : null;
  }

  // ---- the loop ---------------------------------------------------------------------------------------------------

  /** Wakes the loop whenever the eventfd is rung. Edge triggered: it never has to be read. */
  watchDoorbell(fd: number): void {
    this.epoll.add(fd, EPOLLIN | EPOLLET, DOORBELL, 0);
  }

  /** Takes connections and datagrams from now on. */
  startAccepting(): void {
    this.acceptor.start();
    this.datagrams?.start();
  }

  /** Takes no connections until it is told to start again. */
  pauseAccepting(): void {
    this.acceptor.pause();
  }

  stopAccepting(): void {
    this.acceptor.stop();
    this.datagrams?.stop();
  }

  /** How often the loop must turn although nothing happens. */
  get tickMs(): number {
    return this.idleWatch.tickMs;
  }

  /** How long the loop may sleep at most. */
  timeoutMs(): number {
    if (this.hasReady) return 0;
    // A ring that gets room rings our doorbell; what else makes a connection wait is looked at again soon.
    if (this.blocked.length !== 0 || this.datagrams?.blocked === true || this.output.starves) return BLOCKED_RETRY_MS;
    if (this.lingerers.count !== 0) return LINGER_CHECK_MS;
    return Math.ceil(Math.max(0, Math.min(this.tickMs, this.nextTick - this.kernel.now())));
  }

  /** Takes what the kernel has for us, waiting that long at most: answers how many events that were. Then comes endTurn(). */
  poll(timeoutMs: number): number {
    const { epoll } = this;
    const connections = this.connections.all;
    const count = epoll.wait(timeoutMs);
    this.now = this.kernel.now();
    this.seconds = this.kernel.wallNow() / 1000;
    this.reading.turnBytes = 0;
    // Those of the turn before come first: events may fill this one.
    if (this.ready.length !== 0) this.readReady();
    for (let i = 0; i < count; i++) {
      const low = epoll.lowAt(i);
      if (low >= 0) this.socketEvent(connections[low], epoll.highAt(i), epoll.eventsAt(i));
      else if (low === PROXY_GATE) this.acceptor.proxyGate?.event(epoll.highAt(i), epoll.eventsAt(i));
      else if (low !== DOORBELL) this.portEvent(this.ports[-1 - low]);
    }
    if (this.late.length !== 0) {
      this.ready = this.late.concat(this.ready);
      this.late = [];
    }
    return count;
  }

  /** True exactly when this turn has read all that one may. */
  get hadFill(): boolean {
    return this.reading.turnBytes >= TURN_READ_BYTES;
  }

  /** Hands this turn's output to the kernel and looks after what is due. */
  endTurn(): void {
    if (this.blocked.length !== 0) this.retryBlocked();
    if (this.datagrams?.blocked === true) this.datagrams.retry(this.now);
    if (this.output.starves) this.output.retry();
    this.output.flush();
    if (this.output.sendsFiles) {
      this.output.sendFiles();
      // The end of a file can run callbacks, which send.
      this.output.flush();
    }
    if (this.lingerers.count !== 0) {
      const stalled = this.lingerers.check(this.now);
      if (stalled !== 0) this.counters.add(CLOSES_STALLED, stalled);
    }
    if (this.now >= this.nextTick) this.tick();
  }

  /** Hands the gathered output to the kernel now. */
  flushOutput(): void {
    this.output.flush();
  }

  private socketEvent(connection: Connection, serial: number, events: number): void {
    if (!connection.open || connection.serial !== serial) return;
    if ((events & EPOLLOUT) !== 0 && connection.output !== null) this.output.write(connection);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) === 0 || !connection.open) return;
    connection.readable = true;
    if ((events & READ_TO_THE_END) !== 0) connection.hangup = true;
    if (connection.life === OPENING) {
      // In turn with the others: their arithmetic is slow.
      this.queueToRead(connection);
      return;
    }
    const failed = (events & EPOLLERR) !== 0 || (events & EPOLLHUP) !== 0;
    if (connection.finished) {
      if (failed) this.ending.peerGone(connection, 0);
    } else if (connection.paused) {
      // Nobody will read to find out, so it is told now. A Unix socket hangs up when its peer has just closed, too: then
      // what that has sent before is still to be read, as with TCP.
      const over = (events & EPOLLERR) !== 0 || !isUnix(connection.port.socketType);
      if (failed && over) this.ending.left(connection, this.socketError(connection));
    } else if (!connection.waits) {
      if (!this.hadFill) this.reading.read(connection);
      else if (!connection.queuedToRead) {
        connection.queuedToRead = true;
        this.late.push(connection);
      }
    }
  }

  /** Goes on with connections that had more to read than one turn allows, or whose reason to wait has gone. */
  private readReady(): void {
    const list = this.ready;
    this.ready = [];
    let handshakes = 0;
    for (let i = 0; i < list.length; i++) {
      if (this.hadFill) {
        this.late = list.slice(i);
        return;
      }
      const connection = list[i];
      connection.queuedToRead = false;
      if (connection.life === OPENING) {
        if (handshakes++ < HANDSHAKES_MAX) this.shakeHands(connection);
        else this.queueToRead(connection);
        continue;
      }
      if (connection.finished || connection.waits) continue;
      if (connection.paused) {
        // A failure may have been told of while there was still something to read.
        const error = connection.hangup ? this.socketError(connection) : 0;
        if (error !== 0) this.ending.left(connection, error);
        continue;
      }
      if (connection.packet !== null && !this.reading.deliverKept(connection)) continue;
      if (connection.readable) this.reading.read(connection);
    }
  }

  queueToRead(connection: Connection): void {
    if (connection.queuedToRead) return;
    connection.queuedToRead = true;
    this.ready.push(connection);
  }

  // ---- accepting --------------------------------------------------------------------------------------------------

  private portEvent(port: ReactorPort): void {
    if (isDatagram(port.socketType)) this.datagrams?.receive(port, this.now);
    else this.acceptor.acceptAll(port);
  }

  /** Takes a socket that another reactor has accepted for us. */
  adopt(fd: number, port: ReactorPort, serial: number, address: Uint8Array): void {
    this.acceptor.adopt(fd, port, serial, address);
  }

  accepted(connection: Connection): void {
    const { port } = connection;
    if (port.tls === null) this.introduce(connection);
    else {
      const session = this.tls?.accept(connection) ?? null;
      if (session === null) this.ending.abort(connection, 'out of memory');
      else connection.transport = session;
    }
    if (!connection.open) return;
    const error = this.watch.begin(connection);
    if (error !== 0) {
      this.log(SWOOLE_LOG_WARNING, `epoll_ctl() failed with errno ${error}`);
      this.ending.lose(connection, error);
    }
  }

  /** From here on users know of the connection. */
  private introduce(connection: Connection): void {
    if (this.delayReceive) {
      connection.paused = true;
      this.table.setFlags(connection.slot, FLAG_PAUSED);
    }
    connection.life = ACTIVE;
    Atomics.store(this.words, connection.base + STATE, STATE_ACTIVE);
    this.delivery.connect(connection);
  }

  // ---- TLS ----------------------------------------------------------------------------------------------------------

  /** New connections on TLS ports get certificates as the files hold them now. */
  reloadCertificates(): void {
    this.tls?.reload();
  }

  private shakeHands(connection: Connection): void {
    const { transport } = connection;
    const result = transport.handshake(connection.fd);
    switch (result) {
      case 1:
        this.introduce(connection);
        // The first data may have come with the end of the handshake.
        if (connection.open && (transport.more || connection.hangup)) this.queueToRead(connection);
        else connection.readable = false;
        return;
      case -EAGAIN:
        connection.readable = false;
        return;
      case READ_ON:
        this.queueToRead(connection);
        return;
      default:
        this.ending.abort(connection, transport.reason, result === -EPROTO);
    }
  }

  // ---- waiting to read ----------------------------------------------------------------------------------------------

  /** Stops reading until the receiver can take more. */
  block(connection: Connection): void {
    if (connection.waits) return;
    connection.waits = true;
    this.counters.add(BLOCKS, 1);
    this.counters.set(BLOCKED, this.blocked.push(connection));
  }

  private retryBlocked(): void {
    const list = this.blocked;
    this.blocked = [];
    for (const connection of list) {
      if (connection.finished) continue;
      if (!this.delivery.canTake(connection)) {
        this.blocked.push(connection);
        continue;
      }
      connection.waits = false;
      this.queueToRead(connection);
    }
    this.counters.set(BLOCKED, this.blocked.length);
  }

  // ---- writing ----------------------------------------------------------------------------------------------------

  /** The connection that a message speaks of, unless it has ended meanwhile. */
  find(slot: number, serial: number): Connection | null {
    return this.connections.find(slot, serial);
  }

  /**
   * Sends bytes[start, start + length) in order behind everything sent before. The bytes are copied or handed to the
   * kernel before it returns. `address` is where they lie when they are outside the JavaScript heap, else 0.
   */
  send(connection: Connection, bytes: Uint8Array, start: number, length: number, address: number): void {
    this.output.send(connection, bytes, start, length, address);
  }

  /** The same for text. */
  sendText(connection: Connection, text: string): void {
    this.output.sendText(connection, text);
  }

  /** Sends a part of a file in the same order. */
  sendFile(connection: Connection, path: string, offset: number, length: number): void {
    this.output.sendFile(connection, path, offset, length);
  }

  /**
   * Tells when everything sent so far is with the kernel (true), or that it never will be (false). That is told in the
   * middle of the output, so `done` may take note of it (a promise does), and not act.
   */
  whenSent(connection: Connection, done: (sent: boolean) => void): void {
    this.output.whenSent(connection, done);
  }

  // ---- pausing ----------------------------------------------------------------------------------------------------

  pause(connection: Connection): void {
    connection.paused = true;
  }

  resume(connection: Connection): void {
    if (!connection.paused) return;
    connection.paused = false;
    if (!connection.waits && (connection.readable || connection.packet !== null)) this.queueToRead(connection);
  }

  // ---- the end ----------------------------------------------------------------------------------------------------

  /** Gives a connection up as if its peer had left. */
  drop(connection: Connection): void {
    this.ending.lose(connection, 0);
  }

  /** The close callback has run: closes once everything is sent, or at once with RST. */
  finishClose(connection: Connection, reset: boolean): void {
    this.ending.finishClose(connection, reset);
  }

  /** The error that waits at a socket, or 0. */
  socketError(connection: Connection): number {
    return Math.max(0, this.kernel.getOption(connection.fd, SOL_SOCKET, SO_ERROR));
  }

  // ---- time -------------------------------------------------------------------------------------------------------

  private tick(): void {
    this.nextTick = this.now + this.idleWatch.tickMs;
    this.acceptor.tick();
    this.ending.tick();
    this.datagrams?.tick(this.now);
    this.output.tick();
    if (this.connections.openCount === 0) return;
    this.idleWatch.check(this.connections.all);
    this.output.flush();
  }

  /** True exactly when a connection is to be read, or can send a file, although no event will come. */
  get hasReady(): boolean {
    return this.ready.length !== 0 || this.output.sendsFiles;
  }

  /** True exactly when output still waits for a peer to read it. */
  get hasOutput(): boolean {
    return (
      this.lingerers.count !== 0 ||
      this.connections.all.some((connection) => connection.open && connection.output !== null)
    );
  }

  /** Stops taking input; output goes on. */
  stopReading(): void {
    for (const connection of this.connections.all) {
      connection.paused = true;
      if (connection.life === OPENING) this.ending.abort(connection, 'the server ends');
    }
  }

  forEachOpen(visit: (connection: Connection) => void): void {
    this.connections.forEachOpen(visit);
  }

  /** For tests: throws where something contradicts itself. */
  invariants(): void {
    this.connections.invariants();
  }

  /** The end of the reactor: every connection is closed without a word to anybody. */
  closeAll(): void {
    this.output.flush();
    this.forEachOpen((connection) => this.ending.free(connection, false));
    this.lingerers.closeAll();
    this.acceptor.finish();
    this.ending.finish();
    this.epoll.close();
  }
}
