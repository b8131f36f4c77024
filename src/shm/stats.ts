/**
 * What `stats()` tells, read from the segment of a server and nothing else: a program beside the server can ask as well.
 * It is what was counted (counters.ts), and what the tables of the segment show.
 */
import { type MessageQueueStatus, messageQueueStatus } from '../sys/message-queue.ts';
import { COUNTERS, type Counter, type CounterLabel } from './counters.ts';
import { sumLanes } from './lanes.ts';
import { workerInbox } from './layout.ts';
import { ringUse } from './ring-control.ts';
import { type Segment, WORD_GENERATION, WORD_MAX_FD, WORD_MIN_FD, WORD_TASK_QUEUE } from './segment.ts';
import type { Stats } from './stats-shape.ts';
import { WORKER_IDLE, WorkerTable } from './workers.ts';

type Counted = Record<CounterLabel, number>;

/** A number that nobody counts. */
interface Figure extends Pick<Counter, 'unit' | 'help'> {
  read(segment: Segment, counted: Counted, queue: MessageQueueStatus): number;
}

function figure(unit: string, help: string, read: Figure['read']): Figure {
  return { unit, help, read };
}

const FIGURES = {
  start_time: figure('seconds', 'since 1970, when the server was started', ({ startTime }) => Math.floor(startTime)),
  generation: figure('', 'of the workers: 1, and one more with each reload that was not refused', (segment) =>
    segment.load(WORD_GENERATION),
  ),
  connection_num: figure('connections', 'that are open', ({ connections }) => connections),
  worker_num: figure('workers', 'as configured', ({ layout }) => layout.workerCount),
  task_worker_num: figure('task workers', 'as configured', ({ layout }) => layout.taskWorkerCount),
  user_worker_num: figure('user processes', 'as added', ({ layout }) => layout.userProcessCount),
  idle_worker_num: figure('workers', 'that are not inside a callback', (segment) =>
    idleAmong(segment, 0, segment.layout.workerCount),
  ),
  task_idle_worker_num: figure('task workers', 'that have nothing to do', (segment) =>
    idleAmong(segment, segment.layout.workerCount, segment.layout.taskWorkerCount),
  ),
  // In the queue there may be tasks that others have sent, or that this server has in its predecessor's stead.
  task_queue_num: figure('tasks', 'that were sent and not begun', (_segment, counted, queue) =>
    Math.max(tasksWaiting(counted), queue.count),
  ),
  task_queue_bytes: figure(
    'bytes',
    'of tasks in rings, or in the message queue',
    (_segment, _counted, { bytes }) => bytes,
  ),
  session_round: figure('', 'the last connection id given out', ({ sessionsGiven, startSessionId }) =>
    sessionsGiven === 0 ? 0 : startSessionId + sessionsGiven,
  ),
  min_fd: figure('', 'the lowest listening descriptor', (segment) => segment.load(WORD_MIN_FD)),
  max_fd: figure('', 'the highest descriptor of a connection so far', (segment) => segment.load(WORD_MAX_FD)),
  pipe_packet_msg_id: figure(
    '',
    'the number of the next message between processes',
    (_, counted) => counted.message_count + 1,
  ),
  concurrency: figure('requests', 'under way; 0 until there is HTTP', () => 0),
  worker_concurrency: figure('requests', 'under way in this process; 0 until there is HTTP', () => 0),
} as const satisfies Record<string, Figure>;

type FigureLabel = keyof typeof FIGURES;

/** What is to be said of each number in Stats. */
export const STATS: readonly Omit<Counter, 'id'>[] = [
  ...Object.entries(FIGURES).map(([label, { unit, help }]) => ({ label, kind: 'gauge', unit, help }) as const),
  ...COUNTERS,
];

const FIGURE_LIST: readonly (readonly [label: string, figure: Figure])[] = Object.entries(FIGURES);
/** A copy of it is a fast object, which one that grows by so many keys is not. */
const NOTHING = Object.fromEntries(STATS.map(({ label }) => [label, 0])) as Record<FigureLabel | CounterLabel, number>;

/** `lane` is that of the process whose own life is asked for; -1: nobody's. */
export function readStats(segment: Segment, lane: number): Stats {
  const stats: Record<string, number> & typeof NOTHING = { ...NOTHING };
  const sums = sumLanes(segment, lane);
  for (const { id, label } of COUNTERS) stats[label] = sums[Number(id)];
  const queue = readTaskQueue(segment, stats);
  for (const [label, { read }] of FIGURE_LIST) stats[label] = read(segment, stats, queue);
  return stats;
}

function idleAmong(segment: Segment, first: number, count: number): number {
  const workers = new WorkerTable(segment);
  let idle = 0;
  for (let id = first; id < first + count; id++) if (workers.status(id) === WORKER_IDLE) idle++;
  return idle;
}

/** Those in message queues are counted by the kernel. */
function readTaskQueue(segment: Segment, counted: Counted): MessageQueueStatus {
  const status = { count: tasksWaiting(counted), bytes: bytesInRings(segment), limit: 0 };
  const queue = segment.load(WORD_TASK_QUEUE) - 1;
  if (queue >= 0) messageQueueStatus(queue, status);
  return status;
}

function tasksWaiting({ task_count, task_begin_count, task_lost_count }: Counted): number {
  return Math.max(0, task_count - task_begin_count - task_lost_count);
}

function bytesInRings(segment: Segment): number {
  const { layout } = segment;
  let bytes = 0;
  for (let index = 0; index < layout.taskWorkerCount; index++) {
    const inbox = workerInbox(layout, layout.workerCount + index);
    for (let lane = 0; lane < layout.laneCount; lane++) bytes += ringUse(segment, inbox, lane);
  }
  return bytes;
}
