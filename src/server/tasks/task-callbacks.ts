/** Runs the task callback in task workers, and knows which task a call of finish() belongs to. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { SWOOLE_LOG_NOTICE } from '../../constants.ts';
import type { Logger } from '../../log/log.ts';
import type { TaskInHand } from '../../process/way/task-in-hand.ts';
import type { CallbackRunner } from '../callbacks/callback-runner.ts';
import type { ServerEvents } from '../callbacks/events.ts';
import type { Member } from '../state/member.ts';
import { Task } from './task.ts';

/** Below the half second that who waits has by default. */
const UNANSWERED_MS = 400;
const UNANSWERED =
  'the task callback has returned nothing, and finish() was not called: who waits for the result waits until the time is up. Return the result';

/** Follows a task through its timers and promises, so that a late finish() still finds it. */
const currentTask = new AsyncLocalStorage<TaskInHand | null>();

/** The task that the caller works on, or null. */
export function taskAtHand(): TaskInHand | null {
  return currentTask.getStore() ?? null;
}

type Run = (self: object, task: TaskInHand) => unknown;

/**
 * Called through outside(), which goes back to the context before. Together they do what currentTask.run() does, but make
 * one context, and not two, each copied from the one before.
 */
function enterTask(task: TaskInHand, callback: Run, self: object): unknown {
  currentTask.enterWith(task);
  return callback(self, task);
}

export class TaskCallbacks {
  private readonly self: object;
  private readonly runner: CallbackRunner;
  private readonly logger: Logger;
  private readonly callback: Run | null;
  private watchesUnanswered = false;
  /** Runs a function in the async context of this moment, where there is no task. */
  private readonly outside = AsyncLocalStorage.snapshot();

  constructor(member: Member) {
    this.self = member.script.self;
    this.runner = member.runner;
    this.logger = member.script.logger;
    this.callback = callbackOf(member);
  }

  run(task: TaskInHand): Promise<void> | undefined {
    const { callback, runner } = this;
    if (callback === null) return undefined;
    try {
      const result = this.outside(enterTask, task, callback, this.self);
      if (result === undefined || result === null) {
        this.watchUnanswered(task);
        return undefined;
      }
      const answer = (value: unknown): void => this.answer(task, value);
      const promise = runner.trackValue('task', 0, result, answer, () => task.fail());
      if (promise === undefined) this.answer(task, result);
      return promise;
    } catch (error) {
      runner.failed('task', 0, error);
      task.fail();
      return undefined;
    }
  }

  private answer(task: TaskInHand, value: unknown): void {
    if (value === undefined || value === null) {
      this.watchUnanswered(task);
      return;
    }
    try {
      task.answer(value);
    } catch (error) {
      // A result that no other process can be given.
      this.runner.failed('task', 0, error);
      task.fail();
    }
  }

  /**
   * A callback that has forgotten its `return` looks like one that answers later: told once, when finish() does not come
   * either. One task is watched at a time: who forgets does so again.
   */
  private watchUnanswered(task: TaskInHand): void {
    if (this.watchesUnanswered || !task.isAwaited) return;
    this.watchesUnanswered = true;
    this.outside(() => {
      setTimeout(() => {
        if (task.isAwaited) this.logger.log(SWOOLE_LOG_NOTICE, UNANSWERED);
        else this.watchesUnanswered = false;
      }, UNANSWERED_MS).unref();
    });
  }

  withoutTask(run: () => void): void {
    this.outside(run);
  }
}

function callbackOf({ script, settings }: Member): Run | null {
  const callback = script.callbacks.get('task');
  if (callback === null) return null;
  if (settings.taskObject) {
    const withObject = callback as unknown as (self: object, task: Task) => unknown;
    return (self, task) => withObject(self, new Task(task));
  }
  const plain = callback as unknown as ServerEvents<object>['task'];
  return (self, task) => plain(self, task.id, task.shownSourceId, task.data);
}
