import { SWOOLE_TASK_NONBLOCK, SWOOLE_TASK_NOREPLY } from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import type { TaskInHand } from '../../process/way/task-in-hand.ts';
import { decodeTask, encodeTask } from '../../shm/queued-task.ts';
import { isBytes } from '../../sys/memory.ts';

/** A task, as the task callback gets it when `task_use_object`, `event_object` or `task_enable_coroutine` is on. */
export class Task {
  readonly #task: TaskInHand;
  readonly id: number;
  /** Of the worker that sent it. */
  readonly worker_id: number;
  readonly data: unknown;
  /** SWOOLE_TASK_*, or-ed. */
  readonly flags: number;
  /** When it was sent, in seconds. */
  readonly dispatch_time: number;

  /** Made by the server only. */
  constructor(task: TaskInHand) {
    this.#task = task;
    this.id = task.id;
    this.worker_id = task.shownSourceId;
    this.data = task.data;
    this.flags = task.flags;
    this.dispatch_time = task.seconds;
  }

  /** Sends a result to the worker that sent the task; `false` when nobody waits for one. */
  finish(data: unknown): boolean {
    return this.#task.answer(data);
  }

  /** A task for the message queue of a server with `task_ipc_mode` 2 or 3, for `Process.push()`. Nobody is answered. */
  static pack(data: unknown): Buffer {
    return encodeTask(0, -1, 0, SWOOLE_TASK_NONBLOCK | SWOOLE_TASK_NOREPLY, data);
  }

  /** The data of a packed task; `false` when the bytes are no task, or were cut. */
  static unpack(packed: Uint8Array): unknown {
    if (!isBytes(packed))
      throw new TswooleError('ERR_ARGUMENT', `unpack() takes what pack() has made, got ${describeValue(packed)}`, {
        key: 'packed',
      });
    try {
      return decodeTask(Buffer.from(packed)).value;
    } catch {
      return false;
    }
  }
}
