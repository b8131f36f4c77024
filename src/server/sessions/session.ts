/** A protocol that is spoken on a port in place of its receive callback, and what the protocol is given. */

import type { FramingConfig } from '../../protocol/framer.ts';

/** One connection, as a protocol sees it. */
export interface Peer {
  /** Its session id, as users know it. */
  readonly fd: number;
  /** Index of its port. */
  readonly port: number;
  /** As `server.send()`. */
  send(data: string | Uint8Array): boolean;
  /** As `server.close()`. */
  close(reset: boolean): boolean;
  /**
   * From the next package on the connection is cut by this one of the speaker's framings, or by the port's own (0). To be
   * called before the answer is sent that tells the client so, as at an upgrade.
   */
  cutBy(framing: number): void;
}

export interface Speaker {
  /** What its connections may switch to, from number 1 on. */
  readonly framings: readonly FramingConfig[];
  /** Its name: the events that need it take what the protocol makes of the bytes. */
  readonly protocol: string;
  /**
   * A connection has sent something to this process for the first time; or (`context`) the process before this one has
   * handed it over. The context is what `handOver` answered there, copied.
   */
  open(peer: Peer, context?: unknown): Session;
}

/** What is said on one connection. A method that throws ends that connection. */
export interface Session {
  /** What was received: a whole package where the port cuts packages. */
  receive(data: Buffer): void;
  /** What waited for a slow reader has fallen to the low watermark. */
  drained(): void;
  /** The connection has ended, or goes on in another process. */
  closed(): void;
  /** The connection will end with this process, or go on without a context: say goodbye in time. */
  retire(): void;
  /** The connection goes on in the next process of this worker, which needs to know this. A value that can be cloned. */
  handOver?(): unknown;
}
