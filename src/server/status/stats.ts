import { SWOOLE_IPC_UNSOCK } from '../../constants.ts';
import {
  ABORTED,
  ACCEPTED,
  CALLBACKS_NOW,
  CALLBACKS_PEAK,
  CLOSED,
  DISPATCHES,
  LIFE_DISPATCHES,
  LIFE_REQUESTS,
  LIFE_RESPONSES,
  MESSAGES,
  RECEIVED_BYTES,
  REQUESTS,
  RESPONSES,
  SENT_BYTES,
  TASKS_BEGUN,
  TASKS_LOST,
  TASKS_SENT,
} from '../../shm/counters.ts';
import { total } from '../../shm/lanes.ts';
import { workerInbox } from '../../shm/layout.ts';
import { ringUse } from '../../shm/ring.ts';
import { WORD_MAX_FD } from '../../shm/segment.ts';
import { WORKER_IDLE } from '../../shm/workers.ts';
import { messageQueueStatus } from '../../sys/message-queue.ts';
import { firstListeners } from '../start/boot-record.ts';
import { taskQueueOf } from '../start/enter.ts';
import type { ServerCore } from '../state/core.ts';

/** What `server.stats()` tells. Totals count from start() and survive workers. */
export interface Stats {
  /** Seconds since 1970. */
  start_time: number;
  connection_num: number;
  /** Connections that were refused. */
  abort_count: number;
  accept_count: number;
  close_count: number;
  worker_num: number;
  task_worker_num: number;
  user_worker_num: number;
  idle_worker_num: number;
  dispatch_count: number;
  request_count: number;
  response_count: number;
  total_recv_bytes: number;
  total_send_bytes: number;
  pipe_packet_msg_id: number;
  concurrency: number;
  /** The last connection id given out. */
  session_round: number;
  min_fd: number;
  max_fd: number;
  /** Of the current process. */
  worker_request_count: number;
  worker_response_count: number;
  worker_dispatch_count: number;
  worker_concurrency: number;
  /** Task workers that have nothing to do, */
  task_idle_worker_num: number;
  /** tasks that were sent and not begun, */
  tasking_num: number;
  /** all tasks that were sent, */
  task_count: number;
  /** and what waits in the rings or in the message queue. */
  task_queue_num: number;
  task_queue_bytes: number;
  /** Unfinished async callbacks of this process, now and at most. */
  coroutine_num: number;
  coroutine_peek_num: number;
}

export function readStats(core: ServerCore): Stats {
  const { segment, workers, counters } = core.runtime!;
  const { layout } = segment;
  let idle = 0;
  for (let id = 0; id < layout.workerCount; id++) if (workers.status(id) === WORKER_IDLE) idle++;
  const accepted = total(segment, ACCEPTED);
  return {
    start_time: Math.floor(segment.startTime),
    connection_num: segment.connections,
    abort_count: total(segment, ABORTED),
    accept_count: accepted,
    close_count: total(segment, CLOSED),
    worker_num: layout.workerCount,
    task_worker_num: layout.taskWorkerCount,
    user_worker_num: layout.userProcessCount,
    idle_worker_num: idle,
    dispatch_count: total(segment, DISPATCHES),
    request_count: total(segment, REQUESTS),
    response_count: total(segment, RESPONSES),
    total_recv_bytes: total(segment, RECEIVED_BYTES),
    total_send_bytes: total(segment, SENT_BYTES),
    pipe_packet_msg_id: total(segment, MESSAGES) + 1,
    concurrency: 0,
    session_round: segment.sessionsGiven === 0 ? 0 : segment.startSessionId + segment.sessionsGiven,
    min_fd: Math.min(...firstListeners(core)),
    max_fd: segment.load(WORD_MAX_FD),
    worker_request_count: counters.get(LIFE_REQUESTS),
    worker_response_count: counters.get(LIFE_RESPONSES),
    worker_dispatch_count: counters.get(LIFE_DISPATCHES),
    worker_concurrency: 0,
    ...taskStats(core),
    coroutine_num: counters.get(CALLBACKS_NOW),
    coroutine_peek_num: counters.get(CALLBACKS_PEAK),
  };
}

type TaskStats = Pick<
  Stats,
  'task_idle_worker_num' | 'tasking_num' | 'task_count' | 'task_queue_num' | 'task_queue_bytes'
>;

function taskStats(core: ServerCore): TaskStats {
  const { segment, workers } = core.runtime!;
  const { layout } = segment;
  let idle = 0;
  let bytes = 0;
  for (let index = 0; index < layout.taskWorkerCount; index++) {
    const id = layout.workerCount + index;
    if (workers.status(id) === WORKER_IDLE) idle++;
    const inbox = workerInbox(layout, id);
    for (let lane = 0; lane < layout.laneCount; lane++) bytes += ringUse(segment, inbox, lane);
  }
  const sent = total(segment, TASKS_SENT);
  const waiting = Math.max(0, sent - total(segment, TASKS_BEGUN) - total(segment, TASKS_LOST));
  const queue = { count: waiting, bytes, limit: 0 };
  if (layout.taskWorkerCount > 0 && core.settings!.taskIpcMode !== SWOOLE_IPC_UNSOCK)
    messageQueueStatus(taskQueueOf(segment), queue);
  return {
    task_idle_worker_num: idle,
    // In the queue there may be tasks that others have sent, or that this server has in its predecessor's stead.
    tasking_num: Math.max(waiting, queue.count),
    task_count: sent,
    task_queue_num: queue.count,
    task_queue_bytes: queue.bytes,
  };
}
