/** When silent connections are closed. */
import { type Checked, filled, type Rows, seconds, U16_MAX, whole } from './row.ts';
import { secondsToMs } from './times.ts';

export interface HeartbeatPortKeys {
  /**
   * Close a connection that sent nothing for this many seconds.
   * @default 0 (never), or twice heartbeat_check_interval
   */
  heartbeat_idle_time?: number;
  /** Close a connection that neither sent nor received for this many seconds (a fraction is fine). @default 0 (never) */
  max_idle_time?: number;
}

export interface HeartbeatKeys {
  /** Seconds between two looks at idle connections. @default 0 (off), or half of heartbeat_idle_time */
  heartbeat_check_interval?: number;
}

export const HEARTBEAT_PORT_ROWS = {
  heartbeat_idle_time: whole({ max: U16_MAX, default: 0 }),
  max_idle_time: seconds(0),
} satisfies Rows<HeartbeatPortKeys>;

export const HEARTBEAT_ROWS = {
  heartbeat_check_interval: whole({ max: U16_MAX }),
} satisfies Rows<HeartbeatKeys>;

export interface HeartbeatPortSlice {
  /** 0 = never; see also `settleHeartbeat`. */
  heartbeatIdleMs: number;
  /** 0 = never. */
  maxIdleMs: number;
}

export interface HeartbeatSlice {
  /** 0 = off; see also `settleHeartbeat`. */
  heartbeatCheckIntervalMs: number;
}

export function resolvePortHeartbeat(values: Checked<HeartbeatPortKeys>): HeartbeatPortSlice {
  const set = filled(HEARTBEAT_PORT_ROWS, values);
  return { heartbeatIdleMs: set.heartbeat_idle_time * 1000, maxIdleMs: secondsToMs(set.max_idle_time) };
}

/** The primary port's idle time alone also turns the check on. */
export function resolveHeartbeat(values: Checked<HeartbeatKeys & HeartbeatPortKeys>): HeartbeatSlice {
  const interval = values.heartbeat_check_interval;
  const intervalMs =
    interval === undefined ? intervalFor(resolvePortHeartbeat(values).heartbeatIdleMs) : interval * 1000;
  return { heartbeatCheckIntervalMs: intervalMs };
}

export interface Heartbeat {
  /** Time between two looks at idle connections; 0 = off. */
  checkIntervalMs: number;
  /** For each port in order, the silence after which a connection is closed; 0 = never. */
  idleMs: number[];
}

/**
 * Brings the server's check interval and the idle times of all its ports together, once all ports are known: a port
 * without an idle time gets twice the interval, and the interval is at most half of the shortest idle time.
 */
export function settleHeartbeat(checkIntervalMs: number, portIdleMs: readonly number[]): Heartbeat {
  const idleMs = portIdleMs.map((ms) => (ms === 0 ? checkIntervalMs * 2 : ms));
  let settledMs = checkIntervalMs;
  for (const ms of idleMs) {
    const neededMs = intervalFor(ms);
    if (settledMs === 0 || (neededMs !== 0 && neededMs < settledMs)) settledMs = neededMs;
  }
  return { checkIntervalMs: settledMs, idleMs };
}

/** Half of an idle time in whole seconds, at least one; 0 for an idle time of 0. */
function intervalFor(idleMs: number): number {
  return idleMs === 0 ? 0 : Math.max(1, Math.floor(idleMs / 2000)) * 1000;
}
