/**
 * The way in: takes what waits at the listeners, refuses whoever is above the limit, and brings each socket to the reactor
 * that it belongs to, where it becomes a connection.
 */
import { SWOOLE_LOG_NOTICE, SWOOLE_LOG_WARNING } from '../constants.ts';
import { ABORTED, ACCEPTED, ACCEPTS_FAILED, REFUSED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import { type Segment, WORD_MAX_FD } from '../shm/segment.ts';
import {
  EAGAIN,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EPOLLEXCLUSIVE,
  EPOLLIN,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from '../sys/constants.ts';
import type { Epoll } from '../sys/epoll.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Region } from '../sys/memory.ts';
import type { Connection } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { ACCEPT_PAUSE_MS, ACCEPTS_MAX } from './limits.ts';
import { Notice } from './notice.ts';
import { isDatagram, isTcp, type ReactorPort } from './port.ts';
import { ProxyGate, SOCKADDR_BYTES } from './proxy-gate.ts';
import type { ReactorOptions } from './reactor-options.ts';
import type { TurnClock } from './turn-clock.ts';

/** What the acceptor tells the reactor that it belongs to. */
export interface AcceptorHost extends TurnClock {
  /** A connection has come to be; epoll does not know it yet. */
  accepted(connection: Connection): void;
}

export class Acceptor {
  /** Null where no port speaks the PROXY protocol. */
  readonly proxyGate: ProxyGate | null;
  readonly log: (level: number, text: string) => void;
  private readonly kernel: Kernel;
  private readonly epoll: Epoll;
  private readonly host: AcceptorHost;
  private readonly connections: ConnectionPool;
  private readonly segment: Segment;
  readonly counters: LaneCounters;
  private readonly owner: number;
  private readonly reactorCount: number;
  private readonly maxConnections: number;
  private readonly handOver: ReactorOptions['handOver'];
  /** Those that we accept from. */
  private readonly ports: ReactorPort[];
  private accepting = false;
  private acceptAgainAt = 0;
  private readonly refusals = new Notice(this, SWOOLE_LOG_WARNING);
  private readonly failures = new Notice(this, SWOOLE_LOG_WARNING);
  /** Of those without a valid PROXY protocol header. */
  readonly badHeaders = new Notice(this, SWOOLE_LOG_NOTICE);

  /** `scratch` is where headers of the PROXY protocol are read to. */
  constructor(
    options: ReactorOptions,
    kernel: Kernel,
    epoll: Epoll,
    connections: ConnectionPool,
    scratch: Region,
    host: AcceptorHost,
  ) {
    this.kernel = kernel;
    this.epoll = epoll;
    this.host = host;
    this.connections = connections;
    this.segment = options.segment;
    this.counters = options.counters;
    this.owner = options.owner;
    this.reactorCount = options.reactorCount;
    this.maxConnections = options.settings.maxConnections;
    this.handOver = options.handOver;
    this.log = options.log;
    this.ports = options.ports.filter((port) => port.listener !== -1 && !isDatagram(port.socketType));
    const proxied = this.ports.some((port) => port.proxyFrom !== null);
    this.proxyGate = proxied ? new ProxyGate(kernel, epoll, scratch, this) : null;
  }

  get now(): number {
    return this.host.now;
  }

  start(): void {
    this.acceptAgainAt = 0;
    if (this.accepting) return;
    this.accepting = true;
    for (const port of this.ports) this.epoll.add(port.listener, EPOLLIN | EPOLLEXCLUSIVE, -1 - port.index, 0);
  }

  /** Until start(): nobody could serve a newcomer. */
  pause(): void {
    this.acceptAgainAt = 0;
    if (!this.accepting) return;
    this.accepting = false;
    for (const port of this.ports) this.epoll.remove(port.listener);
  }

  stop(): void {
    this.pause();
    this.proxyGate?.close();
  }

  /** The end of the reactor. */
  finish(): void {
    for (const notice of [this.refusals, this.failures, this.badHeaders]) notice.finish();
  }

  /** Looks after what is due by time. */
  tick(): void {
    if (this.acceptAgainAt !== 0 && this.now >= this.acceptAgainAt) this.start();
    this.proxyGate?.tick();
    for (const notice of [this.refusals, this.failures, this.badHeaders]) notice.tick();
  }

  /** Connections wait at the listener of a port. */
  acceptAll(port: ReactorPort): void {
    const { kernel, proxyGate } = this;
    for (let i = 0; i < ACCEPTS_MAX && this.accepting; i++) {
      const fd = kernel.accept(port.listener);
      if (fd < 0) {
        this.failed(-fd);
        return;
      }
      const waiting = proxyGate === null ? 0 : proxyGate.count;
      if (this.segment.connections + waiting >= this.maxConnections) {
        this.refuse(fd);
        continue;
      }
      if (port.proxyFrom !== null && proxyGate?.expects(port.proxyFrom, kernel.peerAddress) === true)
        proxyGate.enter(fd, port, kernel.peerAddress);
      else this.admit(fd, port, kernel.peerAddress);
    }
  }

  private failed(error: number): void {
    if (error === EAGAIN) return;
    this.counters.add(ACCEPTS_FAILED, 1);
    this.failures.tell(`accept() failed with errno ${error}`);
    if (error === EMFILE || error === ENFILE || error === ENOBUFS || error === ENOMEM) {
      // The listener stays readable: without a rest the loop would spin on it.
      const { accepting } = this;
      this.pause();
      if (accepting) this.acceptAgainAt = this.now + ACCEPT_PAUSE_MS;
    }
  }

  /**
   * Gives a socket to the reactor that it belongs to. The session id is given here: ids grow in the order in which clients
   * have connected, although the reactors take turns.
   */
  admit(fd: number, port: ReactorPort, address: Uint8Array): void {
    this.segment.addConnections(this.owner, 1, port.index);
    if (this.segment.connections > this.maxConnections) {
      this.takeBack(fd, port);
      return;
    }
    const serial = this.segment.nextSession();
    const reactor = fd % this.reactorCount;
    if (reactor === this.owner || this.handOver === undefined) this.adopt(fd, port, serial, address);
    else this.handOver(reactor, fd, port.index, serial, address.subarray(0, SOCKADDR_BYTES));
  }

  /** Makes a connection of an admitted socket. It gets the session id that it was given, unless somebody holds that still. */
  adopt(fd: number, port: ReactorPort, wanted: number, address: Uint8Array): void {
    const connection = this.connections.open(fd, port, wanted, address, this.host);
    if (connection === null) {
      this.takeBack(fd, port);
      return;
    }
    applyOptions(this.kernel, fd, port);
    this.counters.add(ACCEPTED, 1);
    const { words } = this.segment;
    if (fd > words[WORD_MAX_FD]) words[WORD_MAX_FD] = fd;
    this.host.accepted(connection);
  }

  /** Refuses a socket that was counted already. */
  private takeBack(fd: number, port: ReactorPort): void {
    this.segment.addConnections(this.owner, -1, port.index);
    this.refuse(fd);
  }

  private refuse(fd: number): void {
    // In this order: who sees the end finds it counted.
    this.counters.add(ABORTED, 1);
    this.counters.add(REFUSED, 1);
    this.kernel.close(fd);
    this.refusals.tell(`too many connections: max_connection=${this.maxConnections}, the newcomer was refused [9002]`);
  }
}

function applyOptions(kernel: Kernel, fd: number, port: ReactorPort): void {
  const options = port.socketOptions;
  if (isTcp(port.socketType)) {
    if (options.nodelay) kernel.setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (options.keepalive) {
      kernel.setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
      kernel.setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepIdleSeconds);
      kernel.setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepIntervalSeconds);
      kernel.setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepCount);
    }
    if (options.userTimeoutMs > 0) kernel.setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
  }
  if (options.receiveBufferBytes > 0) kernel.setOption(fd, SOL_SOCKET, SO_RCVBUF, options.receiveBufferBytes);
  if (options.sendBufferBytes > 0) kernel.setOption(fd, SOL_SOCKET, SO_SNDBUF, options.sendBufferBytes);
}
