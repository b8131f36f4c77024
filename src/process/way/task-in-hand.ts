/** A task that this process has taken, from its letter to its last answer. */
import {
  SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
  SWOOLE_ERROR_TASK_DISPATCH_FAIL,
  SWOOLE_TASK_CALLBACK,
  SWOOLE_TASK_COROUTINE,
  SWOOLE_TASK_NOREPLY,
} from '../../constants.ts';
import { type Letter, postLetter } from '../../shm/letter.ts';
import { RESULT } from '../../shm/messages.ts';
import type { RingWriter } from '../../shm/ring.ts';
import type { TaskInTable, TasksInHand } from '../../shm/tasks-in-hand.ts';
import type { Runtime } from './runtime.ts';

/** A flag of RESULT, beside those of tasks: the task failed, and the value is the error number. */
export const TASK_FAILED = 0x10000;

/** Tells whoever waits for a task that it died with the process of a task worker, in the place of that process. */
export function tellTaskDied(
  runtime: Runtime,
  taskWorkerId: number,
  { taskId, source, life, flags }: TaskInTable,
): void {
  if (!isAnswerable(runtime, source, flags)) return;
  const writer = runtime.outbox.toWorker(source);
  const code = SWOOLE_ERROR_SERVER_WORKER_TERMINATED;
  postLetter(writer, RESULT, taskId, taskWorkerId, life, flags | TASK_FAILED, code, '');
  runtime.sent();
}

function isAnswerable(runtime: Runtime, sourceId: number, flags: number): boolean {
  return (flags & SWOOLE_TASK_NOREPLY) === 0 && sourceId >= 0 && sourceId < runtime.segment.layout.workerCount;
}

export class TaskInHand {
  readonly id: number;
  /** Worker id of the process that sent it; -1 where it is none, or is nobody to answer. */
  readonly sourceId: number;
  readonly life: number;
  readonly flags: number;
  readonly seconds: number;
  readonly data: unknown;
  /** Where it stands in the table of tasks in hand. */
  readonly entry: number;
  private readonly runtime: Runtime;
  private hands: TasksInHand | null;
  private answered = false;

  constructor(runtime: Runtime, hands: TasksInHand, id: number, sourceId: number, letter: Letter, entry: number) {
    this.runtime = runtime;
    this.hands = hands;
    this.id = id;
    this.sourceId = sourceId;
    this.life = letter.life;
    this.flags = letter.flags;
    this.seconds = letter.seconds;
    this.data = letter.value;
    this.entry = entry;
  }

  /** What users see: Swoole has 0 for master and manager. */
  get shownSourceId(): number {
    return Math.max(0, this.sourceId);
  }

  /** True exactly when somebody can be answered. */
  get wantsAnswer(): boolean {
    return isAnswerable(this.runtime, this.sourceId, this.flags);
  }

  /** True exactly when somebody waits for it, whom no result has been sent to. */
  get isAwaited(): boolean {
    return !this.answered && this.wantsAnswer && (this.flags & (SWOOLE_TASK_COROUTINE | SWOOLE_TASK_CALLBACK)) !== 0;
  }

  /** Sends a result; there may be several. Answers false when nobody can be answered. */
  answer(value: unknown): boolean {
    return this.send(this.flags, value, 'the result of a task');
  }

  /** Its callback has failed: tells whoever waits for an answer that there will be none. */
  fail(): void {
    if (!this.answered) this.send(this.flags | TASK_FAILED, SWOOLE_ERROR_TASK_DISPATCH_FAIL, '');
  }

  private send(flags: number, value: unknown, what: string): boolean {
    if (!this.wantsAnswer) return false;
    const { runtime } = this;
    const writer = this.writer();
    postLetter(writer, RESULT, this.id, runtime.workerId, this.life, flags, value, what);
    this.answered = true;
    if (!writer.blocked) this.hands?.answered(this.entry);
    runtime.sent();
    return true;
  }

  /** The task is over: its place in the table is another's now, though it may still be answered. */
  leave(): void {
    this.hands?.release(this.entry);
    this.hands = null;
  }

  /** True once its callback, or the promise of that, is done. */
  get isOver(): boolean {
    return this.hands === null;
  }

  /** The ring that its answers go through. */
  writer(): RingWriter {
    return this.runtime.outbox.toWorker(this.sourceId);
  }
}
