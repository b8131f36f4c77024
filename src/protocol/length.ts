import { checkMaxLength, type Framer, LENGTH_NOT_FOUND, MALFORMED, NEED_MORE, TOO_LARGE } from './scan.ts';

/** The letters of PHP's pack() that `package_length_type` knows, with the bytes that each takes. */
export const LENGTH_TYPE_BYTES = {
  c: 1,
  C: 1,
  s: 2,
  S: 2,
  n: 2,
  v: 2,
  l: 4,
  L: 4,
  N: 4,
  V: 4,
  q: 8,
  Q: 8,
  J: 8,
  P: 8,
} as const;

export type LengthType = keyof typeof LENGTH_TYPE_BYTES;

/** What one step of the upper half of a 64-bit number counts. */
const HIGH_WORD = 2 ** 32;

/**
 * `open_length_check`: total = the value at lengthOffset + bodyOffset.
 *
 * There is a subclass for each way a number is written, rather than a switch in one class: a port reads one type, so V8
 * inlines `read` into `scan` (5 ns per package instead of 15).
 */
abstract class LengthFramer implements Framer {
  readonly maxLength: number;
  progress = 0;
  private readonly lengthOffset: number;
  private readonly bodyOffset: number;
  private readonly headerBytes: number;

  constructor(type: LengthType, lengthOffset: number, bodyOffset: number, maxLength: number) {
    if (!Number.isInteger(lengthOffset) || lengthOffset < 0 || !Number.isInteger(bodyOffset) || bodyOffset < 0) {
      throw new RangeError(`expected offsets >= 0: lengthOffset=${lengthOffset} bodyOffset=${bodyOffset}`);
    }
    this.headerBytes = lengthOffset + LENGTH_TYPE_BYTES[type];
    checkMaxLength(maxLength, this.headerBytes);
    this.maxLength = maxLength;
    this.lengthOffset = lengthOffset;
    this.bodyOffset = bodyOffset;
  }

  scan(bytes: Uint8Array, start: number, end: number, _seen: number): number {
    const total = this.total(bytes, start, end);
    if (total < 0) return total;
    // A total that is smaller than its own header is delivered as it is, as in Swoole.
    if (total > 0 && total <= end - start) return total;
    this.progress = end - start;
    return NEED_MORE;
  }

  expected(bytes: Uint8Array, start: number, end: number): number {
    return Math.max(0, this.total(bytes, start, end));
  }

  /** The package's length as its header tells it, NEED_MORE while there is no whole header, or why to close. */
  private total(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < this.headerBytes) return NEED_MORE;
    const value = this.read(bytes, start + this.lengthOffset);
    if (value < 0) return MALFORMED;
    const total = value + this.bodyOffset;
    if (total === 0) return LENGTH_NOT_FOUND;
    return total > this.maxLength ? TOO_LARGE : total;
  }

  /** The number at bytes[at]. One too large for a double comes rounded: its sign is right, and it stays TOO_LARGE. */
  protected abstract read(bytes: Uint8Array, at: number): number;
}

class Int8 extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return (bytes[at] << 24) >> 24;
  }
}

class Uint8 extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return bytes[at];
  }
}

class Int16Little extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return ((bytes[at] | (bytes[at + 1] << 8)) << 16) >> 16;
  }
}

class Uint16Little extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return bytes[at] | (bytes[at + 1] << 8);
  }
}

class Uint16Big extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return (bytes[at] << 8) | bytes[at + 1];
  }
}

class Int32Little extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return int32Little(bytes, at);
  }
}

class Uint32Little extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return int32Little(bytes, at) >>> 0;
  }
}

class Uint32Big extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return int32Big(bytes, at) >>> 0;
  }
}

class Int64Little extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return int32Little(bytes, at + 4) * HIGH_WORD + (int32Little(bytes, at) >>> 0);
  }
}

class Int64Big extends LengthFramer {
  protected override read(bytes: Uint8Array, at: number): number {
    return int32Big(bytes, at) * HIGH_WORD + (int32Big(bytes, at + 4) >>> 0);
  }
}

function int32Little(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function int32Big(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
}

/**
 * Host order is little-endian, on every machine that koffi has a Linux binary for. The unsigned 64-bit letters read as
 * signed because swoole_unpack() returns an int64_t: 2^63 and more is malformed.
 */
const FRAMERS = {
  c: Int8,
  C: Uint8,
  s: Int16Little,
  S: Uint16Little,
  n: Uint16Big,
  v: Uint16Little,
  l: Int32Little,
  L: Uint32Little,
  N: Uint32Big,
  V: Uint32Little,
  q: Int64Little,
  Q: Int64Little,
  J: Int64Big,
  P: Int64Little,
} as const;

export function createLengthFramer(type: LengthType, lengthOffset: number, bodyOffset: number, max: number): Framer {
  if (!Object.hasOwn(FRAMERS, type)) throw new RangeError(`expected one of cCsSnvlLNVqQJP: type=${type}`);
  return new FRAMERS[type](type, lengthOffset, bodyOffset, max);
}
