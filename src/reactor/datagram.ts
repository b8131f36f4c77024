/**
 * Datagram sockets: received in batches into memory of their own, one packet after the other handed on. A packet that its
 * receiver cannot take stays here with those behind it, and the socket is left alone until there is room: what arrives
 * meanwhile waits in the kernel's buffer.
 *
 * The sockets are watched level triggered: nothing is to be remembered about one that has more than a turn allows.
 */

import { SWOOLE_LOG_WARNING } from '../constants.ts';
import { DATAGRAM_BLOCKS, DATAGRAMS_DROPPED, DATAGRAMS_FAILED, RECEIVED_BYTES } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import { EAGAIN, EPOLLEXCLUSIVE, EPOLLIN } from '../sys/constants.ts';
import { DatagramBatch } from '../sys/datagram.ts';
import type { Epoll } from '../sys/epoll.ts';
import type { Kernel } from '../sys/kernel.ts';
import {
  BLOCKED_RETRY_MS,
  DATAGRAM_BATCH,
  DATAGRAM_BATCHES_MAX,
  UDP_BYTES_MAX,
  UNIX_DATAGRAM_BYTES_MAX,
} from './limits.ts';
import { Notice } from './notice.ts';
import { isUnix, type ReactorPort } from './port.ts';

/** Where packets go: into the ring of a worker (PROCESS), or straight to the callback (BASE). */
export interface PacketDelivery {
  /**
   * Delivers the packet at `source.next` in `source.batch`. Answers false, having taken nothing, when the receiver cannot
   * take more now.
   */
  packet(source: PacketSource, nowMs: number): boolean;
}

/** A datagram socket and the packets that were received and not delivered yet: `next` to `count`, exclusive. */
export interface PacketSource {
  readonly port: ReactorPort;
  readonly batch: DatagramBatch;
  next: number;
  count: number;
  /** When they were received, in seconds since 1970. */
  seconds: number;
  /** The worker that the packet at `next` waits for, once that is decided; else -1. */
  worker: number;
  /** True exactly when packets wait for room, or the kernel for memory, and the socket is not watched. */
  blocked: boolean;
  /** Not to be tried again before this time, in ms. */
  restUntil: number;
}

export class Datagrams {
  private readonly epoll: Epoll;
  private readonly delivery: PacketDelivery;
  private readonly counters: LaneCounters;
  private readonly kernel: Kernel;
  readonly log: (level: number, text: string) => void;
  /** By port index; undefined for other ports. */
  private readonly sources: (PacketSource | undefined)[] = [];
  private receiving = false;
  private blockedCount = 0;
  /** When a warning was last due, on the reactor's clock. */
  now = 0;
  private readonly warnings = new Notice(this, SWOOLE_LOG_WARNING);

  constructor(
    epoll: Epoll,
    ports: readonly ReactorPort[],
    delivery: PacketDelivery,
    counters: LaneCounters,
    log: (level: number, text: string) => void,
    kernel: Kernel,
  ) {
    this.epoll = epoll;
    this.delivery = delivery;
    this.counters = counters;
    this.kernel = kernel;
    this.log = log;
    for (const port of ports) {
      const bytesMax = isUnix(port.socketType) ? UNIX_DATAGRAM_BYTES_MAX : UDP_BYTES_MAX;
      const batch = new DatagramBatch(DATAGRAM_BATCH, bytesMax, kernel);
      this.sources[port.index] = {
        port,
        batch,
        next: 0,
        count: 0,
        seconds: 0,
        worker: -1,
        blocked: false,
        restUntil: 0,
      };
    }
  }

  /** True exactly when packets wait for room: then retry() is due soon. */
  get blocked(): boolean {
    return this.blockedCount !== 0;
  }

  start(): void {
    if (this.receiving) return;
    this.receiving = true;
    for (const source of this.sources) if (source !== undefined && !source.blocked) this.watch(source);
  }

  /** Takes no more from the kernel; what was received already is still delivered. */
  stop(): void {
    if (!this.receiving) return;
    this.receiving = false;
    for (const source of this.sources) if (source !== undefined) this.epoll.remove(source.port.listener);
  }

  private watch(source: PacketSource): void {
    // In BASE all workers share the socket: one of them is enough.
    this.epoll.add(source.port.listener, EPOLLIN | EPOLLEXCLUSIVE, -1 - source.port.index, 0);
  }

  /** The socket of the port has packets. Takes as many as one turn allows. */
  receive(port: ReactorPort, nowMs: number): void {
    const source = this.sources[port.index];
    if (source === undefined || source.blocked) return;
    for (let round = 0; round < DATAGRAM_BATCHES_MAX && this.receiving; round++) {
      const count = source.batch.receive(port.listener);
      if (count <= 0) {
        if (count < 0 && count !== -EAGAIN) this.failed(source, -count, nowMs);
        return;
      }
      this.countBytes(source.batch, count);
      source.next = 0;
      source.count = count;
      source.seconds = this.kernel.wallNow() / 1000;
      if (!this.deliver(source, nowMs)) {
        this.counters.add(DATAGRAM_BLOCKS, 1);
        this.block(source);
        return;
      }
      if (count < source.batch.capacity) return;
    }
  }

  private countBytes(batch: DatagramBatch, count: number): void {
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += batch.length(i);
    this.counters.numbers[this.counters.base + RECEIVED_BYTES] += bytes;
  }

  private deliver(source: PacketSource, nowMs: number): boolean {
    const { batch } = source;
    while (source.next < source.count) {
      if (batch.isCut(source.next)) {
        this.counters.add(DATAGRAMS_DROPPED, 1);
        this.warn(nowMs, `a datagram is longer than ${batch.length(source.next)} bytes`);
      } else if (!this.delivery.packet(source, nowMs)) return false;
      source.worker = -1;
      batch.renew(source.next++);
    }
    return true;
  }

  /** Goes on with packets that waited for room. */
  retry(nowMs: number): void {
    for (const source of this.sources) {
      if (source?.blocked !== true || nowMs < source.restUntil || !this.deliver(source, nowMs)) continue;
      source.blocked = false;
      this.blockedCount--;
      if (this.receiving) this.watch(source);
    }
  }

  private block(source: PacketSource): void {
    source.blocked = true;
    this.blockedCount++;
    this.epoll.remove(source.port.listener);
  }

  /** The kernel has no memory, or the like. The socket stays readable: without a rest the loop would spin on it. */
  private failed(source: PacketSource, error: number, nowMs: number): void {
    this.counters.add(DATAGRAMS_FAILED, 1);
    this.warn(nowMs, `recvmmsg() failed with errno ${error}`);
    source.count = 0;
    source.next = 0;
    source.restUntil = nowMs + BLOCKED_RETRY_MS;
    this.block(source);
  }

  private warn(nowMs: number, text: string): void {
    this.now = nowMs;
    this.warnings.tell(`${text}: it is dropped`);
  }

  /** Looks after what is due by time. */
  tick(nowMs: number): void {
    this.now = nowMs;
    this.warnings.tick();
  }
}
