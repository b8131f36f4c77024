/**
 * The table of connections: one slot each, readable by every process without a message.
 *
 *   word 0 serial          1 state             2 descriptor      3 port index
 *        4 owner           5 worker            6 flags           7 uid
 *        8 remote port     9 address family   10–13 address     14 listener's descriptor
 *       15 close errno    16 (f64 8) connected at               18 (f64 9) last received at
 *       20 (f64 10) last sent at              22 (f64 11) receive time of what a worker took last
 *       24 bytes dispatched   25 bytes taken   26 bytes queued for sending   27 files queued for sending   28 lane + 1 of
 *       who closes it   29 protocol: 0, or the number of the framing that a worker has switched to
 *       30 (f64 15) last received at, on the monotonic clock, in milliseconds
 *
 * The owner (reactor thread, or worker in BASE) writes everything but: flags (Atomics.or/and by anybody), uid
 * (compareExchange once), word 25 and f64 11 (the worker that takes the data), word 29 (the worker that answers a request to
 * speak otherwise: it stores the number first and then posts its answer, so the owner, who looks before it cuts, knows of it
 * when the peer does).
 *
 * What users call fd is start_session_id + serial + 1, where serials count accepted connections modulo 2^32.
 * sessions[serial & mask] holds slot + 1; the slot holds the serial, so a stale id finds nothing.
 */
import { AF_INET, AF_INET6 } from '../sys/constants.ts';
import { formatIPv6 } from '../sys/socket.ts';
import { highSlotNumber } from './lanes.ts';
import { CONNECTION_BYTES, laneOfOwner, SESSION_SLOTS } from './layout.ts';
import type { Segment } from './segment.ts';

const SLOT_WORDS = CONNECTION_BYTES / 4;
const SLOT_NUMBERS = CONNECTION_BYTES / 8;

export const SERIAL = 0;
export const STATE = 1;
export const SOCKET = 2;
export const PORT = 3;
export const OWNER = 4;
export const WORKER = 5;
export const FLAGS = 6;
export const UID = 7;
export const REMOTE_PORT = 8;
export const FAMILY = 9;
export const ADDRESS = 10;
export const LISTENER = 14;
export const CLOSE_ERRNO = 15;
export const DISPATCHED_BYTES = 24;
export const TAKEN_BYTES = 25;
export const QUEUED_BYTES = 26;
export const QUEUED_FILES = 27;
export const CLOSER = 28;
export const PROTOCOL = 29;
export const F64_CONNECT_TIME = 8;
export const F64_RECEIVE_TIME = 9;
export const F64_SEND_TIME = 10;
export const F64_TAKEN_TIME = 11;
export const F64_RECEIVED_AT = 15;

/** Nobody uses the slot. */
export const STATE_FREE = 0;
/** Accepted, but not a connection for users yet (a TLS handshake, say). */
export const STATE_OPENING = 1;
/** A connection. */
export const STATE_ACTIVE = 2;
/** Its close callback is due, running or done; the owner frees the slot when nothing is left to send. */
export const STATE_CLOSING = 3;

export const FLAG_PAUSED = 1;
export const FLAG_PROTECTED = 2;
/** Set by whoever runs the close callback: it runs once. */
export const FLAG_CLOSE_TAKEN = 4;
/** The close callback has returned. */
export const FLAG_CLOSE_DONE = 8;
/** The peer went away, or its socket failed: nothing can be sent any more. */
export const FLAG_PEER_GONE = 16;
/** bufferFull was told and bufferEmpty not yet. */
export const FLAG_HIGH_WATER = 32;
/** A send was refused because the queue is full: bufferEmpty is due once it has drained. */
export const FLAG_OVERFLOW = 64;
/** It was close() of ours that ended the connection. */
export const FLAG_CLOSED_HERE = 128;
/** It was the peer that ended the connection, by an end of its input or a failure. */
export const FLAG_PEER_ENDED = 256;

export class ConnectionTable {
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly bytes: Uint8Array;
  readonly slotCount: number;
  private readonly segment: Segment;
  private readonly wordsOffset: number;
  private readonly numbersOffset: number;
  private readonly sessionsOffset: number;

  constructor(segment: Segment) {
    this.segment = segment;
    this.words = segment.words;
    this.numbers = segment.numbers;
    this.bytes = segment.region.u8;
    this.slotCount = segment.layout.ownerCount * segment.layout.slotsPerOwner;
    this.wordsOffset = segment.layout.connectionsOffset / 4;
    this.numbersOffset = segment.layout.connectionsOffset / 8;
    this.sessionsOffset = segment.layout.sessionsOffset / 4;
  }

  /** Index of a slot's first word. */
  wordBase(slot: number): number {
    if (!(slot >= 0 && slot < this.slotCount)) throw new RangeError(`slot=${slot} of ${this.slotCount}`);
    return this.wordsOffset + slot * SLOT_WORDS;
  }
  /** Index of a slot's first 64-bit number. */
  numberBase(slot: number): number {
    return this.numbersOffset + slot * SLOT_NUMBERS;
  }

  /** The peer's IP address; '' where it has none. */
  remoteIp(base: number): string {
    const { words, bytes } = this;
    const at = (base + ADDRESS) * 4;
    const family = words[base + FAMILY];
    if (family === AF_INET) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
    return family === AF_INET6 ? formatIPv6(bytes, at) : '';
  }

  fdOf(serial: number): number {
    return this.segment.startSessionId + (serial >>> 0) + 1;
  }

  /** The serial of an id that find() has found. Not what the slot says: that may be somebody else's by now. */
  serialOf(fd: number): number {
    return (fd - this.segment.startSessionId - 1) | 0;
  }

  /** The slot of a session id that was given out and is not free again, or -1. One that still opens is nobody's yet. */
  find(fd: number): number {
    const slot = this.findAny(fd);
    return slot !== -1 && this.words[this.wordsOffset + slot * SLOT_WORDS + STATE] > STATE_OPENING ? slot : -1;
  }

  /** True exactly when the slot is that of this session still. */
  holds(slot: number, serial: number): boolean {
    const base = this.wordsOffset + slot * SLOT_WORDS;
    return this.words[base + SERIAL] === serial && this.words[base + STATE] > STATE_OPENING;
  }

  /** The same for a session that may have ended, as long as nobody else has its slot. */
  findAny(fd: number): number {
    // Users may ask for anything.
    if (typeof fd !== 'number') return -1;
    const serial = fd - this.segment.startSessionId - 1;
    if (!(serial >= 0 && serial <= 0xffffffff) || !Number.isInteger(serial)) return -1;
    const slot = Atomics.load(this.words, this.sessionsOffset + (serial % SESSION_SLOTS)) - 1;
    if (slot < 0 || slot >= this.slotCount) return -1;
    const base = this.wordsOffset + slot * SLOT_WORDS;
    return this.words[base + SERIAL] === (serial | 0) && this.words[base + STATE] !== STATE_OPENING ? slot : -1;
  }

  /** True exactly when this is the id of a connection that there is or was, since ids began to be counted again at the latest. */
  wasGiven(fd: number): boolean {
    // As in findAny().
    if (typeof fd !== 'number') return false;
    const serial = fd - this.segment.startSessionId - 1;
    return Number.isInteger(serial) && serial >= 0 && serial < this.segment.sessionsGiven;
  }

  /** Gives the slot a session id: `first`, or one of the next; answers false when none of `tries` is free. */
  openSession(slot: number, tries: number, first = this.segment.nextSession()): boolean {
    for (let i = 0; i < tries; i++) {
      const serial = i === 0 ? first : this.segment.nextSession();
      const entry = this.sessionsOffset + ((serial >>> 0) % SESSION_SLOTS);
      const held = Atomics.load(this.words, entry);
      if (held !== 0 && this.holdsSession(held - 1, serial)) continue;
      this.words[this.wordBase(slot) + SERIAL] = serial;
      if (Atomics.compareExchange(this.words, entry, held, slot + 1) === held) return true;
    }
    return false;
  }

  /** True exactly when the slot is in use for a session that shares its entry with the given one. */
  private holdsSession(slot: number, serial: number): boolean {
    const base = this.wordBase(slot);
    const sameEntry = ((this.words[base + SERIAL] ^ serial) & (SESSION_SLOTS - 1)) === 0;
    return sameEntry && this.words[base + STATE] !== STATE_FREE;
  }

  /** Ends the session and frees the slot. What it held stays readable until the slot is used again. */
  closeSession(slot: number): void {
    Atomics.store(this.words, this.wordBase(slot) + STATE, STATE_FREE);
  }

  state(slot: number): number {
    return Atomics.load(this.words, this.wordBase(slot) + STATE);
  }
  /** True exactly when users may see it as connected: accepted, and nobody has begun to close it. */
  isOpen(slot: number): boolean {
    const base = this.wordBase(slot);
    return (
      this.words[base + STATE] === STATE_ACTIVE && (Atomics.load(this.words, base + FLAGS) & FLAG_CLOSE_TAKEN) === 0
    );
  }
  flags(slot: number): number {
    return Atomics.load(this.words, this.wordBase(slot) + FLAGS);
  }
  /** Sets flags and answers those before. */
  setFlags(slot: number, flags: number): number {
    return Atomics.or(this.words, this.wordBase(slot) + FLAGS, flags);
  }
  /**
   * From the next package on the connection speaks the framing of that number (ReactorPort.otherFramings), 0 = the port's own.
   * To be called before the answer is sent that tells the peer so.
   */
  switchProtocol(slot: number, serial: number, protocol: number): void {
    const base = this.wordBase(slot);
    if (this.words[base + SERIAL] === serial) Atomics.store(this.words, base + PROTOCOL, protocol);
  }

  /** Claims the close callback for a lane: answers true to one only. Should that one die over it, it is known who it was. */
  takeClose(slot: number, serial: number, lane: number): boolean {
    const base = this.wordBase(slot);
    if (this.words[base + SERIAL] !== serial) return false;
    const before = Atomics.compareExchange(this.words, base + CLOSER, 0, lane + 1);
    if (before !== 0 && before !== lane + 1) return false;
    return (Atomics.or(this.words, base + FLAGS, FLAG_CLOSE_TAKEN) & FLAG_CLOSE_TAKEN) === 0;
  }

  /** The lane will take it later: nobody else does, and should it die before, it is known who it was. */
  announceClose(slot: number, serial: number, lane: number): void {
    const base = this.wordBase(slot);
    if (this.words[base + SERIAL] === serial) Atomics.compareExchange(this.words, base + CLOSER, 0, lane + 1);
  }

  /** The connections that a lane has begun to close, and whose owner was not told yet. */
  closing(lane: number): { slot: number; serial: number }[] {
    const found: { slot: number; serial: number }[] = [];
    this.forEach(-1, (slot, base) => {
      const theirs = this.words[base + CLOSER] === lane + 1 && this.words[base + STATE] === STATE_ACTIVE;
      if (theirs) found.push({ slot, serial: this.words[base + SERIAL] });
    });
    return found;
  }
  /** True exactly when that is still so. */
  isClosing(slot: number, serial: number): boolean {
    const base = this.wordBase(slot);
    return this.words[base + SERIAL] === serial && this.words[base + STATE] === STATE_ACTIVE;
  }

  clearFlags(slot: number, flags: number): number {
    return Atomics.and(this.words, this.wordBase(slot) + FLAGS, ~flags);
  }

  /** One past the highest local slot that an owner has used; kept by the owner in its lane. */
  highSlot(owner: number): number {
    return this.numbers[this.highSlotNumber(owner)];
  }
  setHighSlot(owner: number, high: number): void {
    this.numbers[this.highSlotNumber(owner)] = high;
  }
  private highSlotNumber(owner: number): number {
    return highSlotNumber(this.segment, laneOfOwner(owner));
  }

  /** Visits every slot in use, of one owner or of all. */
  forEach(owner: number, visit: (slot: number, base: number) => void): void {
    const { slotsPerOwner, ownerCount } = this.segment.layout;
    const first = owner === -1 ? 0 : owner;
    const last = owner === -1 ? ownerCount - 1 : owner;
    for (let each = first; each <= last; each++) {
      const high = Math.min(this.highSlot(each), slotsPerOwner);
      for (let local = 0; local < high; local++) {
        const slot = each * slotsPerOwner + local;
        const base = this.wordsOffset + slot * SLOT_WORDS;
        if (this.words[base + STATE] !== STATE_FREE) visit(slot, base);
      }
    }
  }

  /** Frees what a dead owner held: its sockets were closed with it. Answers how many connections that were. */
  freeOwner(owner: number): number {
    let count = 0;
    this.forEach(owner, (slot) => {
      count++;
      this.closeSession(slot);
    });
    this.segment.forgetConnections(owner);
    return count;
  }
}
