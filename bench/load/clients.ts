import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EAGAIN,
  EINTR,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from '../../src/sys/constants.ts';
import { Epoll } from '../../src/sys/epoll.ts';
import { SystemError } from '../../src/sys/error.ts';
import { errno, recv, send } from '../../src/sys/libc.ts';
import { allocate, type Region } from '../../src/sys/memory.ts';
import {
  closeDescriptor,
  connectTo,
  getOption,
  openSocket,
  type SocketAddress,
  setOption,
} from '../../src/sys/socket.ts';
import { Histogram } from './histogram.ts';
import { MessageLayout } from './message.ts';

const EINPROGRESS = 115;
const CLOSED_BY_SERVER = 'closed by the server';

/** Below the accept queue of every server that we measure: an overflow costs a second until the client tries again. */
const OPENING_MAX = 128;
/** A server that is silent for so long while we open connections or wait for the last answers has lost something. */
const SILENCE_MAX_MS = 5000;
const EVENTS_MAX = 1024;

/** No socket yet, or a socket that waits for its handshake. */
const CLOSED = 0;
const CONNECTING = 1;
const OPEN = 2;
/** It broke or brought wrong bytes; counted as an error and never used again. */
const FAILED = 3;

/** Over UDP each message is a datagram, and one that is lost is a failure: on loopback the kernel loses none by itself. */
export type Transport = 'tcp' | 'udp' | 'unix';

export interface ClientsOptions {
  transport: Transport;
  /** The address, or the path of a Unix socket. */
  host: string;
  port: number;
  connections: number;
  /** Bytes of one message, its length prefix included. */
  messageBytes: number;
  /** How many messages of a connection are under way at a time. */
  pipeline: number;
  /** Whether each message starts with its body's length. */
  framed: boolean;
  /** Whether each message is timed. */
  latency: boolean;
}

export interface Span {
  answers: number;
  seconds: number;
  /** The share of the time in which this process had the processor. At 1 the measured server waited for us. */
  cpuShare: number;
}

/**
 * All client connections of this process, driven by one epoll loop, edge triggered. Each has a ring of `pipeline`
 * messages, which is the only copy of them: a message is received into the place that it was sent from, checked there,
 * turned into the next one and sent again. Nothing is allocated for a message.
 *
 *        receiveAt                sendAt
 *   +----------+---------------------+------------------------+
 *   |          | inFlight            | unsent                 |      all offsets modulo ringBytes,
 *   |          | (sent, no answer)   | (the socket was full)  |      inFlight + unsent ≤ ringBytes
 *   +----------+---------------------+------------------------+
 */
export class Clients {
  /** What went wrong first, for a human; null while nothing did. */
  firstError: string | null = null;
  errors = 0;
  /** Messages that came back whole and right. */
  answered = 0;
  readonly histogram = new Histogram();

  private readonly options: ClientsOptions;
  private readonly address: SocketAddress;
  private readonly ringBytes: number;
  private readonly memory: Region;
  private readonly layout: MessageLayout;
  private readonly epoll = new Epoll(EVENTS_MAX);
  private readonly states: Uint8Array;
  private readonly fds: Int32Array;
  private readonly receiveAt: Int32Array;
  private readonly sendAt: Int32Array;
  private readonly inFlight: Int32Array;
  private readonly unsent: Int32Array;
  /** The number of the message that each connection expects next. */
  private readonly expected: Int32Array;
  /** When the message in each slot of each ring was queued, in milliseconds. */
  private readonly queuedAt: Float64Array;
  /** True exactly while an answered message is followed by the next one. */
  private repeating = false;
  /** Connections that still owe us answers. */
  private busy = 0;

  constructor(options: ClientsOptions) {
    const { connections, messageBytes, pipeline } = options;
    this.options = options;
    const family = options.transport === 'unix' ? AF_UNIX : options.host.includes(':') ? AF_INET6 : AF_INET;
    this.address = { family, host: options.host, port: options.port };
    // A read takes one datagram, a write makes one.
    if (options.transport === 'udp' && pipeline !== 1) throw new RangeError(`UDP needs --pipeline 1: ${pipeline}`);
    this.ringBytes = messageBytes * pipeline;
    this.memory = allocate(connections * this.ringBytes);
    this.layout = new MessageLayout(this.memory.i32, messageBytes, options.framed);
    this.states = new Uint8Array(connections);
    this.fds = new Int32Array(connections);
    this.receiveAt = new Int32Array(connections);
    this.sendAt = new Int32Array(connections);
    this.inFlight = new Int32Array(connections);
    this.unsent = new Int32Array(connections);
    this.expected = new Int32Array(connections);
    this.queuedAt = new Float64Array(options.latency ? connections * pipeline : 0);
  }

  /**
   * Opens every connection and exchanges one ring of messages on each: what the server answered, it has accepted. Throws
   * when the server cannot be reached.
   */
  open(): void {
    const { connections } = this.options;
    let opened = 0;
    while (opened < connections || this.busy > 0) {
      while (opened < connections && this.busy < OPENING_MAX) this.connect(opened++);
      if (this.turn(SILENCE_MAX_MS) === 0) {
        throw new Error(`no answer for ${SILENCE_MAX_MS} ms: opened=${opened} waiting=${this.busy} of ${connections}`);
      }
    }
  }

  /** Lets every connection send all that it may. Answers come during run(). */
  start(): void {
    this.repeating = true;
    for (let client = 0; client < this.options.connections; client++) {
      if (this.states[client] === OPEN) this.sendRing(client);
    }
  }

  run(milliseconds: number): Span {
    const answeredBefore = this.answered;
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    const end = start + milliseconds;
    let now = start;
    // A server that went silent must not keep us here, so the wait ends with the span.
    while (now < end && this.busy > 0) {
      this.turn(Math.ceil(end - now));
      now = performance.now();
    }
    const cpu = process.cpuUsage(cpuBefore);
    const seconds = (now - start) / 1000;
    return { answers: this.answered - answeredBefore, seconds, cpuShare: (cpu.user + cpu.system) / 1e6 / seconds };
  }

  /** Sends nothing new and waits for the answers that are under way. start() goes on from there. */
  pause(): void {
    this.repeating = false;
    const end = performance.now() + SILENCE_MAX_MS;
    while (this.busy > 0 && performance.now() < end) this.turn(100);
    for (let client = 0; client < this.options.connections; client++) {
      const missing = this.inFlight[client] + this.unsent[client];
      if (missing > 0) this.fail(client, `${missing} bytes never came back`);
    }
  }

  /** Looks at every byte that was exchanged. Everything must be answered, so call pause() before. */
  inspect(): void {
    for (let client = 0; client < this.options.connections; client++) {
      if (this.states[client] !== OPEN) continue;
      const reason = this.problemOf(client);
      if (reason !== null) this.fail(client, reason);
    }
  }

  close(): void {
    for (let client = 0; client < this.options.connections; client++) {
      if (this.states[client] !== FAILED && this.states[client] !== CLOSED) closeDescriptor(this.fds[client]);
    }
    this.epoll.close();
  }

  private connect(client: number): void {
    const { transport } = this.options;
    const fd = openSocket(this.address.family, transport === 'udp' ? SOCK_DGRAM : SOCK_STREAM);
    if (fd < 0) throw new SystemError('socket', -fd, `for connection ${client}`);
    if (transport === 'tcp') setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const error = connectTo(fd, this.address);
    if (error !== 0 && error !== EINPROGRESS) throw new SystemError('connect', error, `of connection ${client}`);
    this.fds[client] = fd;
    this.states[client] = CONNECTING;
    this.busy++;
    for (let slot = 0; slot < this.options.pipeline; slot++) {
      const offset = client * this.ringBytes + slot * this.options.messageBytes;
      this.layout.write(offset, client, slot, slot);
    }
    // Edge triggered for both directions: registered once, and no epoll_ctl during the measurement.
    this.epoll.add(fd, EPOLLIN | EPOLLOUT | EPOLLET, client, 0);
  }

  private turn(timeoutMs: number): number {
    const epoll = this.epoll;
    const count = epoll.wait(timeoutMs);
    for (let index = 0; index < count; index++) this.serve(epoll.lowAt(index), epoll.eventsAt(index));
    return count;
  }

  private serve(client: number, events: number): void {
    if (this.states[client] === OPEN) {
      this.receive(client);
      if (this.unsent[client] > 0) this.send(client);
    } else if (this.states[client] === CONNECTING) {
      this.established(client, events);
    }
  }

  private established(client: number, events: number): void {
    const error = getOption(this.fds[client], SOL_SOCKET, SO_ERROR);
    if (error !== 0) throw new SystemError('connect', Math.abs(error), `of connection ${client}`);
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) throw new Error(`connection ${client} was closed while it was opened`);
    this.states[client] = OPEN;
    // sendRing counts the connection as busy itself.
    this.busy--;
    this.sendRing(client);
  }

  private sendRing(client: number): void {
    this.unsent[client] = this.ringBytes;
    this.busy++;
    if (this.options.latency) {
      const first = client * this.options.pipeline;
      this.queuedAt.fill(performance.now(), first, first + this.options.pipeline);
    }
    this.send(client);
  }

  /** Takes what the socket holds. A short read means it is empty: whatever comes later is a new edge. */
  private receive(client: number): void {
    const fd = this.fds[client];
    const ring = this.memory.address + client * this.ringBytes;
    const ringBytes = this.ringBytes;
    for (;;) {
      const from = this.receiveAt[client];
      // Never more than was sent: a server that makes up bytes shifts all that follow, and the check sees it.
      const wanted = Math.min(this.inFlight[client], ringBytes - from);
      if (wanted === 0) return;
      const count = recv(fd, ring + from, wanted, 0);
      if (count <= 0) {
        const error = count === 0 ? 0 : errno();
        if (error === EINTR) continue;
        if (error !== EAGAIN)
          this.fail(client, error === 0 ? CLOSED_BY_SERVER : new SystemError('recv', error).message);
        return;
      }
      this.inFlight[client] -= count;
      this.receiveAt[client] = from + count === ringBytes ? 0 : from + count;
      if (!this.check(client, from, from + count)) return;
      if (count < wanted) return;
    }
  }

  /** Checks the messages that end in the given part of the ring and makes the next ones of them. */
  private check(client: number, from: number, to: number): boolean {
    const { messageBytes, pipeline, latency } = this.options;
    const layout = this.layout;
    const ring = client * this.ringBytes;
    const now = latency ? performance.now() : 0;
    let counter = this.expected[client];
    let slot = Math.floor(from / messageBytes);
    for (let at = slot * messageBytes; at + messageBytes <= to; at += messageBytes) {
      if (!layout.matches(ring + at, client, counter)) {
        this.fail(client, `wrong bytes instead of message ${counter}`);
        return false;
      }
      this.answered++;
      layout.renew(ring + at, client, (counter + pipeline) | 0);
      counter = (counter + 1) | 0;
      if (this.repeating) this.unsent[client] += messageBytes;
      if (latency) {
        const timer = client * pipeline + slot;
        this.histogram.record((now - this.queuedAt[timer]) * 1e6);
        this.queuedAt[timer] = now;
      }
      slot++;
    }
    this.expected[client] = counter;
    if (this.inFlight[client] === 0 && this.unsent[client] === 0) this.busy--;
    return true;
  }

  private send(client: number): void {
    const fd = this.fds[client];
    const ring = this.memory.address + client * this.ringBytes;
    const ringBytes = this.ringBytes;
    while (this.unsent[client] > 0) {
      const from = this.sendAt[client];
      const count = send(fd, ring + from, Math.min(this.unsent[client], ringBytes - from), MSG_NOSIGNAL);
      if (count === -1) {
        const error = errno();
        if (error === EINTR) continue;
        // EAGAIN: the socket is full, and tells with an edge when it has room again.
        if (error !== EAGAIN) this.fail(client, new SystemError('send', error).message);
        return;
      }
      this.unsent[client] -= count;
      this.inFlight[client] += count;
      this.sendAt[client] = from + count === ringBytes ? 0 : from + count;
    }
  }

  /** Why a connection at rest is not as it should be, or null. */
  private problemOf(client: number): string | null {
    for (let slot = 0; slot < this.options.pipeline; slot++) {
      const offset = client * this.ringBytes + slot * this.options.messageBytes;
      if (!this.layout.fillingMatches(offset, client, slot)) return `bytes of slot ${slot} changed`;
    }
    // Everything is answered, so the socket must be empty.
    const surplus = recv(this.fds[client], this.memory.address + client * this.ringBytes, this.ringBytes, 0);
    if (surplus > 0) return `${surplus} bytes too many`;
    return surplus === 0 ? CLOSED_BY_SERVER : null;
  }

  private fail(client: number, reason: string): void {
    this.errors++;
    this.firstError ??= `connection ${client}: ${reason}`;
    // Only a busy connection fails while busy is still asked for; inspect() comes after that.
    this.busy--;
    this.inFlight[client] = 0;
    this.unsent[client] = 0;
    this.states[client] = FAILED;
    closeDescriptor(this.fds[client]);
  }
}
