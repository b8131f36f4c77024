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
import { basename, dirname, join, resolve } from 'node:path';
import { SWOOLE_IPC_PREEMPTIVE, SWOOLE_TASK_TMPFILE } from '../constants.ts';
import { workerInbox } from '../shm/layout.ts';
import { decodeLetter } from '../shm/letter.ts';
import { TASK_QUEUED } from '../shm/messages.ts';
import { decodeTask, encodeTask, letterOfTask, type QueuedTask } from '../shm/queued-task.ts';
import { EAGAIN, EIO, ENOMSG } from '../sys/constants.ts';
import { receiveMessage, removeMessageQueue, sendMessage } from '../sys/message-queue.ts';
import type { Runtime } from './runtime.ts';
import type { TaskRoute } from './task-sender.ts';

/** What Swoole puts into a message; more goes through a file. The kernel's limit is 8192 unless it was changed. */
const MESSAGE_BYTES_MAX = 8152;
const FILE_PREFIX = 'swoole.task.';

/** A task on its way into the queue. */
interface Outgoing {
  readonly workerId: number;
  readonly taskId: number;
  readonly sourceId: number;
  readonly flags: number;
  /** The whole task; once it is in a file, what names that. */
  bytes: Buffer;
  /** Its file, or '' where it has none (yet). */
  path: string;
}

/** The sender's side. What the queue has no room for waits in this process, in order. */
export class QueueRoute implements TaskRoute {
  private readonly runtime: Runtime;
  private readonly queue: number;
  private readonly directory: string;
  private readonly onLost: (taskId: number, error: number) => void;
  private waiting: Outgoing[] = [];
  /** Those before it have gone. */
  private next = 0;

  /** `onLost` is told of tasks that were accepted, and then found the queue gone or the disk full. */
  constructor(runtime: Runtime, queue: number, directory: string, onLost: (taskId: number, error: number) => void) {
    this.runtime = runtime;
    this.queue = queue;
    this.directory = directory;
    this.onLost = onLost;
    runtime.pumpMore = () => this.pump();
  }

  post(workerId: number, taskId: number, sourceId: number, flags: number, data: unknown): number {
    const bytes = encodeTask(taskId, sourceId, process.pid, flags, data);
    const task: Outgoing = { workerId, taskId, sourceId, flags, bytes, path: '' };
    const error = this.waiting.length > 0 ? EAGAIN : this.send(task);
    if (error !== EAGAIN) return error;
    this.waiting.push(task);
    this.runtime.holdTask();
    return 0;
  }

  /** Answers true when nothing waits any more. */
  pump(): boolean {
    const { waiting } = this;
    for (; this.next < waiting.length; this.next++) {
      const task = waiting[this.next];
      const error = this.send(task);
      if (error === EAGAIN) break;
      if (error !== 0) this.onLost(task.taskId, error);
    }
    if (this.next * 2 > waiting.length) {
      waiting.splice(0, this.next);
      this.next = 0;
    }
    this.runtime.waitingElsewhere = waiting.length - this.next;
    return this.next === waiting.length;
  }

  /** Answers 0 or an errno; EAGAIN: the queue is full, try again. */
  private send(task: Outgoing): number {
    const { segment, outbox } = this.runtime;
    let error = task.bytes.length > MESSAGE_BYTES_MAX ? this.putIntoFile(task) : 0;
    if (error === 0) error = sendMessage(this.queue, task.workerId + 1, task.bytes);
    if (error === 0) outbox.to(workerInbox(segment.layout, task.workerId)).post(TASK_QUEUED, 0, 0);
    else if (error !== EAGAIN && task.path !== '') rmSync(task.path, { force: true });
    return error;
  }

  /** Only now, and not while it waits: what dies with its sender leaves no file behind. */
  private putIntoFile(task: Outgoing): number {
    const path = join(this.directory, `${FILE_PREFIX}${randomUUID()}`);
    task.path = path;
    try {
      mkdirSync(this.directory, { recursive: true });
      writeFileSync(path, letterOfTask(task.bytes), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      return -((error as NodeJS.ErrnoException).errno ?? -EIO);
    }
    task.bytes = encodeTask(task.taskId, task.sourceId, process.pid, task.flags | SWOOLE_TASK_TMPFILE, path);
    return 0;
  }
}

/** The task worker's side. */
export class QueueReader {
  private readonly queue: number;
  /** 0: any. */
  private readonly type: number;
  private readonly directory: string;
  private readonly onDamage: (text: string) => void;
  private readonly answer = { error: 0 };
  private isGone = false;

  constructor(queue: number, mode: number, workerId: number, directory: string, onDamage: (text: string) => void) {
    this.queue = queue;
    this.type = mode === SWOOLE_IPC_PREEMPTIVE ? 0 : workerId + 1;
    this.directory = directory;
    this.onDamage = onDamage;
  }

  /** The next task, or null when there is none. What is no task is dropped and told: other programs can write here. */
  next(): QueuedTask | null {
    for (;;) {
      const message = receiveMessage(this.queue, this.type, this.answer);
      if (message === null) {
        if (this.answer.error !== ENOMSG) this.gone();
        return null;
      }
      try {
        const task = decodeTask(message.data);
        if ((task.flags & SWOOLE_TASK_TMPFILE) !== 0) fromFile(task, this.directory);
        return task;
      } catch (error) {
        this.onDamage(
          `a message of ${message.data.length} bytes in the task queue is dropped: ${(error as Error).message}`,
        );
      }
    }
  }

  /** Somebody has removed it. To die would not bring it back, and our successors would die as well. */
  private gone(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.onDamage(`the message queue of the tasks is gone (errno ${this.answer.error}): no task comes any more`);
  }
}

/** Ends a queue with what is left in it, files too. */
export function discardTaskQueue(queue: number, directory: string): void {
  for (;;) {
    const message = receiveMessage(queue, 0, { error: 0 });
    if (message === null) break;
    try {
      const task = decodeTask(message.data);
      if ((task.flags & SWOOLE_TASK_TMPFILE) !== 0) rmSync(fileOf(task, directory), { force: true });
    } catch {
      // Not ours, so it has no file of ours.
    }
  }
  removeMessageQueue(queue);
}

function fromFile(task: QueuedTask, directory: string): void {
  const path = fileOf(task, directory);
  decodeLetter(readFileSync(path), task);
  rmSync(path, { force: true });
}

/** Anybody who may write to the queue can name a file: only those where ours are may be read and removed. */
function fileOf(task: QueuedTask, directory: string): string {
  const path = resolve(String(task.value));
  if (dirname(path) !== resolve(directory) || !basename(path).startsWith(FILE_PREFIX))
    throw new RangeError(`no file of a task: ${path}`);
  return path;
}
