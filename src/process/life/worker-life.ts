/** How a worker ends: told to stop, it takes no more work, waits for its loop to become empty, and leaves. */

import { SWOOLE_ERROR_SERVER_WORKER_EXIT_TIMEOUT, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { KILLS } from '../../shm/counters.ts';
import { WORKER_EXIT } from '../../shm/workers.ts';
import type { Application } from '../application.ts';
import type { Runtime } from '../way/runtime.ts';

/** workerExit is told again and again at this pace until the loop is empty. */
const EXIT_NOTICE_MS = 100;
/** Our own handles need a turn or two to go; the first notice waits for that. */
const EXIT_NOTICE_TURNS = 4;
/** At least so much time remains for output, also where a worker is forced or ends by itself. */
const LAST_MS = 100;

export interface WorkerLifeOptions {
  runtime: Runtime;
  application: Application;
  /** 0: do not wait at all. */
  maxWaitMs: number;
  /** Takes no more work; whatever keeps the loop alive for it is let go. */
  stopTaking(graceful: boolean): void;
  /** The last work, after the loop became empty: close events, unsent output. Must end before the time given. */
  finish(deadline: number): void;
  /** The worker has ended: ends the process, or the server where the worker is all of it. */
  onEnd(): void;
}

export class WorkerLife {
  private readonly options: WorkerLifeOptions;
  private begun = false;
  private ended = false;
  private deadline = 0;

  /** What was sent goes out also when the user's code ends the process, by exit() or by an error that nobody catches. */
  private readonly flushAtExit = (): void => {
    const { runtime } = this.options;
    flushOutbox(runtime, performance.now() + LAST_MS);
    // Until the next one is there nobody shall find an idle worker here. (One that was told to stop may have a successor.)
    if (runtime.holdsId && !runtime.stopping)
      Atomics.store(runtime.segment.words, runtime.workers.statusWord(runtime.workerId), WORKER_EXIT);
  };

  constructor(options: WorkerLifeOptions) {
    this.options = options;
    process.once('exit', this.flushAtExit);
  }

  get stopping(): boolean {
    return this.begun;
  }

  /** Stops this worker: gracefully (waiting for its loop to become empty), or as soon as the current callback is done. */
  stop(wanted: boolean): void {
    if (this.begun) return;
    this.begun = true;
    const { runtime, application, maxWaitMs } = this.options;
    // One that stands by has nothing to finish.
    const graceful = wanted && (runtime.holdsId || runtime.isHeir || runtime.isOpen);
    runtime.beginStop();
    this.deadline = performance.now() + maxWaitMs;
    if (runtime.holdsId)
      Atomics.store(runtime.segment.words, runtime.workers.statusWord(runtime.workerId), WORKER_EXIT);
    this.options.stopTaking(graceful);
    runtime.flush();
    if (!graceful || maxWaitMs === 0) {
      this.endSoon();
      return;
    }
    // None of these keeps the loop alive: they run only while something of the user's does.
    const notice = (): void => {
      if (this.ended) return;
      application.workerExit(runtime.workerId);
      setTimeout(notice, EXIT_NOTICE_MS).unref();
    };
    afterLoopTurns(EXIT_NOTICE_TURNS, notice);
    setTimeout(() => this.force(), maxWaitMs).unref();
    process.once('beforeExit', () => this.end());
  }

  private force(): void {
    if (this.ended) return;
    this.options.runtime.counters.add(KILLS, 1);
    const seconds = this.options.maxWaitMs / 1000;
    const text = `worker ${this.options.runtime.workerId} did not become idle within ${seconds} s and is ended`;
    this.options.runtime.logger.log(SWOOLE_LOG_WARNING, text, SWOOLE_ERROR_SERVER_WORKER_EXIT_TIMEOUT);
    this.endSoon();
  }

  /** Behind what is done by those whose sends are given up. */
  private endSoon(): void {
    this.options.application.giveUpSends();
    setImmediate(() => this.end());
  }

  private async end(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    const { runtime, application } = this.options;
    const deadline = Math.max(this.deadline, performance.now() + LAST_MS);
    this.options.finish(deadline);
    const stopped = application.workerStop(runtime.workerId);
    if (stopped !== undefined) await settled(stopped, deadline - performance.now());
    flushOutbox(runtime, deadline);
    process.off('exit', this.flushAtExit);
    this.options.onEnd();
  }
}

/** Calls back once Node's loop has turned that often, if it lives that long: what is only being closed is gone by then. */
function afterLoopTurns(turns: number, callback: () => void): void {
  setTimeout(() => (turns > 1 ? afterLoopTurns(turns - 1, callback) : callback()), 0).unref();
}

/** Waits until the promise, which never rejects, has settled, or the time is up. */
function settled(promise: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void promise.then(() => {
      // The process may have been the whole server, and live on.
      clearTimeout(timer);
      resolve();
    });
  });
}

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/** Waits a moment for other processes, without Node's loop. */
export function rest(): void {
  Atomics.wait(sleepCell, 0, 0, 1);
}

/** Writes what still waits for room in rings, as far as the readers make room in time. */
export function flushOutbox(runtime: Runtime, deadline: number): void {
  runtime.endTurn();
  while (!runtime.pump() && performance.now() < deadline) {
    runtime.outbox.flush();
    rest();
  }
  runtime.outbox.flush();
}
