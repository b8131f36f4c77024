/** An inbox that passes from one process of a worker id to the next, with whatever has not been taken yet. */
import { LaneCounters } from '../../shm/lanes.ts';
import { LANES_PER_WORKER, MANAGER_INBOX, workerInbox, workerLane } from '../../shm/layout.ts';
import { postLetter } from '../../shm/letter.ts';
import { Inbox, LaneSet } from '../../shm/mailbox.ts';
import { SESSIONS, WORKER_READY, WORKER_STOPPING } from '../../shm/messages.ts';
import type { Message } from '../../shm/ring.ts';
import { InboxWatch } from '../way/inbox-watch.ts';
import type { Runtime } from '../way/runtime.ts';
import { rest } from './worker-life.ts';

/** A predecessor gives its inbox away within a message's time; until then we look this often. */
const TAKE_RETRY_MS = 2;

/** Messages of one ring that are read at once. */
const SESSIONS_MAX = 16;

export interface HandedInboxOptions {
  runtime: Runtime;
  handle(reader: Message): void;
  /** Answers true while nothing more may be taken. */
  hold?: () => boolean;
  /** What the next process of this worker must know before it reads anything else; null where that is nothing. */
  handOver?: () => unknown;
  /** Answers true while others must not yet read what is behind the messages that were taken. */
  isUnderWay?: () => boolean;
  /** Nothing more comes to this process: it has been given away, or will be as soon as nothing is under way. */
  onGiven?: () => void;
  lingerTurns: number;
}

export class HandedInbox {
  readonly inbox: Inbox;
  readonly watch: InboxWatch;
  private readonly runtime: Runtime;
  private readonly handOver: (() => unknown) | undefined;
  private readonly isUnderWay: (() => boolean) | undefined;
  private readonly onGiven: (() => void) | undefined;
  private readonly handle: (reader: Message) => void;
  /** The lanes of the other processes of our worker id: those before us, and one behind us. */
  private readonly lanesBeside: readonly number[];
  private readonly predecessors: LaneSet;
  private took = false;
  private gave = false;

  constructor({ runtime, handle, hold, handOver, isUnderWay, onGiven, lingerTurns }: HandedInboxOptions) {
    this.runtime = runtime;
    this.handOver = handOver;
    this.isUnderWay = isUnderWay;
    this.onGiven = onGiven;
    this.handle = handle;
    const { segment, workerId } = runtime;
    this.lanesBeside = Array.from({ length: LANES_PER_WORKER }, (_, generation) =>
      workerLane(segment.layout, workerId, generation),
    ).filter((lane) => lane !== runtime.lane);
    this.predecessors = new LaneSet(
      segment,
      this.lanesBeside.map((lane) => [lane, lane + 1]),
    );
    const own = workerInbox(runtime.segment.layout, runtime.workerId);
    this.inbox = new Inbox(runtime.segment, own, runtime.doorbells, runtime.outbox);
    const stop = hold === undefined ? () => this.gave : () => this.gave || hold();
    this.watch = new InboxWatch(runtime, this.inbox, handle, stop, lingerTurns);
  }

  /**
   * Becomes the reader as soon as the predecessor has given it away, and tells the manager. What that has written comes
   * before what we write: its answers are to the same connections, and its tasks are of them.
   */
  take(): void {
    if (this.gave) return;
    const { runtime, inbox } = this;
    const ours = inbox.take(runtime.lane);
    if (ours && !this.took) {
      this.took = true;
      // Not those who may already wait for us to go.
      const before = this.lanesBeside.filter((lane) => new LaneCounters(runtime.segment, lane).life < runtime.life);
      runtime.outbox.comeAfter(before, inbox.index);
    }
    if (!ours || !this.tookOver()) {
      setTimeout(() => this.take(), TAKE_RETRY_MS);
      return;
    }
    // Before the first message, which may kill us: that is no failure to start.
    this.runtime.tell(MANAGER_INBOX, WORKER_READY, this.runtime.workerId, this.runtime.life);
    this.runtime.flush();
    this.watch.start();
  }

  /** Reads what the one before has handed over, which may come in pieces. Answers true when that was all. */
  private tookOver(): boolean {
    const { inbox, predecessors } = this;
    inbox.wake();
    inbox.drain(this.handle, SESSIONS_MAX, undefined, predecessors);
    return !inbox.hasPending(predecessors) && !inbox.midMessage;
  }

  /**
   * Leaves the rings to the next process of this id, which may start at once when we end gracefully. A message of which
   * only the beginning has arrived must be read to its end first: its pieces are in our memory. So are answers that found
   * no room, and those of the next process must come behind them.
   */
  give(graceful: boolean): void {
    if (this.gave) return;
    const underWay = this.isUnderWay?.() === true;
    if (this.inbox.midMessage || this.runtime.outbox.waitsForReactor || underWay) {
      this.inbox.finishPieces();
      // What it waits for may be the result of a task, which is not read any more.
      if (underWay) this.onGiven?.();
      setTimeout(() => this.give(graceful), TAKE_RETRY_MS);
      return;
    }
    this.watch.handleKept(true);
    this.gave = true;
    this.tellSuccessor();
    this.watch.close();
    this.inbox.give(this.runtime.lane);
    if (graceful) this.runtime.tell(MANAGER_INBOX, WORKER_STOPPING, this.runtime.workerId, this.runtime.life);
    this.onGiven?.();
  }

  private tellSuccessor(): void {
    // It is another's as long as we have never taken it.
    if (!this.took) return;
    const { runtime } = this;
    runtime.passOn();
    const handed = this.handOver?.() ?? null;
    if (handed !== null) {
      const writer = runtime.outbox.to(workerInbox(runtime.segment.layout, runtime.workerId));
      postLetter(writer, SESSIONS, runtime.workerId, 0, runtime.life, 0, handed, 'what sessions hand over');
    }
    runtime.flush();
  }

  get given(): boolean {
    return this.gave;
  }

  /** One that ends at once does not live to see the timer of give(): what has begun to arrive is taken here. */
  finish(deadline: number): void {
    while (this.inbox.midMessage && performance.now() < deadline) {
      this.watch.drain();
      rest();
    }
  }
}
