/**
 * How connections end, all ways of it.
 *
 *   abort           the handshake has failed: nobody has known of the connection, so nobody is told
 *   left, lose      the peer has finished or the socket failed; we want no more of it: the close callback is asked for. In
 *                   SWOOLE_BASE it has run when that returns; a worker of SWOOLE_PROCESS answers FINISH_CLOSE
 *   finishClose     the close callback has run, be it after lose() or because a user closed the connection
 *   free            everything is out, or will never be: the slot is given back
 *
 * What was sent before still arrives, unless nobody can receive it (peerGone): Lingerers see to what the kernel has.
 */
import { SWOOLE_ERROR_SSL_HANDSHAKE_FAILED, SWOOLE_LOG_DEBUG, SWOOLE_LOG_NOTICE } from '../constants.ts';
import {
  CLOSE_ERRNO,
  type ConnectionTable,
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_PEER_ENDED,
  FLAG_PEER_GONE,
  FLAGS,
  STATE,
  STATE_CLOSING,
} from '../shm/connections.ts';
import {
  ABORTED,
  CLOSED,
  FILES_FAILED,
  HANDSHAKES_FAILED,
  LOST,
  MALFORMED,
  PACKAGES_EXPIRED,
} from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import type { Segment } from '../shm/segment.ts';
import { SHUT_WR } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import { ACTIVE, CLOSING, type Connection, DRAINING, FREE, OPENING } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { Delivery } from './delivery.ts';
import type { Lingerers } from './linger.ts';
import { Notice } from './notice.ts';
import type { Output } from './output.ts';
import type { ReactorOptions } from './reactor-options.ts';
import type { TurnClock } from './turn-clock.ts';

export interface EndingHost extends TurnClock {
  readonly output: Output;
}

export class Ending {
  private readonly host: EndingHost;
  private readonly kernel: Kernel;
  private readonly owner: number;
  private readonly segment: Segment;
  private readonly table: ConnectionTable;
  private readonly words: Int32Array;
  readonly counters: LaneCounters;
  private readonly delivery: Delivery;
  private readonly connections: ConnectionPool;
  private readonly lingerers: Lingerers;
  readonly log: (level: number, text: string) => void;
  private readonly failedHandshakes = new Notice(this, SWOOLE_LOG_NOTICE);
  private readonly badPackages = new Notice(this, SWOOLE_LOG_NOTICE);
  /** Of connections that want new TLS keys again and again. */
  readonly rekeys = new Notice(this, SWOOLE_LOG_NOTICE);

  constructor(
    options: ReactorOptions,
    kernel: Kernel,
    connections: ConnectionPool,
    lingerers: Lingerers,
    host: EndingHost,
  ) {
    this.host = host;
    this.kernel = kernel;
    this.owner = options.owner;
    this.segment = options.segment;
    this.table = options.connections;
    this.words = options.connections.words;
    this.counters = options.counters;
    this.delivery = options.delivery;
    this.connections = connections;
    this.lingerers = lingerers;
    this.log = options.log;
  }

  get now(): number {
    return this.host.now;
  }
  get seconds(): number {
    return this.host.seconds;
  }

  /** Looks after what is due by time. */
  tick(): void {
    for (const notice of [this.failedHandshakes, this.badPackages, this.rekeys]) notice.tick();
  }

  /** The end of the reactor. */
  finish(): void {
    for (const notice of [this.failedHandshakes, this.badPackages, this.rekeys]) notice.finish();
  }

  // ---- why ----------------------------------------------------------------------------------------------------------

  /**
   * The handshake has come to nothing. Clients come and go, and whoever likes can speak no TLS: only those that
   * `failed`, which may be a mistake of their owner or ours, are told of.
   */
  abort(connection: Connection, why: string, failed = false): void {
    this.counters.add(ABORTED, 1);
    this.counters.add(HANDSHAKES_FAILED, 1);
    const { base, serial } = connection;
    const who = `connection ${this.table.fdOf(serial)} from ${this.table.remoteIp(base) || 'a Unix socket'}`;
    const text = `no TLS handshake with ${who}: ${why} [${SWOOLE_ERROR_SSL_HANDSHAKE_FAILED}]`;
    if (failed) this.failedHandshakes.tell(text);
    else this.log(SWOOLE_LOG_DEBUG, text);
    this.free(connection, false);
  }

  /** The peer sent what is not acceptable, for the reason of a Swoole error code. */
  malformed(connection: Connection, code: number): void {
    const fd = this.table.fdOf(connection.serial);
    this.badPackages.tell(`connection ${fd} sent a package that cannot be accepted, closing it [${code}]`);
    this.counters.add(MALFORMED, 1);
    this.lose(connection, 0);
  }

  /**
   * Nothing can be sent any more, for the reason of an errno (0: an unknown one): what is queued is dropped. The end of the
   * input is still to come, and will not tell the reason again.
   */
  peerGone(connection: Connection, error: number): void {
    if (error !== 0 && connection.life === ACTIVE && this.words[connection.base + CLOSE_ERRNO] === 0) {
      this.counters.add(LOST, 1);
      this.words[connection.base + CLOSE_ERRNO] = error;
    }
    this.table.setFlags(connection.slot, FLAG_PEER_GONE);
    this.host.output.drop(connection);
    if (connection.life === DRAINING) this.free(connection, true);
  }

  /**
   * Output cannot go on for a reason of ours: what was sent still arrives, then the connection ends. Until its close
   * callback has run others may still send: the kernel refuses that.
   */
  outputFailed(connection: Connection, error: number): void {
    this.counters.add(FILES_FAILED, 1);
    this.words[connection.base + CLOSE_ERRNO] = error;
    this.table.setFlags(connection.slot, FLAG_PEER_GONE);
    this.host.output.drop(connection);
    this.kernel.shutdown(connection.fd, SHUT_WR);
    if (connection.life === DRAINING) this.free(connection, false);
    else this.lose(connection, 0);
  }

  /** Everything that was queued has gone out. */
  outputDone(connection: Connection): void {
    if (connection.life === DRAINING) this.free(connection, false);
  }

  /** The peer has begun a package, and does not end it (package_timeout). */
  packageExpired(connection: Connection): void {
    const fd = this.table.fdOf(connection.serial);
    const seconds = connection.port.packageMs / 1000;
    this.badPackages.tell(`connection ${fd} has not completed a package within ${seconds} s, closing it`);
    this.counters.add(PACKAGES_EXPIRED, 1);
    this.lose(connection, 0);
  }

  // ---- how ----------------------------------------------------------------------------------------------------------

  /** The peer has ended the connection: end of input (0), or a failure (its errno). */
  left(connection: Connection, error: number): void {
    if (!connection.finished) this.table.setFlags(connection.slot, FLAG_PEER_ENDED);
    this.lose(connection, error);
  }

  /** The connection ends, though nobody has called close(): for bad framing or idleness (0), or a failure (its errno). */
  lose(connection: Connection, error: number): void {
    if (connection.finished) return;
    if (connection.life === OPENING) {
      this.abort(connection, error === 0 ? 'it took too long' : `errno ${error}`);
      return;
    }
    if (error !== 0) this.peerGone(connection, error);
    connection.life = CLOSING;
    connection.stopReading();
    if (this.delivery.close(connection)) this.finishClose(connection, false);
  }

  /**
   * Neither side has anything to say (max_idle_time). What the peer does not take now it never will. Answers false where it
   * does, because it was the process that was held up.
   */
  expire(connection: Connection): boolean {
    if (connection.output !== null && connection.life === ACTIVE) {
      this.host.output.write(connection);
      if (connection.sentAt === this.now) return false;
      if (connection.output !== null) connection.expired = true;
      this.peerGone(connection, 0);
    }
    this.lose(connection, 0);
    return true;
  }

  /** The close callback has run: closes once everything is sent, or at once with RST. */
  finishClose(connection: Connection, reset: boolean): void {
    if (!connection.open) return;
    connection.life = Math.max(connection.life, CLOSING);
    connection.stopReading();
    this.table.setFlags(connection.slot, FLAG_CLOSE_TAKEN | FLAG_CLOSE_DONE);
    Atomics.store(this.words, connection.base + STATE, STATE_CLOSING);
    if (reset || connection.expired) {
      this.free(connection, true);
      return;
    }
    if (connection.run !== -1) this.host.output.flush();
    if (!connection.open) return;
    if (connection.output === null) this.free(connection, false);
    else connection.life = DRAINING;
  }

  /** Gives the slot back, and the socket to the kernel: with RST, or as soon as the peer has everything. */
  free(connection: Connection, reset: boolean): void {
    const { fd, base, port, output } = connection;
    const gone = (this.words[base + FLAGS] & FLAG_PEER_GONE) !== 0;
    connection.transport.end(fd, !reset && !gone && output === null);
    connection.life = FREE;
    connection.stopReading();
    this.host.output.drop(connection);
    if (reset) {
      this.kernel.resetOnClose(fd);
      this.kernel.close(fd);
    } else this.lingerers.close(fd, this.now);
    this.segment.addConnections(this.owner, -1, port.index);
    this.counters.add(CLOSED, 1);
    this.connections.close(connection);
    this.delivery.freed(connection);
  }
}
