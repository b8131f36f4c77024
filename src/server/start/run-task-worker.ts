import { SWOOLE_IPC_UNSOCK } from '../../constants.ts';
import type { StartedChild } from '../../process/life/this-process.ts';
import { TaskWorker } from '../../process/roles/task-worker.ts';
import { QueueReader, taskQueueOf } from '../../process/way/task-queue.ts';
import { TASKS_DAMAGED } from '../../shm/counters.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { ServerState } from '../state/running.ts';
import { warn } from '../state/script.ts';
import { begin, enter, stopOnce, workerControl } from './enter.ts';
import { ownProcess } from './own-process.ts';

export function runTaskWorker(state: ServerState, plan: Plan, shared: Shared, child: StartedChild): void {
  const { script, settings } = plan;
  const { id } = child.description;
  const equipped = enter(plan, shared, child.description);
  const { runtime, application } = equipped;
  runtime.counters.beginLife();
  const queue =
    settings.taskIpcMode === SWOOLE_IPC_UNSOCK
      ? null
      : new QueueReader(taskQueueOf(shared.segment), settings.taskIpcMode, id, settings.taskTmpdir, (text) => {
          runtime.counters.add(TASKS_DAMAGED, 1);
          warn(script, text);
        });
  const worker = new TaskWorker(runtime, application, settings, queue);
  const stop = stopOnce(runtime, (graceful) => worker.stop(graceful));
  begin(state, equipped, workerControl(equipped, stop));
  if (child.parent !== null) ownProcess(equipped, child.parent, stop);
  worker.run();
}
