import type { Inbox } from '../shm/mailbox.ts';
import type { RingReader } from '../shm/ring.ts';
import { clearEventfd } from '../sys/eventfd.ts';
import { runNextTicks, type Watch, watchReadable } from '../sys/libc.ts';
import { yieldProcessor } from '../sys/process.ts';
import type { Runtime } from './runtime.ts';

/** Messages of one ring that are handled before the others have their turn. */
const MESSAGES_MAX = 1024;
/** How often we look again for messages before Node's loop has its turn. */
const PASSES_MAX = 32;

/** Reads an inbox in Node's own loop: sleeps on the doorbell, and never keeps timers and other sockets waiting for long. */
export class InboxWatch {
  private readonly runtime: Runtime;
  private readonly inbox: Inbox;
  private readonly handle: (reader: RingReader) => void;
  private readonly stop: (() => boolean) | undefined;
  private readonly lingerTurns: number;
  private watch: Watch | null = null;
  private again = false;
  private readonly drainAgain = (): void => {
    this.again = false;
    this.drain();
  };

  /** Once `stop` answers true, nothing more is taken. `lingerTurns`: see LINGER_TURNS of the reactor's limits. */
  constructor(
    runtime: Runtime,
    inbox: Inbox,
    handle: (reader: RingReader) => void,
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
    this.drain();
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
  private linger(): boolean {
    for (let turn = 0; turn < this.lingerTurns; turn++) {
      if (this.inbox.hasPending) return true;
      yieldProcessor();
    }
    return false;
  }

  drain(): void {
    const { inbox, runtime } = this;
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      if (this.watch === null) return;
      inbox.wake();
      runtime.turn.begin();
      const more = inbox.drain(this.handle, MESSAGES_MAX, this.stop);
      runtime.turn.finish();
      // Async callbacks go on now, not after all the passes.
      runNextTicks();
      if (this.stop?.() === true) return;
      if (!more && !this.linger() && inbox.prepareSleep()) return;
    }
    if (this.again) return;
    this.again = true;
    setImmediate(this.drainAgain);
  }
}
