import { SWOOLE_IPC_UNSOCK } from '../../constants.ts';
import type { ChildDescription } from '../../process/environment.ts';
import { applyPrivileges } from '../../process/privileges.ts';
import { QueueReader, taskQueueOf } from '../../process/task-queue.ts';
import { TaskWorker } from '../../process/task-worker.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { ServerState } from '../state/running.ts';
import { warn } from '../state/script.ts';
import { begin, enter, makeStoppable } from './enter.ts';

export function runTaskWorker(state: ServerState, plan: Plan, shared: Shared, description: ChildDescription): void {
  const { script, settings } = plan;
  const { id } = description;
  const equipped = enter(plan, shared, description);
  const { runtime, application } = equipped;
  runtime.counters.beginLife();
  const queue =
    settings.taskIpcMode === SWOOLE_IPC_UNSOCK
      ? null
      : new QueueReader(taskQueueOf(shared.segment), settings.taskIpcMode, id, settings.taskTmpdir, (text) =>
          warn(script, text),
        );
  const worker = new TaskWorker(runtime, application, settings, queue);
  begin(
    state,
    equipped,
    makeStoppable(equipped, (graceful) => worker.stop(graceful)),
  );
  applyPrivileges(settings, runtime, description.parent);
  worker.run();
}
