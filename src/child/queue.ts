/** The message queue of a `Process`: what useQueue() opens, and push() and pop() use. */
import { createRequire } from 'node:module';
import { SWOOLE_MSGQUEUE_BALANCE, SWOOLE_MSGQUEUE_ORIENT } from '../constants.ts';
import { badArgument } from '../errors.ts';
import { EBADF, EINVAL, EMSGSIZE, ENOENT } from '../sys/constants.ts';
import {
  findMessageQueue,
  keyOfPath,
  messageQueueStatus,
  openMessageQueue,
  removeMessageQueue,
  setMessageQueueLimit,
} from '../sys/message-queue.ts';
import type { ProcessFailure } from './failure.ts';
import { bytesOf } from './pipe-socket.ts';
import { isReplaying } from './replay.ts';
import { WaitingQueue } from './waiting-queue.ts';

/** Added to the mode: nobody waits. */
export const IPC_NOWAIT = 256;
/** What Swoole takes for the longest message of a queue; the kernel's own limit is less, by default 8192. */
const MESSAGE_BYTES_MAX = 65536;

export interface QueueStatus {
  /** Messages that wait in the queue. */
  queue_num: number;
  /** Bytes of all of them together. */
  queue_bytes: number;
}

export class ProcessQueue {
  private readonly failure: ProcessFailure;
  private queue: WaitingQueue | null = null;
  private mode = SWOOLE_MSGQUEUE_BALANCE;

  constructor(failure: ProcessFailure) {
    this.failure = failure;
  }

  /** Answers the id and key of the queue, or `false`. */
  use(key: number, mode: number, capacity: number): { id: number; key: number } | false {
    if (!Number.isInteger(key) || key > 2 ** 31 - 1) throw badArgument('key', 'a whole number below 2^31', key);
    const ipcMode = mode & ~IPC_NOWAIT;
    if (ipcMode !== SWOOLE_MSGQUEUE_BALANCE && ipcMode !== SWOOLE_MSGQUEUE_ORIENT)
      throw badArgument('mode', 'SWOOLE_MSGQUEUE_BALANCE or SWOOLE_MSGQUEUE_ORIENT', mode);
    if (!Number.isInteger(capacity)) throw badArgument('capacity', 'a whole number of bytes', capacity);
    const found = key > 0 ? key : keyOfPath(scriptPath(), 1);
    // A child only finds what its parent has made. If that was freed meanwhile it is gone, as after a fork, and stays so.
    const opened = isReplaying() ? findMessageQueue(found) : openMessageQueue(found);
    if (opened < 0 && opened !== -ENOENT) return this.failure.fail(-opened);
    const id = opened === -ENOENT ? -1 : opened;
    if (capacity > 0 && !isReplaying()) {
      const error = setMessageQueueLimit(id, capacity);
      if (error !== 0) this.failure.refuse(error, `the queue cannot hold ${capacity} bytes`);
    }
    this.queue = new WaitingQueue(id, (mode & IPC_NOWAIT) === 0);
    this.mode = ipcMode;
    return { id, key: found };
  }

  /** `id`: of the process, by which the others of its queue know its messages. */
  async push(id: number, data: string | Uint8Array): Promise<boolean> {
    const bytes = bytesOf(data);
    if (bytes.length === 0) return this.failure.refuse(EINVAL, 'there is nothing to push');
    if (bytes.length >= MESSAGE_BYTES_MAX) return this.failure.refuse(EMSGSIZE, 'the message is too long for a queue');
    const { queue } = this;
    if (queue === null) return this.refuseWithout();
    if (isReplaying()) return true;
    return (await queue.push(id + 1, bytes)) || this.failure.fail(queue.lastError);
  }

  async pop(id: number, size = MESSAGE_BYTES_MAX): Promise<Buffer | false> {
    if (typeof size !== 'number' || Number.isNaN(size)) throw badArgument('size', 'a number of bytes', size);
    const { queue } = this;
    if (queue === null) return this.refuseWithout();
    if (isReplaying()) return false;
    const bytesMax = size > 0 && size < MESSAGE_BYTES_MAX ? Math.floor(size) : MESSAGE_BYTES_MAX;
    const found = await queue.pop(this.mode === SWOOLE_MSGQUEUE_BALANCE ? 0 : id + 1, bytesMax);
    return found === false ? this.failure.fail(queue.lastError) : found;
  }

  status(): QueueStatus | false {
    if (this.queue === null) return this.refuseWithout();
    const status = { count: 0, bytes: 0, limit: 0 };
    const error = messageQueueStatus(this.queue.id, status);
    return error === 0 ? { queue_num: status.count, queue_bytes: status.bytes } : this.failure.fail(error);
  }

  free(): boolean {
    if (this.queue === null) return this.failure.fail(EBADF);
    if (isReplaying()) return true;
    const error = removeMessageQueue(this.queue.id);
    if (error !== 0) return this.failure.fail(error);
    this.queue.end();
    this.queue = null;
    return true;
  }

  private refuseWithout(): false {
    return this.failure.refuse(EBADF, 'there is no queue: call useQueue() first');
  }
}

/** The file that Node has found where the command names it without its ending. */
function scriptPath(): string {
  const path = process.argv[1] ?? '';
  try {
    return createRequire(import.meta.url).resolve(path);
  } catch {
    return path;
  }
}
