/** Runs the task callback in task workers, and knows which task a call of finish() belongs to. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { TaskInHand } from '../../process/task-in-hand.ts';
import type { CallbackRunner } from '../callbacks/callback-runner.ts';
import type { ServerEvents } from '../callbacks/events.ts';
import type { Server } from '../server.ts';
import type { ServerCore } from '../state/core.ts';
import { Task } from './task.ts';

/** Follows a task through its timers and promises, so that a late finish() still finds it. */
const currentTask = new AsyncLocalStorage<TaskInHand | null>();

/** The task that the caller works on, or null. */
export function taskAtHand(): TaskInHand | null {
  return currentTask.getStore() ?? null;
}

type Run = (server: Server, task: TaskInHand) => unknown;

/**
 * Called through outside(), which goes back to the context before. Together they do what currentTask.run() does, but make
 * one context, and not two, each copied from the one before.
 */
function enterTask(task: TaskInHand, callback: Run, server: Server): unknown {
  currentTask.enterWith(task);
  return callback(server, task);
}

export class TaskCallbacks {
  private readonly server: Server;
  private readonly runner: CallbackRunner;
  private readonly callback: Run | null;
  /** Runs a function in the async context of this moment, where there is no task. */
  private readonly outside = AsyncLocalStorage.snapshot();

  constructor(core: ServerCore, runner: CallbackRunner) {
    this.server = core.server;
    this.runner = runner;
    this.callback = callbackOf(core);
  }

  run(task: TaskInHand): Promise<void> | undefined {
    const { callback, runner } = this;
    if (callback === null) return undefined;
    try {
      const result = this.outside(enterTask, task, callback, this.server);
      if (result === undefined || result === null) return undefined;
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
    if (value === undefined || value === null) return;
    try {
      task.answer(value);
    } catch (error) {
      // A result that no other process can be given.
      this.runner.failed('task', 0, error);
      task.fail();
    }
  }

  withoutTask(run: () => void): void {
    this.outside(run);
  }
}

function callbackOf(core: ServerCore): Run | null {
  const callback = core.callbacks.get('task');
  if (callback === null) return null;
  if (core.settings!.taskObject) {
    const withObject = callback as unknown as (server: Server, task: Task) => unknown;
    return (server, task) => withObject(server, new Task(task));
  }
  const plain = callback as unknown as ServerEvents['task'];
  return (server, task) => plain(server, task.id, task.shownSourceId, task.data);
}
