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
 * What the owner of a connection keeps beside its slot in shared memory. The objects are made once per slot and used
 * again, and always have all their fields.
 */
export class Connection {
  /** Index in the table of connections. */
  readonly slot: number;
  /** First word and first 64-bit number of the slot. */
  readonly base: number;
  readonly numberBase: number;

  open = false;
  /** True until the handshake is done, where there is one: nobody knows of the connection. */
  opening = false;
  fd = -1;
  serial = 0;
  port: ReactorPort;
  /** True exactly when the socket may have bytes that we did not read (edge triggered: the kernel tells once). */
  readable = false;
  /** True exactly when the kernel told that the peer has finished, the socket failed or urgent data came: read to the end. */
  hangup = false;
  paused = false;
  /** True exactly when the connection is in the reactor's list of those to read without a new event. */
  queuedToRead = false;
  /** True exactly when reading waits because the receiver cannot take more. */
  waits = false;
  /** Reading has ended for good. */
  finished = false;
  /** The way to the socket. */
  transport: Transport;

  /** The beginning of a package that is not complete, or packages that found no room. */
  packet: Buffer | null = null;
  packetLength = 0;
  /** How many of those bytes the framer has looked at. */
  packetSeen = 0;

  output: OutputChunk[] | null = null;
  /** Index of the connection's newest run in the reactor's turn buffer, or -1. */
  run = -1;
  closeAfterOutput = false;
  /** True exactly when the slot is in the list of those whose turn it is to send a file; outlives the connection. */
  queuedToSendFile = false;

  /** Where the CLOSE message ends in the worker's ring, for the case that the worker dies over it. */
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

  reset(fd: number, serial: number, port: ReactorPort, transport: Transport): void {
    this.open = true;
    this.opening = true;
    this.fd = fd;
    this.serial = serial;
    this.port = port;
    this.readable = false;
    this.hangup = false;
    this.paused = false;
    this.queuedToRead = false;
    this.waits = false;
    this.finished = false;
    this.transport = transport;
    this.packet = null;
    this.packetLength = 0;
    this.packetSeen = 0;
    this.output = null;
    this.run = -1;
    this.closeAfterOutput = false;
    this.closeWriter = null;
    this.closePosition = null;
    this.closeWorker = -1;
    this.closeWorkerLife = 0;
  }
}
