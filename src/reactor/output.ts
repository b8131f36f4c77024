/**
 * What goes out. Short messages of one turn are gathered in one piece of memory, cut into runs of one connection each, and
 * handed to the kernel together at the end of the turn; long ones go at once. What a socket does not take waits in the
 * connection's own queue until the kernel tells of room.
 */

import {
  type ConnectionTable,
  F64_SEND_TIME,
  FLAG_HIGH_WATER,
  FLAG_OVERFLOW,
  FLAG_PEER_GONE,
  FLAGS,
  QUEUED_BYTES,
  QUEUED_FILES,
} from '../shm/connections.ts';
import { OUTPUT_WAITING, SENDS_RETRIED, SENDS_WAITED } from '../shm/counters.ts';
import { EAGAIN, EINTR, ENOBUFS } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import { allocate } from '../sys/memory.ts';
import { SendList } from '../sys/send-list.ts';
import type { Connection, OutputChunk } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { FileOutput, type FileOutputHost } from './file-output.ts';
import { FilePart } from './file-part.ts';
import {
  CHUNK_BYTES,
  FILES_OPEN_MAX,
  GATHER_BYTES,
  GIVE_BACK_BYTES,
  GIVE_BACK_QUIET_BYTES,
  TURN_BUFFER_BYTES,
} from './limits.ts';
import type { SocketWatch } from './socket-watch.ts';

/** Where connections end. */
export interface OutputHost extends FileOutputHost {
  /** The connection's queue has become empty. */
  outputDone(connection: Connection): void;
}

const NOTHING = Buffer.alloc(0);

export class Output {
  private readonly kernel: Kernel;
  private readonly table: ConnectionTable;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly delivery: Delivery;
  private readonly watch: SocketWatch;
  private readonly host: OutputHost;
  private readonly files: FileOutput;

  /** This turn's bytes, one after another. A run ends where the next one starts. */
  private readonly gathered = allocate(TURN_BUFFER_BYTES);
  private gatheredBytes = 0;
  private runCount = 0;
  private readonly runConnection: Connection[] = [];
  private readonly runSerial: number[] = [];
  private readonly runStart: number[] = [];
  /** The runs that are handed to the kernel together, and whose they are. */
  private readonly sends = new SendList();
  private readonly listed: Connection[] = [];
  /** Connections for whose output the kernel had no memory. */
  private starved: Connection[] = [];
  /** What chunks have had that are gone, since memory was given back; and how much of that at the last look. */
  private freedBytes = 0;
  private freedBefore = 0;
  /** Garbage has been collected, and the memory of it is to be given back at the next look. */
  private collected = false;

  constructor(kernel: Kernel, table: ConnectionTable, delivery: Delivery, watch: SocketWatch, host: OutputHost) {
    this.kernel = kernel;
    this.table = table;
    this.words = table.words;
    this.numbers = table.numbers;
    this.delivery = delivery;
    this.watch = watch;
    this.host = host;
    this.files = new FileOutput(kernel, table, host, this);
  }

  /**
   * Sends bytes[start, start + length) in order behind everything sent before. The bytes are copied or handed to the
   * kernel before it returns. `address` is where they lie when they are outside the JavaScript heap, else 0.
   */
  send(connection: Connection, bytes: Uint8Array, start: number, length: number, address: number): void {
    // With a run in the turn buffer this must come behind it, also when a flush in between has begun a queue.
    if (connection.output !== null && connection.run === -1) {
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
    this.sent(
      connection,
      connection.transport.write(connection.fd, bytes, start, length, address),
      bytes,
      start,
      length,
    );
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
    const { gathered, runConnection, runSerial, runStart, sends } = this;
    const count = this.runCount;
    const total = this.gatheredBytes;
    this.runCount = 0;
    this.gatheredBytes = 0;
    for (let i = 0; i < count; i++) {
      const connection = runConnection[i];
      if (!connection.open || connection.serial !== runSerial[i]) continue;
      const isLast = connection.run === i;
      if (isLast) connection.run = -1;
      const start = runStart[i];
      const length = (i + 1 < count ? runStart[i + 1] : total) - start;
      if (length === 0) continue;
      const address = gathered.at(start, length);
      const { fd, transport } = connection;
      if (connection.output !== null) this.queue(connection, gathered.u8, start, length);
      else if (transport.plain) {
        this.listed[sends.count] = connection;
        sends.add(fd, address, length);
        // A later run of the same connection must find what became of this one.
        if (!isLast || sends.isFull) this.sendList();
      } else
        this.sent(connection, transport.write(fd, gathered.u8, start, length, address), gathered.u8, start, length);
    }
    this.sendList();
  }

  /** Hands the list to the kernel. */
  private sendList(): void {
    const { gathered, sends, listed } = this;
    const { count, addresses, lengths, results } = sends;
    if (count === 0) return;
    this.kernel.sendAll(sends);
    sends.count = 0;
    for (let i = 0; i < count; i++)
      this.sent(listed[i], results[i], gathered.u8, addresses[i] - gathered.address, lengths[i]);
  }

  /** Deals with the result of a write: queues the rest, or notes that the peer has gone. */
  private sent(connection: Connection, result: number, bytes: Uint8Array, start: number, length: number): void {
    if (result === length) {
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.seconds;
      connection.sentAt = this.host.now;
      if ((this.words[connection.base + FLAGS] & FLAG_OVERFLOW) !== 0) this.checkLowWatermark(connection);
      return;
    }
    let rest = start;
    let interrupted = false;
    if (result > 0) {
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.seconds;
      connection.sentAt = this.host.now;
      rest += result;
    } else {
      const error = -result;
      if (error !== EAGAIN && error !== EINTR && error !== ENOBUFS) {
        this.host.peerGone(connection, error);
        return;
      }
      interrupted = error !== EAGAIN;
    }
    // Else it is counted that the transport keeps a part.
    if (connection.output === null) this.host.counters.add(interrupted ? SENDS_RETRIED : SENDS_WAITED, 1);
    this.queue(connection, bytes, rest, start + length - rest);
    // The kernel announces room only where it has refused for lack of it.
    if (interrupted && connection.output !== null) this.write(connection);
  }

  private queue(connection: Connection, bytes: Uint8Array, start: number, length: number): void {
    if ((this.words[connection.base + FLAGS] & FLAG_PEER_GONE) !== 0) return;
    const output = connection.output ?? this.begin(connection);
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
      output.push({ bytes: chunk, start: 0, end: left, file: null, done: null });
    }
    const queued = this.words[connection.base + QUEUED_BYTES] + length;
    this.words[connection.base + QUEUED_BYTES] = queued;
    this.host.counters.add(OUTPUT_WAITING, length);
    if (queued >= connection.port.bufferHighWatermark) {
      if ((this.table.setFlags(connection.slot, FLAG_HIGH_WATER) & FLAG_HIGH_WATER) === 0)
        this.delivery.bufferFull(connection);
    }
  }

  private begin(connection: Connection): OutputChunk[] {
    const output: OutputChunk[] = [];
    connection.output = output;
    this.watch.outputBegun(connection);
    return output;
  }

  /** Sends what waits, as far as there is room for it. */
  write(connection: Connection): void {
    const { fd, transport } = connection;
    const output = connection.output!;
    const unsent = transport.flush(fd);
    if (unsent !== 0 && !this.isFull(connection, -unsent)) {
      this.host.peerGone(connection, -unsent);
      return;
    }
    let written = 0;
    let stopped = unsent !== 0;
    while (output.length !== 0 && !stopped) {
      const chunk = output[0];
      if (chunk.file !== null) {
        this.files.wait(connection);
        break;
      }
      if (chunk.done !== null) {
        output.shift();
        chunk.done(true);
        continue;
      }
      const length = chunk.end - chunk.start;
      const result = transport.write(fd, chunk.bytes, chunk.start, length, 0);
      if (result === length) {
        output.shift();
        this.discard(chunk);
        written += result;
        // It may not be with the kernel yet: a mark or a file behind it is not due.
        stopped = transport.hasUnsent;
      } else if (result >= 0) {
        chunk.start += result;
        written += result;
        stopped = true;
      } else if (result === -EINTR) {
        this.host.counters.add(SENDS_RETRIED, 1);
      } else {
        if (!this.isFull(connection, -result)) {
          this.host.peerGone(connection, -result);
          return;
        }
        stopped = true;
      }
    }
    if (written > 0) {
      this.words[connection.base + QUEUED_BYTES] -= written;
      this.host.counters.add(OUTPUT_WAITING, -written);
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.seconds;
      connection.sentAt = this.host.now;
    }
    if (output.length === 0 && !transport.hasUnsent) {
      connection.output = null;
      this.host.outputDone(connection);
      if (!connection.open) return;
      this.watch.outputDone(connection);
    }
    this.checkLowWatermark(connection);
  }

  /** A transport keeps what the socket has refused: there is something to write, also when the queue is empty. */
  waits(connection: Connection, error: number): void {
    if (connection.output === null) {
      this.begin(connection);
      if (error === EAGAIN) this.host.counters.add(SENDS_WAITED, 1);
    }
    this.isFull(connection, error);
  }

  /** True exactly when a socket has refused only for now. Where no event will tell of room, it is tried again. */
  private isFull(connection: Connection, error: number): boolean {
    if (error === ENOBUFS) {
      this.host.counters.add(SENDS_RETRIED, 1);
      if (!this.starved.includes(connection)) this.starved.push(connection);
    }
    return error === EAGAIN || error === ENOBUFS;
  }

  /** True exactly when output waits although no event will tell of room: then retry() is due soon. */
  get starves(): boolean {
    return this.starved.length !== 0;
  }

  /** Goes on with output for which the kernel had no memory. */
  retry(): void {
    const { starved } = this;
    this.starved = [];
    for (const connection of starved) if (connection.open && connection.output !== null) this.write(connection);
  }

  // ---- files, and who waits for output ------------------------------------------------------------------------------

  /** Sends a part of a file in order behind everything sent before. A file that cannot be opened ends the connection there. */
  sendFile(connection: Connection, path: string, offset: number, length: number): void {
    if (connection.run !== -1) this.flush();
    if (!this.canQueue(connection)) return;
    const part = new FilePart(this.kernel, path, offset, length);
    // The kernel would send it as it is.
    part.copied = !connection.transport.plain;
    if (this.words[connection.base + QUEUED_FILES] < FILES_OPEN_MAX) part.open();
    this.words[connection.base + QUEUED_FILES]++;
    const output = connection.output ?? this.begin(connection);
    output.push({ bytes: NOTHING, start: 0, end: 0, file: part, done: null });
    if (output.length === 1) this.files.wait(connection);
  }

  /**
   * Tells when everything sent so far is with the kernel (true), or that it never will be (false). That is told in the
   * middle of the output, so `done` may take note of it (a promise does), and not act.
   */
  whenSent(connection: Connection, done: (sent: boolean) => void): void {
    if (connection.run !== -1) this.flush();
    if (!this.canQueue(connection)) done(false);
    else if (connection.output === null) done(true);
    else connection.output.push({ bytes: NOTHING, start: 0, end: 0, file: null, done });
  }

  private canQueue(connection: Connection): boolean {
    return connection.open && (this.words[connection.base + FLAGS] & FLAG_PEER_GONE) === 0;
  }

  /** True exactly when files can go on being sent although no event will come. */
  get sendsFiles(): boolean {
    return this.files.waits;
  }

  /** Sends this turn's share of files. */
  sendFiles(): void {
    this.files.sendTurn();
  }

  /** Gives up what waits for a connection. */
  drop(connection: Connection): void {
    const { output } = connection;
    connection.output = null;
    connection.transport.drop();
    this.host.counters.add(OUTPUT_WAITING, -this.words[connection.base + QUEUED_BYTES]);
    this.words[connection.base + QUEUED_BYTES] = 0;
    this.words[connection.base + QUEUED_FILES] = 0;
    if (output === null) return;
    for (const chunk of output) {
      this.discard(chunk);
      chunk.file?.close();
      chunk.done?.(false);
    }
  }

  /** Its memory is free now: a thread that has nothing to do collects no garbage. */
  private discard({ bytes }: OutputChunk): void {
    if (bytes === NOTHING) return;
    this.freedBytes += bytes.length;
    (bytes.buffer as ArrayBuffer).transfer(0);
  }

  /** To be called now and then: what a burst has left behind goes back to the system, as soon as it is quiet. */
  tick(): void {
    if (this.collected) {
      this.collected = false;
      this.kernel.giveMemoryBack();
    }
    const recent = this.freedBytes - this.freedBefore;
    this.freedBefore = this.freedBytes;
    if (this.freedBytes < GIVE_BACK_BYTES || recent > GIVE_BACK_QUIET_BYTES) return;
    this.freedBytes = 0;
    this.freedBefore = 0;
    this.kernel.collectGarbage();
    this.collected = true;
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
