/**
 * task_ipc_mode 2 and 3: tasks wait in a System V message queue of the kernel, where they outlive their senders, and with
 * message_queue_key the server too. A message's type is the id of the task worker that was chosen plus one; in mode 3 any
 * task worker takes any message. Results come back through rings, as in mode 1.
 *
 * The kernel tells nobody of a new message, so the sender tells the task worker through its ring; other programs do not,
 * and for theirs task workers look from time to time.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SWOOLE_IPC_PREEMPTIVE, SWOOLE_TASK_TMPFILE } from '../constants.ts';
import { workerInbox } from '../shm/layout.ts';
import { decodeLetter, encodeLetter } from '../shm/letter.ts';
import { TASK_QUEUED } from '../shm/messages.ts';
import { decodeTask, encodeTask, type QueuedTask } from '../shm/queued-task.ts';
import { EAGAIN, EINVAL } from '../sys/constants.ts';
import { receiveMessage, sendMessage } from '../sys/message-queue.ts';
import type { Runtime } from './runtime.ts';
import type { TaskRoute } from './task-sender.ts';

/** What Swoole puts into a message; more goes through a file. The kernel's limit is 8192 unless it was changed. */
const MESSAGE_BYTES_MAX = 8152;

interface Waiting {
  workerId: number;
  bytes: Buffer;
}

/** The sender's side. What the queue has no room for waits in this process, in order. */
export class QueueRoute implements TaskRoute {
  private readonly runtime: Runtime;
  private readonly queue: number;
  private readonly directory: string;
  private waiting: Waiting[] = [];
  /** Those before it have gone. */
  private next = 0;

  constructor(runtime: Runtime, queue: number, directory: string) {
    this.runtime = runtime;
    this.queue = queue;
    this.directory = directory;
    runtime.pumpMore = () => this.pump();
  }

  post(workerId: number, taskId: number, sourceId: number, flags: number, data: unknown): number {
    const whole = encodeTask(taskId, sourceId, process.pid, flags, data);
    const bytes = whole.length <= MESSAGE_BYTES_MAX ? whole : this.throughFile(taskId, sourceId, flags, data);
    if (this.waiting.length > 0) {
      this.waiting.push({ workerId, bytes });
      return 0;
    }
    const error = this.send(workerId, bytes);
    if (error === EAGAIN) this.waiting.push({ workerId, bytes });
    return error === EAGAIN ? 0 : error;
  }

  /** Answers true when nothing waits any more. */
  pump(): boolean {
    const { waiting } = this;
    for (; this.next < waiting.length; this.next++) {
      const { workerId, bytes } = waiting[this.next];
      // Any other error means that the queue is gone: whoever waits for these tasks will see the time run out.
      if (this.send(workerId, bytes) === EAGAIN) break;
    }
    if (this.next * 2 > waiting.length) {
      waiting.splice(0, this.next);
      this.next = 0;
    }
    return this.next === waiting.length;
  }

  private send(workerId: number, bytes: Buffer): number {
    const { segment, outbox } = this.runtime;
    const error = sendMessage(this.queue, workerId + 1, bytes);
    if (error === 0) outbox.to(workerInbox(segment.layout, workerId)).post(TASK_QUEUED, 0, 0);
    return error;
  }

  private throughFile(taskId: number, sourceId: number, flags: number, data: unknown): Buffer {
    mkdirSync(this.directory, { recursive: true });
    const path = join(this.directory, `swoole.task.${randomUUID()}`);
    writeFileSync(path, encodeLetter(process.pid, flags, data, 'the data of a task'), { mode: 0o600, flag: 'wx' });
    return encodeTask(taskId, sourceId, process.pid, flags | SWOOLE_TASK_TMPFILE, path);
  }
}

/** The task worker's side. */
export class QueueReader {
  private readonly queue: number;
  /** 0: any. */
  private readonly type: number;
  private readonly onDamage: (text: string) => void;
  private readonly answer = { error: 0 };

  constructor(queue: number, mode: number, workerId: number, onDamage: (text: string) => void) {
    this.queue = queue;
    this.type = mode === SWOOLE_IPC_PREEMPTIVE ? 0 : workerId + 1;
    this.onDamage = onDamage;
  }

  /** The next task, or null when there is none. What is no task is dropped and told: other programs can write here. */
  next(): QueuedTask | null {
    for (;;) {
      const message = receiveMessage(this.queue, this.type, this.answer);
      if (message === null) {
        if (this.answer.error === EINVAL) throw new Error('the message queue of the tasks was removed');
        return null;
      }
      try {
        const task = decodeTask(message.data);
        if ((task.flags & SWOOLE_TASK_TMPFILE) !== 0) fromFile(task);
        return task;
      } catch (error) {
        this.onDamage(
          `a message of ${message.data.length} bytes in the task queue is dropped: ${(error as Error).message}`,
        );
      }
    }
  }
}

function fromFile(task: QueuedTask): void {
  const path = String(task.value);
  const { taskId, sourceId } = task;
  decodeLetter(readFileSync(path), task);
  rmSync(path, { force: true });
  task.taskId = taskId;
  task.sourceId = sourceId;
}
