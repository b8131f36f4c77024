/**
 * What is known of workers, in shared memory: one block for each worker id.
 *
 *   word 0 pid     1 status (SWOOLE_WORKER_*)   2 lane of the process   3 life   4 unfinished callbacks
 *        5 pid of the process that stands by to take over, 0 = nobody
 *        6 life of the newest process that may have connections of its own, also while another holds the id
 *   life: number of the start, see Segment.nextLife. The pid is for the kernel and for users: it may come again.
 * Written by the worker itself (status, callbacks) and by the manager (pids, lane, life).
 */
import { WORKER_BYTES } from './layout.ts';
import type { Segment } from './segment.ts';

export const WORKER_BUSY = 1;
export const WORKER_IDLE = 2;
export const WORKER_EXIT = 3;

const PID = 0;
const STATUS = 1;
const LANE = 2;
const LIFE = 3;
const CALLBACKS = 4;
const BESIDE = 5;
const OPEN = 6;

export class WorkerTable {
  private readonly words: Int32Array;
  private readonly offset: number;
  readonly count: number;

  constructor(segment: Segment) {
    this.words = segment.words;
    this.offset = segment.layout.workersOffset / 4;
    this.count = segment.layout.workerIdCount;
  }

  has(id: number): boolean {
    return Number.isInteger(id) && id >= 0 && id < this.count;
  }
  private at(id: number, field: number): number {
    if (!this.has(id)) throw new RangeError(`worker=${id} of ${this.count}`);
    return this.offset + (id * WORKER_BYTES) / 4 + field;
  }

  pid(id: number): number {
    return Atomics.load(this.words, this.at(id, PID));
  }
  status(id: number): number {
    return Atomics.load(this.words, this.at(id, STATUS));
  }
  lane(id: number): number {
    return Atomics.load(this.words, this.at(id, LANE));
  }
  /** Which of all that were started holds the id now; 0 before the first. */
  life(id: number): number {
    return Atomics.load(this.words, this.at(id, LIFE));
  }
  callbacks(id: number): number {
    return Atomics.load(this.words, this.at(id, CALLBACKS));
  }

  /** The manager records a process that it has just spawned. It is busy until it can take something. */
  recordStart(id: number, pid: number, lane: number, life: number): void {
    Atomics.store(this.words, this.at(id, PID), pid);
    Atomics.store(this.words, this.at(id, LANE), lane);
    Atomics.store(this.words, this.at(id, STATUS), WORKER_BUSY);
    Atomics.store(this.words, this.at(id, CALLBACKS), 0);
    Atomics.store(this.words, this.at(id, LIFE), life);
    this.recordOpen(id, life);
  }

  /** In SWOOLE_BASE a process accepts clients before the one before it has ended. */
  recordOpen(id: number, life: number): void {
    Atomics.store(this.words, this.at(id, OPEN), life);
  }
  openLife(id: number): number {
    return Atomics.load(this.words, this.at(id, OPEN));
  }

  /** A process has been started that does not hold the id yet; 0: there is none any more. */
  recordBeside(id: number, pid: number): void {
    Atomics.store(this.words, this.at(id, BESIDE), pid);
  }
  besidePid(id: number): number {
    return Atomics.load(this.words, this.at(id, BESIDE));
  }

  /** Where a worker keeps its own status, for one plain store per message. */
  statusWord(id: number): number {
    return this.at(id, STATUS);
  }
  callbacksWord(id: number): number {
    return this.at(id, CALLBACKS);
  }
}
