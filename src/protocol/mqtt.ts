import { checkMaxLength, type Framer, NEED_MORE, TOO_LARGE } from './scan.ts';

/** One byte of type and flags, then the remaining length in 1 to 4 bytes of 7 bits, least significant first. */
const LENGTH_BYTES_MAX = 4;
const HEADER_BYTES_MAX = 1 + LENGTH_BYTES_MAX;

/** `open_mqtt_protocol`: whole control packets; what is in them is the application's business. */
export class MqttFramer implements Framer {
  readonly maxLength: number;
  progress = 0;

  constructor(maxLength: number) {
    checkMaxLength(maxLength, HEADER_BYTES_MAX);
    this.maxLength = maxLength;
  }

  scan(bytes: Uint8Array, start: number, end: number, _seen: number): number {
    const total = this.total(bytes, start, end);
    if (total < 0) return total;
    if (total > 0 && total <= end - start) return total;
    this.progress = end - start;
    return NEED_MORE;
  }

  expected(bytes: Uint8Array, start: number, end: number): number {
    return Math.max(0, this.total(bytes, start, end));
  }

  /** The package's length as its header tells it, NEED_MORE while there is no whole header, or why to close. */
  private total(bytes: Uint8Array, start: number, end: number): number {
    let remaining = 0;
    for (let index = 0; index < LENGTH_BYTES_MAX; index++) {
      const at = start + 1 + index;
      if (at >= end) return NEED_MORE;
      const byte = bytes[at];
      remaining |= (byte & 0x7f) << (7 * index);
      if (byte < 0x80) {
        const total = at + 1 - start + remaining;
        return total > this.maxLength ? TOO_LARGE : total;
      }
    }
    // A fifth length byte would follow. Swoole logs that as too large, not as malformed.
    return TOO_LARGE;
  }
}
