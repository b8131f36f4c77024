import { keep } from '../../shm/letter.ts';
import { type Inbox, LaneSet } from '../../shm/mailbox.ts';
import type { Message, RingReader } from '../../shm/ring.ts';
import { clearEventfd, waitReadable } from '../../sys/eventfd.ts';
import { runNextTicks, type Watch, watchReadable } from '../../sys/libc.ts';
import { yieldProcessor } from '../../sys/process.ts';
import type { Blocker, Wait } from './blocker.ts';
import type { Runtime } from './runtime.ts';

/** Messages of one ring that are handled before the others have their turn. */
const MESSAGES_MAX = 1024;
/** How often we look again for messages before Node's loop has its turn. */
const PASSES_MAX = 32;
/** However many messages there are: timers, signals and sockets of the user's have their turn this often. */
const TURN_MS = 10;
/** Looking at the clock costs: only every so many messages. */
const CLOCK_EVERY = 4;

/** How long a blocked process sleeps at most before it looks around. */
const SLEEP_MAX_MS = 60_000;

/** Reads an inbox in Node's own loop: sleeps on the doorbell, and never keeps timers and other sockets waiting for long. */
export class InboxWatch implements Blocker {
  private readonly runtime: Runtime;
  private readonly inbox: Inbox;
  private readonly handle: (message: Message) => void;
  private readonly stop: (() => boolean) | undefined;
  private readonly lingerTurns: number;
  private watch: Watch | null = null;
  private again = false;
  /** On the clock of performance.now(). */
  private turnEnd = 0;
  private late = false;
  private sinceClock = 0;
  /** Messages that came while the process was blocked, and are not what it waited for; in order. */
  private kept: Message[] = [];
  /** Those before it were handled. */
  private keptNext = 0;
  private readonly drainAgain = (): void => {
    this.again = false;
    this.drain();
  };
  /** Asked after each message: true when no more may be taken, or others are to have their turn. */
  private readonly stopOrLate = (): boolean => {
    if (this.late || this.stop?.() === true) return true;
    if (++this.sinceClock < CLOCK_EVERY) return false;
    this.sinceClock = 0;
    this.late = performance.now() >= this.turnEnd;
    return this.late;
  };

  /** While `stop` answers true, nothing more is taken. `lingerTurns`: see LINGER_TURNS of the reactor's limits. */
  constructor(
    runtime: Runtime,
    inbox: Inbox,
    handle: (message: Message) => void,
    stop?: () => boolean,
    lingerTurns = 0,
  ) {
    this.lingerTurns = lingerTurns;
    this.runtime = runtime;
    this.inbox = inbox;
    this.handle = handle;
    this.stop = stop;
  }

  start(): void {
    this.watch = watchReadable(this.inbox.doorbell, () => {
      clearEventfd(this.inbox.doorbell);
      this.drain();
    });
    this.drain(true);
  }

  /** The watch no longer keeps the process alive, but still works while something else does. */
  unref(): void {
    this.watch?.unref();
  }

  close(): void {
    this.watch?.close();
    this.watch = null;
  }

  /** Lets others run for a moment; answers true as soon as there is a message. */
  private linger(lanes?: LaneSet): boolean {
    for (let turn = 0; turn < this.lingerTurns; turn++) {
      if (this.inbox.hasPending(lanes)) return true;
      yieldProcessor();
    }
    return false;
  }

  private get stopped(): boolean {
    return this.stop?.() === true;
  }

  expect(): void {}

  canBlock(): boolean {
    if (this.stopped) return false;
    // Before start(), as in workerStart, we may already be the reader.
    return this.watch !== null || this.inbox.take(this.runtime.lane);
  }

  block({ lanes, wants, done, deadline }: Wait): void {
    const { inbox, runtime } = this;
    const set = new LaneSet(runtime.segment, lanes);
    const take = (reader: RingReader): void => {
      if (wants(reader)) this.handle(reader);
      else this.kept.push(keep(reader));
    };
    for (;;) {
      inbox.wake();
      runtime.flush();
      inbox.drain(take, MESSAGES_MAX, done, set);
      const left = deadline - performance.now();
      if (done() || left <= 0) break;
      if (this.linger(set) || !inbox.prepareSleep(set)) continue;
      // What finds no room in a ring of ours is tried again from time to time.
      const most = runtime.pump() ? SLEEP_MAX_MS : 1;
      waitReadable(inbox.doorbell, Math.min(most, Math.ceil(left)));
      clearEventfd(inbox.doorbell);
    }
    inbox.wake();
    this.drainSoon();
  }

  private drainSoon(): void {
    if (this.again) return;
    this.again = true;
    setImmediate(this.drainAgain);
  }

  /**
   * With `all` even where nothing more may be taken: what is kept is in no ring any more, and nobody else will handle it.
   * A handler may come back here, and may block again.
   */
  handleKept(all: boolean): void {
    while (this.keptNext < this.kept.length && (all || !this.stopped)) this.handle(this.kept[this.keptNext++]);
    if (this.keptNext < this.kept.length) return;
    this.kept.length = 0;
    this.keptNext = 0;
  }

  /**
   * Handles what is there. `inPromise`: perhaps called by one. Its microtasks cannot run then, and whoever asked Node for
   * them would be told that what a callback has just rejected is unhandled, though a handler comes a microtask later.
   */
  drain(inPromise = false): void {
    const { inbox, runtime } = this;
    this.late = false;
    this.turnEnd = performance.now() + TURN_MS;
    for (let pass = 0; pass < PASSES_MAX && !this.late; pass++) {
      if (this.watch === null) return;
      inbox.wake();
      runtime.turn.begin();
      let more = true;
      // The doorbell rings for other things too, as room in a ring: that is no reason to take anything.
      if (!this.stopped) {
        this.handleKept(false);
        if (!this.stopped) more = inbox.drain(this.handle, MESSAGES_MAX, this.stopOrLate);
      }
      runtime.turn.finish();
      // Async callbacks go on now, not after all the passes.
      if (!inPromise) runNextTicks();
      if (this.stopped) return;
      if (!more && !this.linger() && inbox.prepareSleep()) return;
    }
    this.drainSoon();
  }
}
