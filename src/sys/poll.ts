/**
 * A descriptor in libuv's loop, through koffi. A thread can end while it runs JavaScript (`process.exit()`), and koffi, which
 * has called that, or would call some while the thread is taken down, then ends the whole process. So in threads nothing of
 * anybody's runs inside of koffi's callback, and what is open is closed when the thread ends. Only `terminate()` of a
 * thread that is being called leaves us no time.
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
  /** In a thread, what koffi has told last and the callback was not told yet. */
  private told: { status: number; events: Events } | null = null;

  /** The descriptor must be one that epoll takes: koffi ends the whole process over another. */
  constructor(fd: number, events: Events, callback: PollCallback) {
    this.callback = callback;
    this.handle = koffi.node.poll(fd, events, this.onEvents);
    open.add(this);
  }

  /** From now on these events, also after stop(). */
  start(events: Events): void {
    if (open.has(this)) this.handle.start(events, this.onEvents);
  }

  stop(): void {
    this.told = null;
    if (open.has(this)) this.handle.stop();
  }

  close(): void {
    if (!open.delete(this)) return;
    this.told = null;
    this.handle.close();
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
    if (this.told === null) setImmediate(this.tell);
    this.told = { status, events };
  }) as unknown as (events: Events) => void;

  private readonly tell = (): void => {
    const { told } = this;
    this.told = null;
    if (told !== null) this.callback(told.status, told.events);
  };
}
