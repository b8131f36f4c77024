/** Task workers, and the questions that other programs ask (`command`). */
import { SWOOLE_IPC_UNSOCK } from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import type { TaskLifeSettings } from '../../process/role-settings.ts';
import { type RootKeys, workerPath } from './paths.ts';
import { graceOf } from './process.ts';
import {
  alias,
  type Checked,
  type Flag,
  filled,
  flag,
  I32_MAX,
  oneOf,
  type Rows,
  seconds,
  text,
  whole,
} from './row.ts';
import { timerMs } from './times.ts';

export interface TaskKeys {
  /** Task workers; with more than 0 the `task` callback is needed. @default 0 */
  task_worker_num?: number;
  /** How tasks travel: 1 = to one worker, 2 = message queue, 3 = message queue that any task worker reads. @default 1 */
  task_ipc_mode?: 1 | 2 | 3;
  /** System V key for task_ipc_mode 2 and 3; tasks then survive a restart. @default 0 (a queue of its own) */
  message_queue_key?: number;
  /** Directory for large payloads. @default '/tmp' */
  task_tmpdir?: string;
  /** Tasks after which a task worker is replaced. @default 0 (never) */
  task_max_request?: number;
  /** A random number up to this is added to task_max_request. @default half of it when it is above 10, else 0 */
  task_max_request_grace?: number;
  /** Several tasks at a time in one task worker; `task` gets a Task object. @default false */
  task_enable_coroutine?: Flag;
  /** `task` gets a Task object. @default false */
  task_use_object?: Flag;
  /** The same as task_use_object. */
  task_object?: Flag;
  /** Seconds that `command` waits for an answer (a fraction is fine); 0 = no limit. @default 5 */
  command_timeout?: number;
}

export const TASK_ROWS = {
  task_worker_num: whole({ default: 0 }),
  task_ipc_mode: oneOf([1, 2, 3], SWOOLE_IPC_UNSOCK),
  message_queue_key: whole({ max: I32_MAX, default: 0 }),
  task_tmpdir: text({ default: '/tmp' }),
  task_max_request: whole({ default: 0 }),
  task_max_request_grace: whole(),
  task_enable_coroutine: flag(),
  task_use_object: flag(),
  task_object: alias('task_use_object'),
  command_timeout: seconds(5),
} satisfies Rows<TaskKeys>;

export interface TaskSlice extends TaskLifeSettings {
  taskWorkerNum: number;
  /** 1 to a worker, 2 queue, 3 queue that any task worker reads. */
  taskIpcMode: 1 | 2 | 3;
  /** 0 = a private queue. */
  messageQueueKey: number;
  taskTmpdir: string;
  /** True exactly when `task` gets a Task object. */
  taskObject: boolean;
  /** 0 = no limit. */
  commandTimeoutMs: number;
}

export function resolveTask(values: Checked<TaskKeys & RootKeys>, eventObject: boolean, warnings: string[]): TaskSlice {
  const set = filled(TASK_ROWS, values);
  return {
    taskWorkerNum: set.task_worker_num,
    taskIpcMode: resolveIpcMode(set.task_ipc_mode, set.task_enable_coroutine),
    messageQueueKey: set.message_queue_key,
    taskTmpdir: workerPath(set.task_tmpdir || TASK_ROWS.task_tmpdir.default, values),
    taskMaxRequest: set.task_max_request,
    taskMaxRequestGrace: graceOf(set.task_max_request, set.task_max_request_grace),
    taskEnableCoroutine: set.task_enable_coroutine,
    taskObject: eventObject || set.task_enable_coroutine || set.task_use_object,
    commandTimeoutMs: timerMs('command_timeout', set.command_timeout, warnings),
  };
}

function resolveIpcMode(mode: 1 | 2 | 3, taskEnableCoroutine: boolean): 1 | 2 | 3 {
  if (mode === SWOOLE_IPC_UNSOCK || !taskEnableCoroutine) return mode;
  const message = `task_ipc_mode ${mode} does not work with task_enable_coroutine: use task_ipc_mode 1, or leave out task_enable_coroutine.`;
  throw new TswooleError('ERR_SETTING_VALUE', message, { key: 'task_ipc_mode', expected: '1', got: String(mode) });
}
