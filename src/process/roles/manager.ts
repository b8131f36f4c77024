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
import { emptyLetter, postLetter, readLetter } from '../../shm/letter.ts';
import { announceLane, Inbox, releaseInboxOfDead } from '../../shm/mailbox.ts';
import {
  isLetter,
  MANAGER_READY,
  RECYCLE,
  RELOAD,
  RELOAD_ASKED,
  RELOADED,
  REOPEN_LOG,
  SHUTDOWN,
  WORKER_FAILED,
  WORKER_READY,
  WORKER_STANDS_BY,
  WORKER_STOPPING,
} from '../../shm/messages.ts';
import type { Message } from '../../shm/ring.ts';
import { RELOAD_HANDS_OVER, RELOAD_STARTS, WORD_GENERATION, WORD_RELOADING } from '../../shm/segment.ts';
import { takeIncomingOfDead, takeTasksOfDead } from '../../shm/tasks-in-hand.ts';
import type { Application } from '../application.ts';
import type { ManagedRole } from '../identity.ts';
import type { ChildEnd, Launcher } from '../life/launcher.ts';
import type { ReloadResult } from '../reload-result.ts';
import type { RoleSettings } from '../role-settings.ts';
import { InboxWatch } from '../way/inbox-watch.ts';
import { Letters } from '../way/letters.ts';
import { messageText } from '../way/message-text.ts';
import type { Runtime } from '../way/runtime.ts';
import { tellTaskDied } from '../way/task-in-hand.ts';
import { mustGiveUp, succeedInStart } from './first-start.ts';
import type { Holder } from './holder.ts';
import { endOrphans } from './orphans.ts';
import { Recycling } from './recycling.ts';
import { Reload, type ReloadHost, type ReloadOutcome } from './reload.ts';

/** A worker that dies before it served is started again with growing pauses, up to this. */
const RESPAWN_PAUSE_MAX_MS = 5000;
const RESPAWN_PAUSE_MS = 50;
/** A user process that lives shorter than this is one of them. */
const USER_PROCESS_LIFE_MS = 1000;
/** A worker's own limit is max_wait_time, and ends it properly: one that hangs is killed so much later. */
const KILL_GRACE_MS = 500;
const SERVER_ENDS = 'the server ends';
/** Lost tasks that are told by name. */
const NAMES_MAX = 20;

export interface ManagerOptions {
  runtime: Runtime;
  application: Application;
  settings: RoleSettings;
  launcher: Launcher;
  /** True in SWOOLE_BASE, where sockets live in workers. */
  workersOwnSockets: boolean;
  /** True exactly when this manager replaces one that died. */
  again: boolean;
  /** All children have ended after a shutdown. */
  onEnd(): void;
  /** Called when the server is asked to end through the manager. */
  onShutdownRequest(): void;
  /** Called before all workers are replaced; answers false to leave everything as it is. */
  beforeReload?(): boolean;
  /** The new workers stand by, and the old ones are about to be told. */
  onHandOver?(): void;
  /** In BASE the workers' connections die with them. */
  onOwnerDeath?(lane: number): void;
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
  /** The process that has been started beside that one, to take over from it. */
  private readonly beside: (Holder | null)[];
  /** Since when each id has had nobody who serves; 0 where somebody does. */
  private readonly vacantSince: number[];
  private readonly failures: number[];
  private reloading: Reload | null = null;
  private readonly recycling: Recycling;
  /** Those that were to be replaced when the reload began, or since. */
  private readonly toRecycle = new Set<Holder>();
  /** Whoever has asked for the reload that is under way. */
  private tellReloaded: (result: ReloadResult) => void = () => {};
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
    this.beside = new Array(workerIdCount).fill(null);
    this.vacantSince = new Array(workerIdCount).fill(0);
    const { logger } = options.runtime;
    this.recycling = new Recycling(this.host(false), logger, options.settings.reloadTimeoutMs, this.endMs);
    this.failures = new Array(workerIdCount).fill(0);
    const { segment, doorbells, outbox } = options.runtime;
    const inbox = new Inbox(segment, MANAGER_INBOX, doorbells, outbox);
    inbox.take(options.runtime.lane);
    const letters = new Letters(options.application);
    this.watch = new InboxWatch(options.runtime, inbox, (message) => {
      const { kind, a, b } = message;
      if (kind === RELOAD_ASKED) {
        this.reloadFor(message);
        return;
      }
      if (isLetter(kind)) {
        letters.handle(message);
        return;
      }
      const text = kind === WORKER_FAILED ? messageText(message) : null;
      message.release();
      if (text === null) this.handle(kind, a, b);
      else this.startFailed(a, b, text);
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
        if (this.vacantSince[a] !== 0) this.reloading?.stalled(holder.readyAt - this.vacantSince[a]);
        this.vacantSince[a] = 0;
        this.reloading?.ready(holder);
        break;
      }
      case WORKER_STANDS_BY: {
        const holder = this.startedAs(a, b);
        if (holder === null) break;
        holder.standsBy = true;
        this.reloading?.standsBy();
        this.recycling.standsBy(holder);
        break;
      }
      case WORKER_STOPPING:
        this.replaceStopping(a, b);
        break;
      case RECYCLE:
        this.recycle(a, b);
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

  /** The process of this life that holds an id, or has been started to take it over. */
  private startedAs(id: number, life: number): Holder | null {
    return [this.current[id], this.beside[id]].find((holder) => holder?.child.life === life) ?? null;
  }

  private startFailed(id: number, life: number, reason: string): void {
    const holder = this.startedAs(id, life);
    if (holder === null) return;
    this.reloading?.failed(holder, reason);
    this.recycling.failed(holder, reason);
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
    try {
      const started = this.launch(id, again);
      if (started !== null) this.seat(started);
    } catch (error) {
      this.runtime.logger.log(SWOOLE_LOG_ERROR, `cannot start ${this.nameOf(id)}: ${(error as Error).message}`);
      this.spawnLater(id);
    }
  }

  /** Null while all lanes of the id are held by processes that are still ending: one of them will make room. */
  private launch(id: number, again: boolean): Holder | null {
    const generation = this.freeGeneration(id);
    if (generation === -1) return null;
    const { runtime, options } = this;
    const lane = workerLane(runtime.segment.layout, id, generation);
    const life = runtime.segment.nextLife();
    let started: Holder | null = null;
    const child = options.launcher.launch({ role: this.role(id), id, lane, life, again }, (end) => {
      if (started !== null) this.exited(started, end);
    });
    started = { id, generation, child, standsBy: false, readyAt: 0, open: false, detached: false, told: false };
    this.holders.add(started);
    if (again) runtime.counters.add(RESTARTS, 1);
    return started;
  }

  /** The id is this process's from now on; where it stands by, it takes over as soon as it sees that. */
  private seat(holder: Holder): void {
    const { runtime } = this;
    const { id, generation, child } = holder;
    this.current[id] = holder;
    runtime.workers.recordStart(id, child.pid, workerLane(runtime.segment.layout, id, generation), child.life);
  }

  private startBeside(id: number): Holder | null {
    const started = this.launch(id, true);
    if (started === null) return null;
    this.beside[id] = started;
    this.runtime.workers.recordBeside(id, started.child.pid);
    return started;
  }

  private forgetBeside(id: number): Holder | null {
    const holder = this.beside[id];
    this.beside[id] = null;
    this.runtime.workers.recordBeside(id, 0);
    return holder;
  }

  /** The id has nobody: the process that was started beside the last one takes over, or there will be a new one. */
  private fill(id: number, tooSoon: boolean): void {
    const next = this.forgetBeside(id);
    if (next !== null) this.seat(next);
    else if (tooSoon) this.spawnLater(id);
    else this.spawn(id, true);
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

  /** A process takes no more work: the next one of its id takes over, while it finishes what it has begun. */
  private replaceStopping(id: number, life: number): void {
    const holder = this.current[id];
    // What it says may come after its end, when the next one has its place already.
    if (holder?.child.life !== life || !this.mayStart(id)) return;
    holder.detached = true;
    this.vacate(holder);
    this.fill(id, false);
    if (this.settings.maxWaitMs === 0) return;
    // One that hangs would hold its lane for ever, and there are few.
    setTimeout(() => this.killLate(holder), this.settings.maxWaitMs + KILL_GRACE_MS).unref();
  }

  private vacate(holder: Holder): void {
    this.current[holder.id] = null;
    if (holder.readyAt !== 0) this.vacantSince[holder.id] = performance.now();
  }

  private exited(ended: Holder, end: ChildEnd): void {
    // Its last words come first: they may tell why.
    this.watch.drain();
    const { runtime } = this;
    const { exitCode, signal: signalName, byStop } = end;
    const { id } = ended;
    this.holders.delete(ended);
    const wasCurrent = this.current[id] === ended;
    const lane = workerLane(runtime.segment.layout, id, ended.generation);
    if (this.options.workersOwnSockets && this.role(id) === 'worker') this.options.onOwnerDeath?.(lane);
    releaseInboxOfDead(runtime.segment, workerInbox(runtime.segment.layout, id), lane);
    announceLane(runtime.segment, lane, runtime.doorbells);
    endLife(runtime.segment, lane, runtime.counters);
    if (!this.options.workersOwnSockets) endOrphans(runtime, lane);
    if (this.role(id) === 'task') this.tellLostTasks(id, lane);
    const signal = signalName === null ? 0 : constants.signals[signalName];
    if (wasCurrent) this.vacate(ended);
    // What becomes of a reload by it is told by that.
    const stoodBy = this.beside[id] === ended;
    if (stoodBy) this.forgetBeside(id);
    const failed = exitCode !== 0 || signal !== 0;
    if (!ended.detached && (!stoodBy || ended.open) && failed && !byStop) {
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
    if (this.current[id] === null) this.fill(id, wasCurrent && this.endedTooSoon(ended));
    this.reloading?.ended(ended, end);
    this.recycling.ended(ended, end);
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

  /** Replaces all workers, or the task workers only. Answers false when it does not even begin. `tell`: how it went. */
  reload(taskWorkersOnly: boolean, tell: (result: ReloadResult) => void = () => {}): boolean {
    const { settings, runtime } = this;
    const { logger, segment, counters } = runtime;
    const obstacle = this.obstacleToReload(taskWorkersOnly);
    if (obstacle !== null) {
      counters.add(RELOADS_REFUSED, 1);
      tell(this.reloadResult(performance.now(), 0, obstacle));
      return false;
    }
    logger.log(SWOOLE_LOG_INFO, taskWorkersOnly ? 'reloading all task workers' : 'reloading all workers');
    const { workerCount, taskWorkerCount } = segment.layout;
    // User processes are none of them.
    const first = taskWorkersOnly ? workerCount : 0;
    const ids = Array.from({ length: workerCount + taskWorkerCount - first }, (_, index) => first + index);
    const reload = new Reload(this.host(taskWorkersOnly), {
      ids,
      groupSize: settings.reloadWorkerNum || ids.length,
      handOverSize: settings.reloadAsync && !taskWorkersOnly ? ids.length : 1,
      timeoutMs: settings.reloadTimeoutMs,
      endMs: this.endMs,
    });
    this.reloading = reload;
    this.tellReloaded = tell;
    segment.store(WORD_RELOADING, RELOAD_STARTS);
    counters.add(RELOADS, 1);
    this.application.beforeReload();
    // The callback has ended the server.
    if (this.reloading !== reload) return false;
    for (const holder of this.recycling.interrupt()) this.toRecycle.add(holder);
    reload.begin();
    return true;
  }

  reloadAsync(taskWorkersOnly: boolean): Promise<ReloadResult> {
    return new Promise((resolve) => this.reload(taskWorkersOnly, resolve));
  }

  /** For another process, which waits for the result. */
  private reloadFor(message: Message): void {
    const { a: request, b: inbox } = message;
    const letter = emptyLetter();
    readLetter(message, letter);
    message.release();
    this.reload(letter.value === true, (result) => {
      const { runtime } = this;
      postLetter(runtime.outbox.to(inbox), RELOADED, request, 0, letter.life, 0, result, 'the result of a reload');
      runtime.sent();
    });
  }

  /** Why a reload cannot even begin, or null. */
  private obstacleToReload(taskWorkersOnly: boolean): string | null {
    const { logger, segment } = this.runtime;
    if (this.stopping) return SERVER_ENDS;
    if (this.reloading !== null) {
      logger.log(SWOOLE_LOG_INFO, 'a reload is under way already: this one is ignored');
      return 'another reload is under way';
    }
    if (taskWorkersOnly && segment.layout.taskWorkerCount === 0) {
      logger.log(SWOOLE_LOG_WARNING, 'there are no task workers to reload');
      return 'there are no task workers';
    }
    if (!taskWorkersOnly && this.options.beforeReload?.() === false)
      return 'the certificates are not in order (the log tells which)';
    return null;
  }

  private reloadResult(began: number, stallMs: number, refused: string | null): ReloadResult {
    const generation = this.runtime.segment.load(WORD_GENERATION);
    return { generation, seconds: (performance.now() - began) / 1000, longestStall: stallMs / 1000, refused };
  }

  /** A worker was told to stop, and has time to wait for its successor. */
  private recycle(id: number, life: number): void {
    const holder = this.current[id];
    if (holder?.child.life !== life || this.stopping) return;
    // A reload that runs replaces it anyway, unless it is refused.
    if (this.reloading === null) this.recycling.begin(holder);
    else this.toRecycle.add(holder);
  }

  private get endMs(): number {
    const { maxWaitMs } = this.settings;
    return maxWaitMs === 0 ? 0 : maxWaitMs + KILL_GRACE_MS;
  }

  private host(taskWorkersOnly: boolean): ReloadHost {
    const total = taskWorkersOnly ? 'task workers' : 'workers';
    return {
      holderOf: (id) => this.current[id],
      startNext: (id) => this.startNext(id),
      end: (holder) => this.replace(holder),
      killLate: (holder) => this.killLate(holder),
      drop: (holder) => this.drop(holder),
      nameOf: (id) => this.nameOf(id),
      handingOver: () => {
        this.runtime.segment.store(WORD_RELOADING, RELOAD_HANDS_OVER);
        if (!taskWorkersOnly) this.options.onHandOver?.();
      },
      done: (outcome) => this.endReload(outcome, total),
    };
  }

  /** One that only waits for its next start does so no longer: the new code may be what it needs. */
  private startNext(id: number): Holder | null {
    if (this.current[id] !== null) return this.beside[id] === null ? this.startBeside(id) : null;
    const started = this.launch(id, true);
    if (started !== null) this.seat(started);
    return started;
  }

  private endReload({ refused, replaced, began, stallMs }: ReloadOutcome, total: string): void {
    const { logger, segment, counters } = this.runtime;
    this.reloading = null;
    segment.store(WORD_RELOADING, 0);
    if (refused === null) Atomics.add(segment.words, WORD_GENERATION, 1);
    else {
      counters.add(RELOADS_REFUSED, 1);
      const rest = replaced === 0 ? `all ${total} go on as before` : `${replaced} ${total} were replaced before that`;
      logger.log(SWOOLE_LOG_ERROR, `the reload is refused, and ${rest}: ${refused}`);
    }
    for (const holder of this.toRecycle) if (this.current[holder.id] === holder) this.recycling.begin(holder);
    this.toRecycle.clear();
    const result = this.reloadResult(began, stallMs, refused);
    this.application.afterReload(result);
    this.tellReloaded(result);
  }

  /** It has nothing to serve: no time but for its own end. */
  private drop(holder: Holder): void {
    if (this.beside[holder.id] === holder) this.forgetBeside(holder.id);
    holder.detached = true;
    this.end(holder);
    setTimeout(() => this.killLate(holder), this.settings.maxWaitMs + KILL_GRACE_MS).unref();
  }

  /** Its successor stands by. Where workers own the sockets that accepts from now on, so that there is always somebody. */
  private replace(holder: Holder): void {
    const next = this.beside[holder.id];
    if (next !== null && this.options.workersOwnSockets) {
      next.open = true;
      this.runtime.workers.recordOpen(next.id, next.child.life);
    }
    this.end(holder);
  }

  private end(holder: Holder): void {
    holder.told = true;
    holder.child.stop();
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

  // ---- shutdown ---------------------------------------------------------------------------------------------------

  /** Ends all children: event workers, then task workers, then user processes. */
  shutdown(): void {
    if (this.stopping) return;
    this.stopping = true;
    if (this.reloading !== null) {
      this.reloading.abandon();
      this.tellReloaded(this.reloadResult(performance.now(), 0, SERVER_ENDS));
    }
    this.reloading = null;
    this.recycling.interrupt();
    for (const holder of this.beside) if (holder !== null) this.drop(holder);
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
