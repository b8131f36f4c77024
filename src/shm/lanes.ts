/**
 * What a process writes of itself, in shared memory: one block for each lane, written by the process that holds it.
 *
 *   f64 0 … 23      24           25                                    26                         27       28 … 31
 *   +---------------+------------+-------------------------------------+--------------------------+--------+-------+
 *   | counters      | high slot  | i32: how many processes of the lane | 1: its rare block is in  | life of| free  |
 *   | (counters.ts) |            | have ended; its parent counts       | use                      | holder |       |
 *   +---------------+------------+-------------------------------------+--------------------------+--------+-------+
 *   high slot: of an owner of connections, the highest slot in use so far + 1
 *
 * and a second one with the rare counters, numbers only. They lie apart, so that the first ones of all lanes fill few
 * pages, and the others none before something happens that is worth counting: even who only reads a page makes it exist.
 *
 * Blocks begin on cache lines of their own. Sums over the lanes are the server's; they survive the processes.
 */
import { COUNTERS, FREQUENT_MAX, RARE_FIRST, RARE_MAX, type RareCounter, TASKS_HELD, TASKS_LOST } from './counters.ts';
import { LANE_BYTES, type Layout, RARE_BYTES } from './layout.ts';
import type { Segment } from './segment.ts';

const HIGH_SLOT = FREQUENT_MAX;
const ENDS = FREQUENT_MAX + 1;
const RARE_USED = FREQUENT_MAX + 2;
const LIFE = FREQUENT_MAX + 3;
/** All of them are frequent ones. */
const LIVES = COUNTERS.filter(({ kind }) => kind === 'life').map(({ id }) => Number(id));

function laneBase({ lanesOffset, laneCount }: Layout, lane: number): number {
  if (!(lane >= 0 && lane < laneCount)) throw new RangeError(`lane=${lane} of ${laneCount}`);
  return (lanesOffset + lane * LANE_BYTES) / 8;
}

/** What the process of a lane counts. The frequent ones may be written as numbers[base + REQUESTS] and so on. */
export class LaneCounters {
  readonly numbers: Float64Array;
  readonly base: number;
  private readonly rareBase: number;

  constructor({ numbers, layout }: Segment, lane: number) {
    this.numbers = numbers;
    this.base = laneBase(layout, lane);
    this.rareBase = (layout.raresOffset + lane * RARE_BYTES) / 8;
  }

  add(counter: number | RareCounter, value: number): void {
    this.numbers[this.placeToWrite(counter)] += value;
  }
  set(counter: number | RareCounter, value: number): void {
    this.numbers[this.placeToWrite(counter)] = value;
  }
  get(counter: number | RareCounter): number {
    const id = Number(counter);
    if (id < RARE_FIRST) return this.numbers[this.base + id];
    return this.numbers[this.base + RARE_USED] === 0 ? 0 : this.numbers[this.rareBase + id - RARE_FIRST];
  }

  private placeToWrite(counter: number | RareCounter): number {
    const id = Number(counter);
    if (id < RARE_FIRST) return this.base + id;
    this.numbers[this.base + RARE_USED] = 1;
    return this.rareBase + id - RARE_FIRST;
  }

  /** That of the process which holds the lane, or held it last; of two, the one that began later has the greater one. */
  get life(): number {
    return this.numbers[this.base + LIFE];
  }
  set life(life: number) {
    this.numbers[this.base + LIFE] = life;
  }

  /** A new process takes the lane: what counts its own life starts again. */
  beginLife(): void {
    for (const id of LIVES) this.set(id, 0);
  }
}

/** The process that held a lane has ended: what it had now is no more, and tasks that had found no room died with it. */
export function endLife(segment: Segment, lane: number, own: LaneCounters): void {
  const dead = new LaneCounters(segment, lane);
  own.add(TASKS_LOST, dead.get(TASKS_HELD));
  for (const { id, kind } of COUNTERS) if (kind === 'gauge' && dead.get(id) !== 0) dead.set(id, 0);
}

/** One rare counter of all lanes together. */
export function sumRare({ numbers, layout }: Segment, counter: RareCounter): number {
  const place = layout.raresOffset / 8 + Number(counter) - RARE_FIRST;
  let sum = 0;
  for (let lane = 0; lane < layout.laneCount; lane++)
    if (numbers[laneBase(layout, lane) + RARE_USED] !== 0) sum += numbers[place + (lane * RARE_BYTES) / 8];
  return sum;
}

/** All lanes together, by the numbers of the counters; what counts a life is that of one lane, and 0 where that is -1. */
export function sumLanes({ numbers, layout }: Segment, ownLane: number): Float64Array {
  const sums = new Float64Array(RARE_FIRST + RARE_MAX);
  for (let lane = 0; lane < layout.laneCount; lane++) {
    const base = laneBase(layout, lane);
    for (let id = 0; id < FREQUENT_MAX; id++) sums[id] += numbers[base + id];
    if (numbers[base + RARE_USED] === 0) continue;
    const rareBase = (layout.raresOffset + lane * RARE_BYTES) / 8;
    for (let place = 0; place < RARE_MAX; place++) sums[RARE_FIRST + place] += numbers[rareBase + place];
  }
  for (const id of LIVES) sums[id] = ownLane === -1 ? 0 : numbers[laneBase(layout, ownLane) + id];
  return sums;
}

/** The word that tells how many processes of a lane have ended. */
export function endsWord({ layout }: Segment, lane: number): number {
  return 2 * (laneBase(layout, lane) + ENDS);
}

/** Where the owner of connections that holds a lane keeps one past the highest slot that it has used. */
export function highSlotNumber({ layout }: Segment, lane: number): number {
  return laneBase(layout, lane) + HIGH_SLOT;
}
