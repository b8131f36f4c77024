/** The PacketDelivery of SWOOLE_PROCESS: a datagram goes into the ring of the worker that dispatching chooses. */

import { SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK, SWOOLE_LOG_WARNING } from '../constants.ts';
import { SWOOLE_IPC_BYTES } from '../protocol/swoole-limits.ts';
import { DATAGRAMS_DROPPED, DISPATCHES_DISCARDED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import type { Outbox } from '../shm/mailbox.ts';
import { PACKET } from '../shm/messages.ts';
import { packetDataOffset, writePacketHead } from '../shm/packet-message.ts';
import { RECORD_MAX, type RingWriter } from '../shm/ring.ts';
import type { DatagramBatch } from '../sys/datagram.ts';
import type { PacketDelivery, PacketSource } from './datagram.ts';
import type { Dispatcher } from './dispatch.ts';
import { PACKET_RESERVE_BYTES, PACKET_STALL_MS } from './limits.ts';
import { isUnix } from './port.ts';
import type { AskUser } from './ring-delivery.ts';

/** The type that a dispatch_func is told for a datagram. */
const TYPE_PACKET = 1;
const DROP = -1;

export interface RingPacketsOptions {
  outbox: Outbox;
  dispatcher: Dispatcher;
  counters: LaneCounters;
  askUser: AskUser | null;
  log(level: number, text: string): void;
}

export class RingPackets implements PacketDelivery {
  private readonly options: RingPacketsOptions;
  private readonly dispatcher: Dispatcher;
  /** By worker: since when its ring has been full, in ms; 0 = it is not. */
  private readonly fullSince: number[];
  private dropped = 0;
  private warnedAt = 0;

  constructor(options: RingPacketsOptions) {
    this.options = options;
    this.dispatcher = options.dispatcher;
    this.fullSince = new Array(options.dispatcher.workerCount).fill(0);
  }

  packet(source: PacketSource, nowMs: number): boolean {
    // Where any worker will do, one that cannot take it is passed over.
    const tries = source.worker === -1 && this.anyWorker ? this.dispatcher.workerCount : 1;
    let worker = DROP;
    for (let i = 0; i < tries; i++) {
      worker = source.worker === -1 ? this.chooseWorker(source) : source.worker;
      if (worker === DROP) {
        this.options.counters.add(DISPATCHES_DISCARDED, 1);
        return true;
      }
      const writer = this.options.outbox.toWorker(worker);
      if (this.post(source, writer)) {
        this.dispatcher.sent(worker, writer);
        this.fullSince[worker] = 0;
        return true;
      }
    }
    return this.refused(source, worker, nowMs);
  }

  private get anyWorker(): boolean {
    return this.options.askUser === null && !this.dispatcher.keepsPeers;
  }

  /**
   * The ring is full. The peer's datagrams wait in the kernel, but so do those of all others who use the socket: so UDP,
   * which may lose some anyway, loses those for a worker that takes nothing for long. Senders to a Unix socket are made
   * to wait by the kernel, and lose nothing.
   */
  private refused(source: PacketSource, worker: number, nowMs: number): boolean {
    if (this.fullSince[worker] === 0) this.fullSince[worker] = nowMs;
    if (isUnix(source.port.socketType) || nowMs - this.fullSince[worker] < PACKET_STALL_MS) {
      // In the other modes the next try is free to find another worker.
      source.worker = this.anyWorker ? -1 : worker;
      return false;
    }
    this.dropped++;
    this.options.counters.add(DATAGRAMS_DROPPED, 1);
    if (nowMs - this.warnedAt >= 1000) {
      this.options.log(
        SWOOLE_LOG_WARNING,
        `worker ${worker} takes no packets for ${PACKET_STALL_MS} ms: ${this.dropped} for it were dropped`,
      );
      this.warnedAt = nowMs;
      this.dropped = 0;
    }
    return true;
  }

  private chooseWorker({ port, batch, next }: PacketSource): number {
    const { askUser } = this.options;
    if (askUser !== null) {
      const answer = this.askUser(askUser, batch, next);
      if (answer !== SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK) return answer;
    }
    const { memory } = batch;
    return this.dispatcher.choosePeer(port.socketType, memory.u8, batch.addressAt(next), batch.addressLength(next));
  }

  private askUser(askUser: AskUser, batch: DatagramBatch, next: number): number {
    const at = batch.dataAt(next);
    const shown = Buffer.from(batch.memory.u8.subarray(at, at + Math.min(batch.length(next), SWOOLE_IPC_BYTES)));
    const answer = askUser(0, TYPE_PACKET, shown);
    if (Number.isInteger(answer) && answer >= SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK) {
      if (answer === SWOOLE_DISPATCH_RESULT_USERFUNC_FALLBACK) return answer;
      if (answer < this.dispatcher.workerCount) return answer < 0 ? DROP : answer;
    }
    const most = this.dispatcher.workerCount - 1;
    const text = `dispatch_func answered ${answer}: it must be 0 to ${most}, -1, -2 or -3; the packet is dropped`;
    this.options.log(SWOOLE_LOG_WARNING, text);
    return DROP;
  }

  private post({ port, batch, next, seconds }: PacketSource, writer: RingWriter): boolean {
    const addressLength = batch.addressLength(next);
    const dataOffset = packetDataOffset(addressLength);
    const length = dataOffset + batch.length(next);
    if (length > RECORD_MAX) return this.postLong(port.index, batch, next, writer, seconds);
    // A flood of datagrams leaves a part of the ring to the connections of the worker.
    if (writer.claim(length, length + PACKET_RESERVE_BYTES) < length) return false;
    const at = writer.payloadOffset();
    const { u8 } = writer.data;
    const source = batch.memory.u8;
    writePacketHead(writer.data, at, seconds, source, batch.addressAt(next), addressLength);
    const from = batch.dataAt(next);
    const bytes = length - dataOffset;
    const to = at + dataOffset;
    if (bytes <= 64) for (let i = 0; i < bytes; i++) u8[to + i] = source[from + i];
    else u8.set(source.subarray(from, from + bytes), to);
    writer.commit(PACKET, port.index, addressLength, length);
    return true;
  }

  /** One that travels in pieces, and waits in this process for its room; at most one for each worker. */
  private postLong(port: number, batch: DatagramBatch, next: number, writer: RingWriter, seconds: number): boolean {
    if (writer.blocked && !writer.pump()) return false;
    const addressLength = batch.addressLength(next);
    const dataOffset = packetDataOffset(addressLength);
    const bytes = Buffer.allocUnsafeSlow(dataOffset + batch.length(next));
    const source = batch.memory.u8;
    const head = { u8: bytes, f64: new Float64Array(bytes.buffer, 0, 1) };
    writePacketHead(head, 0, seconds, source, batch.addressAt(next), addressLength);
    const from = batch.dataAt(next);
    bytes.set(source.subarray(from, from + batch.length(next)), dataOffset);
    writer.post(PACKET, port, addressLength, bytes, true);
    return true;
  }
}
