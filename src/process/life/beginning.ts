/**
 * How a worker begins: `workerStart`, awaited where it is async; then it stands by until its worker id is its own, and only
 * then takes anything. The table of workers tells whose an id is: the manager writes that down at once for one that has
 * nobody before it, and else when the one before has handed over, or has ended.
 */
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import { MANAGER_INBOX } from '../../shm/layout.ts';
import { WORKER_FAILED, WORKER_STANDS_BY } from '../../shm/messages.ts';
import { STATE_STOPPING, WORD_STATE } from '../../shm/segment.ts';
import type { Application } from '../application.ts';
import type { Blocker, Wait } from '../way/blocker.ts';
import type { Runtime } from '../way/runtime.ts';
import { rest, type WorkerLife } from './worker-life.ts';

/** The one before hands over within a message's time; until then we look this often. */
const LOOK_MS = 2;
/** A workerStart that takes longer than this is told of: nothing is taken before its end. */
const LONG_START_MS = 10_000;

export interface BeginningOptions {
  runtime: Runtime;
  application: Application;
  life: WorkerLife;
  /** What reads the messages of this process, once it does. */
  blocker: Blocker;
  /** Called once, before take(): from here on the process may have connections of its own. */
  open?(): void;
  /** Called once: from here on the process takes what comes for its worker id. */
  take(): void;
}

export class Beginning implements Blocker {
  private readonly options: BeginningOptions;
  private readonly runtime: Runtime;
  private readonly life: WorkerLife;
  /** The manager knows that this process could take over. */
  private announced = false;
  private standsBy = false;
  private expecting = false;
  private opened = false;
  private taking = false;
  /** The process lives, though workerStart may wait for what keeps no loop alive. */
  private starting: NodeJS.Timeout | null = null;

  constructor(options: BeginningOptions) {
    this.options = options;
    this.runtime = options.runtime;
    this.life = options.life;
    options.runtime.blocker = this;
  }

  run(): void {
    const { application } = this.options;
    const started = application.workerStart(this.runtime.workerId);
    if (!(started instanceof Promise)) {
      this.started(started);
      return;
    }
    this.starting = setInterval(() => this.tellOfLongStart(), LONG_START_MS);
    void started.then((failure) => {
      this.endStarting();
      this.started(failure);
    });
  }

  private endStarting(): void {
    if (this.starting !== null) clearInterval(this.starting);
    this.starting = null;
  }

  private tellOfLongStart(): void {
    if (this.life.stopping || this.standsBy) this.endStarting();
    else
      this.runtime.logger.log(
        SWOOLE_LOG_WARNING,
        `worker ${this.runtime.workerId} takes nothing yet: its workerStart callback has not finished after ${LONG_START_MS / 1000} s`,
      );
  }

  /** One that has nobody before it serves all the same: an error in a callback takes no worker along. */
  private started(failure: string | null): void {
    if (this.life.stopping) return;
    if (failure !== null) {
      const { runtime } = this;
      runtime.outbox.to(MANAGER_INBOX).post(WORKER_FAILED, runtime.workerId, runtime.life, Buffer.from(failure));
      runtime.sent();
      if (!runtime.isHeir) {
        this.life.stop(false);
        return;
      }
    }
    this.stand();
  }

  private stand(): void {
    if (this.standsBy || this.life.stopping) return;
    this.standsBy = true;
    this.announce();
    this.look();
  }

  private announce(): void {
    if (this.announced) return;
    this.announced = true;
    this.runtime.tell(MANAGER_INBOX, WORKER_STANDS_BY, this.runtime.workerId, this.runtime.life);
    this.runtime.flush();
  }

  private readonly look = (): void => {
    if (this.taking || this.life.stopping) return;
    const { isHeir, isOpen } = this.runtime;
    if ((isHeir || isOpen) && !this.opened) {
      this.opened = true;
      this.options.open?.();
    }
    if (!isHeir) {
      setTimeout(this.look, LOOK_MS);
      return;
    }
    this.taking = true;
    this.runtime.holdId();
    this.options.take();
  };

  // ---- Blocker: a workerStart that waits for an answer needs the inbox to which that comes ------------------------------

  /** Else it would wait for ever: it takes over now, and not only when it is done. */
  expect(): void {
    if (this.standsBy || this.expecting) return;
    this.expecting = true;
    // Not inside of the callback: messages are handled in turns of their own.
    setImmediate(() => this.stand());
  }

  canBlock(deadline: number): boolean {
    const { runtime } = this;
    if (!this.taking && !runtime.isHeir) this.announce();
    while (!this.taking && !runtime.isHeir) {
      if (performance.now() >= deadline || runtime.segment.load(WORD_STATE) === STATE_STOPPING) return false;
      rest();
    }
    return this.options.blocker.canBlock(deadline);
  }

  block(wait: Wait): void {
    this.options.blocker.block(wait);
  }
}
