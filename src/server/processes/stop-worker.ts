import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_WRONG_OPERATION } from '../../constants.ts';
import { workerInbox } from '../../shm/layout.ts';
import { STOP_WORKER } from '../../shm/messages.ts';
import type { Running } from '../state/running.ts';
import { fail } from '../state/script.ts';

/**
 * Stops a worker, or (-1) this one; who is told through a ring takes its time. Without `waitEvent` it ends as soon as its
 * current callback is done: timers and async callbacks do not go on.
 */
export function stopWorker(running: Running, workerId: number, waitEvent: boolean): boolean {
  const { script, settings, runtime, control } = running;
  const { layout } = runtime.segment;
  if (workerId === -1 && running.workerId === -1) return fail(script, SWOOLE_ERROR_WRONG_OPERATION);
  const id = workerId === -1 ? running.workerId : workerId;
  if (!Number.isInteger(id) || id < 0 || id >= layout.workerCount + layout.taskWorkerCount)
    return fail(script, SWOOLE_ERROR_INVALID_PARAMS);
  // One that does a task at a time waits for nothing but that task: its callback is the current one.
  const finishesTask = id >= layout.workerCount && settings.reloadAsync && !settings.taskEnableCoroutine;
  const graceful = waitEvent || finishesTask;
  if (id === running.workerId) return control.stopSelf(graceful);
  runtime.tell(workerInbox(layout, id), STOP_WORKER, 0, graceful ? 1 : 0);
  return true;
}
