/**
 * A descriptor in libuv's loop, through koffi. A thread can end while it runs JavaScript (`process.exit()`, `terminate()`),
 * and koffi, which has called that, or would call some while the thread is taken down, then ends the whole process. So in
 * threads nothing of anybody's runs inside of koffi's callback; while it runs, koffi does not poll; and what is open is
 * closed when the thread ends by itself. Only a descriptor that becomes readable while its thread is terminated is left.
 */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';

export interface Events {
  readable: boolean;
  writable: boolean;
}
export type PollCallback = (status: number, events: Events) => void;

/** koffi stops polling, without a word, when a handle is collected. */
const open = new Set<Poll>();
if (!isMainThread)
  process.once('exit', () => {
    for (const poll of open) poll.close();
  });

/** Calls back, level triggered and from outside of Node's callback scope, until it is closed: see runAsNode. */
export class Poll {
  private readonly callback: PollCallback;
  private readonly handle: ReturnType<typeof koffi.node.poll>;
  /** Null while it is stopped. */
  private wanted: Events | null;
  /** In a thread, what koffi has told and the callback was not told yet. */
  private told: { status: number; events: Events } | null = null;

  /** The descriptor must be one that epoll takes: koffi ends the whole process over another. */
  constructor(fd: number, events: Events, callback: PollCallback) {
    this.callback = callback;
    this.wanted = events;
    this.handle = koffi.node.poll(fd, events, this.onEvents);
    open.add(this);
  }

  /** From now on these events, also after stop(). */
  start(events: Events): void {
    this.wanted = events;
    // Else it begins again behind the callback.
    if (open.has(this) && this.told === null) this.handle.start(events, this.onEvents);
  }

  stop(): void {
    this.wanted = null;
    if (open.has(this)) this.handle.stop();
  }

  close(): void {
    if (open.delete(this)) this.handle.close();
  }

  ref(): void {
    this.handle.ref();
  }
  unref(): void {
    this.handle.unref();
  }

  // koffi's types leave the status out, which comes first.
  private readonly onEvents = ((status: number, events: Events): void => {
    if (isMainThread) {
      if (open.has(this)) this.callback(status, events);
      return;
    }
    this.handle.stop();
    this.told = { status, events };
    setImmediate(this.tell);
  }) as unknown as (events: Events) => void;

  private readonly tell = (): void => {
    const { told } = this;
    if (told !== null && this.wanted !== null && open.has(this)) this.callback(told.status, told.events);
    this.told = null;
    if (this.wanted !== null && open.has(this)) this.handle.start(this.wanted, this.onEvents);
  };
}
