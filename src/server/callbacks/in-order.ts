/**
 * With `receive_in_order` the callbacks of a connection run one after the other: what comes while an async one is under way
 * waits here until that has settled, and nothing more is read meanwhile.
 */
import type { Runtime } from '../../process/way/runtime.ts';
import { FLAG_CLOSE_TAKEN, FLAG_PAUSED } from '../../shm/connections.ts';

/** Of one connection, while a callback of it is under way. */
interface Line {
  readonly slot: number;
  readonly serial: number;
  readonly waiting: Buffer[];
  /** True exactly when the client has left: its close callback is the last. */
  ended: boolean;
  paused: boolean;
}

/** Runs the callback; a promise that never rejects, where that is async. */
type Receive = (slot: number, serial: number, data: Buffer) => Promise<void> | undefined;

export class InOrder {
  private readonly runtime: Runtime;
  private readonly receive: Receive;
  private readonly close: (slot: number, serial: number) => void;
  private readonly dropLate: (serial: number) => void;
  /** By serial: a slot may be another's before the callback has settled. */
  private readonly lines = new Map<number, Line>();

  constructor(
    runtime: Runtime,
    receive: Receive,
    close: (slot: number, serial: number) => void,
    dropLate: (serial: number) => void,
  ) {
    this.runtime = runtime;
    this.receive = receive;
    this.close = close;
    this.dropLate = dropLate;
  }

  /** True while a callback is under way, behind which something waits or may come to wait. */
  get busy(): boolean {
    return this.lines.size > 0;
  }

  /** A callback of the connection is under way until the promise, which never rejects, has settled. */
  begin(slot: number, serial: number, callback: Promise<void>): void {
    const line = { slot, serial, waiting: [], ended: false, paused: false };
    this.lines.set(serial, line);
    void callback.then(() => this.next(line));
  }

  /** Runs the callback with the data, or keeps the data for later. */
  take(slot: number, serial: number, data: Buffer): void {
    const line = this.lines.get(serial);
    if (line === undefined) {
      const callback = this.receive(slot, serial, data);
      if (callback !== undefined) this.begin(slot, serial, callback);
      return;
    }
    line.waiting.push(data);
    if (line.paused) return;
    line.paused = true;
    this.runtime.wire.pause(slot, serial);
  }

  /** Answers true where the close callback has to wait, and will be called. Should we die before that, it is known who it was. */
  takeEnd(slot: number, serial: number): boolean {
    const line = this.lines.get(serial);
    if (line === undefined) return false;
    const { connections, lane } = this.runtime;
    connections.announceClose(slot, serial, lane);
    line.ended = true;
    return true;
  }

  private next(line: Line): void {
    const { slot, serial } = line;
    for (let data = line.waiting.shift(); data !== undefined; data = line.waiting.shift()) {
      if (!this.isOpen(line)) {
        this.dropLate(serial);
        continue;
      }
      const callback = this.receive(slot, serial, data);
      if (callback === undefined) continue;
      void callback.then(() => this.next(line));
      return;
    }
    this.lines.delete(serial);
    if (line.ended) this.close(slot, serial);
    else if (line.paused && this.isOpen(line)) this.readOn(line);
  }

  /** What the user has paused stays so. */
  private readOn({ slot, serial }: Line): void {
    const { connections, wire } = this.runtime;
    if ((connections.flags(slot) & FLAG_PAUSED) === 0) wire.resume(slot, serial);
  }

  private isOpen({ slot, serial }: Line): boolean {
    const { connections } = this.runtime;
    return connections.holds(slot, serial) && (connections.flags(slot) & FLAG_CLOSE_TAKEN) === 0;
  }
}
