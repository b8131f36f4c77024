/**
 * Where both ends of a ring (ring.ts) are.
 *
 * Control block, each end on a cache line of its own:
 *
 *   byte 0            64           128
 *   +-----------------+------------+---------------------------------------------+
 *   | tail u32        | head u32   | asks i32: how often the producer has asked  |
 *   | producer writes | consumer   | to hear of room   132: the producer's life  |
 *   |                 |            | 136: 1 while messages wait in its memory    |
 *   +-----------------+------------+---------------------------------------------+
 * Tail and head count bytes for ever, modulo 2^32; head <= tail <= head + RING_BYTES. Which ask was answered stands in the
 * consumer's own memory: one that dies before it could tell leaves the ask open for its successor. The producer writes asks,
 * its life (how many processes of its lane had ended before it), and whether more waits in its memory.
 */
import { endsWord } from './lanes.ts';
import { RING_BYTES, RING_CONTROL_BYTES } from './layout.ts';
import type { Segment } from './segment.ts';

/** Where the words of the control block stand, counted from the tail. */
export const HEAD_WORD = 16;
export const ASKS_WORD = 32;
export const LIFE_WORD = 33;
export const WAITING_WORD = 34;

export function controlWord(segment: Segment, inbox: number, lane: number): number {
  const { layout } = segment;
  if (!(inbox >= 0 && inbox < layout.inboxCount)) throw new RangeError(`inbox=${inbox} of ${layout.inboxCount}`);
  if (!(lane >= 0 && lane < layout.laneCount)) throw new RangeError(`lane=${lane} of ${layout.laneCount}`);
  return (layout.ringControlsOffset + (inbox * layout.laneCount + lane) * RING_CONTROL_BYTES) / 4;
}

/** True exactly when the consumer of a ring has come to a position, which may be that of a reader or writer now dead. */
export function ringConsumed(segment: Segment, inbox: number, lane: number, position: number): boolean {
  return ((Atomics.load(segment.words, controlWord(segment, inbox, lane) + HEAD_WORD) - position) | 0) >= 0;
}

/** How far its producer has come. */
export function ringTail(segment: Segment, inbox: number, lane: number): number {
  return Atomics.load(segment.words, controlWord(segment, inbox, lane));
}

/** How many bytes wait in a ring, about: both ends may move while we look. */
export function ringUse(segment: Segment, inbox: number, lane: number): number {
  const tailWord = controlWord(segment, inbox, lane);
  const head = Atomics.load(segment.words, tailWord + HEAD_WORD);
  return Math.min(RING_BYTES, Math.max(0, (Atomics.load(segment.words, tailWord) - head) | 0));
}

/** True exactly when something before a position was published, and is not consumed yet. */
export function ringOwes(segment: Segment, inbox: number, lane: number, position: number): boolean {
  if (ringConsumed(segment, inbox, lane, position)) return false;
  // A position that was never published is one of long ago: both count bytes modulo 2^32.
  return ((ringTail(segment, inbox, lane) - position) | 0) >= 0;
}

/** True exactly when its producer lives, and has messages for it that have found no room yet. */
export function ringIsBehind(segment: Segment, inbox: number, lane: number): boolean {
  const tailWord = controlWord(segment, inbox, lane);
  const { words } = segment;
  const lives = Atomics.load(words, tailWord + LIFE_WORD) === Atomics.load(words, endsWord(segment, lane));
  return lives && Atomics.load(words, tailWord + WAITING_WORD) === 1;
}

/** How many bytes lie between two positions read from shared memory, which are input, not truth. */
export function checkedUse(tail: number, head: number, inbox: number, lane: number): number {
  const used = (tail - head) | 0;
  if (!(used >= 0 && used <= RING_BYTES && ((tail | head) & 7) === 0))
    throw new Error(`a ring is damaged: tail=${tail} head=${head} inbox=${inbox} lane=${lane}`);
  return used;
}

/** True exactly when a new reader would find nothing to read or to tell: the ring need not be mapped for it yet. */
export function ringIsIdle(segment: Segment, inbox: number, lane: number): boolean {
  const tailWord = controlWord(segment, inbox, lane);
  const { words } = segment;
  return (
    Atomics.load(words, tailWord) === Atomics.load(words, tailWord + HEAD_WORD) &&
    Atomics.load(words, tailWord + ASKS_WORD) === 0
  );
}
