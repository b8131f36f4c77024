/**
 * Memory outside the JavaScript heap: addresses that the kernel can be given, with typed views on the same bytes.
 * A Region is never unmapped while its process lives unless its owner says so, because a view on unmapped memory is a crash.
 */
import { isUint8Array } from 'node:util/types';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_CLOEXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from './constants.ts';
import { must } from './error.ts';
import { ftruncate, memfdCreate, mmap, viewMemory } from './libc.ts';

export const PAGE_BYTES = 4096;

/** All that there are. None is ever unmapped, so none is forgotten. */
const regions: Region[] = [];

export class Region {
  readonly address: number;
  readonly length: number;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  /** The same bytes with Node's Buffer methods, for text. */
  readonly text: Buffer;

  constructor(address: number, length: number) {
    if (length <= 0 || length % 8 !== 0)
      throw new RangeError(`a region needs a positive multiple of 8: length=${length}`);
    const buffer = viewMemory(address, length);
    this.address = address;
    this.length = length;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.text = Buffer.from(buffer);
    regions.push(this);
  }

  /**
   * The address of the bytes [start, start + length). Whoever passes a part of a region to the kernel asks here: beyond its end
   * is other memory, and nobody would notice.
   */
  at(start: number, length: number): number {
    if (!(start >= 0 && length >= 0 && start + length <= this.length))
      throw new RangeError(`not in the region: start=${start} length=${length} of ${this.length}`);
    return this.address + start;
  }
}

/** The region in which so many bytes at an address lie; null where they are not ours. For who checks what others pass on. */
export function regionAt(address: number, length: number): Region | null {
  const holds = (region: Region): boolean =>
    address >= region.address && address + length <= region.address + region.length;
  return regions.findLast(holds) ?? null;
}

/** Private memory of this process, zeroed; pages that are never touched cost nothing. */
export function allocate(length: number): Region {
  const rounded = Math.ceil(length / PAGE_BYTES) * PAGE_BYTES;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return new Region(must('mmap', mmap(0, rounded, PROT_READ | PROT_WRITE, flags, -1, 0)), rounded);
}

/** A file that lives in memory only, sparse until written, gone with its last descriptor. */
export function createMemoryFile(name: string, length: number): number {
  const fd = must('memfd_create', memfdCreate(name, MFD_CLOEXEC));
  must('ftruncate', ftruncate(fd, length), `to ${length}`);
  return fd;
}

/** Maps part of a memory file; every process that maps it sees the same bytes. */
export function mapShared(fd: number, offset: number, length: number): Region {
  const flags = MAP_SHARED | MAP_NORESERVE;
  return new Region(must('mmap', mmap(0, length, PROT_READ | PROT_WRITE, flags, fd, offset)), length);
}

/** The same for who may look only: a write there ends the process. */
export function mapReadOnly(fd: number, offset: number, length: number): Region {
  return new Region(must('mmap', mmap(0, length, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, offset)), length);
}

/**
 * Maps part of a memory file twice in a row, so that a record which runs over the end of a ring is one piece of memory:
 *
 *   address                address + length         address + 2 * length
 *   +----------------------+------------------------+
 *   | bytes 0 … length - 1 | the same bytes again   |
 *   +----------------------+------------------------+
 */
export function mapMirrored(fd: number, offset: number, length: number): Region {
  const address = must('mmap', mmap(0, 2 * length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  const flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
  must('mmap', mmap(address, length, PROT_READ | PROT_WRITE, flags, fd, offset));
  must('mmap', mmap(address + length, length, PROT_READ | PROT_WRITE, flags, fd, offset));
  return new Region(address, 2 * length);
}

const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length')!.get!;

/**
 * True exactly when the value is a Uint8Array (a Buffer is one) that is as long as it says. A Proxy of one is none, and one
 * whose `length` was replaced would make the kernel read, or us write, beyond its end.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return isUint8Array(value) && value.length === lengthOf.call(value);
}

/** Up to this length a loop is the fastest way to copy. */
const LOOP_BYTES_MAX = 32;
const copyPart: (this: Uint8Array, target: Uint8Array, at: number, start: number, end: number) => number =
  Buffer.prototype.copy;

/** A Buffer of its own with bytes[start, start + length), for users who may keep it. */
export function copyBytes(bytes: Uint8Array, start: number, length: number): Buffer {
  const copy = Buffer.allocUnsafe(length);
  if (length <= LOOP_BYTES_MAX) for (let i = 0; i < length; i++) copy[i] = bytes[start + i];
  // A subarray would be one more object for the collector.
  else copyPart.call(bytes, copy, 0, start, start + length);
  return copy;
}

const encoder = new TextEncoder();
/** From this length on the encoder is faster than Buffer's write(), which looks at one character after the other. */
const LONG_TEXT = 1024;

/** Writes text as UTF-8, where there is room for three bytes of each character. Answers how many bytes it took. */
export function writeText(region: Region, at: number, text: string): number {
  const most = text.length * 3;
  if (text.length < LONG_TEXT) return region.text.write(text, at, most);
  return encoder.encodeInto(text, region.u8.subarray(at, at + most)).written;
}
