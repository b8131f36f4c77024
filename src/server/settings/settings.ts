/**
 * Settings: what the user writes, in snake_case, is checked when it is set and becomes what the server runs with once, at
 * the start. Each feature is a file that holds its keys with their documentation, a row of checks with the default for
 * each key, and its slice of what the server runs with; this one puts the slices together.
 */
import type { LogSettings } from '../../log/log.ts';
import type { ReactorPortSettings, ReactorSettings } from '../../reactor/settings.ts';
import { type ConnectionSlice, resolveConnection, resolveReactorConnection } from './connection.ts';
import type { SettingsContext } from './context.ts';
import { type DispatchSlice, hasDispatchFunction, resolveDispatch } from './dispatch.ts';
import { type DnsSlice, resolveDns } from './dns.ts';
import { type FramingPortSlice, hasLengthFunction, resolvePortFraming } from './framing.ts';
import { resolveHeartbeat, resolvePortHeartbeat } from './heartbeat.ts';
import { type HttpPortSlice, type HttpSlice, resolveHttp, resolvePortHttp } from './http.ts';
import type { NormalisedSettings } from './known.ts';
import { resolveLog } from './log.ts';
import { type ProcessSlice, resolveProcess } from './process.ts';
import { resolvePortProxy } from './proxy.ts';
import { resolveSendYield, type SendYieldSlice } from './send-yield.ts';
import { type ListenPortSlice, resolvePortListen, resolvePortSocket } from './socket.ts';
import { resolveStats, type StatsSlice } from './stats.ts';
import { resolveTask, type TaskSlice } from './task.ts';
import { resolveThread, type ThreadSlice } from './thread.ts';
import { resolvePortTls, type TlsPortSlice } from './tls.ts';
import { resolvePortWebsocket, resolveWebsocket, type WebsocketPortSlice, type WebsocketSlice } from './websocket.ts';

export { type ValidatedSettings, validateSettings } from './check.ts';
export type { SettingsContext } from './context.ts';
export type { DispatchFunction } from './dispatch.ts';
export type { Framing, PackageLengthFunction, PackageLengthType } from './framing.ts';
export { framingNotices } from './framing.ts';
export { settleHeartbeat } from './heartbeat.ts';
export type { NormalisedSettings, PortSettings, ServerSettings, SettingScope } from './known.ts';
export { resolveLog } from './log.ts';
export type { SniCertificate } from './row.ts';
export { maySendYield } from './send-yield.ts';
export { type SettledSettings, settledValues } from './settled.ts';
export { type TlsPortSlice as ResolvedSslSettings, tlsFilesOf, withAbsolutePaths } from './tls.ts';

export interface ResolvedPortSettings extends ListenPortSlice, FramingPortSlice, HttpPortSlice, WebsocketPortSlice {
  reactor: ReactorPortSettings;
  ssl: TlsPortSlice;
  /** Sentences for the log at WARNING level. */
  warnings: string[];
}

export interface ResolvedServerSettings
  extends ProcessSlice,
    TaskSlice,
    DispatchSlice,
    ConnectionSlice,
    SendYieldSlice,
    StatsSlice,
    DnsSlice,
    ThreadSlice,
    HttpSlice,
    WebsocketSlice {
  reactor: ReactorSettings;
  log: LogSettings;
  /** Sentences for the log at WARNING level. */
  warnings: string[];
}

/** What a port does with its settings: its own, or the server's when it never had a `set` of its own. */
export function resolvePortSettings(values: NormalisedSettings): ResolvedPortSettings {
  const warnings: string[] = [];
  const websocket = resolvePortWebsocket(values);
  const http = resolvePortHttp(values, websocket.openWebsocket);
  return {
    ...resolvePortListen(values),
    reactor: { ...resolvePortSocket(values), ...resolvePortHeartbeat(values), ...resolvePortProxy(values) },
    ...resolvePortFraming(values, http.openHttp, warnings),
    ...http,
    ...websocket,
    ssl: resolvePortTls(values),
    warnings,
  };
}

/**
 * Turns the merged settings of all `set` calls into what the server runs with: every default filled in, every limit
 * applied, times in milliseconds. Combinations that cannot work throw; values that are only too large are clamped and
 * told in `warnings`.
 */
export function resolveServerSettings(values: NormalisedSettings, context: SettingsContext): ResolvedServerSettings {
  const warnings: string[] = [];
  const callsUser = hasDispatchFunction(values) || context.hasLengthFunction === true || hasLengthFunction(values);
  const processes = resolveProcess(values, context, callsUser, warnings);
  const tasks = resolveTask(values, processes.eventObject, warnings);
  const parts = { workerIds: processes.workerNum + tasks.taskWorkerNum, reactorNum: processes.reactorNum };
  const dispatch = resolveDispatch(values, processes.workerNum, warnings);
  return {
    ...processes,
    ...tasks,
    ...dispatch,
    ...resolveConnection(values, dispatch.dispatch.mode, context, parts),
    reactor: { ...resolveReactorConnection(values, context, parts, warnings), ...resolveHeartbeat(values) },
    ...resolveSendYield(values, context, dispatch.dispatch.mode, processes.enableCoroutine, warnings),
    ...resolveStats(values),
    ...resolveDns(values),
    ...resolveThread(values),
    ...resolveHttp(values, warnings),
    ...resolveWebsocket(values),
    log: resolveLog(values),
    warnings,
  };
}
