/** An inbox that passes from one process of a worker id to the next, with whatever has not been taken yet. */
import { MANAGER_INBOX, workerInbox } from '../shm/layout.ts';
import { Inbox } from '../shm/mailbox.ts';
import { WORKER_READY, WORKER_STOPPING } from '../shm/messages.ts';
import type { Message } from '../shm/ring.ts';
import { InboxWatch } from './inbox-watch.ts';
import type { Runtime } from './runtime.ts';
import { rest } from './worker-life.ts';

/** A predecessor gives its inbox away within a message's time; until then we look this often. */
const TAKE_RETRY_MS = 2;

export interface HandedInboxOptions {
  runtime: Runtime;
  handle(reader: Message): void;
  /** Answers true while nothing more may be taken. */
  hold?: () => boolean;
  /** It has been given away: nothing more comes to this process. */
  onGiven?: () => void;
  lingerTurns: number;
}

export class HandedInbox {
  readonly inbox: Inbox;
  readonly watch: InboxWatch;
  private readonly runtime: Runtime;
  private readonly onGiven: (() => void) | undefined;
  private gave = false;

  constructor({ runtime, handle, hold, onGiven, lingerTurns }: HandedInboxOptions) {
    this.runtime = runtime;
    this.onGiven = onGiven;
    this.inbox = new Inbox(runtime.segment, workerInbox(runtime.segment.layout, runtime.workerId), runtime.doorbells);
    const stop = hold === undefined ? () => this.gave : () => this.gave || hold();
    this.watch = new InboxWatch(runtime, this.inbox, handle, stop, lingerTurns);
    runtime.inboxWatch = this.watch;
  }

  /** Becomes the reader as soon as the predecessor has given it away, and tells the manager. */
  take(): void {
    if (this.gave) return;
    if (!this.inbox.take(this.runtime.lane)) {
      setTimeout(() => this.take(), TAKE_RETRY_MS);
      return;
    }
    // Before the first message, which may kill us: that is no failure to start.
    this.runtime.tell(MANAGER_INBOX, WORKER_READY, this.runtime.workerId, process.pid);
    this.runtime.flush();
    this.watch.start();
  }

  /**
   * Leaves the rings to the next process of this id, which may start at once when we end gracefully. A message of which
   * only the beginning has arrived must be read to its end first: its pieces are in our memory.
   */
  give(graceful: boolean): void {
    if (this.gave) return;
    if (this.inbox.midMessage) {
      this.inbox.finishPieces();
      setTimeout(() => this.give(graceful), TAKE_RETRY_MS);
      return;
    }
    this.watch.handleKept(true);
    this.gave = true;
    this.watch.close();
    this.inbox.give(this.runtime.lane);
    if (graceful) this.runtime.tell(MANAGER_INBOX, WORKER_STOPPING, this.runtime.workerId, process.pid);
    this.onGiven?.();
  }

  get given(): boolean {
    return this.gave;
  }

  /** One that ends at once does not live to see the timer of give(): what has begun to arrive is taken here. */
  finish(deadline: number): void {
    while (this.inbox.midMessage && Date.now() < deadline) {
      this.watch.drain();
      rest();
    }
  }
}
