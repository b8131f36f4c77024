/** The way to task workers: chooses one, and puts the task into its ring or into the message queue. */
import { SWOOLE_ERROR_SERVER_NO_IDLE_WORKER, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { TASKS_SENT, TASKS_UNIDLE } from '../../shm/counters.ts';
import { postLetter } from '../../shm/letter.ts';
import { someStart } from '../../shm/mailbox.ts';
import { TASK } from '../../shm/messages.ts';
import { WORKER_BUSY, WORKER_IDLE } from '../../shm/workers.ts';
import type { Runtime } from './runtime.ts';

/** Each notice is told once in this time at most. */
const NOTICE_MS = 1000;
/** Looking at the clock costs: only every so many tasks. */
const CLOCK_EVERY = 64;

/** How a task gets to the task worker that was chosen. */
export interface TaskRoute {
  /** Answers 0, or an error number when the task cannot be delivered. Throws for data that no process can be given. */
  post(workerId: number, taskId: number, sourceId: number, flags: number, data: unknown): number;
  /** Of the task that was posted last, the bytes of its data. */
  readonly dataBytes: number;
}

/** task_ipc_mode 1: the ring of the task worker. Where it is full, tasks wait in this process, in order. */
export class RingRoute implements TaskRoute {
  dataBytes = 0;
  private readonly runtime: Runtime;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  post(workerId: number, taskId: number, sourceId: number, flags: number, data: unknown): number {
    const { outbox, life } = this.runtime;
    const writer = outbox.toWorker(workerId);
    this.dataBytes = postLetter(writer, TASK, taskId, sourceId, life, flags, data, 'the data of a task');
    if (writer.blocked) this.runtime.holdTask();
    return 0;
  }
}

export class TaskSender {
  private readonly runtime: Runtime;
  private readonly route: TaskRoute;
  private readonly dataBytesMax: number;
  private readonly workerCount: number;
  private readonly taskWorkerCount: number;
  private readonly words: Int32Array;
  private next: number;
  /** No task worker was idle for the last task that was not meant for a certain one. */
  noneIdle = false;
  private noticedAt = Number.NEGATIVE_INFINITY;
  private unnoticed = 0;
  private largeAt = Number.NEGATIVE_INFINITY;

  /** More than `dataBytesMax` bytes of data are worth a warning. */
  constructor(runtime: Runtime, route: TaskRoute, dataBytesMax: number) {
    const { layout, words } = runtime.segment;
    this.runtime = runtime;
    this.route = route;
    this.dataBytesMax = dataBytesMax;
    this.workerCount = layout.workerCount;
    this.taskWorkerCount = layout.taskWorkerCount;
    this.words = words;
    // Not all sources should begin with the same one.
    this.next = Math.max(0, runtime.workerId) % Math.max(1, layout.taskWorkerCount);
  }

  /** `target` is the index of a task worker, or negative: then one that is idle, in turn. Answers 0 or an error number. */
  send(target: number, taskId: number, sourceId: number, flags: number, data: unknown): number {
    const { runtime } = this;
    this.noneIdle = false;
    const workerId = this.workerCount + (target >= 0 ? target : this.choose());
    const error = this.route.post(workerId, taskId, sourceId, flags, data);
    if (error !== 0) return error;
    // Others see at once that it has something to do, and choose another; it becomes idle when its ring is empty.
    // Looked at first: the exchange would take its cache line from the worker, whatever it finds.
    const statusWord = runtime.workers.statusWord(workerId);
    if (Atomics.load(this.words, statusWord) === WORKER_IDLE)
      Atomics.compareExchange(this.words, statusWord, WORKER_IDLE, WORKER_BUSY);
    runtime.counters.add(TASKS_SENT, 1);
    runtime.sent();
    if (this.route.dataBytes > this.dataBytesMax) this.noticeLarge(taskId);
    return 0;
  }

  private choose(): number {
    const { taskWorkerCount, workerCount, runtime } = this;
    const first = this.next;
    for (let i = 0; i < taskWorkerCount; i++) {
      const index = (first + i) % taskWorkerCount;
      if (runtime.workers.status(workerCount + index) !== WORKER_IDLE) continue;
      this.next = (index + 1) % taskWorkerCount;
      return index;
    }
    this.next = (first + 1) % taskWorkerCount;
    this.noneIdle = true;
    runtime.counters.add(TASKS_UNIDLE, 1);
    this.noticeBusy();
    return first;
  }

  private noticeLarge(taskId: number): void {
    const now = performance.now();
    if (now - this.largeAt < NOTICE_MS) return;
    this.largeAt = now;
    const { runtime, route, dataBytesMax } = this;
    runtime.logger.log(
      SWOOLE_LOG_WARNING,
      `task ${taskId} has ${route.dataBytes} bytes of data, more than package_max_length (${dataBytesMax}): it is sent all the same`,
    );
  }

  private noticeBusy(): void {
    if (--this.unnoticed > 0) return;
    this.unnoticed = CLOCK_EVERY;
    const now = performance.now();
    if (now - this.noticedAt < NOTICE_MS) return;
    // One that is only starting will be idle soon, as all are when the server starts.
    if (someStart(this.runtime.segment, this.workerCount, this.taskWorkerCount)) return;
    this.noticedAt = now;
    this.runtime.logger.log(
      SWOOLE_LOG_WARNING,
      'no idle task worker is available: tasks wait for the next one in turn',
      SWOOLE_ERROR_SERVER_NO_IDLE_WORKER,
    );
  }
}
