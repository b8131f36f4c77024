import { checkMaxLength, type Framer, MALFORMED, NEED_MORE, TOO_LARGE } from './scan.ts';

const ARRAY = 0x2a; // *
const BULK = 0x24; // $
const INTEGER = 0x3a; // :
const PLUS = 0x2b;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const CR = 0x0d;
const LF = 0x0a;

/** The shortest element is ":0\r\n". */
const ELEMENT_BYTES_MIN = 4;
/** Ten digits hold every length of 32 bits. */
const LENGTH_DIGITS_MAX = 10;
/** Nineteen digits hold every integer of 64 bits. */
const INTEGER_DIGITS_MAX = 19;
/** How many elements expected() walks over: its cost must not grow with what a client sends. */
const EXPECTED_ELEMENTS_MAX = 16;

/** What readLength answers beside a length and MALFORMED. */
const NULL_BULK = -1;
const INCOMPLETE = -2;

/**
 * `open_redis_protocol`: a package is one complete command, a RESP array of bulk strings, nulls and integers:
 *
 *   *3\r\n  $3\r\nSET\r\n  $3\r\nkey\r\n  :42\r\n
 *
 * Inline commands are malformed, as is every other thing. Stricter than Swoole: lengths have neither sign nor leading
 * zero, and CRLF stands behind every string. What can only become longer than maxLength is refused where that shows.
 *
 * A command of many small elements that comes byte by byte must not be walked from its start each time, so progress
 * says where to go on: elements left * (maxLength + 1) + offset of the element that was incomplete. No number of seen
 * bytes reaches maxLength + 1, so a plain one means "from the start".
 */
export class RedisFramer implements Framer {
  readonly maxLength: number;
  progress = 0;
  private readonly progressRadix: number;
  private readonly elementsMax: number;
  /** Where the line that readLength has just read ends. */
  private lineEnd = 0;
  /** Where walk stopped: at the first incomplete element, with it and this many in all to come. */
  private stoppedAt = 0;
  private elementsLeft = 0;

  constructor(maxLength: number) {
    checkMaxLength(maxLength, 1);
    this.maxLength = maxLength;
    this.progressRadix = maxLength + 1;
    // More would not fit into an exact progress; with less than 190 MB they would not fit into a package either.
    this.elementsMax = Math.floor(Number.MAX_SAFE_INTEGER / this.progressRadix) - 1;
  }

  scan(bytes: Uint8Array, start: number, end: number, seen: number): number {
    const elementsLeft = seen < this.progressRadix ? 0 : Math.floor(seen / this.progressRadix);
    const offset = elementsLeft === 0 ? 0 : seen - elementsLeft * this.progressRadix;
    const length = this.walk(bytes, start, end, offset, elementsLeft, this.elementsMax);
    if (length !== NEED_MORE) return length;
    if (end - start >= this.maxLength) return TOO_LARGE;
    this.progress = this.elementsLeft * this.progressRadix + this.stoppedAt - start;
    return NEED_MORE;
  }

  /** The length shows when the last element's does; that of commands with many elements is not worth the walk. */
  expected(bytes: Uint8Array, start: number, end: number): number {
    const length = this.walk(bytes, start, end, 0, 0, EXPECTED_ELEMENTS_MAX);
    if (length !== NEED_MORE) return Math.max(0, length);
    if (this.elementsLeft !== 1) return 0;
    const at = this.stoppedAt;
    if (at >= end || bytes[at] !== BULK) return 0;
    const bulkLength = this.readLength(bytes, at + 1, end, true);
    const total = this.lineEnd + bulkLength + 2 - start;
    return bulkLength >= 0 && total <= this.maxLength ? total : 0;
  }

  /**
   * Steps over the command's elements, from its start when elementsLeft is 0, else from the element at offset. Looks at
   * nothing behind maxLength, so that a reason to close does not depend on how much has arrived.
   */
  private walk(
    bytes: Uint8Array,
    start: number,
    end: number,
    offset: number,
    elementsLeft: number,
    elementsMax: number,
  ): number {
    const { maxLength } = this;
    const limit = end - start > maxLength ? start + maxLength : end;
    let at = start + offset;

    this.stoppedAt = at;
    this.elementsLeft = elementsLeft;
    if (elementsLeft === 0) {
      if (at >= limit) return NEED_MORE;
      if (bytes[at] !== ARRAY) return MALFORMED;
      elementsLeft = this.readLength(bytes, at + 1, limit, false);
      if (elementsLeft === INCOMPLETE) return NEED_MORE;
      if (elementsLeft <= 0) return MALFORMED;
      if (elementsLeft > elementsMax) return TOO_LARGE;
      at = this.lineEnd;
    }

    for (; elementsLeft > 0; elementsLeft--) {
      this.stoppedAt = at;
      this.elementsLeft = elementsLeft;
      if (at - start + elementsLeft * ELEMENT_BYTES_MIN > maxLength) return TOO_LARGE;
      if (at >= limit) return NEED_MORE;
      const type = bytes[at];
      if (type === BULK) {
        const bulkLength = this.readLength(bytes, at + 1, limit, true);
        if (bulkLength === INCOMPLETE) return NEED_MORE;
        if (bulkLength === MALFORMED) return MALFORMED;
        at = this.lineEnd;
        if (bulkLength !== NULL_BULK) {
          at += bulkLength + 2;
          if (at - start > maxLength) return TOO_LARGE;
          if (at > limit) return NEED_MORE;
          if (bytes[at - 2] !== CR || bytes[at - 1] !== LF) return MALFORMED;
        }
      } else if (type === INTEGER) {
        const lineEnd = skipInteger(bytes, at + 1, limit);
        if (lineEnd <= 0) return lineEnd;
        at = lineEnd;
      } else {
        return MALFORMED;
      }
    }
    return at - start;
  }

  /**
   * Reads a length and its CRLF, and leaves where they end in lineEnd. Answers the length, NULL_BULK for "-1" where
   * that is allowed, INCOMPLETE or MALFORMED.
   */
  private readLength(bytes: Uint8Array, from: number, limit: number, mayBeNull: boolean): number {
    let at = from;
    if (at >= limit) return INCOMPLETE;
    const isNull = mayBeNull && bytes[at] === MINUS;
    if (isNull) at++;

    const digitsFrom = at;
    let value = 0;
    for (; at < limit; at++) {
      const byte = bytes[at];
      if (byte < ZERO || byte > NINE) break;
      if (at - digitsFrom === LENGTH_DIGITS_MAX || (at > digitsFrom && bytes[digitsFrom] === ZERO)) return MALFORMED;
      value = value * 10 + byte - ZERO;
    }
    if (isNull && at > digitsFrom && (value !== 1 || at > digitsFrom + 1)) return MALFORMED;
    if (at >= limit) return INCOMPLETE;
    if (at === digitsFrom || bytes[at] !== CR) return MALFORMED;
    if (at + 1 >= limit) return INCOMPLETE;
    if (bytes[at + 1] !== LF) return MALFORMED;
    this.lineEnd = at + 2;
    return isNull ? NULL_BULK : value;
  }
}

/** Where the integer's line ends, NEED_MORE or MALFORMED. */
function skipInteger(bytes: Uint8Array, from: number, limit: number): number {
  let at = from;
  if (at < limit && (bytes[at] === MINUS || bytes[at] === PLUS)) at++;
  const digitsFrom = at;
  while (at < limit && bytes[at] >= ZERO && bytes[at] <= NINE) {
    if (at - digitsFrom === INTEGER_DIGITS_MAX) return MALFORMED;
    at++;
  }
  if (at >= limit) return NEED_MORE;
  if (at === digitsFrom || bytes[at] !== CR) return MALFORMED;
  if (at + 1 >= limit) return NEED_MORE;
  return bytes[at + 1] === LF ? at + 2 : MALFORMED;
}
