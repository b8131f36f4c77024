/**
 * What ends by time: connections whose peer is silent, or takes too long over a handshake or a package, and closing
 * connections that nobody will finish.
 */

import { CLOSER, type ConnectionTable, F64_RECEIVED_AT, FLAG_PROTECTED, FLAGS } from '../shm/connections.ts';
import { CLOSES_ORPHANED, CLOSES_STALLED, HEARTBEATS_MISSED, IDLE_CLOSED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import type { WorkerTable } from '../shm/workers.ts';
import { MSG_PEEK } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Region } from '../sys/memory.ts';
import { type Connection, DRAINING, OPENING } from './connection.ts';
import { CLOSE_STALL_MS, HANDSHAKE_MS, TICK_MS, WORKER_GONE_MS } from './limits.ts';
import type { ReactorOptions } from './reactor-options.ts';

/** Where connections end. */
export interface IdleWatchHost {
  /** As in TurnClock. */
  readonly now: number;
  /** The connection has ended: of itself (0), or with an errno. */
  lose(connection: Connection, error: number): void;
  /** It has begun a package, and not ended it in time. */
  packageExpired(connection: Connection): void;
  /**
   * Neither side has sent anything for as long as is allowed: it ends, and what waits for it is dropped. Answers false where
   * the peer takes something after all.
   */
  expire(connection: Connection): boolean;
  /** Nobody will run, or has left, its close callback: it is closed. */
  finishClose(connection: Connection, reset: boolean): void;
  /** Its peer takes nothing of what waits. */
  free(connection: Connection, reset: boolean): void;
}

export class IdleWatch {
  /** How often to look. */
  readonly tickMs: number;
  private readonly kernel: Kernel;
  private readonly table: ConnectionTable;
  private readonly workers: WorkerTable;
  private readonly counters: LaneCounters;
  private readonly heartbeatCheckMs: number;
  /** Where one byte can be read to that nobody wants. */
  private readonly waste: Region;
  private readonly host: IdleWatchHost;
  private nextHeartbeat = 0;
  /** By worker id: since when it is known that there is no process; absent where there is one. */
  private readonly goneSince = new Map<number, number>();

  constructor(options: ReactorOptions, kernel: Kernel, waste: Region, host: IdleWatchHost) {
    this.kernel = kernel;
    this.table = options.connections;
    this.workers = options.workers;
    this.counters = options.counters;
    this.heartbeatCheckMs = options.settings.heartbeatCheckMs;
    this.waste = waste;
    this.host = host;
    const idleTimes = options.ports
      .flatMap(({ maxIdleMs, packageMs }) => [maxIdleMs, packageMs])
      .filter((ms) => ms > 0)
      .map((ms) => Math.max(10, ms / 4));
    this.tickMs = Math.min(TICK_MS, ...idleTimes);
  }

  /** Looks at all connections. */
  check(connections: readonly Connection[]): void {
    const { now } = this.host;
    const heartbeat = this.heartbeatCheckMs > 0 && now >= this.nextHeartbeat;
    if (heartbeat) this.nextHeartbeat = now + this.heartbeatCheckMs;
    for (const connection of connections) {
      if (!connection.open) continue;
      if (connection.life === OPENING) this.checkHandshake(connection, heartbeat);
      else if (connection.finished) this.checkClosing(connection);
      else this.checkIdle(connection, heartbeat);
    }
  }

  /** Heartbeats hold here as well: a client that is to be cut off after a second of silence does not get ten. */
  private checkHandshake(connection: Connection, heartbeat: boolean): void {
    if (this.host.now - connection.openedAt >= HANDSHAKE_MS) this.host.lose(connection, 0);
    else this.checkIdle(connection, heartbeat);
  }

  private checkIdle(connection: Connection, heartbeat: boolean): void {
    const { port } = connection;
    if (port.packageMs > 0 && this.packageIsLate(connection)) {
      this.host.packageExpired(connection);
      return;
    }
    if ((this.table.words[connection.base + FLAGS] & FLAG_PROTECTED) !== 0) return;
    const received = this.silentMs(connection);
    const sent = this.host.now - connection.sentAt;
    const silent = heartbeat && port.heartbeatIdleMs > 0 && received >= port.heartbeatIdleMs;
    const idle = port.maxIdleMs > 0 && received >= port.maxIdleMs && sent >= port.maxIdleMs;
    if (!(silent || idle) || this.hasUnread(connection)) return;
    if (idle && this.host.expire(connection)) this.counters.add(silent ? HEARTBEATS_MISSED : IDLE_CLOSED, 1);
    else if (silent) {
      this.counters.add(HEARTBEATS_MISSED, 1);
      this.host.lose(connection, 0);
    }
  }

  /** Unless it waits for us. */
  private packageIsLate(connection: Connection): boolean {
    const { framer, packet, packetSince, port } = connection;
    if (framer === null || packet === null || this.host.now - packetSince < port.packageMs) return false;
    return !connection.paused && !this.hasUnread(connection);
  }

  private silentMs({ numberBase }: Connection): number {
    return this.host.now - this.table.numbers[numberBase + F64_RECEIVED_AT];
  }

  /** True exactly when the peer has sent what we could not read yet: its worker takes nothing, or the process was held up. */
  private hasUnread({ fd, paused, waits, queuedToRead }: Connection): boolean {
    if (paused) return false;
    return waits || queuedToRead || this.kernel.recv(fd, this.waste.at(0, 1), 1, MSG_PEEK) > 0;
  }

  /** A closing connection is freed although nobody answers when its worker died over the close, or its peer stopped reading. */
  private checkClosing(connection: Connection): void {
    if (connection.life === DRAINING) {
      const since = Math.min(this.host.now - connection.sentAt, this.silentMs(connection));
      const { maxIdleMs } = connection.port;
      if (since <= (maxIdleMs > 0 ? Math.min(maxIdleMs, CLOSE_STALL_MS) : CLOSE_STALL_MS)) return;
      this.counters.add(CLOSES_STALLED, 1);
      this.host.free(connection, true);
      return;
    }
    const writer = connection.closeWriter;
    if (writer === null) return;
    if (connection.closePosition === null && !writer.blocked) connection.closePosition = writer.position;
    if (this.isGone(connection.closeWorker)) {
      this.counters.add(CLOSES_ORPHANED, 1);
      this.host.finishClose(connection, false);
      return;
    }
    const workerDied = this.workers.life(connection.closeWorker) !== connection.closeWorkerLife;
    if (!workerDied || connection.closePosition === null) return;
    // In this order: who has taken the message says next that it runs the callback. It may live and take its time, and the
    // manager tells us of its end.
    if (!writer.consumed(connection.closePosition) || this.table.words[connection.base + CLOSER] !== 0) return;
    this.counters.add(CLOSES_ORPHANED, 1);
    this.host.finishClose(connection, true);
  }

  /** Its sockets are needed, maybe to start the next one: none is coming for now. */
  private isGone(worker: number): boolean {
    const pid = this.workers.pid(worker);
    if (pid === 0 || !this.kernel.isGone(pid)) {
      this.goneSince.delete(worker);
      return false;
    }
    const { now } = this.host;
    const since = this.goneSince.get(worker);
    if (since === undefined) this.goneSince.set(worker, now);
    return since !== undefined && now - since >= WORKER_GONE_MS;
  }
}
