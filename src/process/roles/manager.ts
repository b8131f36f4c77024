/**
 * The manager: starts workers, notices their end, replaces them, and reloads them. It holds no connections. In
 * SWOOLE_PROCESS it is a child of the master; in SWOOLE_BASE it is the first process itself.
 */
import { constants } from 'node:os';
import {
  SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_WARNING,
} from '../../constants.ts';
import { CRASHES, KILLS, RELOADS, RELOADS_REFUSED, RESTARTS, STARTS_FAILED, TASKS_LOST } from '../../shm/counters.ts';
import { endLife } from '../../shm/lanes.ts';
import { LANES_PER_WORKER, MANAGER_INBOX, MASTER_INBOX, workerInbox, workerLane } from '../../shm/layout.ts';
import { announceLane, Inbox, releaseInboxOfDead } from '../../shm/mailbox.ts';
import {
  isLetter,
  MANAGER_READY,
  RELOAD,
  REOPEN_LOG,
  SHUTDOWN,
  WORKER_READY,
  WORKER_STOPPING,
} from '../../shm/messages.ts';
import { WORD_RELOADING } from '../../shm/segment.ts';
import { takeIncomingOfDead, takeTasksOfDead } from '../../shm/tasks-in-hand.ts';
import type { Application } from '../application.ts';
import type { ManagedRole } from '../identity.ts';
import type { Child, ChildEnd, Launcher } from '../life/launcher.ts';
import type { RoleSettings } from '../role-settings.ts';
import { InboxWatch } from '../way/inbox-watch.ts';
import { Letters } from '../way/letters.ts';
import type { Runtime } from '../way/runtime.ts';
import { tellTaskDied } from '../way/task-in-hand.ts';
import { mustGiveUp, succeedInStart } from './first-start.ts';
import { endOrphans } from './orphans.ts';

/** A worker that dies before it served is started again with growing pauses, up to this. */
const RESPAWN_PAUSE_MAX_MS = 5000;
const RESPAWN_PAUSE_MS = 50;
/** A user process that lives shorter than this is one of them. */
const USER_PROCESS_LIFE_MS = 1000;
/** A worker's own limit is max_wait_time, and ends it properly: one that hangs is killed so much later. */
const KILL_GRACE_MS = 500;
/** Lost tasks that are told by name. */
const NAMES_MAX = 20;

/** A process that holds a worker id, or did and is ending. */
interface Holder {
  id: number;
  generation: number;
  child: Child;
  /** When it had taken its role; 0 before. One that has served is replaced at once when it dies. */
  readyAt: number;
  /** It takes no more work, and its replacement has been started: its end concerns nobody. */
  detached: boolean;
  /** It was asked to end. */
  told: boolean;
}

interface Reload {
  /** Processes that must end before the reload is complete, those that were not told yet among them. */
  pending: Set<Holder>;
  killer: NodeJS.Timeout | null;
}

export interface ManagerOptions {
  runtime: Runtime;
  application: Application;
  settings: RoleSettings;
  launcher: Launcher;
  /** True in SWOOLE_BASE, where sockets live in workers: a replacement must wait for the end of the one before. */
  workersOwnSockets: boolean;
  /** True exactly when this manager replaces one that died. */
  again: boolean;
  /** All children have ended after a shutdown. */
  onEnd(): void;
  /** Called when the server is asked to end through the manager. */
  onShutdownRequest(): void;
  /** Called before all workers are replaced; answers false to leave everything as it is. */
  beforeReload?(): boolean;
  /** In BASE the workers' connections die with them. */
  onOwnerDeath?(workerId: number): void;
}

export class Manager {
  private readonly options: ManagerOptions;
  private readonly runtime: Runtime;
  private readonly application: Application;
  private readonly settings: RoleSettings;
  private readonly watch: InboxWatch;
  private readonly holders = new Set<Holder>();
  /** The process that holds each worker id now. */
  private readonly current: (Holder | null)[];
  private readonly failures: number[];
  private reloading: Reload | null = null;
  private stopping = false;
  /** The roles that are still to end, at a shutdown. */
  private stopOrder: ManagedRole[] = [];
  private stopped = false;

  constructor(options: ManagerOptions) {
    this.options = options;
    this.runtime = options.runtime;
    this.application = options.application;
    this.settings = options.settings;
    const { workerIdCount } = options.runtime.segment.layout;
    this.current = new Array(workerIdCount).fill(null);
    this.failures = new Array(workerIdCount).fill(0);
    const { segment, doorbells, outbox } = options.runtime;
    const inbox = new Inbox(segment, MANAGER_INBOX, doorbells, outbox);
    inbox.take(options.runtime.lane);
    const letters = new Letters(options.application);
    this.watch = new InboxWatch(options.runtime, inbox, (message) => {
      const { kind, a, b } = message;
      if (isLetter(kind)) {
        letters.handle(message);
        return;
      }
      message.release();
      this.handle(kind, a, b);
    });
  }

  run(): void {
    const { layout } = this.runtime.segment;
    this.runtime.segment.store(WORD_RELOADING, 0);
    this.watch.start();
    // Task workers first, then event workers, then user processes, as Swoole does.
    const taskEnd = layout.workerCount + layout.taskWorkerCount;
    for (let id = layout.workerCount; id < taskEnd; id++) this.spawn(id, this.options.again);
    for (let id = 0; id < layout.workerCount; id++) this.spawn(id, this.options.again);
    for (let id = taskEnd; id < layout.workerIdCount; id++) this.spawn(id, this.options.again);
    this.runtime.tell(MASTER_INBOX, MANAGER_READY);
    // The master begins beside the callback, however long that takes.
    this.runtime.flush();
    this.application.managerStart();
  }

  private handle(kind: number, a: number, b: number): void {
    switch (kind) {
      case WORKER_READY: {
        const holder = this.current[a];
        if (holder?.child.life !== b) break;
        holder.readyAt = performance.now();
        if (this.role(a) !== 'user') this.failures[a] = 0;
        if (this.role(a) === 'worker') succeedInStart(this.runtime);
        break;
      }
      case WORKER_STOPPING:
        this.replaceStopping(a, b);
        break;
      case RELOAD:
        this.reload(a === 1);
        break;
      case SHUTDOWN:
        this.options.onShutdownRequest();
        break;
      case REOPEN_LOG:
        this.reopenLogs();
        break;
    }
  }

  // ---- starting and replacing -------------------------------------------------------------------------------------

  private role(id: number): ManagedRole {
    const { workerCount, taskWorkerCount } = this.runtime.segment.layout;
    return id < workerCount ? 'worker' : id < workerCount + taskWorkerCount ? 'task' : 'user';
  }

  private nameOf(id: number): string {
    const role = this.role(id);
    return `${role === 'worker' ? 'worker' : role === 'task' ? 'task worker' : 'user process'} ${id}`;
  }

  /** False once the server ends, but for task workers while there is somebody who may wait for their results. */
  private mayStart(id: number): boolean {
    return !this.stopping || (this.role(id) === 'task' && this.stopOrder[0] === 'worker');
  }

  private spawn(id: number, again: boolean): void {
    const generation = this.freeGeneration(id);
    // All lanes of this id are held by processes that are still ending: one of them will make room.
    if (generation === -1) return;
    const { runtime, options } = this;
    const lane = workerLane(runtime.segment.layout, id, generation);
    const life = runtime.segment.nextLife();
    let started: Holder | null = null;
    try {
      const child = options.launcher.launch({ role: this.role(id), id, lane, life, again }, (end) => {
        if (started !== null) this.exited(started, end);
      });
      started = { id, generation, child, readyAt: 0, detached: false, told: false };
    } catch (error) {
      runtime.logger.log(SWOOLE_LOG_ERROR, `cannot start ${this.nameOf(id)}: ${(error as Error).message}`);
      this.spawnLater(id);
      return;
    }
    this.holders.add(started);
    if (again) runtime.counters.add(RESTARTS, 1);
    this.current[id] = started;
    runtime.workers.recordStart(id, started.child.pid, lane, life);
  }

  private freeGeneration(id: number): number {
    for (let generation = 0; generation < LANES_PER_WORKER; generation++) {
      if (![...this.holders].some((holder) => holder.id === id && holder.generation === generation)) return generation;
    }
    return -1;
  }

  private spawnLater(id: number): void {
    const failures = ++this.failures[id];
    this.runtime.counters.add(STARTS_FAILED, 1);
    // A user process may end as often as it likes.
    if (this.role(id) !== 'user' && mustGiveUp(this.runtime, this.nameOf(id), failures)) {
      this.options.onShutdownRequest();
      return;
    }
    const pause = Math.min(RESPAWN_PAUSE_MAX_MS, RESPAWN_PAUSE_MS * 2 ** Math.min(failures, 10));
    this.runtime.logger.log(
      SWOOLE_LOG_ERROR,
      `${this.nameOf(id)} ended as soon as it had begun (${failures} times in a row): the next start is in ${pause} ms`,
    );
    setTimeout(() => {
      if (this.mayStart(id) && this.current[id] === null) this.spawn(id, true);
      // A server that has ended must not be kept by it.
    }, pause).unref();
  }

  /** A process takes no more work: unless sockets are its own, the next one of its id can start while it finishes. */
  private replaceStopping(id: number, life: number): void {
    const holder = this.current[id];
    // What it says may come after its end, when the next one has its place already.
    if (holder?.child.life !== life || !this.mayStart(id)) return;
    if (this.options.workersOwnSockets && this.role(id) === 'worker') return;
    holder.detached = true;
    this.current[id] = null;
    this.spawn(id, true);
    if (this.settings.maxWaitMs === 0) return;
    // One that hangs would hold its lane for ever, and there are few.
    setTimeout(() => this.killLate(holder), this.settings.maxWaitMs + KILL_GRACE_MS).unref();
  }

  private exited(ended: Holder, { exitCode, signal: signalName, byStop }: ChildEnd): void {
    const { runtime } = this;
    const { id } = ended;
    this.holders.delete(ended);
    const lane = workerLane(runtime.segment.layout, id, ended.generation);
    releaseInboxOfDead(runtime.segment, workerInbox(runtime.segment.layout, id), lane);
    if (this.options.workersOwnSockets && this.role(id) === 'worker') this.options.onOwnerDeath?.(id);
    announceLane(runtime.segment, lane, runtime.doorbells);
    endLife(runtime.segment, lane, runtime.counters);
    if (!this.options.workersOwnSockets) endOrphans(runtime, lane);
    if (this.role(id) === 'task') this.tellLostTasks(id, lane);
    const signal = signalName === null ? 0 : constants.signals[signalName];
    const wasCurrent = this.current[id] === ended;
    if (wasCurrent) this.current[id] = null;
    const failed = exitCode !== 0 || signal !== 0;
    if (!ended.detached && failed && !byStop) {
      runtime.counters.add(CRASHES, 1);
      runtime.logger.log(
        SWOOLE_LOG_WARNING,
        `${this.nameOf(id)} (pid=${ended.child.pid}) ended abnormally: exit code ${exitCode}, signal ${signal}`,
      );
      this.application.workerError(id, ended.child.pid, exitCode, signal);
    }
    if (!this.mayStart(id)) {
      this.continueStop();
      return;
    }
    if (this.current[id] === null) {
      if (wasCurrent && this.endedTooSoon(ended)) this.spawnLater(id);
      else this.spawn(id, true);
    }
    this.continueReload(ended);
  }

  /**
   * A user process is to live as long as the server: one that ends at once must not be started again at full speed. How
   * long it took to start is not part of its life, or a slow machine would start it all the more often.
   */
  private endedTooSoon({ id, readyAt, told }: Holder): boolean {
    // Also without an error, as a script does that does not come to start() in a child.
    if (this.role(id) !== 'user') return readyAt === 0 && !told;
    if (readyAt === 0 || performance.now() - readyAt < USER_PROCESS_LIFE_MS) return true;
    this.failures[id] = 0;
    return false;
  }

  /** Whoever waits for a task that died with its worker is told now, and not when its time is up. */
  private tellLostTasks(id: number, lane: number): void {
    const { runtime } = this;
    const { layout } = runtime.segment;
    const lost = takeTasksOfDead(runtime.segment, workerInbox(layout, id), lane);
    const incoming = takeIncomingOfDead(runtime.segment, lane);
    if (incoming !== null && !lost.some(({ taskId, life }) => taskId === incoming.taskId && life === incoming.life)) {
      lost.push(incoming);
      runtime.counters.add(TASKS_LOST, 1);
    }
    if (lost.length === 0) return;
    for (const task of lost) tellTaskDied(runtime, id, task);
    const names = lost.map(
      ({ taskId, source }) => `${taskId} of ${source < 0 ? 'another process' : `worker ${source}`}`,
    );
    runtime.logger.log(
      SWOOLE_LOG_WARNING,
      `${this.nameOf(id)} ended in the middle of ${lost.length === 1 ? 'a task' : `${lost.length} tasks`}, lost with it: ${names.slice(0, NAMES_MAX).join(', ')}`,
      SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
    );
  }

  // ---- reload -----------------------------------------------------------------------------------------------------

  /** Replaces all workers, or the task workers only. Answers false when a reload is under way. */
  reload(taskWorkersOnly: boolean): boolean {
    const { logger, segment } = this.runtime;
    if (this.stopping || this.reloading !== null) {
      this.runtime.counters.add(RELOADS_REFUSED, 1);
      logger.log(SWOOLE_LOG_INFO, 'a reload is under way already: this one is ignored');
      return false;
    }
    const { workerCount, taskWorkerCount } = segment.layout;
    if (taskWorkersOnly && taskWorkerCount === 0) {
      logger.log(SWOOLE_LOG_WARNING, 'there are no task workers to reload');
      return false;
    }
    if (!taskWorkersOnly && this.options.beforeReload?.() === false) return false;
    logger.log(SWOOLE_LOG_INFO, taskWorkersOnly ? 'reloading all task workers' : 'reloading all workers');
    const reload: Reload = { pending: new Set(), killer: null };
    this.reloading = reload;
    segment.store(WORD_RELOADING, 1);
    this.runtime.counters.add(RELOADS, 1);
    this.application.beforeReload();
    // The callback has ended the server.
    if (this.reloading !== reload) return false;
    // User processes are none of them.
    for (let id = taskWorkersOnly ? workerCount : 0; id < workerCount + taskWorkerCount; id++) {
      const holder = this.current[id];
      if (holder !== null) reload.pending.add(holder);
    }
    const { size } = reload.pending;
    this.endNext(reload, this.settings.reloadAsync && !taskWorkersOnly ? size : 1);
    if (size === 0) this.endReload();
    return true;
  }

  /** Whose turn comes only now has all of max_wait_time as well. */
  private endNext(reload: Reload, count: number): void {
    const next = [...reload.pending].filter((holder) => !holder.told).slice(0, count);
    if (next.length === 0) return;
    for (const holder of next) this.end(holder);
    if (this.settings.maxWaitMs === 0) return;
    if (reload.killer !== null) clearTimeout(reload.killer);
    reload.killer = setTimeout(() => this.killRest(reload), this.settings.maxWaitMs + KILL_GRACE_MS);
  }

  private continueReload(ended: Holder): void {
    const reload = this.reloading;
    if (reload === null || !reload.pending.delete(ended)) return;
    if (reload.pending.size === 0) this.endReload();
    // One that died before its turn is not the one that the others wait for.
    else if (ended.told) this.endNext(reload, 1);
  }

  private end(holder: Holder): void {
    holder.told = true;
    holder.child.stop();
  }

  private killRest(reload: Reload): void {
    for (const holder of reload.pending) if (holder.told) this.killLate(holder);
  }

  private killLate(holder: Holder): void {
    if (!this.holders.has(holder)) return;
    this.runtime.logger.log(
      SWOOLE_LOG_WARNING,
      `${this.nameOf(holder.id)} did not end within max_wait_time and is killed`,
    );
    this.runtime.counters.add(KILLS, 1);
    holder.child.kill();
  }

  private endReload(): void {
    if (this.reloading?.killer != null) clearTimeout(this.reloading.killer);
    this.reloading = null;
    this.runtime.segment.store(WORD_RELOADING, 0);
    this.application.afterReload();
  }

  // ---- shutdown ---------------------------------------------------------------------------------------------------

  /** Ends all children: event workers, then task workers, then user processes. */
  shutdown(): void {
    if (this.stopping) return;
    this.stopping = true;
    if (this.reloading?.killer != null) clearTimeout(this.reloading.killer);
    this.reloading = null;
    this.stopOrder = ['worker', 'task', 'user'];
    if (this.settings.maxWaitMs > 0) {
      setTimeout(() => {
        this.runtime.counters.add(KILLS, this.holders.size);
        for (const holder of this.holders) holder.child.kill();
      }, 2 * this.settings.maxWaitMs).unref();
    }
    this.stopNext();
  }

  private stopNext(): void {
    for (const holder of this.holders) if (this.role(holder.id) === this.stopOrder[0]) this.end(holder);
    this.continueStop();
  }

  private continueStop(): void {
    if (this.stopOrder.length === 0) {
      // The last one's workerError may have called shutdown(), and we are told of its end behind that.
      if (this.stopped) return;
      this.stopped = true;
      this.watch.close();
      this.application.managerStop();
      this.options.onEnd();
      return;
    }
    for (const holder of this.holders) if (this.role(holder.id) === this.stopOrder[0]) return;
    this.stopOrder.shift();
    this.stopNext();
  }

  reopenLogs(): void {
    this.runtime.logger.reopen();
    const { layout } = this.runtime.segment;
    for (let id = 0; id < layout.workerIdCount; id++) this.runtime.tell(workerInbox(layout, id), REOPEN_LOG);
  }
}
