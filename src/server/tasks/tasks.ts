/** The side of tasks that sends them and waits for results: task(), taskwait() and their kin, in every process. */
import {
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_SERVER_NO_IDLE_WORKER,
  SWOOLE_ERROR_TASK_DISPATCH_FAIL,
  SWOOLE_ERROR_TASK_TIMEOUT,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_WARNING,
  SWOOLE_TASK_CALLBACK,
  SWOOLE_TASK_COROUTINE,
  SWOOLE_TASK_NONBLOCK,
  SWOOLE_TASK_NOREPLY,
} from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { TASK_FAILED } from '../../process/way/task-in-hand.ts';
import type { TaskSender } from '../../process/way/task-sender.ts';
import { RESULTS_DROPPED, TASKS_EXPIRED, TASKS_LOST } from '../../shm/counters.ts';
import { MANAGER_LANE, workerLane } from '../../shm/layout.ts';
import { RESULT } from '../../shm/messages.ts';
import { errorText } from '../../sys/error.ts';
import type { CallbackRunner } from '../callbacks/callback-runner.ts';
import { TaskResult } from '../callbacks/event-objects.ts';
import type { Member } from '../state/member.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { Awaited } from './awaited.ts';
import { taskAtHand } from './task-callbacks.ts';

/** Gets what a task has answered, once; where it failed, false and an error number. */
type Waiting = (value: unknown, code: number) => void;

/** Method style: a callback may name the type of the result that it expects. */
export type FinishCallback<Self, Result = unknown> = {
  call(self: Self, taskId: number, result: Result | false): unknown;
}['call'];

const IDS = 2 ** 32;
const TASKS_AT_ONCE_MAX = 1024;
/** Node's timers cannot wait longer. */
const WAIT_MAX_MS = 2 ** 31 - 1;

export class Tasks {
  private readonly member: Member;
  private readonly script: Script;
  private readonly runtime: Runtime;
  private readonly sender: TaskSender;
  private readonly runner: CallbackRunner;
  /** Whose answer is a call's, and whose is a finish callback's. */
  private readonly waiting = new Awaited<Waiting>();
  private readonly callbacks = new Awaited<FinishCallback<object>>();
  private nextId = 0;
  /** Results go to the next process of this worker id. */
  private cutOff = false;

  constructor(member: Member, sender: TaskSender) {
    this.member = member;
    this.script = member.script;
    this.runtime = member.runtime;
    this.sender = sender;
    this.runner = member.runner;
  }

  // ---- sending ----------------------------------------------------------------------------------------------------

  task(data: unknown, target: number, onFinish: unknown): number | false {
    if (!this.mayTask('task', data, target)) return false;
    if (this.runtime.role !== 'worker')
      return this.post(data, target, SWOOLE_TASK_NONBLOCK | SWOOLE_TASK_NOREPLY, null);
    if (onFinish === null) return this.post(data, target, SWOOLE_TASK_NONBLOCK, null);
    if (typeof onFinish !== 'function') {
      throw new TswooleError('ERR_ARGUMENT', `the finish callback must be a function, got ${describeValue(onFinish)}`, {
        key: 'finishCallback',
      });
    }
    const call = onFinish as FinishCallback<object>;
    const id = this.post(data, target, SWOOLE_TASK_NONBLOCK | SWOOLE_TASK_CALLBACK, null);
    if (id !== false && this.cutOff) setImmediate(() => this.callBack(call, id, false));
    else if (id !== false) {
      this.callbacks.add(id, call);
      this.runtime.blocker.expect();
    }
    return id;
  }

  wait(data: unknown, timeout: number, target: number): Promise<unknown> {
    if (!this.mayWait('taskwait') || !this.mayTask('taskwait', data, target)) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.ask(data, target, timeoutMs(timeout, 'taskwait'), (value, code) => {
        if (code !== 0) this.script.lastError.code = code;
        resolve(value);
      });
    });
  }

  /** As wait(), but nothing else happens in this process until the answer is there or the time is up. */
  waitSync(data: unknown, timeout: number, target: number): unknown {
    if (!this.mayWait('taskwaitSync') || !this.mayTask('taskwaitSync', data, target)) return false;
    const { runtime } = this;
    const ms = timeoutMs(timeout, 'taskwaitSync');
    const deadline = ms === 0 ? Number.POSITIVE_INFINITY : performance.now() + ms;
    if (!runtime.blocker.canBlock(deadline)) {
      this.warn('taskwaitSync() does not work in a worker that ends: its messages are for the next one');
      return fail(this.script, SWOOLE_ERROR_WRONG_OPERATION);
    }
    let answer: unknown = false;
    let code = SWOOLE_ERROR_CO_TIMEDOUT;
    let done = false;
    const id = this.post(data, target, SWOOLE_TASK_COROUTINE, (value, error) => {
      answer = value;
      code = error;
      done = true;
    });
    if (id === false) return false;
    const { layout } = runtime.segment;
    runtime.blocker.block({
      lanes: [
        [MANAGER_LANE, MANAGER_LANE + 1],
        [workerLane(layout, layout.workerCount, 0), workerLane(layout, layout.workerCount + layout.taskWorkerCount, 0)],
      ],
      wants: (message) => message.kind === RESULT && message.a >>> 0 === id,
      done: () => done,
      deadline,
    });
    this.waiting.take(id);
    if (!done) runtime.counters.add(TASKS_EXPIRED, 1);
    if (code !== 0) this.script.lastError.code = code;
    return answer;
  }

  /** Many at once. The place of one that was not answered in time stays empty with `leaveOut`, and is false without. */
  waitAll(method: string, tasks: readonly unknown[], timeout: number, leaveOut: boolean): Promise<unknown[] | false> {
    if (!Array.isArray(tasks)) {
      throw new TswooleError('ERR_ARGUMENT', `${method}() takes an array of tasks, got ${describeValue(tasks)}`, {
        key: 'tasks',
      });
    }
    if (!this.mayWait(method) || !this.mayTask(method, tasks, -1)) return Promise.resolve(false);
    if (tasks.length > TASKS_AT_ONCE_MAX) {
      this.warn(`${method}(): at most ${TASKS_AT_ONCE_MAX} tasks at once, got ${tasks.length}`);
      this.script.lastError.code = SWOOLE_ERROR_INVALID_PARAMS;
      return Promise.resolve(false);
    }
    if (tasks.length === 0) {
      this.script.lastError.code = SWOOLE_ERROR_TASK_DISPATCH_FAIL;
      return Promise.resolve(false);
    }
    const hole = Array.from(tasks).indexOf(undefined);
    if (hole !== -1)
      throw new TswooleError('ERR_ARGUMENT', `${method}() needs the data of each task: [${hole}] has none`, {
        key: 'tasks',
      });
    const ms = timeoutMs(timeout, method);
    return new Promise((resolve, reject) => {
      const results: unknown[] = new Array(tasks.length);
      let left = tasks.length;
      const ids: number[] = [];
      const leave = (): void => {
        if (timer !== null) clearTimeout(timer);
        for (const id of ids) this.waiting.take(id);
      };
      const finish = (): void => {
        leave();
        resolve(results);
      };
      const timer =
        ms === 0
          ? null
          : setTimeout(() => {
              this.script.lastError.code = SWOOLE_ERROR_CO_TIMEDOUT;
              this.runtime.counters.add(TASKS_EXPIRED, left);
              if (!leaveOut) for (let i = 0; i < tasks.length; i++) if (!(i in results)) results[i] = false;
              finish();
            }, ms);
      try {
        tasks.forEach((data, index) => {
          const id = this.post(data, -1, SWOOLE_TASK_COROUTINE, (value, code) => {
            results[index] = value;
            if (code !== 0) this.script.lastError.code = code;
            if (--left === 0) finish();
          });
          if (id !== false) ids.push(id);
          else {
            results[index] = false;
            left--;
          }
        });
      } catch (error) {
        // Data that no process can be given. Those before it are on their way, but nobody waits for them.
        leave();
        reject(error);
        return;
      }
      if (left > 0) return;
      leave();
      this.script.lastError.code = SWOOLE_ERROR_TASK_DISPATCH_FAIL;
      resolve(false);
    });
  }

  /** Answers the task that the caller works on. */
  finish(data: unknown): boolean {
    const { runtime } = this;
    if (runtime.role !== 'task') {
      this.warn('finish() works in task workers only');
      return fail(this.script, SWOOLE_ERROR_WRONG_OPERATION);
    }
    if (this.member.settings.taskEnableCoroutine) {
      throw new TswooleError(
        'ERR_STATE',
        'finish() cannot know which of several tasks is meant where task_enable_coroutine is on: call task.finish()',
      );
    }
    const task = taskAtHand();
    if (task !== null) return task.answer(data);
    this.warn('finish(): there is no task to answer here');
    return fail(this.script, SWOOLE_ERROR_WRONG_OPERATION);
  }

  private ask(data: unknown, target: number, ms: number, settle: (value: unknown, code: number) => void): void {
    let timer: NodeJS.Timeout | null = null;
    const id = this.post(data, target, SWOOLE_TASK_COROUTINE, (value, code) => {
      if (timer !== null) clearTimeout(timer);
      settle(value, code);
    });
    if (id === false) {
      settle(false, this.script.lastError.code);
      return;
    }
    if (ms === 0) return;
    timer = setTimeout(() => {
      this.waiting.take(id);
      this.runtime.counters.add(TASKS_EXPIRED, 1);
      settle(false, SWOOLE_ERROR_CO_TIMEDOUT);
    }, ms);
  }

  private post(data: unknown, target: number, flags: number, waiting: Waiting | null): number | false {
    const id = this.nextId;
    const error = this.sender.send(target, id, this.runtime.workerId, flags, data);
    if (error !== 0) return fail(this.script, error);
    // It was sent, and waits: task() tells so. Who waits for a result will have another code, or none.
    if (this.sender.noneIdle && waiting === null) this.script.lastError.code = SWOOLE_ERROR_SERVER_NO_IDLE_WORKER;
    this.nextId = (id + 1) % IDS;
    // Not in this turn: whoever asks again and again would keep the loop from everything else.
    if (waiting !== null && this.cutOff) setImmediate(() => waiting(false, SWOOLE_ERROR_CO_CANCELED));
    else if (waiting !== null) {
      this.waiting.add(id, waiting);
      this.runtime.blocker.expect();
    }
    return id;
  }

  private mayTask(method: string, data: unknown, target: number): boolean {
    const { script, runtime } = this;
    const { taskWorkerCount } = runtime.segment.layout;
    if (data === undefined) {
      throw new TswooleError('ERR_ARGUMENT', `${method}() needs the data of the task`, { key: 'data' });
    }
    if (taskWorkerCount === 0) {
      this.warn(`${method}(): there are no task workers: set task_worker_num`);
      return fail(script, SWOOLE_ERROR_WRONG_OPERATION);
    }
    if (runtime.role === 'task') {
      this.warn(`${method}() does not work in task workers`);
      return fail(script, SWOOLE_ERROR_WRONG_OPERATION);
    }
    if (!Number.isInteger(target) || target >= taskWorkerCount) {
      this.warn(
        `${method}(): there is no task worker ${describeValue(target)}: they count from 0 to ${taskWorkerCount - 1}`,
      );
      return fail(script, SWOOLE_ERROR_INVALID_PARAMS);
    }
    return true;
  }

  private mayWait(method: string): boolean {
    if (this.runtime.role === 'worker') return true;
    this.warn(`${method}() works in event workers only`);
    return fail(this.script, SWOOLE_ERROR_WRONG_OPERATION);
  }

  // ---- results ----------------------------------------------------------------------------------------------------

  result(taskId: number, taskWorkerId: number, life: number, flags: number, seconds: number, value: unknown): void {
    const failed = (flags & TASK_FAILED) !== 0;
    // Else one that another process of our worker id has asked for: the one before us, or the next one.
    const ours = life === this.runtime.life;
    if (!ours && (flags & (SWOOLE_TASK_CALLBACK | SWOOLE_TASK_COROUTINE)) !== 0) {
      if (this.runtime.keepForHeir({ kind: RESULT, a: taskId, b: taskWorkerId, life, flags, value })) return;
    }
    if (ours && (flags & SWOOLE_TASK_CALLBACK) !== 0) {
      const callback = this.callbacks.take(taskId);
      if (callback !== undefined) {
        this.callBack(callback, taskId, failed ? false : value);
        return;
      }
    } else if (ours) {
      const waiting = this.waiting.take(taskId);
      if (waiting !== undefined) {
        if (failed) waiting(false, Number(value));
        else waiting(value, 0);
        return;
      }
    }
    if (failed) return;
    if ((flags & (SWOOLE_TASK_CALLBACK | SWOOLE_TASK_COROUTINE)) === 0)
      this.fireFinish(taskId, taskWorkerId, seconds, value);
    else if (ours && (flags & SWOOLE_TASK_CALLBACK) !== 0)
      this.script.logger.log(
        SWOOLE_LOG_DEBUG,
        `task ${taskId} has answered again: its callback takes the first answer only`,
      );
    else {
      this.runtime.counters.add(RESULTS_DROPPED, 1);
      this.warn(`task[${taskId}] has expired: nobody waits for its result any more`, SWOOLE_ERROR_TASK_TIMEOUT);
    }
  }

  /** Who waits is told now, and not when its time is up. Tasks are sent as before. */
  noMoreResults(): void {
    this.cutOff = true;
    for (const [, waiting] of this.waiting.takeAll()) waiting(false, SWOOLE_ERROR_CO_CANCELED);
    for (const [id, callback] of this.callbacks.takeAll()) this.callBack(callback, id, false);
  }

  /** A task that was accepted found no way to its task worker. */
  undeliverable(taskId: number, error: number): void {
    this.runtime.counters.add(TASKS_LOST, 1);
    this.warn(`task ${taskId} is lost: ${errorText(error)}`, error);
    this.waiting.take(taskId)?.(false, error);
    const callback = this.callbacks.take(taskId);
    if (callback !== undefined) this.callBack(callback, taskId, false);
  }

  private callBack(callback: FinishCallback<object>, taskId: number, value: unknown): void {
    try {
      const result: unknown = callback(this.script.self, taskId, value);
      if (result !== undefined && result !== null) this.runner.track('finish', 0, result, null);
    } catch (error) {
      this.runner.failed('finish', 0, error);
    }
  }

  private fireFinish(taskId: number, taskWorkerId: number, seconds: number, value: unknown): void {
    const { self, callbacks, logger } = this.script;
    const callback = callbacks.get('finish') as ((...args: unknown[]) => unknown) | null;
    if (callback === null) {
      this.runtime.counters.add(RESULTS_DROPPED, 1);
      logger.once('finish', SWOOLE_LOG_WARNING, 'a task has a result, but there is no finish callback: it is dropped');
      return;
    }
    if (this.member.settings.eventObject)
      this.runner.call('finish', 0, () => callback(self, new TaskResult(taskId, taskWorkerId, seconds, value)));
    else this.callBack(callback as FinishCallback<object>, taskId, value);
  }

  private warn(text: string, code?: number): void {
    warn(this.script, text, code);
  }
}

/** From seconds; 0 means without a limit. */
function timeoutMs(seconds: number, method: string): number {
  if (typeof seconds !== 'number' || Number.isNaN(seconds)) {
    throw new TswooleError(
      'ERR_ARGUMENT',
      `the timeout of ${method}() is a number of seconds, got ${describeValue(seconds)}`,
      {
        key: 'timeout',
      },
    );
  }
  return seconds <= 0 ? 0 : Math.min(WAIT_MAX_MS, Math.max(1, Math.round(seconds * 1000)));
}
