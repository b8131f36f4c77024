/** The sessions of one process: which protocol is spoken on which connection, in place of receive callbacks. */
import { deserialize, serialize } from 'node:v8';
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { describeError } from '../../errors.ts';
import { PORT } from '../../shm/connections.ts';
import { type Closer, closeSlot } from '../connections/close.ts';
import { sendToSlot } from '../connections/send.ts';
import type { Peer, Session, Speaker } from './session.ts';

interface Held {
  readonly serial: number;
  readonly session: Session;
}

/** What a process tells the next one of its worker: slot, serial and context of each connection. */
type HandedOver = [slot: number, serial: number, context: Uint8Array][];

export class Sessions {
  private readonly closer: Closer;
  /** By port; null where bytes go to the receive callback. */
  private readonly speakers: readonly (Speaker | null)[];
  /** By slot. One whose end was told elsewhere gives way to the next connection there. */
  private readonly bySlot = new Map<number, Held>();

  constructor(closer: Closer, speakers: readonly (Speaker | null)[]) {
    this.closer = closer;
    this.speakers = speakers;
  }

  receive(slot: number, serial: number, data: Buffer): void {
    this.run('receive', slot, serial, () => this.sessionOf(slot, serial)?.receive(data));
  }

  drained(slot: number, serial: number): void {
    const held = this.heldBy(slot, serial);
    if (held !== undefined) this.run('drained', slot, serial, () => held.session.drained());
  }

  closed(slot: number, serial: number): void {
    const held = this.heldBy(slot, serial);
    if (held === undefined) return;
    this.bySlot.delete(slot);
    this.run('closed', slot, serial, () => held.session.closed());
  }

  /** The connections end with this process. */
  retire(): void {
    for (const [slot, { serial, session }] of [...this.bySlot])
      if (this.lives(slot, serial)) this.run('retire', slot, serial, () => session.retire());
  }

  /** The connections go on in the next process of this worker. Answers what that must know; null where that is nothing. */
  handOver(): HandedOver | null {
    const handed: HandedOver = [];
    for (const [slot, { serial, session }] of [...this.bySlot]) {
      if (!this.lives(slot, serial)) continue;
      this.run('handOver', slot, serial, () => {
        if (session.handOver === undefined) {
          session.retire();
          return;
        }
        // Here, so that a context that cannot be cloned costs its own connection only.
        handed.push([slot, serial, serialize(session.handOver())]);
        this.bySlot.delete(slot);
        session.closed();
      });
    }
    return handed.length === 0 ? null : handed;
  }

  takeOver(handed: unknown): void {
    for (const [slot, serial, context] of handed as HandedOver) {
      if (!this.lives(slot, serial)) continue;
      this.run('open', slot, serial, () => this.open(slot, serial, deserialize(context)));
    }
  }

  private sessionOf(slot: number, serial: number): Session | undefined {
    return (this.heldBy(slot, serial) ?? this.open(slot, serial, undefined))?.session;
  }

  private heldBy(slot: number, serial: number): Held | undefined {
    const held = this.bySlot.get(slot);
    return held?.serial === serial ? held : undefined;
  }

  private open(slot: number, serial: number, context: unknown): Held | undefined {
    const { connections } = this.closer.runtime;
    const port = connections.words[connections.wordBase(slot) + PORT];
    const session = this.speakers[port]?.open(new ConnectionPeer(this.closer, slot, serial, port), context);
    if (session === undefined) return undefined;
    const held = { serial, session };
    this.bySlot.set(slot, held);
    return held;
  }

  private lives(slot: number, serial: number): boolean {
    return this.closer.runtime.connections.holds(slot, serial);
  }

  private run(what: string, slot: number, serial: number, step: () => void): void {
    try {
      step();
    } catch (error) {
      const { script, runtime } = this.closer;
      const fd = runtime.connections.fdOf(serial);
      script.logger.log(SWOOLE_LOG_ERROR, `${what} of the session of connection ${fd} failed: ${describeError(error)}`);
      if (what !== 'closed') closeSlot(this.closer, slot, serial, false);
    }
  }
}

class ConnectionPeer implements Peer {
  readonly fd: number;
  readonly port: number;
  private readonly closer: Closer;
  private readonly slot: number;
  private readonly serial: number;

  constructor(closer: Closer, slot: number, serial: number, port: number) {
    this.closer = closer;
    this.slot = slot;
    this.serial = serial;
    this.port = port;
    this.fd = closer.runtime.connections.fdOf(serial);
  }

  private get isThere(): boolean {
    return this.closer.runtime.connections.holds(this.slot, this.serial);
  }

  send(data: string | Uint8Array): boolean {
    return this.isThere && sendToSlot(this.closer, this.slot, this.serial, data);
  }

  close(reset: boolean): boolean {
    return this.isThere && closeSlot(this.closer, this.slot, this.serial, reset);
  }

  cutBy(framing: number): void {
    const { script, runtime } = this.closer;
    const count = script.ports[this.port].speaker?.framings.length ?? 0;
    // The reactor would end over another number, and the server with it.
    if (!(Number.isInteger(framing) && framing >= 0 && framing <= count))
      throw new RangeError(`no such framing of the protocol: framing=${framing} of ${count}`);
    runtime.connections.switchProtocol(this.slot, this.serial, framing);
  }
}
