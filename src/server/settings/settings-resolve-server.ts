import { resolve } from 'node:path';
import {
  SWOOLE_BASE,
  SWOOLE_DISPATCH_CO_CONN_LB,
  SWOOLE_DISPATCH_CONCURRENT_LB,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IDLE_WORKER,
  SWOOLE_DISPATCH_IPMOD,
  SWOOLE_DISPATCH_STREAM,
  SWOOLE_DISPATCH_USERFUNC,
  SWOOLE_IPC_UNSOCK,
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_SINGLE,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { DEFAULT_DATE_FORMAT, type LogSettings } from '../../log/log.ts';
import type { DispatchFunction, NormalisedSettings } from './settings-keys.ts';
import { heartbeatIntervalFor, secondsToMs } from './settings-resolve-port.ts';
import { U32_MAX } from './settings-table.ts';

const WORKERS_PER_CPU_MAX = 1000;
const REACTORS_PER_CPU_MAX = 4;
const REACTORS_DEFAULT_MAX = 8;
const CONNECTIONS_DEFAULT_MAX = 100_000;
/** One slot of the session table for each. */
const CONNECTIONS_MAX = 1_048_576;
const SEND_BYTES_MAX = 2 * 1024 ** 2;
const MAX_WAIT_SECONDS = 3;
/** Ten days: beyond I32_MAX milliseconds Node's timers fire at once, and some wait more than twice max_wait_time. */
const TIMER_SECONDS_MAX = 864_000;
const COMMAND_TIMEOUT_SECONDS = 5;
const STATS_TIMER_INTERVAL_MS = 1000;
/** Below this many requests a worker gets no random extra. */
const GRACE_REQUESTS_MIN = 10;
const COMPRESSION_LEVEL = 1;
const COMPRESSION_BYTES_MIN = 20;
const TEMPORARY_DIRECTORY = '/tmp';

/** What the settings depend on besides what the user wrote. */
export interface SettingsContext {
  /** SWOOLE_BASE, SWOOLE_PROCESS or SWOOLE_THREAD. */
  mode: 1 | 2 | 3;
  cpuCount: number;
  /** The limit of open files (ulimit -n). */
  fdLimit: number;
  portCount: number;
  /** True exactly when a port other than the primary one has a package_length_func. @default false */
  hasLengthFunction?: boolean;
}

export interface ResolvedProcessSettings {
  workerNum: number;
  reactorNum: number;
  /** True exactly when connections are served in the thread that runs user code: SWOOLE_BASE, or asked for. */
  singleThread: boolean;
  taskWorkerNum: number;
  /** 1 to a worker, 2 queue, 3 queue that any task worker reads. */
  taskIpcMode: 1 | 2 | 3;
  /** 0 = a private queue. */
  messageQueueKey: number;
  taskTmpdir: string;
  /** 0 = never, here and below. */
  taskMaxRequest: number;
  taskMaxRequestGrace: number;
  taskEnableCoroutine: boolean;
  /** True exactly when `task` gets a Task object. */
  taskObject: boolean;
  eventObject: boolean;
  maxRequest: number;
  maxRequestGrace: number;
  /** 0 = no limit. */
  maxWaitMs: number;
  reloadAsync: boolean;
  daemonize: boolean;
  pidFile: string | null;
  user: string | null;
  group: string | null;
  chroot: string | null;
  openCpuAffinity: boolean;
  cpuAffinityIgnore: readonly number[];
  bootstrap: string | null;
  initArguments: (() => unknown[]) | null;
  enableCoroutine: boolean;
  entryScript: string | null;
  /** 0 = no limit. */
  commandTimeoutMs: number;
}

export interface ResolvedConnectionSettings {
  /** 1 to 10 without 7: modes that behave as 3 are 3 here. */
  dispatchMode: number;
  dispatchFunc: DispatchFunction | null;
  enableUnsafeEvent: boolean;
  discardTimeoutRequest: boolean;
  enableDelayReceive: boolean;
  enableReusePort: boolean;
  maxConnection: number;
  maxConcurrency: number;
  workerMaxConcurrency: number;
  startSessionId: number;
  /** 0 = off; see also `settleHeartbeat`. */
  heartbeatCheckIntervalMs: number;
  /** 0 = no limit. */
  maxQueuedBytes: number;
  sendYield: boolean;
  /** 0 = no limit. */
  sendTimeoutMs: number;
  /** Bytes of the largest `send`. */
  bufferOutputSize: number;
}

export interface ResolvedHttp2Settings {
  headerTableSize: number;
  maxConcurrentStreams: number;
  initWindowSize: number;
  maxFrameSize: number;
  maxHeaderListSize: number;
  maxHeaders: number;
}

export interface ResolvedHttpSettings {
  httpParseCookie: boolean;
  httpParsePost: boolean;
  httpParseFiles: boolean;
  httpCompression: boolean;
  /** As given, 0 to 255: each compressor has a range of its own. */
  httpCompressionLevel: number;
  httpCompressionMinLength: number;
  /** null = all. */
  httpCompressionTypes: ReadonlySet<string> | null;
  websocketCompression: boolean;
  uploadTmpDir: string;
  uploadMaxFilesize: number;
  enableStaticHandler: boolean;
  /** '' = none. */
  documentRoot: string;
  staticHandlerLocations: readonly string[];
  httpAutoindex: boolean;
  httpIndexFiles: readonly string[];
  /** Pattern and replacement, in the order given. */
  urlRewriteRules: readonly (readonly [string, string])[];
  http2: ResolvedHttp2Settings;
}

export interface ResolvedServerSettings
  extends ResolvedProcessSettings,
    ResolvedConnectionSettings,
    ResolvedHttpSettings {
  log: LogSettings;
  statsFile: string | null;
  statsTimerIntervalMs: number;
  dnsServer: string | null;
  /** Sentences for the log at WARNING level. */
  warnings: string[];
}

/**
 * Turns the merged settings of all `set` calls into what the server runs with: every default filled in, every limit
 * applied, times in milliseconds. Combinations that cannot work throw; values that are only too large are clamped and
 * told in `warnings`.
 */
export function resolveServerSettings(values: NormalisedSettings, context: SettingsContext): ResolvedServerSettings {
  const warnings: string[] = [];
  const processes = resolveProcesses(values, context, warnings);
  return {
    ...processes,
    ...resolveConnections(values, context, processes, warnings),
    ...resolveHttp(values, warnings),
    log: resolveLog(values),
    statsFile: values.stats_file || null,
    statsTimerIntervalMs: values.stats_timer_interval ?? STATS_TIMER_INTERVAL_MS,
    dnsServer: values.dns_server || null,
    warnings,
  };
}

function resolveProcesses(
  values: NormalisedSettings,
  context: SettingsContext,
  warnings: string[],
): ResolvedProcessSettings {
  const workerNum = resolveWorkerNum(values, context, warnings);
  const enableCoroutine = values.enable_coroutine ?? true;
  const taskEnableCoroutine = values.task_enable_coroutine ?? false;
  const eventObject = values.event_object ?? false;
  return {
    workerNum,
    ...resolveReactors(values, context, workerNum, warnings),
    taskWorkerNum: clampWorkers('task_worker_num', values.task_worker_num ?? 0, context, warnings),
    taskIpcMode: resolveTaskIpcMode(values, taskEnableCoroutine),
    messageQueueKey: values.message_queue_key ?? 0,
    taskTmpdir: values.task_tmpdir || TEMPORARY_DIRECTORY,
    taskMaxRequest: values.task_max_request ?? 0,
    taskMaxRequestGrace: resolveGrace(values.task_max_request ?? 0, values.task_max_request_grace),
    taskEnableCoroutine,
    taskObject: eventObject || taskEnableCoroutine || (values.task_use_object ?? false),
    eventObject,
    maxRequest: values.max_request ?? 0,
    maxRequestGrace: resolveGrace(values.max_request ?? 0, values.max_request_grace),
    maxWaitMs: clampTime('max_wait_time', values.max_wait_time ?? MAX_WAIT_SECONDS, warnings),
    reloadAsync: resolveReloadAsync(values.reload_async ?? true, enableCoroutine, warnings),
    daemonize: values.daemonize ?? false,
    pidFile: values.pid_file || null,
    user: values.user || null,
    group: values.group || null,
    chroot: values.chroot || null,
    openCpuAffinity: values.open_cpu_affinity ?? false,
    cpuAffinityIgnore: resolveIgnoredCpus(values.cpu_affinity_ignore ?? [], context.cpuCount),
    bootstrap: values.bootstrap || null,
    initArguments: values.init_arguments ?? null,
    enableCoroutine,
    entryScript: values.entry_script || null,
    commandTimeoutMs: clampTime('command_timeout', values.command_timeout ?? COMMAND_TIMEOUT_SECONDS, warnings),
  };
}

function resolveWorkerNum(values: NormalisedSettings, context: SettingsContext, warnings: string[]): number {
  const preset = context.mode === SWOOLE_BASE ? 1 : context.cpuCount;
  return clampWorkers('worker_num', (values.worker_num ?? preset) || context.cpuCount, context, warnings);
}

function clampWorkers(key: string, count: number, context: SettingsContext, warnings: string[]): number {
  const countMax = context.cpuCount * WORKERS_PER_CPU_MAX;
  if (count <= countMax) return count;
  warnings.push(`${key} ${count} is too many for ${context.cpuCount} CPUs: ${countMax} is used.`);
  return countMax;
}

/** In milliseconds, for a timer of Node's. */
function clampTime(key: string, seconds: number, warnings: string[]): number {
  if (seconds <= TIMER_SECONDS_MAX) return secondsToMs(seconds);
  warnings.push(`${key} ${seconds} is more than ten days: ${TIMER_SECONDS_MAX} is used.`);
  return secondsToMs(TIMER_SECONDS_MAX);
}

/** Only SWOOLE_PROCESS has reactors apart from its workers; in the other modes each worker is its own. */
function resolveReactors(
  values: NormalisedSettings,
  context: SettingsContext,
  workerNum: number,
  warnings: string[],
): { reactorNum: number; singleThread: boolean } {
  if (context.mode !== SWOOLE_PROCESS) return { reactorNum: workerNum, singleThread: context.mode === SWOOLE_BASE };
  const hasLengthFunction = context.hasLengthFunction || values.package_length_func !== undefined;
  if (values.single_thread || values.dispatch_func || hasLengthFunction) return { reactorNum: 1, singleThread: true };

  const wanted = values.reactor_num;
  if (wanted === undefined) {
    return { reactorNum: Math.min(context.cpuCount, REACTORS_DEFAULT_MAX, workerNum), singleThread: false };
  }
  let reactorNum = wanted || context.cpuCount;
  const reactorNumMax = context.cpuCount * REACTORS_PER_CPU_MAX;
  if (reactorNum > reactorNumMax) {
    warnings.push(`reactor_num ${reactorNum} is too many for ${context.cpuCount} CPUs: ${reactorNumMax} is used.`);
    reactorNum = reactorNumMax;
  }
  if (reactorNum > workerNum) {
    warnings.push(`reactor_num ${reactorNum} is more than worker_num: ${workerNum} is used.`);
    reactorNum = workerNum;
  }
  return { reactorNum, singleThread: false };
}

function resolveTaskIpcMode(values: NormalisedSettings, taskEnableCoroutine: boolean): 1 | 2 | 3 {
  const mode = values.task_ipc_mode ?? SWOOLE_IPC_UNSOCK;
  if (mode === SWOOLE_IPC_UNSOCK || !taskEnableCoroutine) return mode;
  const message = `task_ipc_mode ${mode} does not work with task_enable_coroutine: use task_ipc_mode 1, or leave out task_enable_coroutine.`;
  throw new TswooleError('ERR_SETTING_VALUE', message, { key: 'task_ipc_mode', expected: '1', got: String(mode) });
}

function resolveGrace(requestCount: number, grace: number | undefined): number {
  if (requestCount === 0) return 0;
  return grace ?? (requestCount > GRACE_REQUESTS_MIN ? Math.floor(requestCount / 2) : 0);
}

function resolveReloadAsync(wanted: boolean, enableCoroutine: boolean, warnings: string[]): boolean {
  if (wanted || !enableCoroutine) return wanted;
  warnings.push('reload_async cannot be false while enable_coroutine is true: set enable_coroutine to false as well.');
  return true;
}

function resolveIgnoredCpus(ignored: readonly number[], cpuCount: number): readonly number[] {
  const distinct = [...new Set(ignored)].filter((cpu) => cpu < cpuCount);
  if (distinct.length < cpuCount) return distinct;
  const message = `cpu_affinity_ignore leaves none of the ${cpuCount} CPUs: name fewer than ${cpuCount}.`;
  const expected = `fewer than ${cpuCount} CPUs`;
  throw new TswooleError('ERR_SETTING_VALUE', message, { key: 'cpu_affinity_ignore', expected, got: String(ignored) });
}

function resolveConnections(
  values: NormalisedSettings,
  context: SettingsContext,
  processes: ResolvedProcessSettings,
  warnings: string[],
): ResolvedConnectionSettings {
  const dispatchMode = resolveDispatchMode(values, warnings);
  const maxConcurrency = values.max_concurrency ?? U32_MAX;
  return {
    dispatchMode,
    dispatchFunc: values.dispatch_func ?? null,
    enableUnsafeEvent: values.enable_unsafe_event ?? false,
    discardTimeoutRequest: values.discard_timeout_request ?? false,
    enableDelayReceive: values.enable_delay_receive ?? false,
    enableReusePort: values.enable_reuse_port ?? false,
    maxConnection: resolveMaxConnection(values.max_connection ?? 0, context, processes, warnings),
    maxConcurrency,
    workerMaxConcurrency: values.worker_max_concurrency ?? maxConcurrency,
    startSessionId: values.start_session_id ?? 0,
    heartbeatCheckIntervalMs: resolveCheckInterval(values),
    // Elsewhere than in SWOOLE_PROCESS a package never waits between two processes.
    maxQueuedBytes: context.mode === SWOOLE_PROCESS ? (values.max_queued_bytes ?? 0) : 0,
    sendYield: resolveSendYield(values, context, dispatchMode, processes.enableCoroutine, warnings),
    sendTimeoutMs: secondsToMs(values.send_timeout ?? 0),
    bufferOutputSize: values.output_buffer_size ?? SEND_BYTES_MAX,
  };
}

function resolveDispatchMode(values: NormalisedSettings, warnings: string[]): number {
  const mode = values.dispatch_mode ?? SWOOLE_DISPATCH_FDMOD;
  if (mode === SWOOLE_DISPATCH_USERFUNC) return values.dispatch_func === undefined ? SWOOLE_DISPATCH_IDLE_WORKER : mode;
  if (mode >= 1 && mode <= SWOOLE_DISPATCH_CONCURRENT_LB && mode !== SWOOLE_DISPATCH_STREAM) return mode;
  warnings.push(`dispatch_mode ${mode} does not exist (any more): it works as ${SWOOLE_DISPATCH_IDLE_WORKER}.`);
  return SWOOLE_DISPATCH_IDLE_WORKER;
}

/**
 * Where send_yield can be on. SWOOLE_DISPATCH_UIDMOD is none of them, as in Swoole: there bind() gives a connection another
 * worker.
 */
export function maySendYield(mode: number): boolean {
  return mode === SWOOLE_DISPATCH_FDMOD || mode === SWOOLE_DISPATCH_IPMOD || mode === SWOOLE_DISPATCH_CO_CONN_LB;
}

function resolveMaxConnection(
  wanted: number,
  context: SettingsContext,
  processes: ResolvedProcessSettings,
  warnings: string[],
): number {
  let count = wanted || Math.min(CONNECTIONS_DEFAULT_MAX, context.fdLimit);
  if (count > CONNECTIONS_MAX) {
    warnings.push(`max_connection ${count} is more than there are session ids for: ${CONNECTIONS_MAX} is used.`);
    count = CONNECTIONS_MAX;
  }
  if (count > context.fdLimit) {
    warnings.push(`max_connection ${count} is above the limit of open files (ulimit -n): ${context.fdLimit} is used.`);
    count = context.fdLimit;
  }
  // Swoole keeps listeners and worker pipes in the same table as connections, and wants room for them.
  const countMin = (processes.workerNum + processes.taskWorkerNum) * 2 + 32 + context.portCount;
  if (count < countMin) {
    warnings.push(`max_connection ${count} is too few for this number of workers and ports: ${countMin} is used.`);
    count = countMin;
  }
  return count;
}

/** The primary port's idle time alone also turns the check on. */
function resolveCheckInterval(values: NormalisedSettings): number {
  if (values.heartbeat_check_interval !== undefined) return values.heartbeat_check_interval * 1000;
  return heartbeatIntervalFor((values.heartbeat_idle_time ?? 0) * 1000);
}

function resolveSendYield(
  values: NormalisedSettings,
  context: SettingsContext,
  dispatchMode: number,
  enableCoroutine: boolean,
  warnings: string[],
): boolean {
  if (maySendYield(dispatchMode)) return values.send_yield ?? enableCoroutine;
  if (values.send_yield) warnings.push('send_yield needs dispatch_mode 2, 4 or 8: it is off.');
  // By default it is on wherever dispatching plays no part.
  return values.send_yield === undefined && context.mode !== SWOOLE_PROCESS && enableCoroutine;
}

function resolveHttp(values: NormalisedSettings, warnings: string[]): ResolvedHttpSettings {
  const compressionTypes = (values.http_compression_types ?? []).filter((type) => type !== '');
  return {
    httpParseCookie: values.http_parse_cookie ?? true,
    httpParsePost: values.http_parse_post ?? true,
    httpParseFiles: values.http_parse_files ?? false,
    httpCompression: compressionTypes.length > 0 || (values.http_compression ?? true),
    httpCompressionLevel: values.http_compression_level ?? COMPRESSION_LEVEL,
    httpCompressionMinLength: values.http_compression_min_length ?? COMPRESSION_BYTES_MIN,
    httpCompressionTypes: compressionTypes.length > 0 ? new Set(compressionTypes) : null,
    websocketCompression: values.websocket_compression ?? false,
    uploadTmpDir: values.upload_tmp_dir || TEMPORARY_DIRECTORY,
    uploadMaxFilesize: values.upload_max_filesize ?? 0,
    enableStaticHandler: values.enable_static_handler ?? false,
    documentRoot: values.document_root ?? '',
    staticHandlerLocations: resolveLocations(values.static_handler_locations ?? [], warnings),
    httpAutoindex: values.http_autoindex ?? false,
    httpIndexFiles: (values.http_index_files ?? []).filter((name) => name !== ''),
    urlRewriteRules: Object.entries(values.url_rewrite_rules ?? {}),
    http2: resolveHttp2(values),
  };
}

function resolveLocations(locations: readonly string[], warnings: string[]): string[] {
  for (const location of locations) {
    if (location.startsWith('/')) continue;
    warnings.push(`static_handler_locations: "${location}" does not begin with "/" and is left out.`);
  }
  return locations.filter((location) => location.startsWith('/'));
}

function resolveHttp2(values: NormalisedSettings): ResolvedHttp2Settings {
  return {
    headerTableSize: values.http2_header_table_size ?? 4096,
    maxConcurrentStreams: values.http2_max_concurrent_streams ?? 128,
    initWindowSize: values.http2_init_window_size ?? 65535,
    maxFrameSize: values.http2_max_frame_size ?? 16384,
    maxHeaderListSize: values.http2_max_header_list_size ?? U32_MAX,
    maxHeaders: values.http2_max_headers ?? 1000,
  };
}

/** The log is opened before `start`, so `set` uses this on its own as well. */
export function resolveLog(values: NormalisedSettings): LogSettings {
  const rotation = values.log_rotation ?? SWOOLE_LOG_ROTATION_SINGLE;
  const rotationKnown = rotation >= SWOOLE_LOG_ROTATION_SINGLE && rotation <= SWOOLE_LOG_ROTATION_EVERY_MINUTE;
  return {
    // Opened again and again, also after the working directory has changed.
    file: values.log_file ? resolve(values.log_file) : null,
    level: values.debug_mode ? SWOOLE_LOG_DEBUG : (values.log_level ?? SWOOLE_LOG_INFO),
    dateFormat: values.log_date_format ?? DEFAULT_DATE_FORMAT,
    dateWithMicroseconds: values.log_date_with_microseconds ?? false,
    rotation: rotationKnown ? rotation : SWOOLE_LOG_ROTATION_DAILY,
  };
}
