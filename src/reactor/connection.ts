import type { Framer } from '../protocol/framer.ts';
import type { RingWriter } from '../shm/ring.ts';
import type { FilePart } from './file-part.ts';
import type { ReactorPort } from './port.ts';
import type { Transport } from './transport.ts';

/** Output that the socket did not take yet: bytes[start, end), or instead of bytes a part of a file or a mark. */
export interface OutputChunk {
  bytes: Buffer;
  start: number;
  end: number;
  file: FilePart | null;
  /** A mark: somebody wants to know when everything before it is with the kernel (true), or never will be (false). */
  done: ((sent: boolean) => void) | null;
}

/**
 * Where a connection is in its life: a number that only grows, until the slot is used again. ending.ts has all ways to the
 * end of it.
 *
 *   OPENING ──> ACTIVE ──> CLOSING ──> DRAINING ──> FREE
 *      │                      └──────────────────────^
 *      └─────────────────────────────────────────────┘
 */
/** Accepted, but the handshake is not done, where there is one: nobody knows of the connection. */
export const OPENING = 0;
/** Users know of it. It is read, unless `paused` or `waits` says otherwise. */
export const ACTIVE = 1;
/** It has ended, and is not read any more. Its close callback is due or running; what is sent still goes out. */
export const CLOSING = 2;
/** Its close callback has run. It is free as soon as its output is gone. */
export const DRAINING = 3;
/** The slot is nobody's. */
export const FREE = 4;

/**
 * What the owner of a connection keeps beside its slot in shared memory. The objects are made once per slot and used
 * again, and always have all their fields.
 */
export class Connection {
  /** Index in the table of connections. */
  readonly slot: number;
  /** First word and first 64-bit number of the slot. */
  readonly base: number;
  readonly numberBase: number;

  life = FREE;
  fd = -1;
  /** On the reactor's clock: when it was accepted, and when the socket last took something; 0 before. */
  openedAt = 0;
  sentAt = 0;
  serial = 0;
  port: ReactorPort;
  /** The way to the socket. */
  transport: Transport;

  /** True exactly when the socket may have bytes that we did not read (edge triggered: the kernel tells once). */
  readable = false;
  /** True exactly when the kernel told that the peer has finished, the socket failed or urgent data came: read to the end. */
  hangup = false;
  /** True exactly when the user, or the end of the server, wants nothing to be read: until resume(). */
  paused = false;
  /** True exactly when reading waits because the receiver cannot take more: until Delivery.canTake() says that it can. */
  waits = false;
  /** True exactly when the connection is in the reactor's list of those to read without a new event. */
  queuedToRead = false;

  /** What cuts its input into packages; null = every read is one. */
  framer: Framer | null = null;
  /** The number of that among the framings of the port, and whether there are others: then a worker may choose one. */
  protocol = 0;
  switchable = false;
  /** The beginning of a package that is not complete, or packages that found no room. */
  packet: Buffer | null = null;
  packetLength = 0;
  /** How many of those bytes the framer has looked at. */
  packetSeen = 0;
  /** On the reactor's clock: when the first of those bytes came. */
  packetSince = 0;

  /** What waits for room at the socket; null = nothing, and then the transport keeps nothing either. */
  output: OutputChunk[] | null = null;
  /** Index of the connection's newest run in the reactor's turn buffer, or -1. */
  run = -1;
  /** True exactly when the slot is in the list of those whose turn it is to send a file; outlives the connection. */
  queuedToSendFile = false;

  /** Where the CLOSE message ends in the worker's ring, for the case that the worker dies over it. */
  /** Given up with what waits for it: its socket closes with RST. */
  expired = false;
  closeWriter: RingWriter | null = null;
  closePosition: number | null = null;
  closeWorker = -1;
  closeWorkerLife = 0;

  constructor(slot: number, base: number, numberBase: number, port: ReactorPort, transport: Transport) {
    this.slot = slot;
    this.base = base;
    this.numberBase = numberBase;
    this.port = port;
    this.transport = transport;
  }

  reset(fd: number, serial: number, port: ReactorPort, transport: Transport, framer: Framer | null): void {
    this.life = OPENING;
    this.openedAt = 0;
    this.sentAt = 0;
    this.fd = fd;
    this.serial = serial;
    this.port = port;
    this.transport = transport;
    this.readable = false;
    this.hangup = false;
    this.paused = false;
    this.waits = false;
    this.queuedToRead = false;
    this.framer = framer;
    this.protocol = 0;
    this.switchable = port.otherFramings.length !== 0;
    this.packet = null;
    this.packetLength = 0;
    this.packetSeen = 0;
    this.packetSince = 0;
    this.output = null;
    this.run = -1;
    this.expired = false;
    this.closeWriter = null;
    this.closePosition = null;
    this.closeWorker = -1;
    this.closeWorkerLife = 0;
  }

  get open(): boolean {
    return this.life !== FREE;
  }
  /** Reading has ended for good. */
  get finished(): boolean {
    return this.life > ACTIVE;
  }

  /** Nothing more is read: what was is forgotten. */
  stopReading(): void {
    this.waits = false;
    this.packet = null;
    this.packetLength = 0;
    this.packetSeen = 0;
  }

  /** Throws where the fields contradict each other. For tests, after each step of theirs: it costs too much elsewhere. */
  invariants(): void {
    const { life, packet, packetLength, output, transport } = this;
    this.must(life >= OPENING && life <= FREE, 'it has a life');
    this.must(
      packet === null ? packetLength === 0 : packetLength <= packet.length,
      'its packet has room for its bytes',
    );
    this.must(packet === null || life === ACTIVE, 'only an active connection keeps input');
    this.must(!this.waits || life === ACTIVE, 'only an active connection waits for its receiver');
    this.must(output === null || life !== FREE, 'no output is left behind');
    this.must(life !== DRAINING || output !== null, 'it drains as long as it has output');
    this.must(!transport.hasUnsent || output !== null, 'what the transport keeps is waited for');
    this.must(this.closeWriter === null || this.finished, 'only its end is told as such');
    for (const { bytes, start, end, file, done } of output ?? []) {
      this.must(start >= 0 && start <= end && end <= bytes.length, 'a chunk lies in its bytes');
      this.must(file === null || done === null, 'a chunk is one thing');
      this.must((file === null && done === null) || end === 0, 'a file or a mark has no bytes');
    }
  }

  private must(holds: boolean, what: string): void {
    if (!holds) throw new Error(`connection in slot ${this.slot}, life ${this.life}, is not as it must be: ${what}`);
  }
}
