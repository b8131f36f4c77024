/** What happens around each callback that serves a request, whatever brought it: a ring, or a socket at hand. */
import { DISPATCHES, LIFE_DISPATCHES, LIFE_REQUESTS, REQUESTS } from '../../shm/counters.ts';
import { WORKER_BUSY, WORKER_IDLE } from '../../shm/workers.ts';
import type { WorkerLife } from '../life/worker-life.ts';
import type { RoleSettings } from '../role-settings.ts';
import type { Runtime } from '../way/runtime.ts';
import { requestLimit } from './request-limit.ts';

/** Output is handed on at the end of a turn, but no later than this. */
const FLUSH_MS = 2;
/** Looking at the clock costs: only every so many requests. */
const CLOCK_EVERY = 4;

export interface RequestsOptions {
  runtime: Runtime;
  settings: RoleSettings;
  life: WorkerLife;
  /** Hands on what callbacks have sent. */
  flush(): void;
  /** Called after the last request that max_request allows. */
  onLimit(): void;
}

export class Requests {
  private readonly options: RequestsOptions;
  private readonly life: WorkerLife;
  /** Its own one until open(): in shared memory the status is that of the process which holds the worker id. */
  private words: Int32Array = new Int32Array(1);
  private statusWord = 0;
  private readonly numbers: Float64Array;
  private readonly counters: number;
  private readonly max: number;
  private count = 0;
  private sinceClock = 0;
  private flushedAt = 0;

  constructor(options: RequestsOptions) {
    const { runtime, settings } = options;
    this.options = options;
    this.life = options.life;
    this.numbers = runtime.segment.numbers;
    this.counters = runtime.counters.base;
    this.max = requestLimit(settings.maxRequest, settings.maxRequestGrace);
  }

  /** The worker is there for the first one. */
  open(): void {
    const { segment, workers, workerId } = this.options.runtime;
    this.words = segment.words;
    this.statusWord = workers.statusWord(workerId);
    this.words[this.statusWord] = WORKER_IDLE;
  }

  /** Before the callback. */
  begin(): void {
    const { words, numbers, counters } = this;
    words[this.statusWord] = WORKER_BUSY;
    numbers[counters + DISPATCHES]++;
    numbers[counters + LIFE_DISPATCHES]++;
  }

  /** The callback has returned. */
  end(): void {
    const { words, numbers, counters } = this;
    numbers[counters + REQUESTS]++;
    numbers[counters + LIFE_REQUESTS]++;
    if (!this.life.stopping) words[this.statusWord] = WORKER_IDLE;
    if (++this.sinceClock === CLOCK_EVERY) this.checkClock();
    if (++this.count === this.max) this.options.onLimit();
  }

  private checkClock(): void {
    this.sinceClock = 0;
    const now = performance.now();
    if (now - this.flushedAt < FLUSH_MS) return;
    this.flushedAt = now;
    this.options.flush();
  }
}
