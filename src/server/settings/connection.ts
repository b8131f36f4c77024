/** How many connections there may be, and what each may hold. */
import { SWOOLE_PROCESS } from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { keepsWorker } from '../../reactor/dispatch.ts';
import type { ReactorSettings } from '../../reactor/settings.ts';
import type { SettingsContext } from './context.ts';
import { alias, type Checked, type Flag, filled, flag, type Rows, type Size, size, whole } from './row.ts';

const CONNECTIONS_DEFAULT_MAX = 100_000;
/** One slot of the session table for each. */
const CONNECTIONS_MAX = 1_048_576;

export interface ConnectionKeys {
  /** Read from a connection only after `confirm`. @default false */
  enable_delay_receive?: Flag;
  /** The callbacks of a connection run one after the other: an async one is awaited before the next. @default false */
  receive_in_order?: Flag;
  /** Listen with SO_REUSEPORT; with SWOOLE_BASE each worker then has its own listener. @default false */
  enable_reuse_port?: Flag;
  /** Connections at a time; 0 = the default. @default what the limit of open files leaves, at most 100000 */
  max_connection?: number;
  /** The same as max_connection. */
  max_conn?: number;
  /** The first connection's `fd` is this plus 1. @default 0 */
  start_session_id?: number;
  /** Bytes a connection may have on the way to its worker before reading pauses (SWOOLE_PROCESS). @default 0 (no limit) */
  max_queued_bytes?: Size;
  /** Bytes of the largest `send`. @default 2M */
  output_buffer_size?: Size;
  /** The same as output_buffer_size. */
  buffer_output_size?: Size;
  /** Bytes that may wait to be sent on all connections together. @default 0 (no limit) */
  max_output_memory?: Size;
}

export const CONNECTION_ROWS = {
  enable_delay_receive: flag(),
  receive_in_order: flag(),
  enable_reuse_port: flag(),
  max_connection: whole(),
  max_conn: alias('max_connection'),
  start_session_id: whole({ default: 0 }),
  max_queued_bytes: size({ default: 0 }),
  output_buffer_size: size({ default: 2 * 1024 ** 2 }),
  buffer_output_size: alias('output_buffer_size'),
  max_output_memory: size({ default: 0 }),
} satisfies Rows<ConnectionKeys>;

export interface ConnectionSlice {
  /** So many descriptors (ulimit -n) the server needs for itself and one connection; 0 where it may have them. */
  filesMissing: number;
  enableReusePort: boolean;
  receiveInOrder: boolean;
  startSessionId: number;
  /** Bytes of the largest `send`. */
  bufferOutputSize: number;
  /** Bytes that may wait for all connections; 0 = no limit. */
  maxOutputMemory: number;
}

export function resolveConnection(
  values: Checked<ConnectionKeys>,
  dispatchMode: number,
  context: SettingsContext,
  parts: Parts,
): ConnectionSlice {
  const set = filled(CONNECTION_ROWS, values);
  return {
    filesMissing: resolveFilesMissing(context, filesOfServer(context, parts)),
    enableReusePort: set.enable_reuse_port,
    receiveInOrder: resolveInOrder(set.receive_in_order, dispatchMode, context),
    startSessionId: set.start_session_id,
    bufferOutputSize: set.output_buffer_size,
    maxOutputMemory: set.max_output_memory,
  };
}

function resolveInOrder(wanted: boolean, dispatchMode: number, { mode }: SettingsContext): boolean {
  if (!wanted || mode !== SWOOLE_PROCESS || keepsWorker(dispatchMode)) return wanted;
  throw new TswooleError(
    'ERR_SETTING_VALUE',
    `receive_in_order needs a dispatch_mode in which a connection keeps its worker (2, 4, 5 or 8), got ${dispatchMode}`,
    { key: 'receive_in_order', expected: 'dispatch_mode 2, 4, 5 or 8', got: String(dispatchMode) },
  );
}

/** What of a server needs descriptors. `workerIds` counts event workers and task workers. */
export interface Parts {
  workerIds: number;
  reactorNum: number;
}

/** What Node opens for each thread, and we for each reactor. */
const FILES_PER_REACTOR = 8;
/** The segment, two inboxes, signals and the like. */
const FILES_OF_SERVER = 8;
/** Left for what comes and goes (log, sendfile, a process that is started) and for the program itself. */
const FILES_SPARE = 32;
const FILES_SPARE_LEAST = 8;

/** What is open beside connections. */
function filesOfServer(
  { mode, openFiles = 0, userProcessCount = 0 }: SettingsContext,
  { workerIds, reactorNum }: Parts,
): number {
  const reactors = mode === SWOOLE_PROCESS ? reactorNum : 0;
  // A doorbell for each inbox, two ends of a pipe for each user process.
  return openFiles + FILES_OF_SERVER + workerIds + 3 * userProcessCount + reactors * (1 + FILES_PER_REACTOR);
}

function connectionsAllowed(fdLimit: number, own: number): number {
  return fdLimit - own - Math.min(FILES_SPARE, Math.max(FILES_SPARE_LEAST, Math.floor(fdLimit / 8)));
}

function resolveFilesMissing({ fdLimit }: SettingsContext, own: number): number {
  if (connectionsAllowed(fdLimit, own) >= 1) return 0;
  let needed = own + FILES_SPARE_LEAST + 1;
  while (connectionsAllowed(needed, own) < 1) needed++;
  return needed;
}

/** What of it reactors are told. */
export function resolveReactorConnection(
  values: Checked<ConnectionKeys>,
  context: SettingsContext,
  parts: Parts,
  warnings: string[],
): Omit<ReactorSettings, 'heartbeatCheckMs'> {
  const set = filled(CONNECTION_ROWS, values);
  return {
    maxConnections: resolveMaxConnection(set.max_connection ?? 0, context, parts, warnings),
    delayReceive: set.enable_delay_receive,
    // Elsewhere than in SWOOLE_PROCESS a package never waits between two processes.
    maxQueuedBytes: context.mode === SWOOLE_PROCESS ? set.max_queued_bytes : 0,
  };
}

function resolveMaxConnection(wanted: number, context: SettingsContext, parts: Parts, warnings: string[]): number {
  const allowed = Math.max(1, connectionsAllowed(context.fdLimit, filesOfServer(context, parts)));
  let count = wanted || Math.min(CONNECTIONS_DEFAULT_MAX, allowed);
  if (count > CONNECTIONS_MAX) {
    warnings.push(`max_connection ${count} is more than there are session ids for: ${CONNECTIONS_MAX} is used.`);
    count = CONNECTIONS_MAX;
  }
  // Swoole keeps listeners and worker pipes in the same table as connections, and wants room for them.
  const countMin = Math.min(parts.workerIds * 2 + 32 + context.portCount, allowed);
  if (wanted !== 0 && count < countMin) {
    warnings.push(`max_connection ${count} is too few for this number of workers and ports: ${countMin} is used.`);
    count = countMin;
  }
  // Without a reserve, connections would take what is needed to start the processes that serve them.
  if (count > allowed) {
    warnings.push(
      `max_connection ${count} is above what the limit of open files (ulimit -n ${context.fdLimit}) leaves beside those of the server itself: ${allowed} is used.`,
    );
    count = allowed;
  }
  return count;
}
