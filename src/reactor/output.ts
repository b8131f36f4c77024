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
import { SENDS_RETRIED, SENDS_WAITED } from '../shm/counters.ts';
import { EAGAIN, EINTR, ENOBUFS, EPIPE, MSG_NOSIGNAL } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import { allocate } from '../sys/memory.ts';
import type { Connection, OutputChunk } from './connection.ts';
import type { Delivery } from './delivery.ts';
import { FileOutput, type FileOutputHost } from './file-output.ts';
import { FilePart } from './file-part.ts';
import { CHUNK_BYTES, FILES_OPEN_MAX, GATHER_BYTES, SEAL_BYTES, TURN_BUFFER_BYTES } from './limits.ts';
import { SEALED_BYTES, type TlsSession } from './tls.ts';

/** What the output tells the reactor that it belongs to. */
export interface OutputHost extends FileOutputHost {
  /** Something waits for room at the socket from now on. */
  outputBegun(connection: Connection): void;
  /** The connection's queue has become empty. */
  outputDone(connection: Connection): void;
}

const NOTHING = Buffer.alloc(0);
/** Beside the results of send(): the TLS session has ended, so nothing can be sent. */
const BROKEN = -2;

export class Output {
  private readonly kernel: Kernel;
  private readonly table: ConnectionTable;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly delivery: Delivery;
  private readonly host: OutputHost;
  private readonly files: FileOutput;

  /** This turn's bytes, one after another. A run ends where the next one starts. */
  private readonly gathered = allocate(TURN_BUFFER_BYTES);
  private gatheredBytes = 0;
  private runCount = 0;
  private readonly runConnection: Connection[] = [];
  private readonly runSerial: number[] = [];
  private readonly runStart: number[] = [];
  /** Connections for whose output the kernel had no memory. */
  private starved: Connection[] = [];

  constructor(kernel: Kernel, table: ConnectionTable, delivery: Delivery, host: OutputHost) {
    this.kernel = kernel;
    this.table = table;
    this.words = table.words;
    this.numbers = table.numbers;
    this.delivery = delivery;
    this.host = host;
    this.files = new FileOutput(kernel, table, host, (connection) => this.write(connection));
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
    if (connection.tls !== null) {
      this.sent(connection, this.put(connection, connection.tls, bytes, start, length, address), bytes, start, length);
      return;
    }
    const sent =
      address !== 0
        ? this.kernel.send(connection.fd, address, length, MSG_NOSIGNAL)
        : this.kernel.sendBytes(connection.fd, start === 0 ? bytes : bytes.subarray(start), length, MSG_NOSIGNAL);
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
      else {
        const { tls } = connection;
        const address = gathered.address + start;
        const count =
          tls === null
            ? this.kernel.send(connection.fd, address, length, MSG_NOSIGNAL)
            : this.put(connection, tls, gathered.u8, start, length, address);
        this.sent(connection, count, gathered.u8, start, length);
      }
    }
  }

  /** Deals with the result of a send(): queues the rest, or notes that the peer has gone. */
  private sent(connection: Connection, count: number, bytes: Uint8Array, start: number, length: number): void {
    if (count === length) {
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.now / 1000;
      if ((this.words[connection.base + FLAGS] & FLAG_OVERFLOW) !== 0) this.checkLowWatermark(connection);
      return;
    }
    let rest = start;
    let interrupted = false;
    if (count > 0) {
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.now / 1000;
      rest += count;
    } else {
      const error = count === BROKEN ? EPIPE : this.kernel.errno();
      if (error !== EAGAIN && error !== EINTR && error !== ENOBUFS) {
        this.host.peerGone(connection);
        return;
      }
      interrupted = error !== EAGAIN;
    }
    this.host.counters.add(interrupted ? SENDS_RETRIED : SENDS_WAITED, 1);
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
    if (queued >= connection.port.bufferHighWatermark) {
      if ((this.table.setFlags(connection.slot, FLAG_HIGH_WATER) & FLAG_HIGH_WATER) === 0)
        this.delivery.bufferFull(connection);
    }
  }

  private begin(connection: Connection): OutputChunk[] {
    const output: OutputChunk[] = [];
    connection.output = output;
    this.host.outputBegun(connection);
    return output;
  }

  write(connection: Connection): void {
    const { tls } = connection;
    const output = connection.output!;
    let written = 0;
    let stopped = false;
    if (tls !== null && !this.sendUnsent(connection, tls)) {
      if (!this.isFull(connection, this.kernel.errno())) {
        this.host.peerGone(connection);
        return;
      }
      stopped = true;
    }
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
      const part = chunk.start === 0 ? chunk.bytes : chunk.bytes.subarray(chunk.start, chunk.end);
      const count =
        tls === null
          ? this.kernel.sendBytes(connection.fd, part, length, MSG_NOSIGNAL)
          : this.put(connection, tls, part, 0, length, 0);
      if (count === length) {
        output.shift();
        written += count;
        // What has been encrypted is not with the kernel yet: a mark or a file behind it is not due.
        stopped = tls !== null && tls.unsent !== null;
      } else if (count >= 0) {
        chunk.start += count;
        written += count;
        stopped = true;
      } else {
        const error = count === BROKEN ? EPIPE : this.kernel.errno();
        if (error === EINTR) {
          this.host.counters.add(SENDS_RETRIED, 1);
          continue;
        }
        if (!this.isFull(connection, error)) {
          this.host.peerGone(connection);
          return;
        }
        stopped = true;
      }
    }
    if (written > 0) {
      this.words[connection.base + QUEUED_BYTES] -= written;
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.now / 1000;
    }
    if (output.length === 0 && (tls === null || tls.unsent === null)) {
      connection.output = null;
      this.host.outputDone(connection);
      if (!connection.open) return;
    }
    this.checkLowWatermark(connection);
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

  // ---- TLS ----------------------------------------------------------------------------------------------------------

  /**
   * Encrypts and sends as much as the socket takes, as send() would: answers how many of the bytes have been dealt with,
   * or -1 and errno() tells why it was none, or BROKEN. Records that the socket refused wait in `unsent`, so what has been
   * encrypted is sent in that order, and what follows is encrypted only when those have gone.
   */
  private put(
    connection: Connection,
    tls: TlsSession,
    bytes: Uint8Array,
    start: number,
    length: number,
    address: number,
  ): number {
    if (tls.unsent !== null && !this.sendUnsent(connection, tls)) return -1;
    let done = 0;
    while (done < length && tls.unsent === null) {
      const part = Math.min(length - done, SEAL_BYTES);
      const at = address === 0 ? 0 : address + done;
      if (!tls.seal(bytes, start + done, part, at) || !this.sendSealed(connection, tls)) return BROKEN;
      done += part;
    }
    return done;
  }

  /** Sends what the session itself has to say: a handshake, an alert, new keys. Answers how many bytes that were. */
  sendReplies(connection: Connection, tls: TlsSession): number {
    let total = 0;
    for (;;) {
      const length = tls.engine.take();
      total += length;
      if (length !== 0 && connection.open && !this.sendRecords(connection, tls, length)) this.host.peerGone(connection);
      if (length < SEALED_BYTES) return total;
    }
  }

  /** Sends the end of a session, if the socket takes it: the connection is about to be freed. */
  sendGoodbye(connection: Connection, tls: TlsSession): void {
    const length = tls.engine.take();
    if (length !== 0) this.kernel.send(connection.fd, tls.engine.sealed.address, length, MSG_NOSIGNAL);
  }

  /** Sends all that was encrypted, or keeps it. Answers false when the peer has gone. */
  private sendSealed(connection: Connection, tls: TlsSession): boolean {
    let alive = true;
    for (;;) {
      const length = tls.engine.take();
      if (alive && length !== 0) alive = this.sendRecords(connection, tls, length);
      // Even then nothing may be left for the next session.
      if (length < SEALED_BYTES) return alive;
    }
  }

  private sendRecords(connection: Connection, tls: TlsSession, length: number): boolean {
    const { sealed } = tls.engine;
    if (tls.unsent !== null) {
      this.keepUnsent(connection, tls, Buffer.concat([tls.unsent, sealed.u8.subarray(0, length)]), length);
      return true;
    }
    const count = this.kernel.send(connection.fd, sealed.address, length, MSG_NOSIGNAL);
    if (count === length) return true;
    const error = count < 0 ? this.kernel.errno() : EAGAIN;
    if (error !== EAGAIN && error !== EINTR && error !== ENOBUFS) return false;
    const taken = Math.max(0, count);
    this.keepUnsent(connection, tls, Buffer.from(sealed.u8.subarray(taken, length)), length - taken);
    // The kernel announces room only where it has refused for lack of it.
    return error === EAGAIN || this.sendUnsent(connection, tls) || this.isFull(connection, this.kernel.errno());
  }

  private keepUnsent(connection: Connection, tls: TlsSession, records: Buffer, added: number): void {
    tls.unsent = records;
    this.words[connection.base + QUEUED_BYTES] += added;
    // An empty queue: there is something to write.
    if (connection.output === null) this.begin(connection);
  }

  /** Answers false when records still wait, with the reason in errno(). */
  private sendUnsent(connection: Connection, tls: TlsSession): boolean {
    while (tls.unsent !== null) {
      const { length } = tls.unsent;
      const count = this.kernel.sendBytes(connection.fd, tls.unsent, length, MSG_NOSIGNAL);
      if (count < 0) {
        if (this.kernel.errno() === EINTR) continue;
        return false;
      }
      this.words[connection.base + QUEUED_BYTES] -= count;
      this.numbers[connection.numberBase + F64_SEND_TIME] = this.host.now / 1000;
      tls.unsent = count === length ? null : tls.unsent.subarray(count);
    }
    return true;
  }

  // ---- files, and who waits for output ------------------------------------------------------------------------------

  /** Sends a part of a file in order behind everything sent before. A file that cannot be opened ends the connection there. */
  sendFile(connection: Connection, path: string, offset: number, length: number): void {
    if (connection.run !== -1) this.flush();
    if (!this.canQueue(connection)) return;
    const part = new FilePart(this.kernel, path, offset, length);
    // The kernel would send it as it is.
    part.copied = connection.tls !== null;
    if (this.words[connection.base + QUEUED_FILES] < FILES_OPEN_MAX) part.open();
    this.words[connection.base + QUEUED_FILES]++;
    const output = connection.output ?? this.begin(connection);
    output.push({ bytes: NOTHING, start: 0, end: 0, file: part, done: null });
    if (output.length === 1) this.files.wait(connection);
  }

  /** Tells when everything sent so far is with the kernel (true), or that it never will be (false). */
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
    const { output, tls } = connection;
    connection.output = null;
    if (tls !== null) tls.unsent = null;
    this.words[connection.base + QUEUED_BYTES] = 0;
    this.words[connection.base + QUEUED_FILES] = 0;
    if (output === null) return;
    for (const { file, done } of output) {
      file?.close();
      done?.(false);
    }
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
