/** Pieces of shared memory for tests: a small segment, and the raw words of a ring that only a test may touch. */
import { type LayoutNumbers, RING_CONTROL_BYTES } from '../../src/shm/layout.ts';
import { Segment } from '../../src/shm/segment.ts';
import { createEventfd } from '../../src/sys/eventfd.ts';

export const SMALL: LayoutNumbers = {
  mode: 2,
  reactorCount: 1,
  workerCount: 2,
  taskWorkerCount: 0,
  userProcessCount: 0,
  slotsPerOwner: 64,
  ownerCount: 1,
};

export function smallSegment(changes: Partial<LayoutNumbers> = {}): Segment {
  return Segment.create({ ...SMALL, ...changes });
}

/** One doorbell for each inbox. */
export function doorbellsOf(segment: Segment): number[] {
  return Array.from({ length: segment.layout.inboxCount }, createEventfd);
}

/** The control block of a ring, as a dead or mad peer could have left it. */
export class RingControl {
  private readonly words: Int32Array;
  private readonly base: number;

  constructor(segment: Segment, inbox: number, lane: number) {
    const { layout } = segment;
    this.words = segment.words;
    this.base = (layout.ringControlsOffset + (inbox * layout.laneCount + lane) * RING_CONTROL_BYTES) / 4;
  }

  get tail(): number {
    return this.words[this.base];
  }
  set tail(position: number) {
    this.words[this.base] = position;
  }
  get head(): number {
    return this.words[this.base + 16];
  }
  set head(position: number) {
    this.words[this.base + 16] = position;
  }
  get asks(): number {
    return this.words[this.base + 32];
  }
  set asks(count: number) {
    this.words[this.base + 32] = count;
  }

  /** Lets an empty ring begin anywhere in its life. */
  startAt(position: number): void {
    this.tail = position | 0;
    this.head = position | 0;
  }
}
