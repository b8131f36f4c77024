/**
 * Rings, bundled: what one role reads (Inbox) and what one process writes (Outbox), with the doorbell between them.
 *
 * Inbox block in shared memory:
 *
 *   byte 0          4              128                                   512
 *   +---------------+--------------+-------------------------------------+
 *   | sleeping i32  | reader i32   | pending: one bit for each lane       |
 *   +---------------+--------------+-------------------------------------+
 *   sleeping: 1 = the reader waits for its doorbell. reader: lane + 1 of the process that reads; 0 = nobody.
 *
 * A producer publishes records, then sets its pending bit, then takes `sleeping`: only when that was 1 does it make a
 * system call. The reader sets `sleeping`, looks at the pending bits again, and only then waits, so no message is missed.
 *
 * A ring keeps the order of what is in it, and nothing keeps that of two rings. So a process that takes a message tells
 * whoever owns connections what the sender had written to it before (Outbox.follow): it is seen before what we write now.
 */
import { ringEventfd } from '../sys/eventfd.ts';
import { DOORBELLS, MESSAGES_BROKEN, SLEEPS_SKIPPED } from './counters.ts';
import { endsWord, LaneCounters } from './lanes.ts';
import {
  INBOX_BYTES,
  inboxOfLane,
  isReactorLane,
  ownerInbox,
  ownerInboxCount,
  reactorInbox,
  workerInbox,
} from './layout.ts';
import { RingReader, RingWriter } from './ring.ts';
import { ringIsBehind, ringIsIdle, ringOwes, ringTail } from './ring-control.ts';
import type { Segment } from './segment.ts';

const READER_WORD = 1;
const PENDING_WORD = 32;

function inboxWord(segment: Segment, inbox: number): number {
  if (!(inbox >= 0 && inbox < segment.layout.inboxCount))
    throw new RangeError(`inbox=${inbox} of ${segment.layout.inboxCount}`);
  return (segment.layout.inboxesOffset + inbox * INBOX_BYTES) / 4;
}

/** Some of the lanes that write to an inbox, as bits like those of its block. */
export class LaneSet {
  readonly bits: Int32Array;

  constructor(segment: Segment, ranges: readonly (readonly [first: number, end: number])[]) {
    this.bits = new Int32Array(Math.ceil(segment.layout.laneCount / 32));
    for (const [first, end] of ranges)
      for (let lane = first; lane < end; lane++) this.bits[lane >> 5] |= 1 << (lane & 31);
  }
}

/** Handles one message; it must call release() on the reader once it has read the payload. */
export type MessageHandler = (reader: RingReader) => void;

export class Inbox {
  readonly index: number;
  private readonly segment: Segment;
  private readonly words: Int32Array;
  private readonly base: number;
  private readonly pendingWords: number;
  private readonly doorbells: readonly number[];
  private readonly readers: (RingReader | undefined)[];
  private readonly noteCause: ((lane: number) => void) | null;
  /** Of the process that reads; null before it does. */
  private counters: LaneCounters | null = null;
  private piecesOnly = false;
  /** Where drain() was told to stop: the others have their turn first. */
  private stoppedAt = 0;

  /** `outbox`: of the process that reads, where what it reads makes it write to connections. */
  constructor(segment: Segment, index: number, doorbells: readonly number[], outbox: Outbox | null = null) {
    this.noteCause = outbox === null ? null : (lane) => outbox.follow(lane, index);
    this.index = index;
    this.segment = segment;
    this.words = segment.words;
    this.base = inboxWord(segment, index);
    this.pendingWords = Math.ceil(segment.layout.laneCount / 32);
    this.doorbells = doorbells;
    this.readers = new Array(segment.layout.laneCount).fill(undefined);
  }

  get doorbell(): number {
    return this.doorbells[this.index];
  }

  /** Becomes the reader, unless another living process still is. */
  take(lane: number): boolean {
    const previous = Atomics.compareExchange(this.words, this.base + READER_WORD, 0, lane + 1);
    if (previous !== 0 && previous !== lane + 1) return false;
    this.counters = new LaneCounters(this.segment, lane);
    // What came before, and what a dead reader had been told of, is found by looking everywhere once.
    for (let word = 0; word < this.pendingWords; word++) Atomics.store(this.words, this.base + PENDING_WORD + word, -1);
    return true;
  }

  /** Stops being the reader, so that a successor can go on exactly where we stopped. */
  give(lane: number): void {
    Atomics.compareExchange(this.words, this.base + READER_WORD, lane + 1, 0);
    ringEventfd(this.doorbell);
  }

  /** True exactly when a message has begun to arrive in pieces: giving the inbox away now would lose its beginning. */
  get midMessage(): boolean {
    return this.readers.some((reader) => reader?.midMessage === true);
  }

  /** From now on takes only what belongs to messages that have begun to arrive: soon there is none under way. */
  finishPieces(): void {
    this.piecesOnly = true;
  }

  /**
   * Handles what has arrived, at most about `limit` messages of each ring. Answers true when there may be more. Stops
   * early when `stop` answers true after a message; the next call goes on with the next ring, or a long ring could keep
   * all others waiting. With `lanes`, looks at their rings only.
   */
  drain(handle: MessageHandler, limit: number, stop?: () => boolean, lanes?: LaneSet): boolean {
    const { pendingWords } = this;
    const first = this.stoppedAt >> 5;
    const below = (1 << (this.stoppedAt & 31)) - 1;
    let more = false;
    // From high bits to low ones. The first word comes twice: at last for its bits from `stoppedAt` up.
    for (let turn = 0; turn <= pendingWords; turn++) {
      const word = (first + turn) % pendingWords;
      const at = this.base + PENDING_WORD + word;
      const mask = turn === 0 ? below : turn === pendingWords ? ~below : -1;
      const wanted = lanes === undefined ? mask : lanes.bits[word] & mask;
      if ((Atomics.load(this.words, at) & wanted) === 0) continue;
      let bits = Atomics.and(this.words, at, ~wanted) & wanted;
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        const lane = word * 32 + bit;
        const reader = this.readers[lane] ?? this.open(lane);
        if (reader !== null && !this.drainRing(reader, handle, limit, stop)) {
          Atomics.or(this.words, at, 1 << bit);
          more = true;
        }
        if (stop?.() === true) {
          if (bits !== 0) Atomics.or(this.words, at, bits);
          this.stoppedAt = lane;
          return true;
        }
      }
    }
    return more;
  }

  /** Answers true when the ring was emptied. */
  private drainRing(reader: RingReader, handle: MessageHandler, limit: number, stop?: () => boolean): boolean {
    let emptied = false;
    for (let count = 0; count < limit; count++) {
      if (this.piecesOnly && !reader.midMessage) {
        emptied = true;
        break;
      }
      if (!reader.next()) {
        emptied = reader.earlierLane === -1;
        if (emptied || !this.takeEarlier(reader, handle, limit, stop)) break;
        continue;
      }
      handle(reader);
      if (stop?.() === true) break;
    }
    if (reader.broken !== 0) {
      this.counters?.add(MESSAGES_BROKEN, reader.broken);
      reader.broken = 0;
    }
    if (reader.roomWanted) {
      reader.roomWanted = false;
      // Unconditional, because the producer may be between its last look at the ring and its sleep.
      ringEventfd(this.doorbells[inboxOfLane(this.segment.layout, reader.lane)]);
    }
    return emptied;
  }

  /** Takes from another ring what comes before the next message of this one. Answers true when that was all. */
  private takeEarlier(later: RingReader, handle: MessageHandler, limit: number, stop?: () => boolean): boolean {
    const { earlierLane: lane, earlierEnd: end } = later;
    const reader = this.readers[lane] ?? this.open(lane);
    for (let count = 0; count < limit; count++) {
      if (reader === null || !ringOwes(this.segment, this.index, lane, end)) return true;
      if (reader.next()) {
        handle(reader);
        if (stop?.() === true) return false;
      } else if (reader.earlierLane !== -1 && !this.takeEarlier(reader, handle, limit, stop)) return false;
    }
    return false;
  }

  /** The reader of a ring, unless nothing was ever there: a map for each of all lanes would be too many for the kernel. */
  private open(lane: number): RingReader | null {
    const { segment, index } = this;
    if (lane >= segment.layout.laneCount || ringIsIdle(segment, index, lane)) return null;
    const reader = new RingReader(segment, index, lane, isReactorLane(segment.layout, lane) ? null : this.noteCause);
    this.readers[lane] = reader;
    return reader;
  }

  /** True exactly when something was announced that we did not take yet. */
  hasPending(lanes?: LaneSet): boolean {
    for (let word = 0; word < this.pendingWords; word++) {
      const pending = Atomics.load(this.words, this.base + PENDING_WORD + word);
      if ((lanes === undefined ? pending : pending & lanes.bits[word]) !== 0) return true;
    }
    return false;
  }

  /** Announces that we are about to wait. Answers false when something has arrived meanwhile: then do not wait. */
  prepareSleep(lanes?: LaneSet): boolean {
    Atomics.store(this.words, this.base, 1);
    if (!this.hasPending(lanes)) return true;
    Atomics.store(this.words, this.base, 0);
    this.counters?.add(SLEEPS_SKIPPED, 1);
    return false;
  }

  /** While we are awake nobody needs to ring. */
  wake(): void {
    Atomics.store(this.words, this.base, 0);
  }
}

/** True exactly when one of these workers has nobody who reads its inbox, most often because its process is only starting. */
export function someStart(segment: Segment, first: number, count: number): boolean {
  for (let id = first; id < first + count; id++)
    if (Atomics.load(segment.words, inboxWord(segment, workerInbox(segment.layout, id)) + READER_WORD) === 0)
      return true;
  return false;
}

/** Frees an inbox whose reader died without giving it back. */
export function releaseInboxOfDead(segment: Segment, inbox: number, lane: number): void {
  Atomics.compareExchange(segment.words, inboxWord(segment, inbox) + READER_WORD, lane + 1, 0);
}

/** The process of a lane has ended. Tells every reader to look at its rings, because it may have died before it could ring. */
export function announceLane(segment: Segment, lane: number, doorbells: readonly number[]): void {
  Atomics.add(segment.words, endsWord(segment, lane), 1);
  for (let inbox = 0; inbox < segment.layout.inboxCount; inbox++) {
    Atomics.or(segment.words, inboxWord(segment, inbox) + PENDING_WORD + (lane >> 5), 1 << (lane & 31));
    ringEventfd(doorbells[inbox]);
  }
}

export class Outbox {
  readonly lane: number;
  private readonly segment: Segment;
  private readonly doorbells: readonly number[];
  private readonly writers: (RingWriter | undefined)[];
  private readonly dirtyWriters: RingWriter[] = [];
  private readonly counters: LaneCounters;
  /** For each lane whose messages we take: its tail to each owner of connections, as told to that. */
  private readonly followed: (Int32Array | undefined)[] = [];
  /** Reactors always take what is there, so whatever waits for them may hold up all the rest. */
  private readonly holdsBack: boolean;
  private readonly reactorsTake = (): boolean => !this.waitsForReactor;

  constructor(segment: Segment, lane: number, doorbells: readonly number[]) {
    this.counters = new LaneCounters(segment, lane);
    this.segment = segment;
    this.lane = lane;
    this.doorbells = doorbells;
    this.writers = new Array(segment.layout.inboxCount).fill(undefined);
    this.holdsBack = !isReactorLane(segment.layout, lane);
  }

  to(inbox: number): RingWriter {
    const writer = this.writers[inbox];
    if (writer !== undefined) return writer;
    const created = new RingWriter(this.segment, inbox, this.lane, this.dirtyWriters);
    this.writers[inbox] = created;
    if (!this.holdsBack) return created;
    if (this.isReactor(inbox)) created.onBlocked = () => this.holdOthers();
    else if (this.waitsForReactor) created.hold(this.reactorsTake);
    return created;
  }

  private isReactor(inbox: number): boolean {
    const first = reactorInbox(0);
    return inbox >= first && inbox < first + this.segment.layout.reactorCount;
  }

  /** True exactly when messages to reactors wait in this process, because their rings were full. */
  get waitsForReactor(): boolean {
    const { reactorCount } = this.segment.layout;
    for (let reactor = 0; reactor < reactorCount; reactor++) if (this.waitsFor(reactorInbox(reactor))) return true;
    return false;
  }

  /** What cannot be published yet must not be overtaken by what others do when they have heard from us. */
  private holdOthers(): void {
    for (const writer of this.writers)
      if (writer !== undefined && !this.isReactor(writer.inbox)) writer.hold(this.reactorsTake);
  }

  /**
   * We take messages of another process, into this inbox, and may write to connections because of them. What that process
   * had written to their owners before comes before all that we write from now on, and before what those write who hear from us.
   */
  follow(lane: number, inbox: number): void {
    const { segment } = this;
    const { layout } = segment;
    const count = ownerInboxCount(layout);
    for (let owner = 0; owner < count; owner++) {
      // Also those of workers, where there are no reactors before them.
      const target = reactorInbox(owner);
      if (target === inbox) continue;
      const tail = ringTail(segment, target, lane);
      if (!ringOwes(segment, target, lane, tail)) continue;
      this.followed[lane] ??= new Int32Array(count);
      const told = this.followed[lane];
      if (told[owner] === tail) continue;
      told[owner] = tail;
      this.to(target).postAfter(lane, tail);
    }
  }

  toWorker(worker: number): RingWriter {
    return this.to(workerInbox(this.segment.layout, worker));
  }

  /** The same, or null where nothing was written yet. */
  openedToWorker(worker: number): RingWriter | null {
    return this.writers[workerInbox(this.segment.layout, worker)] ?? null;
  }

  /** The way to whoever owns the connection of a slot. */
  toOwner(slot: number): RingWriter {
    return this.to(ownerInbox(this.segment.layout, slot));
  }

  /** True exactly when messages to an inbox wait in this process, because their ring was full. */
  waitsFor(inbox: number): boolean {
    return this.writers[inbox]?.blocked === true;
  }

  /** True exactly when something was published that its reader was not told of yet. */
  get dirty(): boolean {
    return this.dirtyWriters.length !== 0;
  }

  /** All that we write from now on, but to master and manager, comes behind what other lanes have written to the same inbox. */
  comeAfter(lanes: readonly number[], ownInbox: number): void {
    const { segment } = this;
    for (let inbox = reactorInbox(0); inbox < segment.layout.inboxCount; inbox++) {
      if (inbox === ownInbox) continue;
      for (const lane of lanes) {
        if (ringIsBehind(segment, inbox, lane) || ringOwes(segment, inbox, lane, ringTail(segment, inbox, lane)))
          this.to(inbox).followProducer(segment, lane);
      }
    }
  }

  /** Tells the readers of everything published since the last call. Call it at the end of each turn. */
  flush(): void {
    const { dirtyWriters, segment, lane } = this;
    if (dirtyWriters.length === 0) return;
    for (const writer of dirtyWriters) {
      writer.dirty = false;
      const base = inboxWord(segment, writer.inbox);
      Atomics.or(segment.words, base + PENDING_WORD + (lane >> 5), 1 << (lane & 31));
      if (Atomics.exchange(segment.words, base, 0) !== 1) continue;
      this.counters.add(DOORBELLS, 1);
      ringEventfd(this.doorbells[writer.inbox]);
    }
    dirtyWriters.length = 0;
  }

  /** Bytes that wait in this process for room at the owners of connections. */
  get bytesForOwners(): number {
    const { layout } = this.segment;
    let bytes = 0;
    for (let owner = 0; owner < layout.ownerCount; owner++)
      bytes += this.writers[ownerInbox(layout, owner * layout.slotsPerOwner)]?.allWaitingBytes ?? 0;
    return bytes;
  }

  /** Tasks that wait in this process for room. */
  get waitingTasks(): number {
    let count = 0;
    for (const writer of this.writers) count += writer?.waitingTasks ?? 0;
    return count;
  }

  /** Tries again what found no room. Answers true when nothing waits in this process any more. */
  pump(): boolean {
    let done = true;
    const { writers } = this;
    // Reactors are first: others may wait for them.
    for (let i = 0; i < writers.length; i++) {
      const writer = writers[(i + reactorInbox(0)) % writers.length];
      if (writer?.blocked === true && !writer.pump()) done = false;
    }
    return done;
  }
}
