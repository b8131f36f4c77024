/**
 * What a scan is: the contract between a connection, which collects bytes, and the framers, which find packages there.
 * Negative answers mean that the connection must be closed; the number is minus the Swoole error code to log.
 */

/** The package is not complete yet. Never the answer to maxLength bytes or more: those are a package or wrong. */
export const NEED_MORE = 0;
/** SW_ERROR_PACKAGE_LENGTH_TOO_LARGE: the package is, or can only become, longer than maxLength. */
export const TOO_LARGE = -1201;
/** SW_ERROR_PACKAGE_LENGTH_NOT_FOUND: the length is zero, or cannot be told from what is there. */
export const LENGTH_NOT_FOUND = -1202;
/** SW_ERROR_PACKAGE_MALFORMED_DATA: the bytes break the rules of the protocol. */
export const MALFORMED = -1204;

/**
 * Finds packages in bytes that anybody may have sent. A framer knows nothing of connections: one serves a whole port.
 * The caller vouches for 0 <= start <= end <= bytes.length; nothing outside [start, end) is read.
 */
export interface Framer {
  /**
   * Finds the first complete package in bytes[start, end). Returns its length (> 0, <= end - start, <= maxLength),
   * NEED_MORE, or a negative reason to close. A reason does not go away when more bytes arrive.
   *
   * `seen` is how many bytes of [start, end) an earlier scan of the same package has looked at already, 0 at first, so
   * that a long package that arrives in small pieces costs linear time. `progress` is the better thing to hand over.
   */
  scan(bytes: Uint8Array, start: number, end: number, seen: number): number;

  /**
   * The total length of the package at start once its header tells it, else 0: lets the caller size its buffer. Never
   * above maxLength. To be asked right after scan answered NEED_MORE for the same bytes; then it is 0 or > end - start.
   */
  expected(bytes: Uint8Array, start: number, end: number): number;

  /**
   * Right after scan answered NEED_MORE: the `seen` for the next scan of this package, wherever its bytes are by then.
   * Framers that need to know more than how far they looked fold that in, so it is an exact integer but perhaps a large
   * one. Plain end - start is right too, and costs what a scan from the start costs.
   */
  readonly progress: number;

  /** The longest package in bytes: a buffer of this size is always enough. */
  readonly maxLength: number;
}

/** `package_max_length` is an unsigned 32-bit number in Swoole; no framer has to count further. */
const MAX_LENGTH_LIMIT = 0xffff_ffff;

/** Refuses a maxLength with which a connection could wait for ever for a header that its full buffer cannot take. */
export function checkMaxLength(maxLength: number, headerBytes: number): void {
  if (!Number.isInteger(maxLength) || maxLength < headerBytes || maxLength > MAX_LENGTH_LIMIT) {
    throw new RangeError(`expected ${headerBytes} <= maxLength <= ${MAX_LENGTH_LIMIT}: maxLength=${maxLength}`);
  }
}
