/**
 * What goes out. Short messages of one turn are gathered in one piece of memory, cut into runs of one connection each, and
 * handed to the kernel together at the end of the turn; long ones go at once. What a socket does not take waits in the
 * connection's own queue until the kernel tells of room.
 */
import {
  type ConnectionTable,
  FLAG_HIGH_WATER,
  FLAG_OVERFLOW,
  FLAG_PEER_GONE,
  FLAGS,
  QUEUED_BYTES,
  SEND_TIME,
} from '../shm/connections.ts';
import { EAGAIN, EINTR, ENOBUFS, MSG_NOSIGNAL } from '../sys/constants.ts';
import { errno, send, sendBytes } from '../sys/libc.ts';
import { allocate } from '../sys/memory.ts';
import type { Connection } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { CHUNK_BYTES, GATHER_BYTES, TURN_BUFFER_BYTES } from './limits.ts';

/** What the output tells the reactor that it belongs to. */
export interface OutputHost {
  /** Milliseconds since 1970, as of this turn. */
  readonly now: number;
  /** Nothing can be sent to the peer any more. */
  peerGone(connection: Connection): void;
  /** The connection's queue has become empty. */
  outputDone(connection: Connection): void;
}

export class Output {
  private readonly table: ConnectionTable;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly delivery: Delivery;
  private readonly host: OutputHost;

  /** This turn's bytes, one after another. A run ends where the next one starts. */
  private readonly gathered = allocate(TURN_BUFFER_BYTES);
  private gatheredBytes = 0;
  private runCount = 0;
  private readonly runConnection: Connection[] = [];
  private readonly runSerial: number[] = [];
  private readonly runStart: number[] = [];

  constructor(table: ConnectionTable, delivery: Delivery, host: OutputHost) {
    this.table = table;
    this.words = table.words;
    this.numbers = table.numbers;
    this.delivery = delivery;
    this.host = host;
  }

  /**
   * Sends bytes[start, start + length) in order behind everything sent before. The bytes are copied or handed to the
   * kernel before it returns. `address` is where they lie when they are outside the JavaScript heap, else 0.
   */
  send(connection: Connection, bytes: Uint8Array, start: number, length: number, address: number): void {
    if (connection.output !== null) {
      this.queue(connection, bytes, start, length);
      return;
    }
    if (length <= GATHER_BYTES) {
      const at = this.gather(connection, length);
      if (length !== 0) copyBytes(this.gathered.u8, at, bytes, start, length);
      return;
    }
    if (connection.run !== -1) {
      this.flush();
      if (!connection.open) return;
      if (connection.output !== null) {
        this.queue(connection, bytes, start, length);
        return;
      }
    }
    const sent =
      address !== 0
        ? send(connection.fd, address, length, MSG_NOSIGNAL)
        : sendBytes(connection.fd, start === 0 ? bytes : bytes.subarray(start), length, MSG_NOSIGNAL);
    this.sent(connection, sent, bytes, start, length);
  }

  /** Reserves room in the turn buffer for `length` bytes of the connection, and answers where to put them. */
  private gather(connection: Connection, length: number): number {
    if (this.gatheredBytes + length > TURN_BUFFER_BYTES) this.flush();
    const at = this.gatheredBytes;
    const last = this.runCount - 1;
    if (last < 0 || this.runConnection[last] !== connection || this.runSerial[last] !== connection.serial) {
      this.runConnection[this.runCount] = connection;
      this.runSerial[this.runCount] = connection.serial;
      this.runStart[this.runCount] = at;
      connection.run = this.runCount++;
    }
    this.gatheredBytes = at + length;
    return at;
  }

  sendText(connection: Connection, text: string): void {
    const most = text.length * 3;
    if (most > GATHER_BYTES || connection.output !== null) {
      const bytes = Buffer.from(text);
      this.send(connection, bytes, 0, bytes.length, 0);
      return;
    }
    const at = this.gather(connection, most);
    // What was reserved too much is given back.
    this.gatheredBytes -= most - this.gathered.text.write(text, at, most);
  }

  /** Hands what was gathered to the kernel, in order. */
  flush(): void {
    if (this.runCount === 0) return;
    const { gathered, runConnection, runSerial, runStart } = this;
    const count = this.runCount;
    const total = this.gatheredBytes;
    this.runCount = 0;
    this.gatheredBytes = 0;
    for (let i = 0; i < count; i++) {
      const connection = runConnection[i];
      if (!connection.open || connection.serial !== runSerial[i]) continue;
      connection.run = -1;
      const start = runStart[i];
      const length = (i + 1 < count ? runStart[i + 1] : total) - start;
      if (length === 0) continue;
      if (connection.output !== null) this.queue(connection, gathered.u8, start, length);
      else
        this.sent(
          connection,
          send(connection.fd, gathered.address + start, length, MSG_NOSIGNAL),
          gathered.u8,
          start,
          length,
        );
    }
  }

  /** Deals with the result of a send(): queues the rest, or notes that the peer has gone. */
  private sent(connection: Connection, count: number, bytes: Uint8Array, start: number, length: number): void {
    if (count === length) {
      this.numbers[connection.numberBase + SEND_TIME] = this.host.now / 1000;
      if ((this.words[connection.base + FLAGS] & FLAG_OVERFLOW) !== 0) this.checkLowWatermark(connection);
      return;
    }
    let rest = start;
    let interrupted = false;
    if (count > 0) {
      this.numbers[connection.numberBase + SEND_TIME] = this.host.now / 1000;
      rest += count;
    } else {
      const error = errno();
      if (error !== EAGAIN && error !== EINTR && error !== ENOBUFS) {
        this.host.peerGone(connection);
        return;
      }
      interrupted = error !== EAGAIN;
    }
    this.queue(connection, bytes, rest, start + length - rest);
    // The kernel announces room only where it has refused for lack of it.
    if (interrupted && connection.output !== null) this.write(connection);
  }

  private queue(connection: Connection, bytes: Uint8Array, start: number, length: number): void {
    if ((this.words[connection.base + FLAGS] & FLAG_PEER_GONE) !== 0) return;
    let output = connection.output;
    if (output === null) {
      output = [];
      connection.output = output;
    }
    let from = start;
    let left = length;
    const last = output.length === 0 ? undefined : output[output.length - 1];
    if (last !== undefined && last.end < last.bytes.length) {
      const fits = Math.min(left, last.bytes.length - last.end);
      last.bytes.set(bytes.subarray(from, from + fits), last.end);
      last.end += fits;
      from += fits;
      left -= fits;
    }
    if (left > 0) {
      const chunk = Buffer.allocUnsafeSlow(Math.max(left, CHUNK_BYTES));
      chunk.set(bytes.subarray(from, from + left), 0);
      output.push({ bytes: chunk, start: 0, end: left });
    }
    const queued = this.words[connection.base + QUEUED_BYTES] + length;
    this.words[connection.base + QUEUED_BYTES] = queued;
    if (queued >= connection.port.bufferHighWatermark) {
      if ((this.table.setFlags(connection.slot, FLAG_HIGH_WATER) & FLAG_HIGH_WATER) === 0)
        this.delivery.bufferFull(connection);
    }
  }

  write(connection: Connection): void {
    const output = connection.output!;
    let written = 0;
    let stopped = false;
    while (output.length !== 0 && !stopped) {
      const chunk = output[0];
      const length = chunk.end - chunk.start;
      const part = chunk.start === 0 ? chunk.bytes : chunk.bytes.subarray(chunk.start, chunk.end);
      const count = sendBytes(connection.fd, part, length, MSG_NOSIGNAL);
      if (count === length) {
        output.shift();
        written += count;
      } else if (count >= 0) {
        chunk.start += count;
        written += count;
        stopped = true;
      } else {
        const error = errno();
        if (error === EINTR) continue;
        if (error !== EAGAIN && error !== ENOBUFS) {
          this.host.peerGone(connection);
          return;
        }
        stopped = true;
      }
    }
    if (written > 0) {
      this.words[connection.base + QUEUED_BYTES] -= written;
      this.numbers[connection.numberBase + SEND_TIME] = this.host.now / 1000;
    }
    if (output.length === 0) {
      connection.output = null;
      this.host.outputDone(connection);
      if (!connection.open) return;
    }
    this.checkLowWatermark(connection);
  }

  private checkLowWatermark(connection: Connection): void {
    const wanted = FLAG_HIGH_WATER | FLAG_OVERFLOW;
    if ((this.words[connection.base + FLAGS] & wanted) === 0) return;
    if (this.words[connection.base + QUEUED_BYTES] > connection.port.bufferLowWatermark) return;
    this.table.clearFlags(connection.slot, wanted);
    this.delivery.bufferEmpty(connection);
  }
}

/** Short copies are cheaper in a loop than through a subarray. */
function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, length: number): void {
  if (length > 64) {
    target.set(start === 0 && length === source.length ? source : source.subarray(start, start + length), at);
    return;
  }
  for (let i = 0; i < length; i++) target[at + i] = source[start + i];
}
