/**
 * What comes in: one read of a socket, cut into packages where the port has a framing, handed to the Delivery. What is
 * not a whole package yet is kept with the connection.
 */
import { createFramer, type Framer } from '../protocol/framer.ts';
import { type ConnectionTable, F64_RECEIVE_TIME } from '../shm/connections.ts';
import { RECEIVED_BYTES, RECEIVES_RETRIED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import { EAGAIN, EINTR, EPROTO } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Region } from '../sys/memory.ts';
import type { Connection } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { READ_BYTES } from './limits.ts';
import type { ReactorPort } from './port.ts';
import { TLS_AGAIN, TLS_BROKEN, type TlsSession } from './tls.ts';

/** What the input tells the reactor that it belongs to. */
export interface InputHost {
  /** Milliseconds since 1970, as of this turn. */
  readonly now: number;
  /** Reads the connection in the next turn, although no event will come. */
  queueToRead(connection: Connection): void;
  /** The receiver cannot take more: reads again when it can. */
  block(connection: Connection): void;
  /** The connection has ended: of itself (0), or with an errno. */
  lose(connection: Connection, error: number): void;
  /** What the peer sent is not acceptable, for the reason of a Swoole error code. */
  malformed(connection: Connection, code: number): void;
  /** Sends what a TLS session has to say of itself. Answers false when that was the end of the connection. */
  sendReplies(connection: Connection, tls: TlsSession): boolean;
  /** The error that waits at the socket, or 0. */
  socketError(connection: Connection): number;
}

export class Input {
  private readonly kernel: Kernel;
  private readonly numbers: Float64Array;
  private readonly counters: LaneCounters;
  private readonly delivery: Delivery;
  private readonly host: InputHost;
  private readonly framers: (Framer | null)[];
  /** Where framed connections are read to. */
  private readonly scratch: Region;
  /** What has come in this turn. */
  turnBytes = 0;

  constructor(
    kernel: Kernel,
    table: ConnectionTable,
    counters: LaneCounters,
    delivery: Delivery,
    host: InputHost,
    ports: ReactorPort[],
    scratch: Region,
  ) {
    this.kernel = kernel;
    this.numbers = table.numbers;
    this.counters = counters;
    this.delivery = delivery;
    this.host = host;
    this.framers = ports.map((port) => createFramer(port.framing));
    this.scratch = scratch;
  }

  /** Reads once, as much as one turn allows, and delivers what came. */
  read(connection: Connection): void {
    const framer = this.framers[connection.port.index];
    if (framer === null) this.readRaw(connection);
    else this.readFramed(connection);
  }

  private readRaw(connection: Connection): void {
    const { delivery } = this;
    const room = delivery.reserve(connection);
    if (room < 0) {
      this.host.block(connection);
      return;
    }
    const { tls } = connection;
    const count =
      tls === null
        ? this.kernel.recv(connection.fd, delivery.address, room, 0)
        : this.open(connection, tls, delivery.address, room);
    if (count > 0) {
      this.received(connection, count, room);
      delivery.deliver(connection, count);
    } else this.readEnded(connection, count);
  }

  private readFramed(connection: Connection): void {
    const { scratch } = this;
    const { tls } = connection;
    const count =
      tls === null
        ? this.kernel.recv(connection.fd, scratch.address, READ_BYTES, 0)
        : this.open(connection, tls, scratch.address, READ_BYTES);
    if (count <= 0) {
      this.readEnded(connection, count);
      return;
    }
    this.received(connection, count, READ_BYTES);
    if (connection.packet === null) {
      const used = this.deliverFrom(connection, scratch.u8, 0, count, 0);
      if (used >= 0 && used < count && connection.open) this.keepInput(connection, scratch.u8, used, count);
    } else {
      this.keepInput(connection, scratch.u8, 0, count);
      this.deliverPackages(connection);
    }
  }

  /** Book-keeping of a read: a short one has emptied the socket, and a new event will come. */
  private received(connection: Connection, count: number, room: number): void {
    this.turnBytes += count;
    this.counters.numbers[this.counters.base + RECEIVED_BYTES] += count;
    this.numbers[connection.numberBase + F64_RECEIVE_TIME] = this.host.now / 1000;
    if (count === room || connection.hangup || connection.tls?.more === true) this.host.queueToRead(connection);
    else connection.readable = false;
  }

  /** As recv(), through TLS. */
  private open(connection: Connection, tls: TlsSession, address: number, room: number): number {
    const count = tls.read(connection.fd, address, room);
    return this.host.sendReplies(connection, tls) ? count : TLS_AGAIN;
  }

  private readEnded(connection: Connection, count: number): void {
    if (!connection.open || connection.finished) return;
    if (count === 0) {
      this.host.lose(connection, 0);
      return;
    }
    const error = connection.tls === null ? this.kernel.errno() : this.errorOf(connection, connection.tls, count);
    switch (error) {
      case 0:
        return;
      case EAGAIN:
        connection.readable = false;
        // Only an error that recv() does not report can have hung up without ending.
        if (connection.hangup) {
          const pending = this.host.socketError(connection);
          connection.hangup = false;
          if (pending !== 0) this.host.lose(connection, pending);
        }
        return;
      case EINTR:
        this.counters.add(RECEIVES_RETRIED, 1);
        this.host.queueToRead(connection);
        return;
      default:
        this.host.lose(connection, error);
    }
  }

  /** Why a read through TLS brought nothing, as an errno; 0 when that has been dealt with. */
  private errorOf(connection: Connection, tls: TlsSession, result: number): number {
    switch (result) {
      case TLS_AGAIN:
        if (tls.dry) return EAGAIN;
        // A record has come in part, or one without content.
        if (tls.more || connection.hangup) this.host.queueToRead(connection);
        else connection.readable = false;
        return 0;
      case TLS_BROKEN:
        return EPROTO;
      default:
        return tls.errno;
    }
  }

  /** Adds bytes to the connection's unfinished package; the memory grows with what has come, not with what a header claims. */
  private keepInput(connection: Connection, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const needed = connection.packetLength + length;
    const current = connection.packet;
    if (current === null || needed > current.length) {
      const framer = this.framers[connection.port.index];
      const expected =
        framer?.expected(
          current ?? bytes,
          current === null ? start : 0,
          current === null ? end : connection.packetLength,
        ) ?? 0;
      const doubled = Math.max(needed, current === null ? needed : 2 * current.length, 256);
      const capacity = expected > needed ? Math.min(Math.max(doubled, needed), expected) : doubled;
      const grown = Buffer.allocUnsafeSlow(capacity);
      if (current !== null) grown.set(current.subarray(0, connection.packetLength), 0);
      connection.packet = grown;
    }
    connection.packet!.set(bytes.subarray(start, end), connection.packetLength);
    connection.packetLength = needed;
  }

  /** Delivers the whole packages that a connection has kept. Answers false when it closed or has to wait. */
  deliverPackages(connection: Connection): boolean {
    const packet = connection.packet!;
    const length = connection.packetLength;
    const used = this.deliverFrom(connection, packet, 0, length, connection.packetSeen);
    if (used < 0 || !connection.open) return false;
    if (used === length) {
      connection.packet = null;
      connection.packetLength = 0;
    } else if (used > 0) {
      // In memory of its own size: what was delivered may have been long. A view that package_length_func got keeps the old.
      connection.packet = Buffer.from(packet.subarray(used, length));
      connection.packetLength = length - used;
    }
    return !connection.waits;
  }

  /**
   * Cuts packages from bytes[start, end) and delivers them. Answers how many bytes were used, or -1 when the connection
   * was closed. What is left is the caller's to keep.
   */
  private deliverFrom(connection: Connection, bytes: Uint8Array, start: number, end: number, seen: number): number {
    const framer = this.framers[connection.port.index]!;
    let at = start;
    connection.packetSeen = 0;
    while (at < end) {
      const length = framer.scan(bytes, at, end, seen);
      if (length < 0) {
        this.host.malformed(connection, -length);
        return -1;
      }
      if (length === 0) {
        connection.packetSeen = framer.progress;
        break;
      }
      if (!this.delivery.deliverPackage(connection, bytes, at, length)) {
        this.host.block(connection);
        break;
      }
      if (!connection.open || connection.finished) return -1;
      at += length;
      seen = 0;
    }
    return at - start;
  }
}
