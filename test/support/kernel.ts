/**
 * A kernel in memory, for a reactor under test: descriptors, epoll, sockets, files and a clock, the same for the same seed.
 *
 *   the reactor ──calls──> FakeKernel ──> descriptors ──> Stream, Listener, DatagramSocket, file   (fake-stream.ts)
 *                            │    │                          │ wake()
 *                            │    └── Faults (faults.ts)     v
 *                            └──────── epoll: who is ready, in the order of their edges
 *   the test ──> connect(), Client ──────────────────────────┘
 *
 * Edges are as Linux has them: whatever wakes a watched descriptor (data, room after a refusal, an end, an error) lets
 * epollWait() tell its whole state once; a listener is told of as long as somebody waits. `src/sys/kernel.test.ts` runs scripts
 * over this kernel and Linux and compares.
 *
 * Addresses are real: bytes go to and come from the memory that was allocated with sys/memory. A range outside of it, a
 * descriptor that was closed, a second close, an epoll_ctl() that makes no sense throw Misuse out of the call.
 */
import {
  AF_INET,
  AF_UNIX,
  EAGAIN,
  ECONNRESET,
  EHOSTUNREACH,
  ENOENT,
  EPIPE,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  ETIMEDOUT,
  IPPROTO_TCP,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  SHUT_WR,
  SO_ERROR,
  SOL_SOCKET,
  TCP_CLOSE,
  TCP_INFO,
} from '../../src/sys/constants.ts';
import type { Kernel } from '../../src/sys/kernel.ts';
import { regionAt } from '../../src/sys/memory.ts';
import { type SendList, sendEach } from '../../src/sys/send-list.ts';
import { Bytes, DatagramSocket, type Family, Listener, Source, Stream, TcpStream, UnixStream } from './fake-stream.ts';
import { type Call, type Fault, type Faults, ScriptedFaults } from './faults.ts';

/** The caller has done what no program may. */
export class Misuse extends Error {}

const EOPNOTSUPP = 95;
const ESTABLISHED = 1;
const FIRST_DESCRIPTOR = 3;
/** struct epoll_event is packed on x86-64 only. */
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4;
const DATA_WORD = process.arch === 'x64' ? 1 : 2;
/** These end a connection, and all other errors are of the call alone. */
const OF_CONNECTION = new Set([ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH]);

/** A file of the fake file system: its bytes, or the errno with which it is refused. */
export interface FakeFile {
  bytes: Buffer;
  /** The kernel cannot send from its file system: sendfile() answers this. */
  refusesSendfile: number;
}

class OpenFile extends Source {
  readonly file: FakeFile;
  position: number;

  constructor(file: FakeFile, position: number) {
    super();
    this.file = file;
    this.position = position;
  }
  poll(): number {
    return EPOLLIN | EPOLLOUT;
  }
}

interface Interest {
  fd: number;
  source: Source;
  events: number;
  low: number;
  high: number;
}

class EpollInstance extends Source {
  readonly interests = new Map<number, Interest>();
  /** In the order of their edges. */
  readonly ready = new Set<Interest>();

  poll(): number {
    return this.ready.size === 0 ? 0 : EPOLLIN;
  }
}

export class FakeKernel implements Kernel {
  readonly script = new ScriptedFaults();
  faults: Faults = this.script;
  /** By path; a number is the errno with which it cannot be opened. */
  readonly files = new Map<string, FakeFile | number>();
  readonly peerAddress = new Uint8Array(128);
  /** What setOption() was called with, one after the other. */
  readonly options: [number, number, number, number][] = [];
  /** Each call, as "name(fd) = result", where a test wants to see them. */
  trace: string[] | null = null;
  /** The monotonic clock. It moves when epollWait() has nothing to tell, and when a test moves it. */
  time = 1_000_000;
  /** How far the wall clock is ahead of it: a test that changes this sets that. */
  wallAhead = 1_700_000_000_000;
  private readonly descriptors: (Source | undefined)[] = [];
  private failure = 0;
  private clients = 0;

  errno(): number {
    return this.failure;
  }
  now(): number {
    return this.time;
  }
  wallNow(): number {
    return this.time + this.wallAhead;
  }

  // ---- for tests ----------------------------------------------------------------------------------------------------

  /** A listening socket. */
  listen(): number {
    return this.place(new Listener());
  }

  datagramSocket(): number {
    return this.place(new DatagramSocket());
  }

  /** A new client in the queue of a listener. */
  connect(listener: number, family: Family = 'tcp', sockaddr = sockaddrOf(family, ++this.clients)): Client {
    const [server, client] = family === 'tcp' ? TcpStream.pair() : UnixStream.pair();
    (this.at(listener) as Listener).connect({ stream: server, sockaddr });
    return new Client(client, server);
  }

  /** Two connected sockets, both with descriptors. */
  pair(family: Family): [number, number] {
    const [one, other] = family === 'tcp' ? TcpStream.pair() : UnixStream.pair();
    return [this.place(one), this.place(other)];
  }

  datagram(socket: number, bytes: Uint8Array, sockaddr = sockaddrOf('tcp', 9)): void {
    (this.at(socket) as DatagramSocket).arrive({ bytes, sockaddr });
  }

  /** A file of these bytes. */
  file(path: string, bytes: Buffer, refusesSendfile = 0): FakeFile {
    const file = { bytes, refusesSendfile };
    this.files.set(path, file);
    return file;
  }

  /** The descriptors that are open, but for the given ones. */
  open(...without: number[]): number[] {
    return [...this.descriptors.keys()].filter((fd) => this.descriptors[fd] !== undefined && !without.includes(fd));
  }

  /** The socket behind a descriptor, to do to it what no call does. */
  streamAt(fd: number): Stream {
    return this.stream(fd);
  }

  /** An event without a reason, as a kernel may send one. */
  wakeForNothing(fd: number): void {
    this.descriptors[fd]?.wake(0);
  }

  // ---- descriptors --------------------------------------------------------------------------------------------------

  private place(source: Source): number {
    let fd = FIRST_DESCRIPTOR;
    while (this.descriptors[fd] !== undefined) fd++;
    this.descriptors[fd] = source;
    return fd;
  }

  private at(fd: number): Source {
    const source = this.descriptors[fd];
    if (source === undefined) throw new Misuse(`descriptor ${fd} is not open`);
    return source;
  }

  private stream(fd: number): Stream {
    const source = this.at(fd);
    if (!(source instanceof Stream)) throw new Misuse(`descriptor ${fd} is no stream socket`);
    return source;
  }

  private fileAt(fd: number): OpenFile {
    const source = this.at(fd);
    if (!(source instanceof OpenFile)) throw new Misuse(`descriptor ${fd} is no file`);
    return source;
  }

  close(fd: number): number {
    const source = this.at(fd);
    for (const epoll of this.descriptors)
      if (epoll instanceof EpollInstance) {
        const interest = epoll.interests.get(fd);
        if (interest !== undefined) forget(epoll, interest);
      }
    this.descriptors[fd] = undefined;
    if (source instanceof Stream) source.close();
    if (source instanceof Listener) for (const { stream } of source.queue) stream.close();
    return this.answer('close', fd, 0);
  }

  /** What a call answers: the value, or -1 for minus an errno. */
  private answer(call: string, fd: number, value: number): number {
    this.trace?.push(`${call}(${fd}) = ${value}`);
    if (value >= 0) return value;
    this.failure = -value;
    return -1;
  }

  // ---- epoll --------------------------------------------------------------------------------------------------------

  epollCreate1(_flags: number): number {
    return this.place(new EpollInstance());
  }

  epollCtl(epollFd: number, operation: number, fd: number, event: number): number {
    const epoll = this.epollAt(epollFd);
    const source = this.at(fd);
    const words = memory(event, EVENT_WORDS * 4);
    const at = (index: number): number => words.readInt32LE(index * 4);
    const { error } = this.faults.next('epollCtl');
    if (error !== 0) return this.answer('epoll_ctl', fd, -error);
    const known = epoll.interests.get(fd);
    if (operation === EPOLL_CTL_ADD && known !== undefined) throw new Misuse(`descriptor ${fd} is watched already`);
    if (operation !== EPOLL_CTL_ADD && known === undefined) return this.answer('epoll_ctl', fd, -ENOENT);
    if (known !== undefined) forget(epoll, known);
    if (operation !== EPOLL_CTL_DEL) {
      const interest = { fd, source, events: at(0), low: at(DATA_WORD), high: at(DATA_WORD + 1) };
      epoll.interests.set(fd, interest);
      source.onWake = (what) => {
        if (what === 0 || (what & (interest.events | EPOLLERR | EPOLLHUP)) !== 0) epoll.ready.add(interest);
      };
      if (happened(interest) !== 0) epoll.ready.add(interest);
    }
    return this.answer('epoll_ctl', fd, 0);
  }

  private epollAt(fd: number): EpollInstance {
    const source = this.at(fd);
    if (!(source instanceof EpollInstance)) throw new Misuse(`descriptor ${fd} is no epoll`);
    return source;
  }

  epollWait(epollFd: number, events: number, max: number, timeoutMs: number): number {
    const epoll = this.epollAt(epollFd);
    const words = memory(events, max * EVENT_WORDS * 4);
    const { error } = this.faults.next('epollWait');
    if (error !== 0) return this.answer('epoll_wait', epollFd, -error);
    let count = 0;
    for (const interest of [...epoll.ready]) {
      if (count === max) break;
      const mask = happened(interest);
      epoll.ready.delete(interest);
      if (mask === 0) continue;
      // What is not edge triggered stays, behind the others.
      if ((interest.events & EPOLLET) === 0) epoll.ready.add(interest);
      const at = count++ * EVENT_WORDS * 4;
      words.writeInt32LE(mask | 0, at);
      words.writeInt32LE(interest.low, at + DATA_WORD * 4);
      words.writeInt32LE(interest.high, at + DATA_WORD * 4 + 4);
    }
    if (count === 0) this.time += Math.max(0, timeoutMs);
    return this.answer('epoll_wait', epollFd, count);
  }

  // ---- streams ------------------------------------------------------------------------------------------------------

  accept(listener: number): number {
    const source = this.at(listener);
    if (!(source instanceof Listener)) throw new Misuse(`descriptor ${listener} does not listen`);
    const { error } = this.faults.next('accept');
    if (error !== 0) return -error;
    const waiting = source.queue.shift();
    if (waiting === undefined) return -EAGAIN;
    this.peerAddress.fill(0);
    this.peerAddress.set(waiting.sockaddr);
    return this.place(waiting.stream);
  }

  recv(fd: number, address: number, length: number, flags: number): number {
    const stream = this.stream(fd);
    const target = memory(address, length);
    const { error, most } = this.fault('recv', stream);
    if (error !== 0) {
      // What the call did not bring arrives a moment later.
      if (error === EAGAIN) stream.wake(EPOLLIN);
      return this.answer('recv', fd, -error);
    }
    const peek = (flags & MSG_PEEK) !== 0;
    const result = stream.receive(Math.min(length, most), peek);
    if (typeof result === 'number') return this.answer('recv', fd, result);
    target.set(result);
    if (most < length && result.length === most) stream.wake(EPOLLIN);
    return this.answer('recv', fd, result.length);
  }

  send(fd: number, address: number, length: number, flags: number): number {
    return this.sendBytes(fd, memory(address, length), length, flags);
  }

  sendAll(list: SendList): void {
    sendEach(this, list);
  }

  sendBytes(fd: number, bytes: Uint8Array, length: number, flags: number): number {
    const stream = this.stream(fd);
    if (length > bytes.length) throw new Misuse(`send() of ${length} bytes out of ${bytes.length}`);
    return this.answer('send', fd, this.sendPart('send', stream, bytes.subarray(0, length), flags));
  }

  private sendPart(call: Call, stream: Stream, bytes: Uint8Array, flags = 0): number {
    const { error, most } = this.fault(call, stream);
    if (error === EAGAIN || most < bytes.length) {
      // Room is found a moment later.
      stream.noSpace = true;
      stream.wake(EPOLLOUT);
    }
    if (error !== 0) return -error;
    const part = most < bytes.length ? bytes.subarray(0, most) : bytes;
    return stream instanceof TcpStream ? stream.send(part, (flags & MSG_OOB) !== 0) : stream.send(part);
  }

  /** The fault that is due. An error of the connection becomes its end, and the call then finds that. */
  private fault(call: Call, stream: Stream): Fault {
    const fault = this.faults.next(call);
    if (!OF_CONNECTION.has(fault.error)) return fault;
    stream.fail(fault.error);
    return { error: 0, most: Number.POSITIVE_INFINITY };
  }

  sendfile(fd: number, fileFd: number, offset: number, length: number): number {
    const stream = this.stream(fd);
    const open = this.fileAt(fileFd);
    if (offset !== 0) throw new Misuse('only from the position of the file');
    if (open.file.refusesSendfile !== 0) return this.answer('sendfile', fd, -open.file.refusesSendfile);
    const bytes = open.file.bytes.subarray(open.position, open.position + length);
    const count = bytes.length === 0 ? 0 : this.sendPart('sendfile', stream, bytes);
    if (count > 0) open.position += count;
    return this.answer('sendfile', fd, count);
  }

  shutdown(fd: number, how: number): number {
    if (how !== SHUT_WR) throw new Misuse(`shutdown(${how})`);
    this.stream(fd).endOutput();
    return this.answer('shutdown', fd, 0);
  }

  setOption(fd: number, level: number, name: number, value: number): number {
    this.at(fd);
    this.options.push([fd, level, name, value]);
    return 0;
  }

  getOption(fd: number, level: number, name: number): number {
    const stream = this.stream(fd);
    if (level === SOL_SOCKET && name === SO_ERROR) {
      const { error } = stream;
      stream.error = 0;
      return error;
    }
    if (level !== IPPROTO_TCP || name !== TCP_INFO) throw new Misuse(`getsockopt(${level}, ${name})`);
    if (!(stream instanceof TcpStream)) return -EOPNOTSUPP;
    return stream.isOver ? TCP_CLOSE : ESTABLISHED;
  }

  /** Processes that have ended. */
  readonly gone = new Set<number>();
  isGone(pid: number): boolean {
    return this.gone.has(pid);
  }

  resetOnClose(fd: number): void {
    this.stream(fd).resetsOnClose = true;
  }

  unsentBytes(fd: number): number {
    return this.stream(fd).unsent();
  }

  /** How often that was asked for, and how often garbage was collected before it. */
  memoryGivenBack = 0;
  garbageCollected = 0;
  collectGarbage(): void {
    this.garbageCollected++;
  }
  giveMemoryBack(): void {
    this.memoryGivenBack++;
  }

  // ---- datagrams ----------------------------------------------------------------------------------------------------

  /** `headers` are as in sys/datagram.ts: mmsghdr of 64 bytes, one iovec each. */
  recvmmsg(fd: number, headers: number, count: number, _flags: number, _timeout: number): number {
    const source = this.at(fd);
    if (!(source instanceof DatagramSocket)) throw new Misuse(`descriptor ${fd} is no datagram socket`);
    const { error } = this.faults.next('recvmmsg');
    if (error !== 0) return this.answer('recvmmsg', fd, -error);
    const all = memory(headers, count * 64);
    let filled = 0;
    for (; filled < count && source.queue.length !== 0; filled++) {
      const { bytes, sockaddr } = source.queue.shift()!;
      const header = all.subarray(filled * 64, (filled + 1) * 64);
      const iovec = memory(pointer(header, 16), 16);
      const room = Number(iovec.readBigUInt64LE(8));
      memory(pointer(iovec, 0), room).set(bytes.subarray(0, room));
      memory(pointer(header, 0), header.readInt32LE(8)).set(sockaddr);
      header.writeInt32LE(sockaddr.length, 8);
      header.writeInt32LE(bytes.length > room ? MSG_TRUNC : 0, 48);
      header.writeInt32LE(Math.min(room, bytes.length), 56);
    }
    return this.answer('recvmmsg', fd, filled === 0 ? -EAGAIN : filled);
  }

  // ---- files --------------------------------------------------------------------------------------------------------

  openFile(path: string, offset: number): number {
    const { error } = this.faults.next('openFile');
    if (error !== 0) return -error;
    const file = this.files.get(path) ?? ENOENT;
    return typeof file === 'number' ? -file : this.place(new OpenFile(file, offset));
  }

  readFile(fd: number, target: Uint8Array, length: number): number {
    const open = this.fileAt(fd);
    if (length > target.length) throw new Misuse(`read() of ${length} bytes into ${target.length}`);
    const { error } = this.faults.next('readFile');
    if (error !== 0) return -error;
    const bytes = open.file.bytes.subarray(open.position, open.position + length);
    target.set(bytes);
    open.position += bytes.length;
    return bytes.length;
  }

  closeFile(fd: number): void {
    this.fileAt(fd);
    this.close(fd);
  }
}

/** What a watched source would be told of now. */
function happened({ source, events }: Interest): number {
  return source.poll() & (events | EPOLLERR | EPOLLHUP);
}

function forget(epoll: EpollInstance, interest: Interest): void {
  epoll.interests.delete(interest.fd);
  epoll.ready.delete(interest);
  interest.source.onWake = null;
}

/** The bytes at an address, which must be ours. */
function memory(address: number, length: number): Buffer {
  const region = regionAt(address, length);
  if (region === null) throw new Misuse(`${length} bytes at 0x${address.toString(16)} were never allocated`);
  const start = address - region.address;
  return region.text.subarray(start, start + length);
}

function pointer(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

/** 127.0.0.1 and a port, or the sockaddr of a Unix socket without a path. */
export function sockaddrOf(family: Family, port: number): Uint8Array {
  if (family === 'unix') return Uint8Array.of(AF_UNIX, 0);
  return Uint8Array.of(AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
}

// ---- the other side of a connection -------------------------------------------------------------------------------------

/** A client, in the hands of the test. */
export class Client {
  readonly stream: Stream;
  /** The end that the reactor has. */
  readonly server: Stream;
  private readonly all = new Bytes();
  /** The server has closed, or sent its last byte. */
  ended = false;
  /** How a call has failed last, or 0. There may still be something to read. */
  error = 0;

  constructor(stream: Stream, server: Stream) {
    this.stream = stream;
    this.server = server;
  }

  /** Everything that was read, from the first byte on. */
  get received(): Buffer {
    return this.all.peek(this.all.length);
  }

  /** Sends what there is room for, and answers how much that was. */
  send(bytes: Uint8Array | string): number {
    const count = this.stream.send(Buffer.from(bytes as string));
    if (count < 0 && count !== -EAGAIN) this.error = -count;
    return Math.max(0, count);
  }

  urgent(byte: number): void {
    (this.stream as TcpStream).send(Uint8Array.of(byte), true);
  }

  /** Reads so many bytes at most; answers how many came. */
  read(most = Number.POSITIVE_INFINITY): number {
    let total = 0;
    while (total < most && !this.ended) {
      const result = this.stream.receive(most - total, false);
      if (result === -EAGAIN) break;
      if (typeof result === 'number') {
        this.error = -result;
        break;
      }
      if (result.length === 0) this.ended = true;
      else {
        this.all.push(result);
        total += result.length;
      }
    }
    return total;
  }

  /** Sends nothing more. */
  end(): void {
    this.stream.endOutput();
  }
  close(): void {
    this.stream.close();
  }
  reset(): void {
    this.stream.resetsOnClose = true;
    this.stream.close();
  }
}
