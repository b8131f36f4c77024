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
  /** Connections at a time; 0 = the default. @default the limit of open files, at most 100000 */
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
): ConnectionSlice {
  const set = filled(CONNECTION_ROWS, values);
  return {
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

/** What of it reactors are told. `workerIds` counts event workers and task workers. */
export function resolveReactorConnection(
  values: Checked<ConnectionKeys>,
  context: SettingsContext,
  workerIds: number,
  warnings: string[],
): Omit<ReactorSettings, 'heartbeatCheckMs'> {
  const set = filled(CONNECTION_ROWS, values);
  return {
    maxConnections: resolveMaxConnection(set.max_connection ?? 0, context, workerIds, warnings),
    delayReceive: set.enable_delay_receive,
    // Elsewhere than in SWOOLE_PROCESS a package never waits between two processes.
    maxQueuedBytes: context.mode === SWOOLE_PROCESS ? set.max_queued_bytes : 0,
  };
}

function resolveMaxConnection(wanted: number, context: SettingsContext, workerIds: number, warnings: string[]): number {
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
  const countMin = workerIds * 2 + 32 + context.portCount;
  if (count < countMin) {
    warnings.push(`max_connection ${count} is too few for this number of workers and ports: ${countMin} is used.`);
    count = countMin;
  }
  return count;
}
