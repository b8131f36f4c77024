/**
 * Cuts what a connection has sent into packages, and hands them to the Delivery. What is not a whole package yet, or finds
 * no room, is kept with the connection.
 */
import { type ConnectionTable, PROTOCOL } from '../shm/connections.ts';
import type { Connection } from './connection.ts';
import type { Delivery } from './delivery.ts';
import type { Framings } from './framings.ts';
import type { TurnClock } from './turn-clock.ts';

/** What the cutter tells the reactor that it belongs to. */
export interface CutterHost extends Pick<TurnClock, 'now'> {
  /** The receiver cannot take more: goes on when it can. */
  block(connection: Connection): void;
}

/** Where connections end. */
export interface CutterEnding {
  /** What the peer sent is not acceptable, for the reason of a Swoole error code. */
  malformed(connection: Connection, code: number): void;
}

export class Cutter {
  private readonly delivery: Delivery;
  private readonly host: CutterHost;
  private readonly ending: CutterEnding;
  private readonly words: Int32Array;
  private readonly framings: Framings;

  constructor(table: ConnectionTable, framings: Framings, delivery: Delivery, host: CutterHost, ending: CutterEnding) {
    this.delivery = delivery;
    this.host = host;
    this.ending = ending;
    this.words = table.words;
    this.framings = framings;
  }

  /** True exactly when what the connection sends is to be cut. */
  cuts(connection: Connection): boolean {
    if (connection.switchable) this.follow(connection);
    return connection.framer !== null || connection.packet !== null;
  }

  /** Cuts by another framing from here on, if a worker has chosen one. Answers true exactly then. */
  private follow(connection: Connection): boolean {
    const protocol = this.words[connection.base + PROTOCOL];
    if (protocol === connection.protocol) return false;
    connection.framer = this.framings.of(connection.port, protocol);
    connection.protocol = protocol;
    connection.packetSeen = 0;
    return true;
  }

  /** Takes the first `length` bytes, which the connection has just sent. */
  take(connection: Connection, bytes: Uint8Array, length: number): void {
    if (connection.packet === null) {
      const used = this.deliverFrom(connection, bytes, 0, length, 0);
      if (used >= 0 && used < length && connection.open) this.keep(connection, bytes, used, length);
    } else {
      this.keep(connection, bytes, 0, length);
      this.deliverKept(connection);
    }
  }

  /** Adds bytes to the connection's unfinished package; the memory grows with what has come, not with what a header claims. */
  private keep(connection: Connection, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const needed = connection.packetLength + length;
    const current = connection.packet;
    if (current === null) connection.packetSince = this.host.now;
    if (current === null || needed > current.length) {
      // Asked right after a scan that wanted more, or not at all.
      const framer = connection.packetSeen === 0 ? null : connection.framer;
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
  deliverKept(connection: Connection): boolean {
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
      connection.packetSince = this.host.now;
    }
    return !connection.waits;
  }

  /**
   * Cuts packages from bytes[start, end) and delivers them. Answers how many bytes were used, or -1 when the connection
   * was closed. What is left is the caller's to keep.
   */
  private deliverFrom(connection: Connection, bytes: Uint8Array, start: number, end: number, seen: number): number {
    let at = start;
    connection.packetSeen = 0;
    while (at < end) {
      // The package before may have been what asked for it.
      if (connection.switchable && this.follow(connection)) seen = 0;
      const { framer } = connection;
      const length = framer === null ? end - at : framer.scan(bytes, at, end, seen);
      if (length < 0) {
        this.ending.malformed(connection, -length);
        return -1;
      }
      if (length === 0) {
        connection.packetSeen = framer?.progress ?? 0;
        break;
      }
      if (!this.delivery.deliverPackage(connection, bytes, at, length)) {
        this.host.block(connection);
        break;
      }
      if (connection.finished) return -1;
      at += length;
      seen = 0;
    }
    return at - start;
  }
}
