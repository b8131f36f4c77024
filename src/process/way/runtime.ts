import type { Logger } from '../../log/log.ts';
import { ConnectionTable } from '../../shm/connections.ts';
import { CALLBACKS_NOW, MESSAGES, TASKS_HELD, TASKS_WAITED } from '../../shm/counters.ts';
import { LaneCounters } from '../../shm/lanes.ts';
import { MANAGER_INBOX, workerInbox } from '../../shm/layout.ts';
import { keep, postLetter } from '../../shm/letter.ts';
import { Outbox } from '../../shm/mailbox.ts';
import { RECYCLE } from '../../shm/messages.ts';
import type { Message, RingWriter } from '../../shm/ring.ts';
import { type Segment, WORD_MANAGER_PID } from '../../shm/segment.ts';
import { WorkerTable } from '../../shm/workers.ts';
import type { Identity, Role } from '../identity.ts';
import { type Blocker, NO_BLOCKER } from './blocker.ts';
import { Turn } from './turn.ts';
import { RingWire, type Wire } from './wire.ts';

/** What another process has answered, as it came. */
export interface Answer {
  kind: number;
  a: number;
  b: number;
  life: number;
  flags: number;
  value: unknown;
}

/** Has more to do at the end of a turn than to tell others of their messages. */
export interface TurnEnd {
  endTurn(): void;
}

/** Where tasks, and other messages, wait in this process for room. */
export interface Backlog {
  /** Tries them again. Answers true when nothing waits any more. */
  pump(): boolean;
  readonly waitingTasks: number;
}

/** What every process of a running server holds: the shared tables, and its own way to write to the others. */
export class Runtime {
  readonly role: Role;
  /** -1 in master and manager. */
  readonly workerId: number;
  readonly lane: number;
  /** Whoever answers to it answers us, and none that had our worker id before us. */
  readonly life: number;
  readonly segment: Segment;
  readonly doorbells: readonly number[];
  readonly connections: ConnectionTable;
  readonly workers: WorkerTable;
  readonly counters: LaneCounters;
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly logger: Logger;
  /** A worker that has sockets of its own puts a nearer one in the place of this. */
  wire: Wire;
  /** A worker puts in here what reads its messages. */
  blocker: Blocker = NO_BLOCKER;
  private readonly turnEnds: TurnEnd[] = [];
  /** Beside the rings. */
  private readonly backlogs: Backlog[] = [];
  private toldToStop = false;
  private hasId = false;
  private readonly forHeir: ((writer: RingWriter) => void)[] = [];
  private holdsTasks = false;
  private pumpTimer: NodeJS.Timeout | null = null;
  private unannounced = 0;

  constructor({ role, id, lane, life }: Identity, segment: Segment, doorbells: readonly number[], logger: Logger) {
    this.role = role;
    this.workerId = id;
    this.lane = lane;
    this.life = life;
    this.segment = segment;
    this.doorbells = doorbells;
    this.logger = logger;
    this.connections = new ConnectionTable(segment);
    this.workers = new WorkerTable(segment);
    this.counters = new LaneCounters(segment, lane);
    this.counters.life = life;
    this.outbox = new Outbox(segment, lane, doorbells);
    this.turn = new Turn(() => this.flush());
    // Tasks, and what user processes do, may keep the thread for long. Only event workers have so much to send that a
    // gathered announcement pays.
    if (role !== 'worker') this.turn.announce = () => this.outbox.flush();
    this.wire = new RingWire(this.outbox, this.turn);
  }

  /** From here on each turn ends with this, too. */
  addTurnEnd(end: TurnEnd): void {
    this.turnEnds.push(end);
  }
  removeTurnEnd(end: TurnEnd): void {
    const index = this.turnEnds.indexOf(end);
    if (index !== -1) this.turnEnds.splice(index, 1);
  }
  addBacklog(backlog: Backlog): void {
    this.backlogs.push(backlog);
  }

  /**
   * The table of workers names this process under its worker id. Not yet where it stands by while another one serves, and
   * no longer where it has been replaced.
   */
  get isHeir(): boolean {
    return this.workers.life(this.workerId) === this.life;
  }

  /** This process may have connections of its own. */
  get isOpen(): boolean {
    return this.workers.openLife(this.workerId) === this.life;
  }

  /** This process takes what comes for its worker id, and writes what stands under that in shared memory. */
  holdId(): void {
    this.hasId = true;
    Atomics.store(this.segment.words, this.workers.callbacksWord(this.workerId), this.counters.get(CALLBACKS_NOW));
  }
  /** False in one that stands by: the words of its id are those of another. */
  get holdsId(): boolean {
    return this.hasId;
  }

  /** Answers true for what the next process of our worker id, which stands by, has asked. It gets that with the inbox. */
  keepForHeir(answer: Answer): boolean {
    const { kind, a, b, life, flags, value } = answer;
    if (!this.hasId || !this.isLater(life)) return false;
    this.forHeir.push((writer) => postLetter(writer, kind, a, b, life, flags, value, 'an answer'));
    return true;
  }
  /** The same for a message about a connection of that process, as it is. */
  keepMessageForHeir(message: Message): boolean {
    if (!this.isLater(this.workers.openLife(this.workerId))) return false;
    const { kind, a, b, bytes } = keep(message);
    this.forHeir.push((writer) => writer.post(kind, a, b, bytes ?? undefined));
    return true;
  }
  passOn(): void {
    const writer = this.outbox.to(workerInbox(this.segment.layout, this.workerId));
    for (const post of this.forHeir.splice(0)) post(writer);
  }

  /** Lives count up, and wrap around. */
  private isLater(life: number): boolean {
    return ((life - this.life) | 0) > 0;
  }

  /** Asks the manager for the next process of our worker id. False where there is none: then nobody follows us. */
  askToBeReplaced(): boolean {
    if (this.segment.load(WORD_MANAGER_PID) === 0) return false;
    this.tell(MANAGER_INBOX, RECYCLE, this.workerId, this.life);
    return true;
  }

  /** This process is a worker, and has been told to stop. */
  beginStop(): void {
    this.toldToStop = true;
  }
  /** Not read from shared memory: that word may be the successor's already. */
  get stopping(): boolean {
    return this.toldToStop;
  }

  /** Sends one message without payload, at once. */
  tell(inbox: number, kind: number, a = 0, b = 0): void {
    this.outbox.to(inbox).post(kind, a, b);
    this.sent();
  }

  /**
   * Called after each message to another process was written. Some are announced before the turn is over: should there be
   * many, the other side begins with the first while we write the last.
   */
  sent(): void {
    this.counters.add(MESSAGES, 1);
    if (++this.unannounced >= ANNOUNCE_EVERY) {
      this.unannounced = 0;
      this.outbox.flush();
    }
    this.turn.touch();
  }

  flush(): void {
    this.endTurn();
    const done = this.pump();
    this.unannounced = 0;
    this.outbox.flush();
    if (!done) this.pumpLater();
  }

  /** What has to be done before others are told. */
  endTurn(): void {
    for (const end of this.turnEnds) end.endTurn();
  }

  /** Tries again what found no room. Answers true when nothing waits in this process any more. */
  pump(): boolean {
    let done = true;
    for (const backlog of this.backlogs) if (!backlog.pump()) done = false;
    // Behind the others: they may have written to rings.
    if (!this.outbox.pump()) done = false;
    if (this.holdsTasks) this.countHeldTasks();
    return done;
  }

  /** A task has found no room. Should this process die, its parent knows how many tasks died with it. */
  holdTask(): void {
    this.holdsTasks = true;
    this.counters.add(TASKS_HELD, 1);
    this.counters.add(TASKS_WAITED, 1);
  }

  private countHeldTasks(): void {
    let count = this.outbox.waitingTasks;
    for (const backlog of this.backlogs) count += backlog.waitingTasks;
    this.holdsTasks = count !== 0;
    this.counters.set(TASKS_HELD, count);
  }

  /**
   * A ring with room rings the doorbell of the worker id, which the next process of that id may have taken over already.
   * So what waits here is also tried again by time.
   */
  private pumpLater(): void {
    this.pumpTimer ??= setTimeout(() => {
      this.pumpTimer = null;
      this.flush();
    }, PUMP_MS);
  }

  /** The server has ended, this process may live on: nobody makes room any more. */
  stopPumping(): void {
    if (this.pumpTimer !== null) clearTimeout(this.pumpTimer);
  }
}

const PUMP_MS = 2;
/** Announcing costs little next to so many messages, and wakes nobody who is awake. */
const ANNOUNCE_EVERY = 8;
