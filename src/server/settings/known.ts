/** Every setting that there is, composed of the slices: what `set` takes, and the row of each name. */
import { CONNECTION_ROWS, type ConnectionKeys } from './connection.ts';
import { DISPATCH_ROWS, type DispatchKeys } from './dispatch.ts';
import { DNS_ROWS, type DnsKeys } from './dns.ts';
import { FRAMING_PORT_ROWS, type FramingPortKeys } from './framing.ts';
import { HEARTBEAT_PORT_ROWS, HEARTBEAT_ROWS, type HeartbeatKeys, type HeartbeatPortKeys } from './heartbeat.ts';
import { HTTP_PORT_ROWS, HTTP_ROWS, type HttpKeys, type HttpPortKeys } from './http.ts';
import { LOG_ROWS, type LogKeys } from './log.ts';
import { NOT_OUR_PORT_ROWS, NOT_OUR_ROWS, type NotOurKeys, type NotOurPortKeys } from './not-ours.ts';
import { PROCESS_ROWS, type ProcessKeys } from './process.ts';
import { PROXY_PORT_ROWS, type ProxyPortKeys } from './proxy.ts';
import type { Alias, Checked, Row } from './row.ts';
import { SEND_YIELD_ROWS, type SendYieldKeys } from './send-yield.ts';
import { SOCKET_PORT_ROWS, type SocketPortKeys } from './socket.ts';
import { STATS_ROWS, type StatsKeys } from './stats.ts';
import { TASK_ROWS, type TaskKeys } from './task.ts';
import { THREAD_ROWS, type ThreadKeys } from './thread.ts';
import { TLS_PORT_ROWS, type TlsPortKeys } from './tls.ts';
import { WEBSOCKET_PORT_ROWS, WEBSOCKET_ROWS, type WebsocketKeys, type WebsocketPortKeys } from './websocket.ts';

/** Settings of a port that are known and do nothing. A notice says so for each that is used. */
export interface PortSettingsWithoutEffect extends HttpPortKeys, WebsocketPortKeys, NotOurPortKeys {}

/** Settings that are known and do nothing. A notice says so for each that is used. */
export interface SettingsWithoutEffect
  extends PortSettingsWithoutEffect,
    HttpKeys,
    WebsocketKeys,
    ThreadKeys,
    SendYieldKeys,
    NotOurKeys {}

/**
 * What `port.set` takes. In `server.set` the same keys go to the primary port, and to every port that never had a
 * `set` of its own.
 */
export interface PortSettings
  extends SocketPortKeys,
    HeartbeatPortKeys,
    ProxyPortKeys,
    FramingPortKeys,
    TlsPortKeys,
    PortSettingsWithoutEffect {}

/** What `server.set` takes. All of it must be set before `start`. */
export interface ServerSettings
  extends PortSettings,
    ProcessKeys,
    TaskKeys,
    DispatchKeys,
    ConnectionKeys,
    HeartbeatKeys,
    LogKeys,
    StatsKeys,
    DnsKeys,
    SettingsWithoutEffect {}

export type SettingKey = keyof ServerSettings;

/** Settings after `validateSettings`: a flag is a boolean and a size a number of bytes. */
export type NormalisedSettings = Checked<ServerSettings>;

/** Whom a setting belongs to. Process-wide ones (log, HTTP/2, name server) are set through the server. */
export type SettingScope = 'server' | 'port';

const PORT_ROWS = {
  ...SOCKET_PORT_ROWS,
  ...HEARTBEAT_PORT_ROWS,
  ...PROXY_PORT_ROWS,
  ...FRAMING_PORT_ROWS,
  ...TLS_PORT_ROWS,
  ...HTTP_PORT_ROWS,
  ...WEBSOCKET_PORT_ROWS,
  ...NOT_OUR_PORT_ROWS,
} satisfies RowsOf<keyof PortSettings>;

const SERVER_ROWS = {
  ...PROCESS_ROWS,
  ...TASK_ROWS,
  ...DISPATCH_ROWS,
  ...CONNECTION_ROWS,
  ...HEARTBEAT_ROWS,
  ...LOG_ROWS,
  ...STATS_ROWS,
  ...DNS_ROWS,
  ...HTTP_ROWS,
  ...WEBSOCKET_ROWS,
  ...THREAD_ROWS,
  ...SEND_YIELD_ROWS,
  ...NOT_OUR_ROWS,
} satisfies RowsOf<Exclude<SettingKey, keyof PortSettings>>;

/** A row for each of these keys, and for no other setting. */
type RowsOf<Key extends SettingKey> = Record<Key, Row | Alias<Key>> & { [Other in Exclude<SettingKey, Key>]?: never };

export interface KnownSetting extends Row {
  scope: SettingScope;
  /** The name that the resolve functions read. */
  canonical: SettingKey;
  /** Every name of the setting, the canonical one first. */
  names: SettingKey[];
}

/** Every setting that Swoole knows, and ours, by each of its names. A Map, so that no key can reach a prototype. */
export const KNOWN_SETTINGS: ReadonlyMap<string, KnownSetting> = indexByName();

/** Linear, because every process runs it at its start. */
function indexByName(): Map<string, KnownSetting> {
  const known = new Map<string, KnownSetting>();
  enter(known, 'port', PORT_ROWS);
  enter(known, 'server', SERVER_ROWS);
  return known;
}

/** An alias may stand before or behind its canonical name. */
function enter<Key extends SettingKey>(
  known: Map<string, KnownSetting>,
  scope: SettingScope,
  rows: Record<Key, Row | Alias<Key>>,
): void {
  const aliases: [Key, Key][] = [];
  for (const [key, row] of Object.entries(rows) as [Key, Row | Alias<Key>][]) {
    if ('aliasOf' in row) aliases.push([key, row.aliasOf]);
    else known.set(key, { ...row, scope, canonical: key, names: [key] });
  }
  for (const [alias, key] of aliases) {
    const setting = known.get(key);
    if (setting === undefined) throw new Error(`${alias} is another name of ${key}, which is no setting`);
    setting.names.push(alias);
    known.set(alias, setting);
  }
}
