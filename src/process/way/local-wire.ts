import type { Reactor } from '../../reactor/reactor.ts';
import { ownerOfLane } from '../../shm/layout.ts';
import type { Runtime } from './runtime.ts';
import type { Wire } from './wire.ts';

/** The Wire of a worker in BASE: its own connections are at hand, those of others are reached through their rings. */
export class LocalWire implements Wire {
  private readonly runtime: Runtime;
  private readonly reactor: Reactor;
  private readonly others: Wire;
  private readonly firstSlot: number;
  private readonly slots: number;

  constructor(runtime: Runtime, reactor: Reactor) {
    this.runtime = runtime;
    this.reactor = reactor;
    this.others = runtime.wire;
    this.slots = runtime.segment.layout.slotsPerOwner;
    this.firstSlot = ownerOfLane(runtime.lane) * this.slots;
  }

  send(slot: number, serial: number, data: string | Uint8Array): void {
    const connection = this.reactor.find(slot, serial);
    if (connection === null) {
      this.others.send(slot, serial, data);
      return;
    }
    if (typeof data !== 'string') this.reactor.send(connection, data, 0, data.length, 0);
    else this.reactor.sendText(connection, data);
    this.runtime.turn.touch();
  }

  sendFile(slot: number, serial: number, path: string, offset: number, length: number): void {
    const connection = this.reactor.find(slot, serial);
    if (connection === null) {
      this.others.sendFile(slot, serial, path, offset, length);
      return;
    }
    this.reactor.sendFile(connection, path, offset, length);
    this.runtime.turn.touch();
  }

  sendWait(slot: number, serial: number, data: string | Uint8Array): Promise<boolean> | null {
    const connection = this.reactor.find(slot, serial);
    if (connection === null) return null;
    this.send(slot, serial, data);
    return new Promise((resolve) => this.reactor.whenSent(connection, resolve));
  }

  finishClose(slot: number, serial: number, reset: boolean): void {
    const connection = this.reactor.find(slot, serial);
    if (connection !== null) this.reactor.finishClose(connection, reset);
    else this.others.finishClose(slot, serial, reset);
  }

  pause(slot: number, serial: number): void {
    const connection = this.reactor.find(slot, serial);
    if (connection !== null) this.reactor.pause(connection);
    else this.others.pause(slot, serial);
  }

  resume(slot: number, serial: number): void {
    const connection = this.reactor.find(slot, serial);
    if (connection === null) {
      this.others.resume(slot, serial);
      return;
    }
    this.reactor.resume(connection);
    this.runtime.turn.touch();
  }

  /** Nothing of our own connections waits elsewhere than in their queues, which the table tells. */
  waitingBytes(slot: number): number {
    const local = slot - this.firstSlot;
    return local >= 0 && local < this.slots ? 0 : this.others.waitingBytes(slot);
  }
}
