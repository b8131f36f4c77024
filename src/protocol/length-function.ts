import { checkMaxLength, type Framer, LENGTH_NOT_FOUND, MALFORMED, NEED_MORE, TOO_LARGE } from './scan.ts';
import { SWOOLE_IPC_BYTES } from './swoole-limits.ts';

/** Who has seen this much and tells no length never will. */
const UNDECIDED_BYTES_MAX = SWOOLE_IPC_BYTES;

/**
 * `package_length_func`: the user's function tells the length from what has arrived. It gets a view, not a copy, of all
 * of that, which may be more than one package.
 *
 * Once it has told a length it is not asked again for this package: progress is then maxLength + the length, which no
 * number of seen bytes reaches.
 */
export class LengthFunctionFramer implements Framer {
  readonly maxLength: number;
  progress = 0;
  private readonly call: (data: Buffer) => number;
  /** The package that scan waits for, so that expected need not ask the user again: where it is, and its length. */
  private waitingBytes: Uint8Array | null = null;
  private waitingStart = 0;
  private waitingEnd = 0;
  private waitingTotal = 0;

  /** What `call` throws counts as -1 and is dropped; a caller that wants to log it wraps the user's function. */
  constructor(call: (data: Buffer) => number, maxLength: number) {
    checkMaxLength(maxLength, 1);
    this.call = call;
    this.maxLength = maxLength;
  }

  scan(bytes: Uint8Array, start: number, end: number, seen: number): number {
    const available = end - start;
    this.waitingBytes = null;
    const total = seen > this.maxLength ? seen - this.maxLength : this.ask(bytes, start, end);
    if (total < 0) return total;
    if (total > this.maxLength) return TOO_LARGE;
    if (total > 0 && total <= available) return total;
    if (total === 0) {
      if (available >= UNDECIDED_BYTES_MAX) return LENGTH_NOT_FOUND;
      if (available >= this.maxLength) return TOO_LARGE;
      this.progress = available;
      return NEED_MORE;
    }
    this.waitingBytes = bytes;
    this.waitingStart = start;
    this.waitingEnd = end;
    this.waitingTotal = total;
    this.progress = this.maxLength + total;
    return NEED_MORE;
  }

  /** Knows only the package for which scan has just answered NEED_MORE, and never calls the user's function. */
  expected(bytes: Uint8Array, start: number, end: number): number {
    const isWaiting = bytes === this.waitingBytes && start === this.waitingStart && end === this.waitingEnd;
    return isWaiting ? this.waitingTotal : 0;
  }

  /** What the user's function says, with everything that is not a length turned into MALFORMED. */
  private ask(bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return NEED_MORE;
    let total: unknown;
    try {
      total = this.call(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start));
    } catch {
      return MALFORMED;
    }
    return typeof total === 'number' && Number.isInteger(total) && total >= 0 ? total : MALFORMED;
  }
}
