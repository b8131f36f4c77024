/**
 * A byte ring in shared memory: one producer, one consumer, each possibly in another process, each possibly killed at
 * any instruction. Its data is mapped twice in a row (mapMirrored), so a record is always one piece of memory; where its
 * ends are tells its control block (ring-control.ts).
 *
 * Record, padded to 8 bytes:
 *
 *   0            4            8            12           16                     16 + length
 *   +------------+------------+------------+------------+----------------------+
 *   | length i32 | kind i32   | a i32      | b i32      | payload              |
 *   +------------+------------+------------+------------+----------------------+
 *
 * kind: 1 to 251 are the users', the others ours (below); with the bits above that, a piece.
 *
 * The tail is stored after the record's bytes, so a producer that dies halfway has published nothing. The head is moved
 * before the record is acted upon, so a message that kills its reader is not read again. Plain stores of the record are
 * ordered by the Atomics.store of the tail that follows, plain loads by the Atomics.load of the tail before.
 *
 * A message longer than RECORD_MAX travels in pieces (FIRST, then MORE…, LAST; the first and the last begin with the total
 * length as f64), which are never mixed with others in the same ring. What a dead producer left unfinished is dropped at the
 * HELLO of its successor, which every producer writes first (a tail of zero does not tell a new ring: the count passes it
 * every 4 GiB). There may be no successor that writes here: who must know sees by the life that no more will come.
 *
 * AFTER names another ring of the same reader (a: its lane) and a position in it (b): what is there before that comes first.
 */
import { mapMirrored, type Region } from '../sys/memory.ts';
import { MESSAGES_WAITED, MESSAGES_WAITING, RINGS_FULL } from './counters.ts';
import { endsWord, LaneCounters } from './lanes.ts';
import { RING_BYTES } from './layout.ts';
import { CLOSE_REQUEST, TASK } from './messages.ts';
import {
  ASKS_WORD,
  checkedUse,
  controlWord,
  HEAD_WORD,
  LIFE_WORD,
  ringIsBehind,
  ringOwes,
  ringTail,
  WAITING_WORD,
} from './ring-control.ts';
import type { Segment } from './segment.ts';

export const RECORD_HEADER_BYTES = 16;
/** The longest message that travels as one record: a quarter, so that a half-empty ring always takes one. */
export const RECORD_MAX = RING_BYTES / 4;
/** The longest that travels in pieces. */
export const MESSAGE_MAX = 2 ** 32;
const PIECE_BYTES = RING_BYTES / 8;
const TOTAL_BYTES = 8;

const FIRST = 0x100;
const MORE = 0x200;
const LAST = 0x400;
const KIND_MASK = 0xff;
/** Written first by every new producer of a ring. */
const HELLO = 0xff;

/** A record of padding, which the reader steps over. */
const PAD = 0xfe;
/** See above. */
const AFTER = 0xfc;
/**
 * What a reader makes of a message whose beginning died with the reader before it: a, b and brokenLength are those of the
 * message, the payload is gone. Who has to tell somebody does so; for all others it is a kind that they do not know.
 */
export const BROKEN = 0xfd;
/**
 * An empty ring starts again at its beginning when it is this far in, so that a quiet one stays within few pages (and in
 * the processor's cache). Far enough that the room behind the padding still takes the longest record.
 */
const REWIND_BYTES = RECORD_MAX + 64;
/**
 * After so much has waited in it a ring is not quiet, and starts again only near its end: until the reader has stepped
 * over the padding, the next burst has only the room before this.
 */
const BURST_BYTES = RING_BYTES / 8;
const REWIND_AFTER_BURST = RING_BYTES - RECORD_MAX;
/** Behind this there is no room for the header of the padding: then the next record runs over the end as usual. */
const REWIND_LAST = RING_BYTES - RECORD_HEADER_BYTES;
/** How far the tail may run ahead of the head as last seen before we look at it again. */
const REFRESH_BYTES = RING_BYTES / 16;

const MASK = RING_BYTES - 1;

function mapRing(segment: Segment, inbox: number, lane: number): Region {
  const { layout } = segment;
  return mapMirrored(segment.fd, layout.ringDataOffset + (inbox * layout.laneCount + lane) * RING_BYTES, RING_BYTES);
}

function padded(length: number): number {
  return (RECORD_HEADER_BYTES + length + 7) & ~7;
}

/** A message that found no room, waiting in the producer's own memory. */
interface Waiting {
  kind: number;
  a: number;
  b: number;
  bytes: Uint8Array;
  /** How many of the bytes have gone, when it goes in pieces. */
  sent: number;
  /** What is no message, but lets nothing behind it go on before this answers true. */
  mayGoOn: (() => boolean) | null;
  next: Waiting | null;
}

const NOTHING = new Uint8Array(0);

export class RingWriter {
  readonly inbox: number;
  readonly lane: number;
  readonly data: Region;
  private readonly counters: LaneCounters;
  private readonly control: Int32Array;
  private readonly tailWord: number;
  private readonly headWord: number;
  private readonly asksWord: number;
  private tail: number;
  /** The head as last seen: the room is at least what it tells. */
  private head: number;
  private asks: number;
  /** True exactly when more than BURST_BYTES have waited since the ring last started again. */
  private burst = false;
  /** What waits is a list, because there may be a hundred thousand of them. */
  private firstWaiting: Waiting | null = null;
  private lastWaiting: Waiting | null = null;
  /** How many bytes wait for each `a` (the slot of a connection, mostly). */
  private readonly waitingBytes = new Map<number, number>();
  /** The sum of them. */
  allWaitingBytes = 0;
  /** How many of those that wait are tasks. */
  waitingTasks = 0;
  /** Called when messages begin to wait. */
  onBlocked: (() => void) | null = null;
  /** True exactly when something was published since the doorbell was last rung. */
  dirty = false;
  private readonly dirtyWriters: RingWriter[];

  /** `dirtyWriters` is where a writer notes itself when it has published: the Outbox rings their doorbells. */
  constructor(segment: Segment, inbox: number, lane: number, dirtyWriters: RingWriter[]) {
    this.inbox = inbox;
    this.lane = lane;
    this.dirtyWriters = dirtyWriters;
    this.counters = new LaneCounters(segment, lane);
    this.tailWord = controlWord(segment, inbox, lane);
    this.control = segment.words;
    this.data = mapRing(segment, inbox, lane);
    this.headWord = this.tailWord + HEAD_WORD;
    this.asksWord = this.tailWord + ASKS_WORD;
    this.tail = Atomics.load(this.control, this.tailWord);
    this.head = Atomics.load(this.control, this.headWord);
    this.asks = Atomics.load(this.control, this.asksWord);
    checkedUse(this.tail, this.head, inbox, lane);
    const life = Atomics.load(this.control, endsWord(segment, lane));
    Atomics.store(this.control, this.tailWord + LIFE_WORD, life);
    Atomics.store(this.control, this.tailWord + WAITING_WORD, 0);
    this.post(HELLO, 0, 0);
  }

  /** True exactly when messages wait in this process: new ones must queue behind them, and readers should slow down. */
  get blocked(): boolean {
    return this.firstWaiting !== null;
  }

  /**
   * Reserves room for a record with up to `wish` bytes of payload, at least `least`. Answers how many there are, or -1 when
   * the ring cannot take that now; the payload then goes to data at payloadOffset(), and commit() publishes it.
   */
  claim(wish: number, least: number): number {
    if (this.firstWaiting !== null) return this.refuse();
    let room = this.room();
    if (room < least) {
      this.askForRoom();
      room = this.room();
      if (room < least) return this.refuse();
    }
    return Math.min(room, wish);
  }

  private refuse(): -1 {
    this.counters.add(RINGS_FULL, 1);
    return -1;
  }

  payloadOffset(): number {
    return (this.tail & MASK) + RECORD_HEADER_BYTES;
  }

  /** Publishes the record whose payload of `length` bytes was written at payloadOffset() after a claim. */
  commit(kind: number, a: number, b: number, length: number): void {
    const i32 = this.data.i32;
    const at = (this.tail & MASK) >> 2;
    const tail = (this.tail + padded(length)) | 0;
    const used = (tail - this.head) | 0;
    if (!(length >= 0 && used > 0 && used <= RING_BYTES))
      throw new RangeError(`a record has no room: length=${length} used=${used} capacity=${RING_BYTES}`);
    i32[at] = length;
    i32[at + 1] = kind;
    i32[at + 2] = a;
    i32[at + 3] = b;
    this.tail = tail;
    Atomics.store(this.control, this.tailWord, tail);
    if (!this.dirty) {
      this.dirty = true;
      this.dirtyWriters.push(this);
    }
  }

  /**
   * Sends a message: into the ring when there is room, else it waits here, in order. With `keep` the bytes may be kept by
   * reference because nobody changes them any more.
   */
  post(kind: number, a: number, b: number, bytes: Uint8Array = NOTHING, keep = false): void {
    const length = bytes.length;
    if (length <= RECORD_MAX && this.claim(length, length) === length) {
      if (length !== 0) this.data.u8.set(bytes, this.payloadOffset());
      this.commit(kind, a, b, length);
      return;
    }
    const first = this.firstWaiting === null;
    const message = this.append(kind, a, b, bytes);
    this.waitingBytes.set(a, this.waitingFor(a) + length);
    this.allWaitingBytes += length;
    if (kind === TASK) this.waitingTasks++;
    this.pump();
    // It stands last, so it still waits exactly when anything does.
    if (this.firstWaiting === null) return;
    this.counters.add(MESSAGES_WAITED, 1);
    // The slice() of a Buffer would be no copy.
    if (!keep) message.bytes = new Uint8Array(bytes);
    if (first) this.onBlocked?.();
  }

  private append(kind: number, a: number, b: number, bytes: Uint8Array): Waiting {
    const message: Waiting = { kind, a, b, bytes, sent: 0, mayGoOn: null, next: null };
    if (this.lastWaiting === null) this.firstWaiting = message;
    else this.lastWaiting.next = message;
    this.lastWaiting = message;
    this.counters.add(MESSAGES_WAITING, 1);
    if (this.firstWaiting === message) Atomics.store(this.control, this.tailWord + WAITING_WORD, 1);
    return message;
  }

  /** Tells the reader to take first what is in another ring of its own, up to a position. */
  postAfter(lane: number, position: number): void {
    this.post(AFTER, lane, position);
  }

  /** What is posted from now on waits until `mayGoOn` answers true, which pump() asks. */
  hold(mayGoOn: () => boolean): void {
    if (this.lastWaiting?.mayGoOn === mayGoOn) return;
    // A record of padding, of which there is none to be seen.
    this.append(PAD, 0, 0, NOTHING).mayGoOn = mayGoOn;
    this.onBlocked?.();
  }

  /** What is posted from now on comes behind all that another producer has for this reader, in its ring and in its memory. */
  followProducer(segment: Segment, lane: number): void {
    const { inbox } = this;
    // Asked first: what waits no more has moved the tail before.
    if (!ringIsBehind(segment, inbox, lane)) {
      const end = ringTail(segment, inbox, lane);
      if (ringOwes(segment, inbox, lane, end)) this.postAfter(lane, end);
      return;
    }
    this.hold(() => {
      if (ringIsBehind(segment, inbox, lane)) return false;
      after.b = ringTail(segment, inbox, lane);
      return true;
    });
    const after = this.append(AFTER, lane, 0, NOTHING);
  }

  /** Where the newest record ends, for asking later whether it was taken. */
  get position(): number {
    return this.tail;
  }

  /** True exactly when the consumer has taken everything up to a position. */
  consumed(position: number): boolean {
    return ((Atomics.load(this.control, this.headWord) - position) | 0) >= 0;
  }

  /** Moves what waits into the ring as far as there is room. Answers true when nothing waits any more. */
  pump(): boolean {
    while (this.firstWaiting !== null) {
      const { kind, mayGoOn, next } = this.firstWaiting;
      if (!(mayGoOn === null ? this.pumpOne(this.firstWaiting) : mayGoOn())) return false;
      if (kind === TASK) this.waitingTasks--;
      this.counters.add(MESSAGES_WAITING, -1);
      this.firstWaiting = next;
    }
    if (this.lastWaiting !== null) Atomics.store(this.control, this.tailWord + WAITING_WORD, 0);
    this.lastWaiting = null;
    return true;
  }

  private pumpOne(message: Waiting): boolean {
    const { bytes, kind, a, b } = message;
    const total = bytes.length;
    if (total <= RECORD_MAX) {
      if (!this.hasRoom(total)) return false;
      this.data.u8.set(bytes, this.payloadOffset());
      this.commit(kind, a, b, total);
      this.gone(a, total);
      return true;
    }
    while (message.sent < total) {
      const first = message.sent === 0;
      const piece = Math.min(PIECE_BYTES, total - message.sent);
      const last = message.sent + piece === total;
      const prefix = first || last ? TOTAL_BYTES : 0;
      if (!this.hasRoom(piece + prefix)) return false;
      const at = this.payloadOffset();
      if (prefix !== 0) this.data.f64[at >> 3] = total;
      this.data.u8.set(bytes.subarray(message.sent, message.sent + piece), at + prefix);
      message.sent += piece;
      this.gone(a, piece);
      const flag = first ? FIRST : last ? LAST : MORE;
      this.commit(kind | flag, a, b, piece + prefix);
    }
    return true;
  }

  /** Bytes of messages with this `a` that wait in this process because the ring was full. */
  waitingFor(a: number): number {
    return this.waitingBytes.get(a) ?? 0;
  }

  private gone(a: number, bytes: number): void {
    this.allWaitingBytes -= bytes;
    const left = this.waitingFor(a) - bytes;
    if (left > 0) this.waitingBytes.set(a, left);
    else this.waitingBytes.delete(a);
  }

  private hasRoom(length: number): boolean {
    if (this.room() >= length) return true;
    this.askForRoom();
    return this.room() >= length;
  }

  /** Bytes of payload that a record may have now; negative when not even an empty record fits. */
  private room(): number {
    let used = (this.tail - this.head) | 0;
    if (used > REFRESH_BYTES) {
      used = this.lookAtHead();
      if (used > BURST_BYTES) this.burst = true;
    }
    const at = this.tail & MASK;
    if (used === 0 && at >= (this.burst ? REWIND_AFTER_BURST : REWIND_BYTES) && at <= REWIND_LAST) {
      this.rewind();
      used = (this.tail - this.head) | 0;
    }
    return RING_BYTES - used - RECORD_HEADER_BYTES;
  }

  /** Skips to the start of the memory with one record of padding, which the reader steps over. */
  private rewind(): void {
    this.burst = false;
    const left = RING_BYTES - (this.tail & MASK);
    this.commit(PAD, 0, 0, left - RECORD_HEADER_BYTES);
  }

  /** Tells the consumer to ring our doorbell once there is room, then looks again, because it may have moved meanwhile. */
  private askForRoom(): void {
    // Zero means that nobody ever asked.
    this.asks = (this.asks + 1) | 0 || 1;
    Atomics.store(this.control, this.asksWord, this.asks);
    this.lookAtHead();
  }

  /** Learns how far the consumer has come; answers how many bytes it has not taken. */
  private lookAtHead(): number {
    const head = Atomics.load(this.control, this.headWord);
    const used = checkedUse(this.tail, head, this.inbox, this.lane);
    this.head = head;
    return used;
  }
}

/** What a handler must know of a message: a RingReader has it, and so has one that was kept for later. */
export type Message = Pick<
  RingReader,
  | 'kind'
  | 'brokenKind'
  | 'brokenLength'
  | 'a'
  | 'b'
  | 'length'
  | 'bytes'
  | 'offset'
  | 'data'
  | 'lane'
  | 'position'
  | 'release'
>;

export class RingReader {
  readonly inbox: number;
  readonly lane: number;
  readonly data: Region;
  private readonly control: Int32Array;
  private readonly tailWord: number;
  private readonly headWord: number;
  private readonly asksWord: number;
  private readonly endsWord: number;
  private head: number;
  private tail: number;
  /** Which ask for room we answered last. */
  private answered = 0;
  private assembly: Buffer | null = null;
  private assembled = 0;

  /** The message that next() found. */
  kind = 0;
  a = 0;
  b = 0;
  length = 0;
  /** Where the payload starts in `data`, when `bytes` is null. Valid until release(). */
  offset = 0;
  /** The payload, when it came in pieces: a Buffer of its own, which the caller may keep. */
  bytes: Buffer | null = null;
  /** Of a BROKEN message: what kind it was, and how long. */
  brokenKind = 0;
  brokenLength = 0;
  /** How many BROKEN ones there were: the caller counts them, and clears this. */
  broken = 0;
  /** True exactly when the producer asked to hear of room and there is plenty: the caller rings its doorbell, clears this. */
  roomWanted = false;
  /** Why next() found nothing, when not -1: the ring of this lane comes first, up to `earlierEnd`. */
  earlierLane = -1;
  earlierEnd = 0;
  private readonly segment: Segment;
  /** Called before a message from another process is acted upon, which may make us write to others; null where nobody cares. */
  private readonly noteCause: ((lane: number) => void) | null;
  /** The tail for which that was done. */
  private notedTail: number;

  constructor(segment: Segment, inbox: number, lane: number, noteCause: ((lane: number) => void) | null = null) {
    this.segment = segment;
    this.noteCause = noteCause;
    this.inbox = inbox;
    this.lane = lane;
    this.tailWord = controlWord(segment, inbox, lane);
    this.control = segment.words;
    this.data = mapRing(segment, inbox, lane);
    this.headWord = this.tailWord + HEAD_WORD;
    this.asksWord = this.tailWord + ASKS_WORD;
    this.endsWord = endsWord(segment, lane);
    this.head = Atomics.load(this.control, this.headWord);
    this.tail = this.head;
    this.notedTail = this.head;
    // The reader before us may have died over its answer.
    if (Atomics.load(this.control, this.asksWord) !== 0) this.checkRoomWanted();
  }

  /** Behind the current message: the ring's head, once it is released. */
  get position(): number {
    return this.head;
  }

  /** True exactly when a message has begun to arrive in pieces, is not complete, and can still become so. */
  get midMessage(): boolean {
    return this.assembly !== null && (this.producerLives || Atomics.load(this.control, this.tailWord) !== this.head);
  }

  private get producerLives(): boolean {
    const { control } = this;
    return Atomics.load(control, this.tailWord + LIFE_WORD) === Atomics.load(control, this.endsWord);
  }

  /**
   * Finds the next whole message. Its payload is read in place, so the caller must call release() when it has done that,
   * before it acts on the message and before the next call.
   */
  next(): boolean {
    for (;;) {
      if (this.head === this.tail) {
        this.tail = Atomics.load(this.control, this.tailWord);
        if (this.head === this.tail) return false;
      }
      const i32 = this.data.i32;
      const { head } = this;
      const at = (head & MASK) >> 2;
      const length = i32[at];
      const available = (this.tail - head) | 0;
      const kind = i32[at + 1];
      // Not padded(length) <= available: that overflows near 2^31.
      if (!(available <= RING_BYTES && length >= 0 && length <= available - RECORD_HEADER_BYTES && kind > 0)) {
        throw new Error(
          `a ring is damaged: length=${length} kind=${kind} available=${available} inbox=${this.inbox} lane=${this.lane}`,
        );
      }
      this.a = i32[at + 2];
      this.b = i32[at + 3];
      this.length = length;
      this.offset = (head & MASK) + RECORD_HEADER_BYTES;
      this.head = (head + padded(length)) | 0;
      if (kind <= KIND_MASK) {
        // Neither what clients send nor what goes to them, most of all.
        if (kind >= CLOSE_REQUEST) {
          if (kind >= AFTER) {
            if (kind === AFTER && this.mustWait()) {
              this.head = head;
              return false;
            }
            if (kind === HELLO) this.assembly = null;
            this.release();
            continue;
          }
          this.note();
        }
        this.kind = kind;
        this.bytes = null;
        return true;
      }
      // The end of a message is released by whoever handles it, as one in a single record is.
      if (this.collect(kind)) {
        if (this.kind >= CLOSE_REQUEST) this.note();
        return true;
      }
      this.release();
    }
  }

  private mustWait(): boolean {
    const { segment, inbox, a: lane, b: position } = this;
    const owes = ringOwes(segment, inbox, lane, position);
    this.earlierLane = owes ? lane : -1;
    this.earlierEnd = position;
    return owes;
  }

  /** Whatever was published before our tail was: once is enough for all messages up to there. */
  private note(): void {
    if (this.notedTail === this.tail) return;
    this.notedTail = this.tail;
    this.noteCause?.(this.lane);
  }

  /** Publishes that everything up to the current message was taken. Its payload may be overwritten from now on. */
  release(): void {
    Atomics.store(this.control, this.headWord, this.head);
    if (Atomics.load(this.control, this.asksWord) !== this.answered) this.checkRoomWanted();
  }

  private checkRoomWanted(): void {
    const asks = Atomics.load(this.control, this.asksWord);
    const used = checkedUse(Atomics.load(this.control, this.tailWord), this.head, this.inbox, this.lane);
    if (used > RING_BYTES / 2) return;
    this.answered = asks;
    this.roomWanted = true;
  }

  /** Adds a piece to the message under way; true when that completed it. */
  private collect(kind: number): boolean {
    const { data, offset, length } = this;
    const last = (kind & LAST) !== 0;
    const hasTotal = last || (kind & FIRST) !== 0;
    const total = hasTotal ? data.f64[offset >> 3] : 0;
    if (
      hasTotal &&
      !(total > RECORD_MAX && total <= MESSAGE_MAX && length >= TOTAL_BYTES && length - TOTAL_BYTES < total)
    )
      throw new Error(`a ring is damaged: total=${total} length=${length}`);
    if ((kind & FIRST) !== 0) {
      this.assembly = Buffer.allocUnsafeSlow(total);
      this.assembly.set(data.u8.subarray(offset + TOTAL_BYTES, offset + length), 0);
      this.assembled = length - TOTAL_BYTES;
      return false;
    }
    const assembly = this.assembly;
    // The reader before us took the beginning and died: the rest is of no use.
    if (assembly === null) {
      if (!last) return false;
      this.broken++;
      this.kind = BROKEN;
      this.brokenKind = kind & KIND_MASK;
      this.brokenLength = total;
      this.bytes = null;
      this.length = 0;
      return true;
    }
    const prefix = last ? TOTAL_BYTES : 0;
    const piece = length - prefix;
    if (this.assembled + piece > assembly.length)
      throw new Error(`a ring is damaged: ${this.assembled} + ${piece} > ${assembly.length}`);
    assembly.set(data.u8.subarray(offset + prefix, offset + length), this.assembled);
    this.assembled += piece;
    if (!last) return false;
    if (this.assembled !== assembly.length)
      throw new Error(`a ring is damaged: ${this.assembled} of ${assembly.length}`);
    this.kind = kind & KIND_MASK;
    this.bytes = assembly;
    this.length = assembly.length;
    this.assembly = null;
    return true;
  }
}
