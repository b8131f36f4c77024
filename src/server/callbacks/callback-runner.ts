/**
 * Calls callbacks of the user: one that throws or rejects is told with its stack and never takes the process along; async
 * ones are counted until they settle.
 */
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { describeError } from '../../errors.ts';
import type { Logger } from '../../log/log.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { CALLBACKS_FAILED, CALLBACKS_NOW, CALLBACKS_PEAK } from '../../shm/counters.ts';

export class CallbackRunner {
  private readonly runtime: Runtime;
  private readonly logger: Logger;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.logger = runtime.logger;
  }

  /** Answers a promise that never rejects where the callback is async, else undefined. */
  call(event: string, fd: number, run: () => unknown): Promise<void> | undefined {
    try {
      const result = run();
      return result !== undefined && result !== null ? this.track(event, fd, result, null) : undefined;
    } catch (error) {
      this.failed(event, fd, error);
      return undefined;
    }
  }

  /** As call(), for who must know whether it has failed: answers why, in a line, or null. */
  outcome(event: string, run: () => unknown): string | null | Promise<string | null> {
    let failure: string | null = null;
    const failed = (error: unknown): void => {
      failure = `its ${event} callback failed: ${describeError(error).split('\n', 1)[0]}`;
    };
    try {
      const result = run();
      if (result === undefined || result === null) return null;
      const promise = this.trackValue(event, 0, result, () => {}, failed);
      return promise === undefined ? null : promise.then(() => failure);
    } catch (error) {
      this.failed(event, 0, error);
      failed(error);
      return failure;
    }
  }

  /** The same for what a callback has answered: undefined where that is no promise. */
  track(event: string, fd: number, result: unknown, onFailure: (() => void) | null): Promise<void> | undefined {
    return this.trackValue(event, fd, result, () => {}, onFailure);
  }

  /** The same, for who wants the value that the promise gives; `onValue` must not throw. */
  trackValue(
    event: string,
    fd: number,
    result: unknown,
    onValue: (value: unknown) => void,
    onFailure: ((error: unknown) => void) | null,
  ): Promise<void> | undefined {
    if (typeof (result as { then?: unknown }).then !== 'function') return undefined;
    this.countCallbacks(1);
    // What only has a then() of its own may throw there, or call back twice.
    return Promise.resolve(result).then(
      (value) => {
        this.countCallbacks(-1);
        onValue(value);
      },
      (error: unknown) => {
        this.countCallbacks(-1);
        this.failed(event, fd, error);
        onFailure?.(error);
      },
    );
  }

  failed(event: string, fd: number, error: unknown): void {
    this.runtime.counters.add(CALLBACKS_FAILED, 1);
    const where = fd > 0 ? ` of connection ${fd}` : '';
    this.logger.log(SWOOLE_LOG_ERROR, `the ${event} callback${where} failed: ${describeError(error)}`);
  }

  private countCallbacks(delta: number): void {
    const { counters, workers, segment, workerId, stopping, holdsId } = this.runtime;
    const now = counters.get(CALLBACKS_NOW) + delta;
    counters.set(CALLBACKS_NOW, now);
    if (now > counters.get(CALLBACKS_PEAK)) counters.set(CALLBACKS_PEAK, now);
    // The word of one that was told to stop is its successor's, who would be taken for busy for as long as it is idle.
    if (holdsId && !stopping) Atomics.store(segment.words, workers.callbacksWord(workerId), now);
  }
}
