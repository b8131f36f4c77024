/** One client of a random schedule, the connection that it became, and what each has sent to the other. */
import type { ReactorPort } from '../../src/reactor/port.ts';
import type { Peer } from './peers.ts';
import type { Prng } from './prng.ts';
import type { Served } from './reactor.ts';

export type Framing = ReactorPort['framing'];

export class Pair {
  readonly name: string;
  readonly peer: Peer;
  readonly framing: Framing;
  /** What the load balancer says first, which is the reactor's own. */
  greeting: Buffer;
  served: Served | null = null;
  /** What the client wants to send in all; cut into packages where the port is framed. */
  readonly plan: Buffer;
  readonly packages: Buffer[];
  /** How many packages there are before the framing changes; -1: it does not. What follows waits until it has. */
  readonly switchesAfter: number;
  switched = false;
  /** How much of the plan was accepted by its socket. */
  sent = 0;
  readonly answers: Buffer[] = [];
  /** Marks in the output: what each was told, and what had been sent before it. */
  readonly marks: { told: boolean[]; before: number }[] = [];
  /** The connection was cut by a reset or an error: what was under way may be lost. */
  hurt = false;
  /** The client will not read any more. */
  left = false;
  /** The client will not send any more. */
  finished = false;
  /** The worker was the first to end it. */
  closedHere = false;
  everPaused = false;
  /** What the oracle has looked at: bytes of the client, packages of the worker, and the bytes of those. */
  lookedAt = 0;
  takenAt = 0;
  taken = 0;

  constructor(name: string, peer: Peer, port: ReactorPort, random: Prng) {
    this.name = name;
    this.peer = peer;
    this.framing = port.framing;
    this.greeting = Buffer.from(port.proxyFrom === null ? '' : 'PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n');
    this.packages = packagesFor(port.framing, random);
    this.switchesAfter = port.otherFramings.length === 0 ? -1 : this.packages.length;
    if (this.switchesAfter !== -1) this.packages.push(...packagesFor(port.otherFramings[0], random));
    this.plan = Buffer.concat(this.packages);
  }

  /** How much of the plan may be sent now. */
  get allowed(): number {
    if (this.switchesAfter === -1 || this.switched) return this.plan.length;
    return this.packages.slice(0, this.switchesAfter).reduce((sum, { length }) => sum + length, 0);
  }

  get answered(): Buffer {
    return Buffer.concat(this.answers);
  }
}

/** Mostly short, sometimes long. */
export function sizeFor(random: Prng): number {
  return [1 + random.int(20), 1 + random.int(1000), 1 + random.int(10_000), 1 + random.int(120_000)][random.int(4)];
}

function packagesFor(framing: Framing, random: Prng): Buffer[] {
  return Array.from({ length: 1 + random.int(8) }, () => {
    const body = random.bytes(Math.min(40_000, sizeFor(random)));
    if (framing.kind === 'raw') return body;
    if (framing.kind === 'eof') {
      for (let at = body.indexOf(10); at !== -1; at = body.indexOf(10, at)) body[at] = 11;
      return Buffer.concat([body, Buffer.from('\n')]);
    }
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    return Buffer.concat([head, body]);
  });
}
