/** When silent connections are closed. */
import type { IdleSettings, ReactorSettings } from '../../reactor/settings.ts';
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
  /** Close a connection whose package, where it has a framing, is not complete within this many seconds. @default 0 (never) */
  package_timeout?: number;
}

export interface HeartbeatKeys {
  /** Seconds between two looks at idle connections. @default 0 (off), or half of heartbeat_idle_time */
  heartbeat_check_interval?: number;
}

export const HEARTBEAT_PORT_ROWS = {
  heartbeat_idle_time: whole({ max: U16_MAX, default: 0 }),
  max_idle_time: seconds(0),
  package_timeout: seconds(0),
} satisfies Rows<HeartbeatPortKeys>;

export const HEARTBEAT_ROWS = {
  heartbeat_check_interval: whole({ max: U16_MAX }),
} satisfies Rows<HeartbeatKeys>;

/** Before the ports are settled together: see `settleHeartbeat`. */
export function resolvePortHeartbeat(values: Checked<HeartbeatPortKeys>): IdleSettings {
  const set = filled(HEARTBEAT_PORT_ROWS, values);
  return {
    heartbeatIdleMs: set.heartbeat_idle_time * 1000,
    maxIdleMs: secondsToMs(set.max_idle_time),
    packageMs: secondsToMs(set.package_timeout),
  };
}

/** The primary port's idle time alone also turns the check on. */
export function resolveHeartbeat(
  values: Checked<HeartbeatKeys & HeartbeatPortKeys>,
): Pick<ReactorSettings, 'heartbeatCheckMs'> {
  const seconds = values.heartbeat_check_interval;
  if (seconds !== undefined) return { heartbeatCheckMs: seconds * 1000 };
  return { heartbeatCheckMs: intervalFor(resolvePortHeartbeat(values).heartbeatIdleMs) };
}

/**
 * Brings the server's check interval and the idle times of all its ports together, once all ports are known: a port
 * without an idle time gets twice the interval, and the interval becomes at most half of the shortest idle time.
 */
export function settleHeartbeat(
  server: Pick<ReactorSettings, 'heartbeatCheckMs'>,
  ports: readonly Pick<IdleSettings, 'heartbeatIdleMs'>[],
): void {
  const wantedMs = server.heartbeatCheckMs;
  for (const port of ports) {
    if (port.heartbeatIdleMs === 0) port.heartbeatIdleMs = wantedMs * 2;
    const neededMs = intervalFor(port.heartbeatIdleMs);
    const tooLong = neededMs !== 0 && neededMs < server.heartbeatCheckMs;
    if (server.heartbeatCheckMs === 0 || tooLong) server.heartbeatCheckMs = neededMs;
  }
}

/** Half of an idle time in whole seconds, at least one; 0 for an idle time of 0. */
function intervalFor(idleMs: number): number {
  return idleMs === 0 ? 0 : Math.max(1, Math.floor(idleMs / 2000)) * 1000;
}
