/**
 * What is known of processes, in shared memory.
 *
 * Worker block, one for each worker id:
 *
 *   word 0 pid     1 status (SWOOLE_WORKER_*)   2 lane of the process   3 life   4 unfinished callbacks
 *   life: number of the start, see Segment.nextLife. The pid is for the kernel and for users: it may come again.
 * Written by the worker itself (status, callbacks) and by the manager (pid, lane, life).
 *
 * Lane block, one for each process that may write; 32 numbers, each written by that process alone:
 *
 *   f64 0 requests  1 responses  2 dispatches  3 bytes received  4 bytes sent  5 accepted  6 closed  7 aborted
 *       8–10 requests, responses, dispatches of the process that holds the lane now   11 callbacks  12 most callbacks
 *       13 highest slot in use + 1, for an owner of connections   14 tasks sent   15 tasks begun   16 messages
 *       17 tasks in the memory of the process (when it is dead, its parent moves them to its own 18)   18 tasks lost
 *       19 as i32: how many processes of the lane have ended; its parent counts
 * Sums over the lanes are the server's totals; they survive the processes.
 */
import { LANE_BYTES, WORKER_BYTES } from './layout.ts';
import type { Segment } from './segment.ts';

export const WORKER_BUSY = 1;
export const WORKER_IDLE = 2;
export const WORKER_EXIT = 3;

const PID = 0;
const STATUS = 1;
const LANE = 2;
const LIFE = 3;
const CALLBACKS = 4;

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
  }

  /** Where a worker keeps its own status, for one plain store per message. */
  statusWord(id: number): number {
    return this.at(id, STATUS);
  }
  callbacksWord(id: number): number {
    return this.at(id, CALLBACKS);
  }
}

export const REQUESTS = 0;
export const RESPONSES = 1;
export const DISPATCHES = 2;
export const RECEIVED_BYTES = 3;
export const SENT_BYTES = 4;
export const ACCEPTED = 5;
export const CLOSED = 6;
export const ABORTED = 7;
export const LIFE_REQUESTS = 8;
export const LIFE_RESPONSES = 9;
export const LIFE_DISPATCHES = 10;
export const CALLBACKS_NOW = 11;
export const CALLBACKS_PEAK = 12;
export const SLOTS_HIGH = 13;
export const TASKS_SENT = 14;
export const TASKS_BEGUN = 15;
/** Messages to other processes. */
export const MESSAGES = 16;
/** Tasks that wait in the memory of the process, */
export const TASKS_HELD = 17;
/** and those that nobody will ever begin. */
export const TASKS_LOST = 18;
const ENDS = 19;

/** The counters of one lane: plain numbers at numbers[base + REQUESTS] and so on. */
export class LaneCounters {
  readonly numbers: Float64Array;
  readonly base: number;

  constructor(segment: Segment, lane: number) {
    if (!(lane >= 0 && lane < segment.layout.laneCount))
      throw new RangeError(`lane=${lane} of ${segment.layout.laneCount}`);
    this.numbers = segment.numbers;
    this.base = (segment.layout.lanesOffset + lane * LANE_BYTES) / 8;
  }

  add(counter: number, value: number): void {
    this.numbers[this.base + counter] += value;
  }
  get(counter: number): number {
    return this.numbers[this.base + counter];
  }
  set(counter: number, value: number): void {
    this.numbers[this.base + counter] = value;
  }
  /** A new process takes the lane: what counts its own life starts again. */
  beginLife(): void {
    for (let counter = LIFE_REQUESTS; counter <= CALLBACKS_PEAK; counter++) this.set(counter, 0);
  }
}

/** The process that held a lane has ended: tasks that had found no room died with it. */
export function loseHeldTasks(segment: Segment, lane: number, own: LaneCounters): void {
  const dead = new LaneCounters(segment, lane);
  own.add(TASKS_LOST, dead.get(TASKS_HELD));
  dead.set(TASKS_HELD, 0);
}

/** The word that tells how many processes of a lane have ended. */
export function endsWord({ layout }: Segment, lane: number): number {
  return (layout.lanesOffset + lane * LANE_BYTES) / 4 + 2 * ENDS;
}

/** One counter, summed over all lanes. */
export function total(segment: Segment, counter: number): number {
  const { layout, numbers } = segment;
  let sum = 0;
  for (let lane = 0; lane < layout.laneCount; lane++)
    sum += numbers[(layout.lanesOffset + lane * LANE_BYTES) / 8 + counter];
  return sum;
}
