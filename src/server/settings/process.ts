/** Event workers, reactors, and how the processes of a server live. */
import { resolve } from 'node:path';
import { SWOOLE_BASE, SWOOLE_PROCESS } from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import type { LifeSettings, PrivilegeSettings } from '../../process/role-settings.ts';
import type { SettingsContext } from './context.ts';
import { type Checked, type Flag, filled, flag, integers, type Rows, seconds, text, U16_MAX, whole } from './row.ts';
import { timerMs } from './times.ts';

const REACTORS_PER_CPU_MAX = 4;
const REACTORS_DEFAULT_MAX = 8;
/** Below this many requests a worker gets no random extra. */
const GRACE_REQUESTS_MIN = 10;

export interface ProcessKeys {
  /** Event workers; 0 = one for each CPU. @default the number of CPUs; 1 with SWOOLE_BASE */
  worker_num?: number;
  /**
   * Reactor threads of the master (SWOOLE_PROCESS); 0 = one for each CPU.
   * @default the number of CPUs, at most 8 and at most worker_num
   */
  reactor_num?: number;
  /** One reactor thread only (SWOOLE_PROCESS). @default false; true with dispatch_func or package_length_func */
  single_thread?: Flag;
  /** Requests after which an event worker is replaced. @default 0 (never) */
  max_request?: number;
  /** A random number up to this is added to max_request. @default half of it when it is above 10, else 0 */
  max_request_grace?: number;
  /** Seconds that a stopping worker may take; 0 = it ends at once. @default 3 */
  max_wait_time?: number;
  /** Stop and reload workers gracefully; always so while enable_coroutine is true. @default true */
  reload_async?: Flag;
  /** Seconds that the new workers of a reload may take to start, or it is refused; 0 = no limit. @default 30 */
  reload_timeout?: number;
  /** New workers that a reload starts at once, beside the old ones; 0 = all. @default 0 */
  reload_worker_num?: number;
  /** Decides the defaults of reload_async and send_yield; asynchronous callbacks work in either case. @default true */
  enable_coroutine?: Flag;
  /** All callbacks get objects; includes task_use_object. @default false */
  event_object?: Flag;
  /** Script that child processes run, as `cluster.setupPrimary({ exec })`. @default the main script */
  entry_script?: string;
  /** Run in the background. Relative paths of settings mean where it was started; the working directory becomes `/`. @default false */
  daemonize?: Flag;
  /** File that holds the main process' id while the server runs. @default none */
  pid_file?: string;
  /** Name of the user that workers run as (needs root). @default none */
  user?: string;
  /** Name of the group that workers run as (needs root). @default none */
  group?: string;
  /** Directory that becomes the root of the workers' file system (needs root). @default none */
  chroot?: string;
  /** Bind each worker to a CPU. @default false */
  open_cpu_affinity?: Flag;
  /** CPUs that open_cpu_affinity leaves free; fewer than there are. @default none */
  cpu_affinity_ignore?: number[];
}

export const PROCESS_ROWS = {
  worker_num: whole(),
  reactor_num: whole({ max: U16_MAX }),
  single_thread: flag(),
  max_request: whole({ default: 0 }),
  max_request_grace: whole(),
  max_wait_time: whole({ default: 3 }),
  reload_async: flag(true),
  reload_timeout: seconds(30),
  reload_worker_num: whole({ default: 0 }),
  enable_coroutine: flag(true),
  event_object: flag(),
  entry_script: text(),
  daemonize: flag(),
  pid_file: text(),
  user: text(),
  group: text(),
  chroot: text(),
  open_cpu_affinity: flag(),
  cpu_affinity_ignore: integers({ min: 0, max: U16_MAX }),
} satisfies Rows<ProcessKeys>;

export interface ProcessSlice extends LifeSettings, PrivilegeSettings {
  workerNum: number;
  reactorNum: number;
  /** True exactly when connections are served in the thread that runs user code: SWOOLE_BASE, or asked for. */
  singleThread: boolean;
  enableCoroutine: boolean;
  eventObject: boolean;
  entryScript: string | null;
  daemonize: boolean;
  pidFile: string | null;
}

/** `callsUser` is true exactly when a function of the user has to run beside the sockets. */
export function resolveProcess(
  values: Checked<ProcessKeys>,
  context: SettingsContext,
  callsUser: boolean,
  warnings: string[],
): ProcessSlice {
  const set = filled(PROCESS_ROWS, values);
  const preset = context.mode === SWOOLE_BASE ? 1 : context.cpuCount;
  const workerNum = (set.worker_num ?? preset) || context.cpuCount;
  return {
    workerNum,
    ...resolveReactors(set, context, workerNum, callsUser, warnings),
    maxRequest: set.max_request,
    maxRequestGrace: graceOf(set.max_request, set.max_request_grace),
    maxWaitMs: timerMs('max_wait_time', set.max_wait_time, warnings),
    reloadAsync: resolveReloadAsync(set.reload_async, set.enable_coroutine, warnings),
    reloadTimeoutMs: timerMs('reload_timeout', set.reload_timeout, warnings),
    reloadWorkerNum: set.reload_worker_num,
    enableCoroutine: set.enable_coroutine,
    eventObject: set.event_object,
    entryScript: set.entry_script || null,
    daemonize: set.daemonize,
    pidFile: set.pid_file ? resolve(set.pid_file) : null,
    user: set.user || null,
    group: set.group || null,
    chroot: set.chroot ? resolve(set.chroot) : null,
    openCpuAffinity: set.open_cpu_affinity,
    cpuAffinityIgnore: resolveIgnoredCpus(set.cpu_affinity_ignore ?? [], context.cpuCount),
  };
}

/** Only SWOOLE_PROCESS has reactors apart from its workers; in the other modes each worker is its own. */
function resolveReactors(
  values: Checked<ProcessKeys>,
  context: SettingsContext,
  workerNum: number,
  callsUser: boolean,
  warnings: string[],
): { reactorNum: number; singleThread: boolean } {
  if (context.mode !== SWOOLE_PROCESS) return { reactorNum: workerNum, singleThread: context.mode === SWOOLE_BASE };
  if (values.single_thread || callsUser) return { reactorNum: 1, singleThread: true };

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

/** The random extra over `requestCount` requests or tasks. */
export function graceOf(requestCount: number, grace: number | undefined): number {
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
