/**
 * A task worker: takes tasks from its rings, or from the message queue, and runs the task callback: one at a time, or as
 * many as come where task_enable_coroutine is on.
 */
import { LINGER_TURNS } from '../../reactor/limits.ts';
import { LIFE_REQUESTS, TASKING, TASKS_BEGUN, TASKS_LOST } from '../../shm/counters.ts';
import { emptyLetter, readLetter } from '../../shm/letter.ts';
import { REOPEN_LOG, STOP_WORKER, TASK, TASK_QUEUED } from '../../shm/messages.ts';
import { BROKEN, type Message, type RingWriter } from '../../shm/ring.ts';
import { TasksInHand } from '../../shm/tasks-in-hand.ts';
import { WORKER_BUSY, WORKER_EXIT, WORKER_IDLE } from '../../shm/workers.ts';
import type { Application } from '../application.ts';
import { Beginning } from '../life/beginning.ts';
import { HandedInbox } from '../life/handed-inbox.ts';
import { flushOutbox, WorkerLife } from '../life/worker-life.ts';
import type { RoleSettings } from '../role-settings.ts';
import { Letters } from '../way/letters.ts';
import type { Runtime, TurnEnd } from '../way/runtime.ts';
import { TaskInHand, tellTaskDied } from '../way/task-in-hand.ts';
import type { QueueReader } from '../way/task-queue.ts';
import { requestLimit } from './request-limit.ts';

/** Timers, signals and the like have their turn between tasks at least this often. */
const TURN_MS = 5;
/** How often one that is told to stop looks whether it may. */
const END_LOOK_MS = 2;
/** How often the message queue is looked at for tasks of other programs. */
const QUEUE_LOOK_MS = 50;

export class TaskWorker implements TurnEnd {
  private readonly runtime: Runtime;
  private readonly application: Application;
  private readonly settings: RoleSettings;
  private readonly inbox: HandedInbox;
  private readonly letters: Letters;
  private readonly queue: QueueReader | null;
  private readonly letter = emptyLetter();
  private readonly life: WorkerLife;
  private readonly beginning: Beginning;
  private readonly hands: TasksInHand;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly counters: number;
  private readonly statusWord: number;
  private readonly tasksMax: number;
  private tasks = 0;
  /** Async tasks that go on. */
  private running = 0;
  /** Tasks that are over, but whose answers still wait in this process for room in a ring. */
  private unsent: TaskInHand[] = [];
  /** The time of this turn is over: others of Node's loop are next. */
  private late = false;
  /** When the first task of this turn of Node's loop began; 0 before it. */
  private turnBegan = 0;
  /** Told to stop while a task goes on. */
  private ending = false;
  private readonly nextTurn = (): void => {
    this.turnBegan = 0;
    if (!this.late) return;
    this.late = false;
    this.resume(false);
  };
  private readonly endLater = (): void => this.endWhenDone();

  /** `queue`: where tasks wait besides the rings; null in task_ipc_mode 1. */
  constructor(runtime: Runtime, application: Application, settings: RoleSettings, queue: QueueReader | null) {
    this.queue = queue;
    this.runtime = runtime;
    this.application = application;
    this.settings = settings;
    this.letters = new Letters(application);
    this.words = runtime.segment.words;
    this.numbers = runtime.segment.numbers;
    this.counters = runtime.counters.base;
    this.statusWord = runtime.workers.statusWord(runtime.workerId);
    this.tasksMax = requestLimit(settings.taskMaxRequest, settings.taskMaxRequestGrace);
    this.hands = new TasksInHand(runtime.segment, runtime.lane);
    this.inbox = new HandedInbox({
      runtime,
      handle: (reader) => this.handle(reader),
      hold: () => this.holds(),
      onGiven: () => application.noMoreResults(),
      lingerTurns: LINGER_TURNS,
    });
    this.life = new WorkerLife({
      runtime,
      application,
      maxWaitMs: settings.maxWaitMs,
      stopTaking: (graceful) => this.inbox.give(graceful),
      finish: (deadline) => {
        this.inbox.finish(deadline);
        flushOutbox(runtime, deadline);
        this.releaseSent();
      },
      onEnd: () => process.exit(0),
    });
    this.beginning = new Beginning({
      ...{ runtime, application, life: this.life, blocker: this.inbox.watch },
      take: () => this.begin(),
    });
    this.runtime.addTurnEnd(this);
  }

  run(): void {
    this.beginning.run();
  }

  private begin(): void {
    this.inbox.take();
    if (this.queue === null) return;
    setInterval(() => this.takeQueued(), QUEUE_LOOK_MS).unref();
    setImmediate(() => this.takeQueued());
  }

  /** One that runs a task at a time finishes it, and then does not wait for anything else. */
  stop(graceful: boolean): void {
    const { life, settings } = this;
    if (life.stopping || this.ending) return;
    if (settings.taskEnableCoroutine) {
      life.stop(graceful);
      return;
    }
    const done = this.running === 0 && !this.inbox.inbox.midMessage;
    if (!graceful || done || settings.maxWaitMs === 0) {
      life.stop(false);
      return;
    }
    this.ending = true;
    this.runtime.beginStop();
    Atomics.store(this.words, this.statusWord, WORKER_EXIT);
    this.inbox.give(true);
    setTimeout(() => life.stop(false), settings.maxWaitMs);
    this.endWhenDone();
  }

  /** A task of which the beginning has arrived is ours to run: its pieces are in our memory. */
  private endWhenDone(): void {
    if (this.running > 0) return;
    this.inbox.watch.drain(true);
    if (this.inbox.given && this.running === 0) this.life.stop(false);
    else setTimeout(this.endLater, END_LOOK_MS);
  }

  /** True while nothing more may be taken: a task goes on, or others are to have their turn. */
  private holds(): boolean {
    if (this.hands.full) return true;
    // Then only the rest of what has begun to arrive is taken.
    if (this.life.stopping) return false;
    return this.late || (this.running > 0 && !this.settings.taskEnableCoroutine);
  }

  private resume(inPromise: boolean): void {
    if (this.life.stopping || this.ending) return;
    this.inbox.watch.drain(inPromise);
    this.takeQueued();
  }

  private resumeSoon(): void {
    this.late = true;
    this.beginTurn();
  }

  private beginTurn(): void {
    if (this.turnBegan !== 0) return;
    this.turnBegan = performance.now();
    setImmediate(this.nextTurn);
  }

  private takeQueued(): void {
    const { queue } = this;
    if (queue === null) return;
    while (!this.holds() && !this.life.stopping && !this.ending) {
      const task = queue.next(this.hands);
      if (task === null) break;
      const { taskId, sourceId } = task;
      const entry = this.hands.take(taskId, sourceId, task.life, task.flags, -1, 0);
      this.hands.clearIncoming();
      this.numbers[this.counters + TASKS_BEGUN]++;
      const loaded = queue.load(task);
      const inHand = new TaskInHand(this.runtime, this.hands, taskId, sourceId, task, entry);
      if (loaded) this.beginTask(inHand);
      else {
        inHand.fail();
        this.end(inHand);
      }
    }
    this.runtime.turn.touch();
  }

  private handle(reader: Message): void {
    const { kind, a, b } = reader;
    switch (kind) {
      case TASK:
        this.take(reader);
        return;
      case BROKEN:
        reader.release();
        if (reader.brokenKind === TASK) this.tellBroken(a, b, reader.lane);
        return;
      case STOP_WORKER:
        reader.release();
        this.stop(b === 1);
        return;
      case REOPEN_LOG:
        reader.release();
        this.runtime.logger.reopen();
        return;
      case TASK_QUEUED:
        reader.release();
        this.takeQueued();
        return;
      default:
        this.letters.handle(reader);
    }
  }

  private take(reader: Message): void {
    const { runtime, letter } = this;
    const { a, b, lane, position } = reader;
    readLetter(reader, letter);
    // In this order: see tasks-in-hand.ts.
    const entry = this.hands.take(a, b, letter.life, letter.flags, lane, position);
    reader.release();
    this.numbers[this.counters + TASKS_BEGUN]++;
    this.beginTask(new TaskInHand(runtime, this.hands, a >>> 0, b, letter, entry));
  }

  private beginTask(task: TaskInHand): void {
    const { words } = this;
    this.letter.value = undefined;
    // Most often the sender has written that already, and a store would take the cache line from it.
    if (words[this.statusWord] === WORKER_IDLE) words[this.statusWord] = WORKER_BUSY;
    this.beginTurn();
    this.numbers[this.counters + TASKING] = 1;
    const promise = this.application.task(task);
    if (promise === undefined) {
      this.end(task);
      return;
    }
    this.running++;
    void promise.then(() => {
      this.running--;
      this.end(task);
      if (this.ending) this.endWhenDone();
      else this.resume(true);
    });
  }

  private end(task: TaskInHand): void {
    const { numbers, counters } = this;
    numbers[counters + LIFE_REQUESTS]++;
    numbers[counters + TASKING] = this.running === 0 ? 0 : 1;
    if (task.wantsAnswer && task.writer().blocked) this.unsent.push(task);
    else task.leave();
    if (++this.tasks === this.tasksMax) this.stop(true);
    if (this.turnBegan !== 0 && performance.now() - this.turnBegan >= TURN_MS) this.late = true;
  }

  /** Everything that was there has been taken: idle, unless something goes on. */
  endTurn(): void {
    if (this.unsent.length > 0) {
      const wasFull = this.hands.full;
      this.runtime.pump();
      this.releaseSent();
      // Senders do not ring for one that is awake, and it stopped in the middle of their rings.
      if (wasFull && !this.hands.full) this.resumeSoon();
    }
    if (this.life.stopping || this.ending || !this.runtime.holdsId) return;
    if (this.running === 0 && !this.late) this.words[this.statusWord] = WORKER_IDLE;
  }

  private releaseSent(): void {
    const waiting: TaskInHand[] = [];
    const writers = new Set<RingWriter>();
    for (const task of this.unsent) {
      const writer = task.writer();
      if (writers.has(writer) || writer.blocked) {
        writers.add(writer);
        waiting.push(task);
      } else task.leave();
    }
    this.unsent = waiting;
  }

  /** The process before us died when it had the beginning of a large task: whoever waits for it is told. */
  private tellBroken(taskId: number, source: number, lane: number): void {
    const { segment, workers, workerId, counters } = this.runtime;
    counters.add(TASKS_LOST, 1);
    if (!(source >= 0 && source < segment.layout.workerCount)) return;
    // One that was replaced, and is still ending, gets no results any more: its task must not fail another's.
    if (workers.lane(source) !== lane) return;
    // The process that sent it still lives: its successor would have dropped what it left.
    tellTaskDied(this.runtime, workerId, { taskId, source, life: workers.life(source), flags: 0 });
  }
}
