import type { Logger } from '../log/log.ts';
import { ConnectionTable } from '../shm/connections.ts';
import { MESSAGES, TASKS_HELD } from '../shm/counters.ts';
import { LaneCounters } from '../shm/lanes.ts';
import { Outbox } from '../shm/mailbox.ts';
import type { Segment } from '../shm/segment.ts';
import { WorkerTable } from '../shm/workers.ts';
import type { Identity, Role } from './identity.ts';
import type { InboxWatch } from './inbox-watch.ts';
import { Turn } from './turn.ts';
import { RingWire, type Wire } from './wire.ts';

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
  wire: Wire;
  /** The directory that is the root of this process, where it has one of its own (chroot); else ''. */
  root = '';
  /** What else the end of a turn has to do here: a worker in BASE hands its output to the kernel. */
  endTurn: (() => void) | null = null;
  /** What reads this process's messages; null where it takes none. */
  inboxWatch: InboxWatch | null = null;
  /** Tries again what found no room elsewhere than in rings; answers true when nothing waits any more. */
  pumpMore: (() => boolean) | null = null;
  /** Tasks that wait for room there. */
  waitingElsewhere = 0;
  /** True exactly when this process is a worker that has been told to stop; its word in shared memory may be its successor's. */
  stopping = false;
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
    this.outbox = new Outbox(segment, lane, doorbells);
    this.turn = new Turn(() => this.flush());
    // Tasks, and what user processes do, may keep the thread for long. Only event workers have so much to send that a
    // gathered announcement pays.
    if (role !== 'worker') this.turn.announce = () => this.outbox.flush();
    this.wire = new RingWire(segment.layout, this.outbox, this.turn);
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
    this.endTurn?.();
    const done = this.pump();
    this.unannounced = 0;
    this.outbox.flush();
    if (!done) this.pumpLater();
  }

  /** Tries again what found no room. Answers true when nothing waits in this process any more. */
  pump(): boolean {
    const more = this.pumpMore?.() ?? true;
    const done = this.outbox.pump() && more;
    if (this.holdsTasks) this.countHeldTasks();
    return done;
  }

  /** A task has found no room. Should this process die, its parent knows how many tasks died with it. */
  holdTask(): void {
    this.holdsTasks = true;
    this.counters.add(TASKS_HELD, 1);
  }

  private countHeldTasks(): void {
    const count = this.outbox.waitingTasks + this.waitingElsewhere;
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
