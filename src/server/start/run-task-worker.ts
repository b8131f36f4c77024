import { SWOOLE_IPC_UNSOCK, SWOOLE_LOG_WARNING } from '../../constants.ts';
import type { ChildDescription } from '../../process/environment.ts';
import { applyPrivileges } from '../../process/privileges.ts';
import { QueueReader } from '../../process/task-queue.ts';
import { TaskWorker } from '../../process/task-worker.ts';
import type { Segment } from '../../shm/segment.ts';
import type { ServerCore } from '../state/core.ts';
import { enter, makeStoppable, taskQueueOf } from './enter.ts';

export function runTaskWorker(
  core: ServerCore,
  description: ChildDescription,
  segment: Segment,
  doorbells: number[],
): void {
  const settings = core.settings!;
  const { id } = description;
  const runtime = enter(core, description, segment, doorbells);
  runtime.counters.beginLife();
  const queue =
    settings.taskIpcMode === SWOOLE_IPC_UNSOCK
      ? null
      : new QueueReader(taskQueueOf(segment), settings.taskIpcMode, id, settings.taskTmpdir, (text) =>
          core.logger.log(SWOOLE_LOG_WARNING, text),
        );
  const worker = new TaskWorker(runtime, core.application!, settings, queue);
  makeStoppable(core, runtime, (graceful) => worker.stop(graceful));
  applyPrivileges(settings, runtime, description.parent);
  worker.run();
}
