/** The Delivery of SWOOLE_PROCESS: what was read goes into the ring of the worker that dispatching chooses. */

import {
  SWOOLE_DISPATCH_RESULT_CLOSE_CONNECTION,
  SWOOLE_DISPATCH_RESULT_DISCARD_PACKET,
  SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK,
  SWOOLE_LOG_WARNING,
} from '../constants.ts';
import { SWOOLE_IPC_BYTES } from '../protocol/swoole-limits.ts';
import { type ConnectionTable, DISPATCHED_BYTES, TAKEN_BYTES } from '../shm/connections.ts';
import { DISPATCHES_DISCARDED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import type { Outbox } from '../shm/mailbox.ts';
import { BUFFER_EMPTY, BUFFER_FULL, CLOSE, CONNECT, DATA } from '../shm/messages.ts';
import { RECORD_MAX, type RingWriter } from '../shm/ring.ts';
import type { WorkerTable } from '../shm/workers.ts';
import { allocate } from '../sys/memory.ts';
import type { Connection } from './connection.ts';
import type { Delivery } from './delivery.ts';
import type { Dispatcher } from './dispatch.ts';
import { READ_BYTES, READ_LEAST_BYTES, TELL_BYTES } from './limits.ts';

/** Asks the user's dispatch_func; the types are those of Swoole: 0 data, 4 close, 5 connect. */
export type AskUser = (fd: number, type: number, data: Buffer | null) => number;
const TYPE_DATA = 0;
const TYPE_CLOSE = 4;
const TYPE_CONNECT = 5;

export interface RingDeliveryOptions {
  outbox: Outbox;
  dispatcher: Dispatcher;
  connections: ConnectionTable;
  workers: WorkerTable;
  counters: LaneCounters;
  /** 0: no limit. */
  maxQueuedBytes: number;
  askUser: AskUser | null;
  log(level: number, text: string): void;
}

const DROP = -1;

export class RingDelivery implements Delivery {
  address = 0;
  private readonly options: RingDeliveryOptions;
  private readonly outbox: Outbox;
  private readonly dispatcher: Dispatcher;
  private readonly connections: ConnectionTable;
  private readonly words: Int32Array;
  /** The ring that the pending reserve() chose, and where a connection that waits is looked at again. */
  private chosen: RingWriter | null = null;
  private chosenWorker = 0;
  private untoldBytes = 0;
  private readonly scratch = allocate(READ_BYTES);

  constructor(options: RingDeliveryOptions) {
    this.options = options;
    this.outbox = options.outbox;
    this.dispatcher = options.dispatcher;
    this.connections = options.connections;
    this.words = options.connections.words;
  }

  reserve(connection: Connection): number {
    if (this.options.askUser !== null) return this.reserveForUser(connection);
    if (this.options.maxQueuedBytes > 0 && this.queuedBytes(connection) > this.options.maxQueuedBytes) return -1;
    const worker = this.dispatcher.choose(connection.slot);
    const writer = this.outbox.toWorker(worker);
    const room = writer.claim(READ_BYTES, READ_LEAST_BYTES);
    if (room < 0) return -1;
    this.chosen = writer;
    this.chosenWorker = worker;
    this.address = writer.data.at(writer.payloadOffset(), room);
    return room;
  }

  deliver(connection: Connection, length: number): void {
    if (this.options.askUser !== null) {
      this.deliverByUser(connection, this.scratch.u8, 0, length);
      return;
    }
    this.words[connection.base + DISPATCHED_BYTES] += length;
    this.chosen!.commit(DATA, connection.slot, connection.serial, length);
    this.dispatcher.sent(this.chosenWorker, this.chosen!);
    this.delivered(length);
  }

  deliverPackage(connection: Connection, bytes: Uint8Array, start: number, length: number): boolean {
    if (this.options.askUser !== null) {
      if (!this.canTake(connection)) return false;
      this.deliverByUser(connection, bytes, start, length);
      return true;
    }
    if (this.options.maxQueuedBytes > 0 && this.queuedBytes(connection) > this.options.maxQueuedBytes) return false;
    const worker = this.dispatcher.choose(connection.slot);
    const writer = this.outbox.toWorker(worker);
    // One package may wait in our own memory; with it there, the ring counts as full.
    if (writer.blocked && !writer.pump()) return false;
    this.words[connection.base + DISPATCHED_BYTES] += length;
    this.post(worker, connection, bytes, start, length);
    return true;
  }

  private post(worker: number, connection: Connection, bytes: Uint8Array, start: number, length: number): void {
    const writer = this.outbox.toWorker(worker);
    if (length <= RECORD_MAX && writer.claim(length, length) === length) {
      const at = writer.payloadOffset();
      const target = writer.data.u8;
      if (length <= 64) for (let i = 0; i < length; i++) target[at + i] = bytes[start + i];
      else target.set(bytes.subarray(start, start + length), at);
      writer.commit(DATA, connection.slot, connection.serial, length);
    } else writer.post(DATA, connection.slot, connection.serial, bytes.subarray(start, start + length));
    this.dispatcher.sent(worker, writer);
    this.delivered(length);
  }

  /** A worker with a processor of its own need not wait until the turn is over. */
  private delivered(length: number): void {
    this.untoldBytes += length;
    if (this.untoldBytes < TELL_BYTES) return;
    this.untoldBytes = 0;
    this.outbox.flush();
  }

  canTake(connection: Connection): boolean {
    if (this.options.maxQueuedBytes > 0 && this.queuedBytes(connection) > this.options.maxQueuedBytes) return false;
    if (this.options.askUser === null && this.dispatcher.events)
      return this.hasRoom(this.dispatcher.owner(connection.slot));
    // The next package may go anywhere.
    for (let worker = 0; worker < this.dispatcher.workerCount; worker++) if (!this.hasRoom(worker)) return false;
    return true;
  }

  private hasRoom(worker: number): boolean {
    const writer = this.outbox.openedToWorker(worker);
    return writer === null || ((!writer.blocked || writer.pump()) && writer.claim(READ_BYTES, READ_LEAST_BYTES) >= 0);
  }

  private queuedBytes(connection: Connection): number {
    const queued =
      (this.words[connection.base + DISPATCHED_BYTES] - Atomics.load(this.words, connection.base + TAKEN_BYTES)) | 0;
    return Math.max(0, queued);
  }

  // ---- dispatch_func ----------------------------------------------------------------------------------------------

  private reserveForUser(connection: Connection): number {
    if (!this.canTake(connection)) return -1;
    this.address = this.scratch.at(0, READ_BYTES);
    return READ_BYTES;
  }

  private deliverByUser(connection: Connection, bytes: Uint8Array, start: number, length: number): void {
    const shown = Buffer.from(bytes.subarray(start, start + Math.min(length, SWOOLE_IPC_BYTES)));
    const worker = this.workerByUser(connection, TYPE_DATA, shown);
    if (worker === DROP) {
      this.options.counters.add(DISPATCHES_DISCARDED, 1);
      return;
    }
    this.words[connection.base + DISPATCHED_BYTES] += length;
    this.post(worker, connection, bytes, start, length);
  }

  /** Where an event of a connection goes, or DROP. */
  private workerByUser(connection: Connection, type: number, data: Buffer | null): number {
    const { askUser } = this.options;
    if (askUser === null) return this.dispatcher.choose(connection.slot);
    const answer = askUser(this.connections.fdOf(connection.serial), type, data);
    if (Number.isInteger(answer) && answer >= 0 && answer < this.dispatcher.workerCount) return answer;
    switch (answer) {
      case SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK:
        return this.dispatcher.choose(connection.slot);
      case SWOOLE_DISPATCH_RESULT_CLOSE_CONNECTION:
        this.closeWanted?.(connection);
        return DROP;
      case SWOOLE_DISPATCH_RESULT_DISCARD_PACKET:
        return DROP;
      default:
        this.options.log(
          SWOOLE_LOG_WARNING,
          `dispatch_func answered ${answer}: it must be 0 to ${this.dispatcher.workerCount - 1}, -1, -2 or -3; the data is dropped`,
        );
        return DROP;
    }
  }

  /** Set by the owner of the reactor: closes a connection that dispatch_func does not want. */
  closeWanted: ((connection: Connection) => void) | null = null;

  // ---- events -----------------------------------------------------------------------------------------------------

  private postEvent(connection: Connection, kind: number, type: number, payload?: Buffer): RingWriter | null {
    if (!this.dispatcher.events) return null;
    const worker = this.workerByUser(connection, type, null);
    if (worker === DROP) return null;
    const writer = this.outbox.toWorker(worker);
    writer.post(kind, connection.slot, connection.serial, payload, true);
    this.dispatcher.sent(worker, writer);
    if (kind === CLOSE) connection.closeWorker = worker;
    return writer;
  }

  connect(connection: Connection): void {
    const certificate = connection.transport.certificate;
    const payload = certificate === null ? undefined : Buffer.from(certificate, 'latin1');
    this.postEvent(connection, CONNECT, TYPE_CONNECT, payload);
  }

  close(connection: Connection): boolean {
    const writer = this.postEvent(connection, CLOSE, TYPE_CLOSE);
    if (writer === null) return true;
    connection.closeWriter = writer;
    // While the message waits for room, its place in the ring is not known yet.
    connection.closePosition = writer.blocked ? null : writer.position;
    connection.closeWorkerLife = this.options.workers.life(connection.closeWorker);
    return false;
  }

  bufferFull(connection: Connection): void {
    this.postEvent(connection, BUFFER_FULL, TYPE_CONNECT);
  }
  bufferEmpty(connection: Connection): void {
    this.postEvent(connection, BUFFER_EMPTY, TYPE_CONNECT);
  }
  freed(): void {}
}
