import type { Connection } from './connection.ts';

/**
 * Where a reactor takes what it has read: into the ring of a worker (PROCESS) or straight to the callbacks of its own
 * process (BASE). The reactor is the same.
 */
export interface Delivery {
  /** A connection was accepted. */
  connect(connection: Connection): void;

  /**
   * Makes room for one read of an unframed connection. Answers how many bytes may be read to `address`, or -1 when the
   * receiver cannot take more now.
   */
  reserve(connection: Connection): number;
  address: number;
  /** The read put this many bytes where reserve() said. */
  deliver(connection: Connection, length: number): void;

  /** Delivers one whole package. Answers false, having taken nothing, when the receiver cannot take more now. */
  deliverPackage(connection: Connection, bytes: Uint8Array, start: number, length: number): boolean;

  /** Asked again and again after a refusal: true when the receiver has room now. */
  canTake(connection: Connection): boolean;

  /**
   * The connection has ended from outside. Answers true when the close callback has run or is not wanted, false when a
   * FINISH_CLOSE will follow.
   */
  close(connection: Connection): boolean;
  bufferFull(connection: Connection): void;
  bufferEmpty(connection: Connection): void;
  /** The connection was freed. */
  freed(connection: Connection): void;
}
