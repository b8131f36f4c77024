/** A System V message queue at which one waits: in Node's loop, and nobody is overtaken. */
import { EAGAIN, ECANCELED, ENOMSG } from '../sys/constants.ts';
import { receiveMessage, sendMessage } from '../sys/message-queue.ts';

/** The kernel tells nobody when a message comes, so we look again after pauses that grow while nothing comes. */
const PAUSE_FIRST_MS = 1;
const PAUSE_MAX_MS = 20;
/** So many messages in a row without a pause; then others have their turn. */
const BURST_MAX = 64;

/** Answers true when it is done with, be it in vain. */
type Attempt = () => boolean;

/** Those who wait for one thing, in order. Waiting keeps the process alive. */
class Line {
  private readonly attempts: Attempt[] = [];
  private timer: NodeJS.Timeout | null = null;
  private pause = PAUSE_FIRST_MS;

  get isEmpty(): boolean {
    return this.attempts.length === 0;
  }

  add(attempt: Attempt): void {
    this.attempts.push(attempt);
    this.timer ??= setTimeout(() => this.run(), this.pause);
  }

  /** Everybody tries once more, whatever comes of it. */
  run(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    let done = 0;
    while (done < BURST_MAX && this.attempts.length > 0 && this.attempts[0]()) {
      this.attempts.shift();
      done++;
    }
    this.pause = done > 0 ? PAUSE_FIRST_MS : Math.min(2 * this.pause, PAUSE_MAX_MS);
    if (this.attempts.length > 0) this.timer = setTimeout(() => this.run(), this.pause);
  }
}

export class WaitingQueue {
  readonly id: number;
  private readonly waits: boolean;
  private readonly pushing = new Line();
  private readonly popping = new Line();
  private burst = 0;
  private freed = false;
  /** Why the last push or pop failed: an errno. */
  lastError = 0;

  /** Without `waits` a full or empty queue is `false` at once. */
  constructor(id: number, waits: boolean) {
    this.id = id;
    this.waits = waits;
  }

  push(type: number, bytes: Uint8Array): Promise<boolean> {
    let error = this.pushing.isEmpty ? this.sendNow(type, bytes) : EAGAIN;
    if (error !== EAGAIN || !this.waits) return this.answer(error === 0, error);
    const copy = Uint8Array.from(bytes);
    return new Promise((resolve) => {
      this.pushing.add(() => {
        error = this.sendNow(type, copy);
        if (error === EAGAIN) return false;
        if (error !== 0) this.lastError = error;
        resolve(error === 0);
        return true;
      });
    });
  }

  pop(type: number, bytesMax: number): Promise<Buffer | false> {
    const answer = { error: ENOMSG };
    const take = (): Buffer | false => {
      answer.error = this.freed ? ECANCELED : 0;
      const found = this.freed ? null : receiveMessage(this.id, type, answer);
      return found === null ? false : found.data.subarray(0, bytesMax);
    };
    const found = this.popping.isEmpty ? take() : false;
    if (found !== false || answer.error !== ENOMSG || !this.waits) return this.answer(found, answer.error);
    return new Promise((resolve) => {
      this.popping.add(() => {
        const data = take();
        if (data === false && answer.error === ENOMSG) return false;
        if (data === false) this.lastError = answer.error;
        resolve(data);
        return true;
      });
    });
  }

  /** The queue is gone: whoever waits for it here gets `false`. */
  end(): void {
    this.freed = true;
    while (!this.pushing.isEmpty) this.pushing.run();
    while (!this.popping.isEmpty) this.popping.run();
  }

  private sendNow(type: number, bytes: Uint8Array): number {
    return this.freed ? ECANCELED : sendMessage(this.id, type, bytes);
  }

  private answer<T>(value: T, error: number): Promise<T> {
    if (error !== 0) this.lastError = error;
    if (++this.burst < BURST_MAX) return Promise.resolve(value);
    this.burst = 0;
    return new Promise((resolve) => setImmediate(() => resolve(value)));
  }
}
