/**
 * task_ipc_mode 2 and 3: tasks wait in a System V message queue of the kernel, where they outlive their senders, and with
 * message_queue_key the server too. A message's type is the id of the task worker that was chosen plus one; in mode 3 any
 * task worker takes any message. Results come back through rings, as in mode 1.
 *
 * The kernel tells nobody of a new message, so the sender tells the task worker through its ring; other programs do not,
 * and for theirs task workers look from time to time.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { SWOOLE_IPC_PREEMPTIVE, SWOOLE_TASK_TMPFILE } from '../../constants.ts';
import { SWOOLE_IPC_BYTES } from '../../protocol/swoole-limits.ts';
import { decodeLetter, LETTER_HEAD_BYTES } from '../../shm/letter.ts';
import { TASK_QUEUED } from '../../shm/messages.ts';
import { decodeTask, encodeTask, letterOfTask, type QueuedTask } from '../../shm/queued-task.ts';
import { type Segment, WORD_TASK_QUEUE } from '../../shm/segment.ts';
import type { TasksInHand } from '../../shm/tasks-in-hand.ts';
import { EAGAIN, EIO, ENOMSG } from '../../sys/constants.ts';
import type { Region } from '../../sys/memory.ts';
import { messageQueueStatus, receiveMessage, removeMessageQueue, sendMessage } from '../../sys/message-queue.ts';
import type { Backlog, Runtime } from './runtime.ts';
import type { TaskRoute } from './task-sender.ts';

/** More goes through a file. The kernel's limit is 8192 unless it was changed. */
const MESSAGE_BYTES_MAX = SWOOLE_IPC_BYTES;
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

/** The message queue that the first process has opened. */
export function taskQueueOf(segment: Segment): number {
  return segment.load(WORD_TASK_QUEUE) - 1;
}

/** The sender's side. What the queue has no room for waits in this process, in order. */
export class QueueRoute implements TaskRoute, Backlog {
  dataBytes = 0;
  private readonly runtime: Runtime;
  private readonly queue: number;
  private readonly directory: string;
  private readonly onLost: (taskId: number, error: number) => void;
  private readonly status = { count: 0, bytes: 0, limit: 0 };
  private waiting: Outgoing[] = [];
  /** Those before it have gone. */
  private next = 0;

  /** `onLost` is told of tasks that were accepted, and then found the queue gone or the disk full. */
  constructor(runtime: Runtime, queue: number, directory: string, onLost: (taskId: number, error: number) => void) {
    this.runtime = runtime;
    this.queue = queue;
    this.directory = directory;
    this.onLost = onLost;
    runtime.addBacklog(this);
  }

  post(workerId: number, taskId: number, sourceId: number, flags: number, data: unknown): number {
    const bytes = encodeTask(taskId, sourceId, this.runtime.life, flags, data);
    this.dataBytes = letterOfTask(bytes).length - LETTER_HEAD_BYTES;
    const task: Outgoing = { workerId, taskId, sourceId, flags, bytes, path: '' };
    const error = this.waiting.length > 0 ? EAGAIN : this.send(task);
    if (error !== EAGAIN) return error;
    this.waiting.push(task);
    this.runtime.holdTask();
    return 0;
  }

  get waitingTasks(): number {
    return this.waiting.length - this.next;
  }

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
    return this.next === waiting.length;
  }

  /** Answers 0 or an errno; EAGAIN: the queue is full, try again. */
  private send(task: Outgoing): number {
    let error = task.bytes.length > MESSAGE_BYTES_MAX ? this.putIntoFile(task) : 0;
    if (error === 0) error = sendMessage(this.queue, task.workerId + 1, task.bytes);
    if (error === 0) this.runtime.outbox.toWorker(task.workerId).post(TASK_QUEUED, 0, 0);
    else if (error !== EAGAIN && task.path !== '') rmSync(task.path, { force: true });
    return error;
  }

  /** Only once the queue has room, and not while the task waits: what dies with its sender leaves no file behind. */
  private putIntoFile(task: Outgoing): number {
    const path = join(this.directory, `${FILE_PREFIX}${randomUUID()}`);
    const name = encodeTask(task.taskId, task.sourceId, this.runtime.life, task.flags | SWOOLE_TASK_TMPFILE, path);
    if (!this.hasRoom(name.length)) return EAGAIN;
    task.path = path;
    try {
      mkdirSync(this.directory, { recursive: true });
      writeFileSync(path, letterOfTask(task.bytes), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      return -((error as NodeJS.ErrnoException).errno ?? -EIO);
    }
    task.bytes = name;
    return 0;
  }

  /** True where we cannot know: then sending tells what is wrong. */
  private hasRoom(length: number): boolean {
    const { queue, status } = this;
    return messageQueueStatus(queue, status) !== 0 || status.bytes + length <= status.limit;
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
  private incoming: Region | undefined;
  private isGone = false;

  constructor(queue: number, mode: number, workerId: number, directory: string, onDamage: (text: string) => void) {
    this.queue = queue;
    this.type = mode === SWOOLE_IPC_PREEMPTIVE ? 0 : workerId + 1;
    this.directory = directory;
    this.onDamage = onDamage;
  }

  /**
   * The next task, or null when there is none; load() must follow, once the task is entered in the hands. What is no task is
   * dropped and told: other programs can write here.
   */
  next(hands: TasksInHand): QueuedTask | null {
    this.incoming ??= hands.incoming();
    for (;;) {
      hands.clearIncoming();
      const message = receiveMessage(this.queue, this.type, this.answer, this.incoming);
      if (message === null) {
        if (this.answer.error !== ENOMSG) this.gone();
        return null;
      }
      try {
        return decodeTask(message.data);
      } catch (error) {
        this.dropped(message.data.length, error);
      }
    }
  }

  /**
   * Reads the file of a task that has one. Not done by next(): it takes long, and whoever waits for the task must be told
   * should we die over it. Answers false when the task is lost.
   */
  load(task: QueuedTask): boolean {
    if ((task.flags & SWOOLE_TASK_TMPFILE) === 0) return true;
    try {
      decodeLetter(takeFile(fileOf(task, this.directory)), task);
      return true;
    } catch (error) {
      this.dropped(String(task.value).length, error);
      return false;
    }
  }

  private dropped(bytes: number, error: unknown): void {
    this.onDamage(`a message of ${bytes} bytes in the task queue is dropped: ${(error as Error).message}`);
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

/** Removed first: who dies over reading it leaves nothing behind. */
function takeFile(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    rmSync(path);
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

/** Anybody who may write to the queue can name a file: only those where ours are may be read and removed. */
function fileOf(task: QueuedTask, directory: string): string {
  const path = resolve(String(task.value));
  if (dirname(path) !== resolve(directory) || !basename(path).startsWith(FILE_PREFIX))
    throw new RangeError(`no file of a task: ${path}`);
  return path;
}
