/**
 * The master of SWOOLE_PROCESS: the first process. Its reactor threads own all sockets; its main thread starts the
 * manager, answers signals, and runs the server's own events.
 */

import { SWOOLE_LOG_ERROR, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { KILLS, MANAGER_RESTARTS, STARTS_FAILED } from '../../shm/counters.ts';
import { endLife } from '../../shm/lanes.ts';
import {
  LANES_PER_WORKER,
  MANAGER_INBOX,
  MANAGER_LANE,
  MASTER_INBOX,
  workerInbox,
  workerLane,
} from '../../shm/layout.ts';
import { announceLane, Inbox, releaseInboxOfDead } from '../../shm/mailbox.ts';
import { isLetter, MANAGER_READY, NO_IDLE_WORKER, RELOAD, REOPEN_LOG, SHUTDOWN } from '../../shm/messages.ts';
import { STATE_RUNNING, STATE_STOPPING, WORD_MANAGER_PID, WORD_STATE } from '../../shm/segment.ts';
import type { Application } from '../application.ts';
import type { Child, Launcher } from '../life/launcher.ts';
import type { RoleSettings } from '../role-settings.ts';
import { InboxWatch } from '../way/inbox-watch.ts';
import { Letters } from '../way/letters.ts';
import type { Runtime } from '../way/runtime.ts';
import { mustGiveUp } from './first-start.ts';
import { endOrphans } from './orphans.ts';
import type { ReactorThreads } from './reactor-threads.ts';

/** A manager that dies at once, again and again, is started with growing pauses. */
const MANAGER_PAUSE_MS = 100;
const MANAGER_PAUSE_MAX_MS = 5000;
/** One that lives shorter than this, from when it was ready, has died at once: its managerStart may be why. */
const MANAGER_LIFE_MS = 1000;
const DEAD_WORKERS_WAIT_MS = 1000;
/** At the end it kills what is left after twice max_wait_time. One that has not ended so much later hangs itself. */
const MANAGER_END_MS = 3000;

export interface MasterOptions {
  runtime: Runtime;
  application: Application;
  settings: RoleSettings;
  launcher: Launcher;
  reactors: ReactorThreads;
  /** Everybody has ended; sockets are still to be closed. */
  onEnd(): void;
}

export class Master {
  private readonly options: MasterOptions;
  private readonly runtime: Runtime;
  private readonly watch: InboxWatch;
  private manager: Child | null = null;
  private managerExit: Promise<void> = Promise.resolve();
  private managerFailures = 0;
  /** When the manager of now was ready; 0 before. */
  private managerReadyAt = 0;
  private started = false;
  private stopping = false;

  constructor(options: MasterOptions) {
    this.options = options;
    this.runtime = options.runtime;
    const { segment, doorbells, outbox } = options.runtime;
    const inbox = new Inbox(segment, MASTER_INBOX, doorbells, outbox);
    inbox.take(this.runtime.lane);
    const letters = new Letters(options.application);
    this.watch = new InboxWatch(this.runtime, inbox, (message) => {
      const { kind } = message;
      if (isLetter(kind)) {
        letters.handle(message);
        return;
      }
      message.release();
      this.handle(kind);
    });
  }

  async run(): Promise<void> {
    this.watch.start();
    await this.options.reactors.start();
    if (!this.stopping) this.startManager(false);
  }

  private handle(kind: number): void {
    switch (kind) {
      case MANAGER_READY:
        this.managerReadyAt = performance.now();
        this.begin();
        break;
      case NO_IDLE_WORKER:
        this.options.application.noIdleWorker();
        break;
      case SHUTDOWN:
        void this.shutdown();
        break;
      case REOPEN_LOG:
        this.reopenLogs();
        break;
    }
  }

  /** Everybody was started: now clients may come. */
  private begin(): void {
    if (this.stopping) return;
    if (this.started) {
      this.options.reactors.startAccepting();
      return;
    }
    this.started = true;
    this.runtime.segment.store(WORD_STATE, STATE_RUNNING);
    this.options.application.start();
    if (!this.stopping) this.options.reactors.startAccepting();
  }

  // ---- the manager ------------------------------------------------------------------------------------------------

  private startManager(again: boolean): void {
    let exited: () => void = () => {};
    this.managerExit = new Promise((resolve) => {
      exited = resolve;
    });
    const description = {
      role: 'manager',
      id: -1,
      lane: MANAGER_LANE,
      life: this.runtime.segment.nextLife(),
      again,
    } as const;
    try {
      this.manager = this.options.launcher.launch(description, ({ exitCode, signal }) => {
        this.manager = null;
        exited();
        if (!this.stopping) void this.managerDied(exitCode, signal);
      });
    } catch (error) {
      this.runtime.counters.add(STARTS_FAILED, 1);
      this.runtime.logger.log(SWOOLE_LOG_ERROR, `cannot start the manager: ${(error as Error).message}`);
      exited();
      void this.managerDied(1, null);
      return;
    }
    this.runtime.segment.store(WORD_MANAGER_PID, this.manager.pid);
    if (again) this.runtime.counters.add(MANAGER_RESTARTS, 1);
  }

  /** Its workers die with it; connections live here and stay. */
  private async managerDied(code: number, signal: string | null): Promise<void> {
    const { runtime } = this;
    // Newcomers could only wait for workers, and would take the descriptors that the next manager needs.
    this.options.reactors.pauseAccepting();
    runtime.segment.store(WORD_MANAGER_PID, 0);
    this.options.application.managerDied();
    if (this.managerReadyAt !== 0 && performance.now() - this.managerReadyAt >= MANAGER_LIFE_MS)
      this.managerFailures = 0;
    this.managerReadyAt = 0;
    const failures = this.managerFailures++;
    if (mustGiveUp(runtime, 'the manager', this.managerFailures)) {
      void this.shutdown();
      return;
    }
    const pause = failures === 0 ? 0 : Math.min(MANAGER_PAUSE_MAX_MS, MANAGER_PAUSE_MS * 2 ** Math.min(failures, 10));
    runtime.logger.log(
      SWOOLE_LOG_WARNING,
      `the manager ended (exit code ${code}, signal ${signal ?? 'none'}): it is started again${pause === 0 ? '' : ` in ${pause} ms`}`,
    );
    // The pause must not keep a server that ends meanwhile.
    if (pause > 0) await delay(pause, false);
    await this.waitForDeadWorkers();
    if (!this.stopping) this.startManager(true);
  }

  /** A ring bears one reader and one writer: nobody new may come before the old ones are gone. */
  private async waitForDeadWorkers(): Promise<void> {
    const { segment, workers, doorbells } = this.runtime;
    const { layout } = segment;
    const limit = performance.now() + DEAD_WORKERS_WAIT_MS;
    for (let id = 0; id < layout.workerIdCount; id++) {
      for (const pid of [workers.pid(id), workers.besidePid(id)])
        if (pid !== 0) await this.options.launcher.orphanEnded(pid, limit);
      workers.recordBeside(id, 0);
      // Then the server may have ended: doorbells are closed, and their numbers may be those of others.
      if (this.stopping) return;
      for (let generation = 0; generation < LANES_PER_WORKER; generation++) {
        const lane = workerLane(layout, id, generation);
        releaseInboxOfDead(segment, workerInbox(layout, id), lane);
        announceLane(segment, lane, doorbells);
        endLife(segment, lane, this.runtime.counters);
        endOrphans(this.runtime, lane);
      }
    }
    releaseInboxOfDead(segment, MANAGER_INBOX, MANAGER_LANE);
    endLife(segment, MANAGER_LANE, this.runtime.counters);
  }

  reload(taskWorkersOnly: boolean): void {
    // Not as a signal: a manager that has only just started would not know it yet.
    this.runtime.tell(MANAGER_INBOX, RELOAD, taskWorkersOnly ? 1 : 0);
  }

  reopenLogs(): void {
    this.runtime.logger.reopen();
    this.options.reactors.reopenLogs();
    if (this.manager !== null) this.runtime.tell(MANAGER_INBOX, REOPEN_LOG);
  }

  // ---- shutdown ---------------------------------------------------------------------------------------------------

  /**
   * Ends the server: no newcomers and no more input, then the workers finish what they have, then what they answered goes
   * out, as far as clients take it within max_wait_time.
   */
  async shutdown(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    const { application, reactors, settings, runtime } = this.options;
    application.beforeShutdown();
    runtime.segment.store(WORD_STATE, STATE_STOPPING);
    reactors.stopAccepting();
    this.manager?.stop();
    const { maxWaitMs } = settings;
    const killer = maxWaitMs === 0 ? null : setTimeout(() => this.killManager(), 2 * maxWaitMs + MANAGER_END_MS);
    await this.managerExit;
    if (killer !== null) clearTimeout(killer);
    await reactors.finish(maxWaitMs);
    this.watch.close();
    this.options.onEnd();
  }

  /** Its children die with it. */
  private killManager(): void {
    this.runtime.counters.add(KILLS, 1);
    this.runtime.logger.log(SWOOLE_LOG_WARNING, 'the manager did not end within twice max_wait_time and is killed');
    this.manager?.kill();
  }
}

function delay(ms: number, keepsAlive = true): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    if (!keepsAlive) timer.unref();
  });
}
