import { checkMaxLength, type Framer, NEED_MORE, TOO_LARGE } from './scan.ts';

/** Swoole's SW_DATA_EOF_MAXLEN. */
export const EOF_BYTES_MAX = 8;

/**
 * Up to here a loop in JavaScript, at 0.6 ns per byte, finds an EOF sooner than Buffer.indexOf, whose call and the view
 * it needs cost 135 ns but which then takes 0.01 ns per byte (measured on Node 26). What is longer pays for both.
 */
const LOOP_BYTES = 192;

abstract class EofFramer implements Framer {
  readonly maxLength: number;
  progress = 0;
  protected readonly eof: Uint8Array;

  constructor(eof: Uint8Array, maxLength: number) {
    if (eof.length < 1 || eof.length > EOF_BYTES_MAX) {
      throw new RangeError(`the EOF must have 1 to ${EOF_BYTES_MAX} bytes: eof.length=${eof.length}`);
    }
    checkMaxLength(maxLength, eof.length);
    this.eof = Uint8Array.from(eof);
    this.maxLength = maxLength;
  }

  abstract scan(bytes: Uint8Array, start: number, end: number, seen: number): number;

  /** Where a package ends shows at its end only. */
  expected(_bytes: Uint8Array, _start: number, _end: number): number {
    return 0;
  }
}

/** `open_eof_split`: every EOF ends a package, which keeps it. */
export class EofSplitFramer extends EofFramer {
  scan(bytes: Uint8Array, start: number, end: number, seen: number): number {
    const { eof, maxLength } = this;
    // Only an EOF that ends within maxLength makes a package, so nothing behind it matters.
    const limit = end - start > maxLength ? start + maxLength : end;
    // The EOF may straddle what was seen and what is new.
    const overlap = eof.length - 1;
    const from = seen > overlap ? start + seen - overlap : start;

    const loopLimit = limit - from > LOOP_BYTES ? from + LOOP_BYTES : limit;
    let found = this.find(bytes, from, loopLimit);
    if (found < 0 && loopLimit < limit) found = this.findFar(bytes, loopLimit - overlap, limit);
    if (found >= 0) return found - start;

    if (end - start >= maxLength) return TOO_LARGE;
    this.progress = end - start;
    return NEED_MORE;
  }

  /** The place behind the first EOF in bytes[from, limit), or -1. */
  private find(bytes: Uint8Array, from: number, limit: number): number {
    const { eof } = this;
    const lastIndex = eof.length - 1;
    const lastByte = eof[lastIndex];
    let at = from + lastIndex;
    for (;;) {
      at = findByte(bytes, at, limit, lastByte);
      if (at < 0) return -1;
      at++;
      if (endsWith(bytes, at, eof)) return at;
    }
  }

  /** As find, for long ranges. Buffer.indexOf has no end, so it gets a view that ends where we do. */
  private findFar(bytes: Uint8Array, from: number, limit: number): number {
    const index = Buffer.prototype.indexOf.call(bytes.subarray(from, limit), this.eof);
    return index < 0 ? -1 : from + index + this.eof.length;
  }
}

/**
 * `open_eof_check` without split: whenever the bytes that have arrived end in the EOF, they are one package, with all
 * the EOFs that may be inside. So what a package is depends on how the bytes were read, as in Swoole; a caller must not
 * read beyond maxLength.
 */
export class EofCheckFramer extends EofFramer {
  scan(bytes: Uint8Array, start: number, end: number, _seen: number): number {
    const length = end - start;
    if (length > this.maxLength) return TOO_LARGE;
    if (length >= this.eof.length && endsWith(bytes, end, this.eof)) return length;
    if (length === this.maxLength) return TOO_LARGE;
    this.progress = length;
    return NEED_MORE;
  }
}

/** A function of its own because V8 makes a loop of it that is twice as fast as one that also compares the rest. */
function findByte(bytes: Uint8Array, from: number, limit: number, wanted: number): number {
  for (let at = from; at < limit; at++) {
    if (bytes[at] === wanted) return at;
  }
  return -1;
}

/** Whether the bytes before `end` are the EOF; there must be as many. */
function endsWith(bytes: Uint8Array, end: number, eof: Uint8Array): boolean {
  const from = end - eof.length;
  for (let index = eof.length - 1; index >= 0; index--) {
    if (bytes[from + index] !== eof[index]) return false;
  }
  return true;
}
