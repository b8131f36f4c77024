/**
 * Files on their way out. A part of a file waits in its connection's output queue behind what was sent before; once it
 * stands first, the connection takes turns with all others that send files, so that one big file keeps nobody waiting.
 * The kernel sends straight from its page cache: no byte of a file passes through our memory, and how much waits for a
 * slow reader costs nothing but the open file.
 */

import { getSystemErrorMessage } from 'node:util';
import { SWOOLE_LOG_WARNING } from '../constants.ts';
import { type ConnectionTable, F64_SEND_TIME, QUEUED_BYTES, QUEUED_FILES } from '../shm/connections.ts';
import { SENDS_RETRIED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import {
  EAGAIN,
  ECONNRESET,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EIO,
  ENOBUFS,
  ENOSYS,
  ENOTCONN,
  EPIPE,
  ETIMEDOUT,
} from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Connection } from './connection.ts';
import type { FilePart } from './file-part.ts';
import { FILE_COPY_BYTES, FILE_QUANTUM_BYTES, FILE_TURN_BYTES } from './limits.ts';
import type { TurnClock } from './turn-clock.ts';

/** Where connections end. */
export interface FileOutputHost extends TurnClock {
  readonly counters: LaneCounters;
  log(level: number, text: string): void;
  /** Nothing can be sent to the peer any more. */
  peerGone(connection: Connection, error: number): void;
  /** The file cannot be sent to its end: nothing may follow it. */
  outputFailed(connection: Connection, error: number): void;
}

/** The queue that files wait in. */
export interface FileQueue {
  /** Sends what stands first in the connection's queue. */
  write(connection: Connection): void;
  /** The socket has refused for now. Goes on when it may have room: of that the kernel tells, or not, as the errno says. */
  waits(connection: Connection, error: number): void;
}

export class FileOutput {
  private readonly kernel: Kernel;
  private readonly table: ConnectionTable;
  private readonly host: FileOutputHost;
  private readonly queue: FileQueue;
  /** Connections whose queue begins with a file and whose socket may have room, in the order of their turns. */
  private turns: Connection[] = [];
  private inTurn = false;

  constructor(kernel: Kernel, table: ConnectionTable, host: FileOutputHost, queue: FileQueue) {
    this.kernel = kernel;
    this.table = table;
    this.host = host;
    this.queue = queue;
  }

  /** True exactly when somebody can go on sending although no event will come. */
  get waits(): boolean {
    return this.turns.length !== 0;
  }

  /** Lets the connection, whose queue begins with a file, take part in the turns. */
  wait(connection: Connection): void {
    if (connection.queuedToSendFile) return;
    connection.queuedToSendFile = true;
    this.turns.push(connection);
  }

  /** One turn: each connection in order a quantum, and again, until the sockets are full or the turn is over. */
  sendTurn(): void {
    // A file that fails runs a callback, which may end the turn that we are in.
    if (this.inTurn) return;
    this.inTurn = true;
    const { turns } = this;
    let left = FILE_TURN_BYTES;
    let taken = 0;
    for (; taken < turns.length && left > 0; taken++) {
      const connection = turns[taken];
      connection.queuedToSendFile = false;
      const part = connection.open ? (connection.output?.[0]?.file ?? null) : null;
      if (part !== null) left -= this.send(connection, part, Math.min(left, FILE_QUANTUM_BYTES));
    }
    turns.splice(0, taken);
    this.inTurn = false;
  }

  /** Sends at most so many bytes of the file that stands first, and answers how many it were. */
  private send(connection: Connection, part: FilePart, most: number): number {
    part.open();
    if (part.fd === -1) {
      this.fail(connection, part, part.error);
      return 0;
    }
    if (part.copied) return this.copy(connection, part);
    const { kernel } = this;
    let sent = 0;
    for (;;) {
      const count = kernel.sendfile(connection.fd, part.fd, 0, Math.min(part.left, most - sent));
      if (count > 0) {
        sent += count;
        part.left -= count;
        this.table.numbers[connection.numberBase + F64_SEND_TIME] = this.host.seconds;
        connection.sentAt = this.host.now;
        if (part.left === 0) {
          this.finished(connection, part);
          return sent;
        }
        if (sent < most) continue;
        // The socket has not refused anything, so the kernel will not tell of room.
        this.wait(connection);
        return sent;
      }
      if (count === 0) {
        this.fail(connection, part, 0);
        return sent;
      }
      const error = kernel.errno();
      switch (error) {
        case EAGAIN:
          // The kernel tells when there is room.
          return sent;
        case EINTR:
          this.host.counters.add(SENDS_RETRIED, 1);
          continue;
        case ENOBUFS:
          this.queue.waits(connection, error);
          return sent;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
        case ETIMEDOUT:
        case EHOSTUNREACH:
          this.host.peerGone(connection, error);
          return sent;
        case EINVAL:
        case ENOSYS:
          // A file system from which the kernel cannot send.
          part.copied = true;
          return sent + this.copy(connection, part);
        default:
          // Of the file, or of a socket in an unusual way: what must not be is that the connection waits for ever.
          this.fail(connection, part, error);
          return sent;
      }
    }
  }

  /** Puts the next piece of the file, as bytes, before the rest of it. */
  private copy(connection: Connection, part: FilePart): number {
    const length = Math.min(part.left, FILE_COPY_BYTES);
    const bytes = Buffer.allocUnsafeSlow(length);
    const count = this.kernel.readFile(part.fd, bytes, length);
    if (count <= 0) {
      this.fail(connection, part, -count);
      return 0;
    }
    part.left -= count;
    const output = connection.output!;
    if (part.left === 0) this.remove(connection, part);
    output.unshift({ bytes, start: 0, end: count, file: null, done: null });
    this.table.words[connection.base + QUEUED_BYTES] += count;
    this.queue.write(connection);
    return count;
  }

  private finished(connection: Connection, part: FilePart): void {
    this.remove(connection, part);
    this.queue.write(connection);
  }

  /** Takes the part, which stands first, out of the queue. */
  private remove(connection: Connection, part: FilePart): void {
    part.close();
    connection.output!.shift();
    this.table.words[connection.base + QUEUED_FILES]--;
  }

  /** The receiver would take whatever came next for the rest of the file, so nothing may come. */
  private fail(connection: Connection, part: FilePart, error: number): void {
    const sent = part.length - part.left;
    const why =
      error === 0
        ? `it has become shorter: it ended after ${sent} of ${part.length} bytes from ${part.offset} on`
        : `${getSystemErrorMessage(-error)} (errno ${error}) after ${sent} of ${part.length} bytes`;
    const fd = this.table.fdOf(connection.serial);
    this.host.log(SWOOLE_LOG_WARNING, `cannot send the file "${part.path}" to connection ${fd}, closing it: ${why}`);
    this.host.outputFailed(connection, error === 0 ? EIO : error);
  }
}
