/**
 * The memory of what a server has received. A long message gets a slice of a slab, so that several share one ArrayBuffer,
 * and can be received straight into it. A slice is given out once: the slab is collected when the last of its slices is.
 *
 * A user who keeps one slice keeps its slab: SLAB_BYTES, at most sixteen times LONG_BYTES. Short messages are copied into
 * Node's pool instead, as `Buffer.allocUnsafe` does, so that a slab is never kept for a few bytes.
 */
import { markAsUntransferable } from 'node:worker_threads';
import { collect } from './collect.ts';
import { addressOf } from './libc.ts';
import { copyBytes } from './memory.ts';

export const SLAB_BYTES = 128 * 1024;
/** The shortest message that has a slice. */
const LONG_BYTES = 8 * 1024;
/** The least room that is worth a read: with less a message would often come in two. */
const READ_LEAST_BYTES = 32 * 1024;
/** What is received between two collections: fewer bytes stay nearer to the processor, but each collection costs 0.2 ms. */
const COLLECT_BYTES = 4 * 1024 * 1024;

export class Slab {
  /** Where the next slice begins: valid until the next call. */
  address = 0;
  private bytes: Buffer = Buffer.alloc(0);
  private start = 0;
  private used = 0;

  /** Makes room at `address` for one read of up to `most` bytes; answers how many it may bring. */
  reserve(most: number): number {
    if (this.bytes.length - this.used < READ_LEAST_BYTES) this.renew();
    this.address = this.start + this.used;
    return Math.min(most, this.bytes.length - this.used);
  }

  /** The `length` bytes that a read has put at `address`. */
  take(length: number): Buffer {
    if (!(length >= 0 && this.used + length <= this.bytes.length))
      throw new RangeError(`not in the slab: start=${this.used} length=${length} of ${this.bytes.length}`);
    return length < LONG_BYTES ? shortCopy(this.bytes, this.used, length) : this.slice(length);
  }

  /** A Buffer with bytes[start, start + length), for users who may keep it. */
  copy(bytes: Uint8Array, start: number, length: number): Buffer {
    if (length < LONG_BYTES) return shortCopy(bytes, start, length);
    let copy: Buffer;
    if (length > SLAB_BYTES / 2) {
      copy = Buffer.allocUnsafeSlow(length);
      countReceived(length);
    } else {
      if (this.bytes.length - this.used < length) this.renew();
      copy = this.slice(length);
    }
    copy.set(bytes.subarray(start, start + length), 0);
    return copy;
  }

  private slice(length: number): Buffer {
    const { bytes, used } = this;
    // Slices begin where words do.
    this.used = (used + length + 7) & ~7;
    return Buffer.from(bytes.buffer as ArrayBuffer, used, length);
  }

  private renew(): void {
    this.bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
    // As with Node's own pool: whoever transferred one message to another thread would take the others along.
    markAsUntransferable(this.bytes.buffer as ArrayBuffer);
    this.start = addressOf(this.bytes);
    this.used = 0;
    countReceived(SLAB_BYTES);
  }
}

function shortCopy(bytes: Uint8Array, start: number, length: number): Buffer {
  countReceived(length);
  return copyBytes(bytes, start, length);
}

let sinceCollection = 0;

/**
 * V8 counts the memory of ArrayBuffers, but collects young objects by the few hundred bytes that each message leaves on its
 * own heap. So its limit for the former may come first, and that means a major collection every hundred megabytes, for
 * which a minor one would do at a tenth of the price. Therefore we ask for those. With short messages it depends on chance
 * whether V8 comes to that state, and it stays in it: 640 bytes at a time cost a seventh more there.
 */
function countReceived(bytes: number): void {
  sinceCollection += bytes;
  if (sinceCollection < COLLECT_BYTES) return;
  sinceCollection = 0;
  collect('minor');
}
