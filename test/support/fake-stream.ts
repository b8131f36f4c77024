/**
 * Connections of the fake kernel: two ends, each with what it may read, as Linux has them.
 *
 *   TCP     send() ──> outgoing ──carry()──> incoming of the peer ──> recv()       outgoing: sent, not acknowledged
 *                      └ sendRoom            └ receiveRoom
 *
 *   Unix    send() ────────────────────────> incoming of the peer ──> recv()       charged to the sender until it is read
 *                                            └ the sender's sendRoom
 *
 * An end that was closed while TCP still had bytes for the peer goes on without a descriptor (`gone`); if anything comes for
 * it, it answers with a reset, which destroys those bytes. `lag` keeps everything on its way until arrive() is called.
 */
import {
  EAGAIN,
  ECONNRESET,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
} from '../../src/sys/constants.ts';

/** Something with a descriptor that epoll can watch. */
export abstract class Source {
  /** Told of what has happened, as EPOLL* bits; 0: of everything at once. Whoever watches then asks poll(). */
  onWake: ((what: number) => void) | null = null;

  abstract poll(): number;

  wake(what: number): void {
    this.onWake?.(what);
  }
}

/** Bytes in order. */
export class Bytes {
  private chunks: Buffer[] = [];
  length = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.chunks.push(Buffer.from(bytes));
    this.length += bytes.length;
  }
  /** The first bytes, at most so many. */
  peek(count: number): Buffer {
    const all = Buffer.concat(this.chunks);
    this.chunks = this.length === 0 ? [] : [all];
    return all.subarray(0, Math.min(count, this.length));
  }
  /** The same, taken out. */
  take(count: number): Buffer {
    const taken: Buffer[] = [];
    for (let left = Math.min(count, this.length); left > 0; ) {
      const [first] = this.chunks;
      taken.push(first.subarray(0, left));
      if (first.length <= left) this.chunks.shift();
      else this.chunks[0] = first.subarray(left);
      const { length } = taken[taken.length - 1];
      left -= length;
      this.length -= length;
    }
    return Buffer.concat(taken);
  }
  clear(): void {
    this.chunks = [];
    this.length = 0;
  }
}

export type Family = 'tcp' | 'unix';

export abstract class Stream extends Source {
  abstract readonly family: Family;
  /** What the owner of this end may read. */
  readonly incoming = new Bytes();
  sendRoom = 64 * 1024;
  /** SO_ERROR: told once. */
  error = 0;
  /** Nothing follows what is in `incoming`; for a TCP connection that was reset, too. */
  inputEnded = false;
  outputEnded = false;
  /** Nobody has a descriptor of this end any more. */
  gone = false;
  /** send() has found no room: whoever frees some tells of it. */
  noSpace = false;
  /** fail() was called, or a reset came. */
  broken = false;
  /** SO_LINGER with a time of 0: close() sends RST. */
  resetsOnClose = false;

  /** How many bytes were taken, or minus the errno. */
  abstract send(bytes: Uint8Array): number;
  /** How many bytes fit now. */
  abstract room(): number;
  /** What SIOCOUTQ tells. */
  abstract unsent(): number;
  abstract endOutput(): void;
  abstract close(): void;
  /** The connection fails, for a reason of the peer's or of the network's. */
  abstract fail(error: number): void;

  /** As recv(): the bytes, or minus the errno; none at the end. */
  abstract receive(most: number, peek: boolean): Buffer | number;
}

// ---- TCP ----------------------------------------------------------------------------------------------------------------

export class TcpStream extends Stream {
  readonly family = 'tcp';
  peer: TcpStream | null = null;
  receiveRoom = 64 * 1024;
  readonly outgoing = new Bytes();
  /** Nothing arrives before arrive() is called. */
  lag = false;
  /** Where the urgent byte lies in `incoming`, or -1. */
  private urgentAt = -1;
  /** Where it lies in `outgoing`, or -1. */
  private urgentSent = -1;
  private finArrived = false;
  /** The peer's FIN has come (not its RST). */
  private sawEnd = false;
  private over = false;
  private lost = 0;

  /** No urgent byte is under way. */
  get mayBeUrgent(): boolean {
    return this.urgentSent === -1 && this.peer?.urgentAt === -1;
  }

  static pair(): [TcpStream, TcpStream] {
    const one = new TcpStream();
    const other = new TcpStream();
    one.peer = other;
    other.peer = one;
    return [one, other];
  }

  /** TCP_CLOSE: reset, or both sides know of the end of the other. */
  get isOver(): boolean {
    return this.over || (this.sawEnd && this.outputEnded && this.finArrived);
  }

  room(): number {
    return Math.max(0, this.sendRoom - this.outgoing.length);
  }
  /** As Linux counts: a third must be free. */
  private get writable(): boolean {
    return this.outgoing.length * 3 <= this.sendRoom * 2;
  }

  poll(): number {
    let mask = 0;
    if (this.error !== 0) mask |= EPOLLERR;
    if (this.inputEnded && this.outputEnded) mask |= EPOLLHUP;
    if (this.inputEnded) mask |= EPOLLIN | EPOLLRDHUP;
    // The urgent byte itself is nothing to read.
    if (this.incoming.length > (this.urgentAt === 0 ? 1 : 0)) mask |= EPOLLIN;
    if (this.urgentAt !== -1) mask |= EPOLLPRI;
    if (this.outputEnded || this.writable) mask |= EPOLLOUT;
    else this.noSpace = true;
    return mask;
  }

  send(bytes: Uint8Array, urgent = false): number {
    if (this.error !== 0) return -this.takeError();
    if (this.outputEnded) return -EPIPE;
    const count = Math.min(bytes.length, this.room());
    if (count < bytes.length) this.noSpace = true;
    if (count === 0 && bytes.length !== 0) return -EAGAIN;
    this.outgoing.push(bytes.subarray(0, count));
    if (urgent) this.urgentSent = this.outgoing.length - 1;
    this.carry();
    return count;
  }

  receive(most: number, peek: boolean): Buffer | number {
    if (this.incoming.length === 0) return this.end();
    // Reading stops before the urgent byte, and leaves it out when it comes first.
    if (this.urgentAt === 0 && !peek) {
      this.incoming.take(1);
      this.urgentAt = -1;
      return this.receive(most, peek);
    }
    const count = this.urgentAt > 0 ? Math.min(most, this.urgentAt) : Math.min(most, this.incoming.length);
    if (peek) return this.incoming.peek(count);
    if (this.urgentAt > 0) this.urgentAt -= count;
    const bytes = this.incoming.take(count);
    this.peer?.carry();
    return bytes;
  }

  private end(): Buffer | number {
    // Behind the end of the stream nobody is told of a reset.
    if (this.sawEnd) return Buffer.alloc(0);
    if (this.error !== 0) return -this.takeError();
    return this.inputEnded ? Buffer.alloc(0) : -EAGAIN;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  unsent(): number {
    return this.lost + this.outgoing.length + (this.outputEnded && !this.finArrived ? 1 : 0);
  }

  endOutput(): void {
    if (this.outputEnded) return;
    this.outputEnded = true;
    this.wake(0);
    this.carry();
  }

  close(): void {
    const unread = this.incoming.length !== 0;
    this.gone = true;
    this.onWake = null;
    if (this.over) return;
    if (unread || this.resetsOnClose) this.sendReset();
    else this.endOutput();
  }

  /** What was sent and has not arrived is lost; the peer is told. */
  sendReset(): void {
    const { peer } = this;
    this.outgoing.clear();
    this.over = true;
    this.inputEnded = true;
    this.outputEnded = true;
    peer?.fail(peer.sawEnd && !peer.outputEnded ? EPIPE : ECONNRESET);
  }

  fail(error: number): void {
    if (this.over) return;
    this.over = true;
    this.broken = true;
    this.error = error;
    // SIOCOUTQ goes on counting what will never arrive.
    this.lost = this.outgoing.length;
    this.outgoing.clear();
    this.inputEnded = true;
    this.outputEnded = true;
    this.finArrived = true;
    this.wake(EPOLLERR);
    this.wake(0);
  }

  /** Lets arrive what is on its way, even where it is to lag. */
  arrive(): void {
    this.carry(true);
  }

  /** Moves bytes to the peer as far as it has room, and our end behind the last of them. */
  carry(now = !this.lag): void {
    const { peer } = this;
    if (!now || this.over || peer === null) return;
    if (peer.gone && this.outgoing.length !== 0) {
      // Nobody can ever read it.
      peer.outgoing.clear();
      peer.over = true;
      this.fail(this.sawEnd && !this.outputEnded ? EPIPE : ECONNRESET);
      return;
    }
    const count = Math.min(this.outgoing.length, Math.max(0, peer.receiveRoom - peer.incoming.length));
    if (count !== 0) this.carryBytes(peer, count);
    if (this.outputEnded && this.outgoing.length === 0 && !this.finArrived) this.carryEnd(peer);
    if (this.noSpace && count !== 0 && this.writable) {
      this.noSpace = false;
      this.wake(EPOLLOUT);
    }
  }

  private carryBytes(peer: TcpStream, count: number): void {
    if (this.urgentSent >= 0 && this.urgentSent < count) peer.urgentAt = peer.incoming.length + this.urgentSent;
    this.urgentSent = Math.max(-1, this.urgentSent - count);
    peer.incoming.push(this.outgoing.take(count));
    peer.wake(EPOLLIN | EPOLLPRI);
  }

  private carryEnd(peer: TcpStream): void {
    this.finArrived = true;
    if (peer.over) return;
    peer.inputEnded = true;
    peer.sawEnd = true;
    peer.wake(0);
    if (this.isOver) this.wake(0);
  }
}

// ---- Unix ---------------------------------------------------------------------------------------------------------------

export class UnixStream extends Stream {
  readonly family = 'unix';
  peer: UnixStream | null = null;
  /** What the peer has not read of ours. */
  private get used(): number {
    return this.peer === null || this.peer.gone ? 0 : this.peer.incoming.length;
  }

  static pair(): [UnixStream, UnixStream] {
    const one = new UnixStream();
    const other = new UnixStream();
    one.peer = other;
    other.peer = one;
    return [one, other];
  }

  room(): number {
    return Math.max(0, this.sendRoom - this.used);
  }
  /** As Linux counts: three quarters must be free. */
  private get writable(): boolean {
    return this.used * 4 <= this.sendRoom;
  }

  poll(): number {
    let mask = 0;
    if (this.error !== 0) mask |= EPOLLERR;
    if (this.inputEnded && this.outputEnded) mask |= EPOLLHUP;
    if (this.inputEnded) mask |= EPOLLIN | EPOLLRDHUP;
    if (this.incoming.length !== 0) mask |= EPOLLIN;
    if (this.writable) mask |= EPOLLOUT;
    return mask;
  }

  send(bytes: Uint8Array): number {
    const { peer } = this;
    if (this.outputEnded || peer === null || peer.gone || peer.inputEnded) return -EPIPE;
    const count = Math.min(bytes.length, this.room());
    if (count === 0 && bytes.length !== 0) return -EAGAIN;
    peer.incoming.push(bytes.subarray(0, count));
    peer.wake(EPOLLIN | EPOLLPRI);
    return count;
  }

  receive(most: number, peek: boolean): Buffer | number {
    if (this.incoming.length === 0) {
      if (this.error !== 0) return -this.takeError();
      return this.inputEnded ? Buffer.alloc(0) : -EAGAIN;
    }
    if (peek) return this.incoming.peek(most);
    const bytes = this.incoming.take(most);
    const { peer } = this;
    // Whether it has asked for room or not.
    if (peer?.writable === true) peer.wake(EPOLLOUT);
    return bytes;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  unsent(): number {
    return this.used;
  }

  endOutput(): void {
    this.outputEnded = true;
    this.wake(0);
    if (this.peer === null) return;
    this.peer.inputEnded = true;
    this.peer.wake(0);
  }

  close(): void {
    const { peer } = this;
    const unread = this.incoming.length !== 0;
    this.gone = true;
    this.onWake = null;
    if (peer === null || peer.gone) return;
    if (unread) peer.error = ECONNRESET;
    peer.inputEnded = true;
    peer.outputEnded = true;
    peer.wake(0);
  }

  fail(error: number): void {
    this.broken = true;
    this.error = error;
    this.inputEnded = true;
    this.outputEnded = true;
    if (this.peer !== null) this.peer.inputEnded = true;
    this.wake(EPOLLERR);
    this.wake(0);
  }
}

// ---- who waits to be accepted, and datagrams ------------------------------------------------------------------------------

export interface Waiting {
  stream: Stream;
  sockaddr: Uint8Array;
}

export class Listener extends Source {
  readonly queue: Waiting[] = [];

  poll(): number {
    return this.queue.length === 0 ? 0 : EPOLLIN;
  }
  connect(waiting: Waiting): void {
    this.queue.push(waiting);
    this.wake(EPOLLIN);
  }
}

export interface Datagram {
  bytes: Uint8Array;
  sockaddr: Uint8Array;
}

export class DatagramSocket extends Source {
  readonly queue: Datagram[] = [];

  poll(): number {
    return (this.queue.length === 0 ? 0 : EPOLLIN) | EPOLLOUT;
  }
  arrive(datagram: Datagram): void {
    this.queue.push(datagram);
    this.wake(EPOLLIN);
  }
}
