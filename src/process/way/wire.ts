/**
 * How a process reaches the sockets of connections: through the ring of their owner, or directly where it is the owner
 * itself (base-worker.ts). The facade above does not know which.
 */

import { encodeFileMessage } from '../../shm/file-message.ts';
import type { Outbox } from '../../shm/mailbox.ts';
import { FINISH_CLOSE, PAUSE, RESET, RESUME, SEND, SENDFILE } from '../../shm/messages.ts';
import { RECORD_MAX, type RingWriter } from '../../shm/ring.ts';
import { writeText } from '../../sys/memory.ts';
import type { Turn } from './turn.ts';

export interface Wire {
  /** Queues bytes for a connection. Whether they may be sent was checked before. */
  send(slot: number, serial: number, data: string | Uint8Array): void;
  /** Queues a part of a file, in the same order. The path is absolute, as the owner of the connection sees it. */
  sendFile(slot: number, serial: number, path: string, offset: number, length: number): void;
  /**
   * As send(); the promise tells when the bytes are with the kernel (true), or that they never will be (false). Null where
   * the connection is not this process's own: then nothing was done.
   */
  sendWait(slot: number, serial: number, data: string | Uint8Array): Promise<boolean> | null;
  /** The close callback has run: close after what is queued, or at once. */
  finishClose(slot: number, serial: number, reset: boolean): void;
  pause(slot: number, serial: number): void;
  resume(slot: number, serial: number): void;
  /** Bytes for the connection that wait in this process, beside those its owner knows of. */
  waitingBytes(slot: number): number;
}

/** Text up to this long is encoded in place, where three bytes for each character are reserved. */
const TEXT_IN_PLACE = RECORD_MAX / 3 - 8;

export class RingWire implements Wire {
  private readonly outbox: Outbox;
  private readonly turn: Turn;

  constructor(outbox: Outbox, turn: Turn) {
    this.outbox = outbox;
    this.turn = turn;
  }

  send(slot: number, serial: number, data: string | Uint8Array): void {
    const writer = this.outbox.toOwner(slot);
    if (typeof data === 'string') this.sendText(writer, slot, serial, data);
    else writer.post(SEND, slot, serial, data);
    this.turn.touch();
  }

  private sendText(writer: RingWriter, slot: number, serial: number, text: string): void {
    const most = text.length * 3;
    if (text.length <= TEXT_IN_PLACE && writer.claim(most, most) === most) {
      const length = writeText(writer.data, writer.payloadOffset(), text);
      writer.commit(SEND, slot, serial, length);
      return;
    }
    writer.post(SEND, slot, serial, Buffer.from(text), true);
  }

  sendFile(slot: number, serial: number, path: string, offset: number, length: number): void {
    this.outbox.toOwner(slot).post(SENDFILE, slot, serial, encodeFileMessage(path, offset, length), true);
    this.turn.touch();
  }

  sendWait(): null {
    return null;
  }

  finishClose(slot: number, serial: number, reset: boolean): void {
    this.control(reset ? RESET : FINISH_CLOSE, slot, serial);
    // At once means now, also when the callback goes on for long.
    if (reset) this.outbox.flush();
  }
  pause(slot: number, serial: number): void {
    this.control(PAUSE, slot, serial);
  }
  resume(slot: number, serial: number): void {
    this.control(RESUME, slot, serial);
  }

  private control(kind: number, slot: number, serial: number): void {
    this.outbox.toOwner(slot).post(kind, slot, serial);
    this.turn.touch();
  }

  waitingBytes(slot: number): number {
    const writer = this.outbox.toOwner(slot);
    return writer.blocked ? writer.waitingFor(slot) : 0;
  }
}
