/**
 * One end of a pipe between processes, as something to await: Swoole's `Coroutine\Socket` over a Unix socket. Several
 * processes may hold the same end; then whoever reads first gets the message, and the others go on waiting.
 */
import { badArgument } from '../errors.ts';
import { EAGAIN, EBADF, ECANCELED, ECONNRESET, EINVAL, EMSGSIZE, ETIMEDOUT } from '../sys/constants.ts';
import { isBytes } from '../sys/memory.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { MESSAGE_BYTES_MAX, receiveNow, sendNow } from '../sys/socket-pair.ts';
import { DescriptorWatch } from '../sys/watch.ts';

/** Of a stream, recv() answers at most so much at once unless it is told otherwise. */
const STREAM_BYTES = 65536;
/** So many calls may succeed at once in a row; then others have their turn, or a busy peer would stop Node's loop. */
const BURST_MAX = 64;
/** Node cannot wait longer at once; who asks for more than 24 days gets 24. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

interface Reader {
  readonly bytesMax: number;
  readonly settle: (answer: Buffer | false) => void;
  timer: NodeJS.Timeout | null;
}

interface Writer {
  /** What is still to be sent. */
  rest: Uint8Array;
  sent: number;
  readonly settle: (answer: number | false) => void;
  timer: NodeJS.Timeout | null;
}

export class PipeSocket {
  /** The descriptor, for `Event`; -1 once it is closed. */
  #fd: number;
  readonly #keepsBounds: boolean;
  #watch: DescriptorWatch | null = null;
  readonly #readers: Reader[] = [];
  readonly #writers: Writer[] = [];
  #burst = 0;
  /** Why the last call that answered `false` did: an errno. */
  errCode = 0;

  /** Takes the descriptor over. `keepsBounds`: what one send() sends, one recv() gets. */
  constructor(fd: number, keepsBounds: boolean) {
    this.#fd = fd;
    this.#keepsBounds = keepsBounds;
  }

  get fd(): number {
    return this.#fd;
  }

  /**
   * The next message, or of a stream what has arrived, at most `length` bytes. Of a longer message the rest is lost, so by
   * default there is no limit. `false` after `timeout` seconds (ETIMEDOUT; -1: never), when nobody holds the other end any
   * more (ECONNRESET), and when the socket is closed.
   */
  recv(length?: number, timeout = -1): Promise<Buffer | false> {
    const bytesMax = length ?? (this.#keepsBounds ? MESSAGE_BYTES_MAX : STREAM_BYTES);
    if (!Number.isInteger(bytesMax) || bytesMax < 1)
      throw badArgument('length', 'a whole number of bytes above 0', length);
    const ms = millisecondsOf(timeout);
    if (this.#fd === -1) return this.#fail(EBADF);
    if (this.#readers.length === 0) {
      const found = receiveNow(this.#fd, bytesMax);
      if (typeof found !== 'number' && found.length > 0) return this.#succeed(found);
      const error = typeof found === 'number' ? -found : ECONNRESET;
      if (error !== EAGAIN) return this.#fail(error);
    }
    return new Promise((settle) => {
      const reader: Reader = { bytesMax, settle, timer: null };
      if (ms >= 0) reader.timer = setTimeout(() => this.#giveUp(this.#readers, reader), ms);
      this.#readers.push(reader);
      this.#updateWatch();
    });
  }

  /**
   * Sends, in the order of the calls, and waits for room. Answers the number of bytes. `false` when a message is longer
   * than the kernel takes (EMSGSIZE, ENOBUFS; some hundred kB at least, depending on net.core.wmem_max), after `timeout`
   * seconds, when nobody holds the other end any more (EPIPE), and when the socket is closed. Of a stream a part may have
   * been sent by then: its length is answered.
   */
  send(data: string | Uint8Array, timeout = -1): Promise<number | false> {
    const bytes = bytesOf(data);
    const ms = millisecondsOf(timeout);
    if (this.#fd === -1) return this.#fail(EBADF);
    // A message without bytes cannot be told from the end of the pipe.
    if (bytes.length === 0) return this.#fail(EINVAL);
    if (this.#keepsBounds && bytes.length > MESSAGE_BYTES_MAX) return this.#fail(EMSGSIZE);
    let sent = 0;
    if (this.#writers.length === 0) {
      const count = sendNow(this.#fd, bytes);
      if (count === bytes.length) return this.#succeed(count);
      if (count < 0 && count !== -EAGAIN) return this.#fail(-count);
      sent = Math.max(0, count);
    }
    return new Promise((settle) => {
      // The caller may use its bytes again as soon as we return.
      const writer: Writer = { rest: Uint8Array.from(bytes.subarray(sent)), sent, settle, timer: null };
      if (ms >= 0) writer.timer = setTimeout(() => this.#giveUp(this.#writers, writer), ms);
      this.#writers.push(writer);
      this.#updateWatch();
    });
  }

  /** `false` when it was closed already. Whoever waits gets `false`. */
  close(): boolean {
    if (this.#fd === -1) return false;
    this.#watch?.close();
    this.#watch = null;
    closeDescriptor(this.#fd);
    this.#fd = -1;
    this.errCode = ECANCELED;
    for (const waiter of [...this.#readers.splice(0), ...this.#writers.splice(0)]) finish(waiter, false);
    return true;
  }

  #succeed<T>(answer: T): Promise<T> {
    if (++this.#burst < BURST_MAX) return Promise.resolve(answer);
    this.#burst = 0;
    return new Promise((resolve) => setImmediate(() => resolve(answer)));
  }

  #fail(error: number): Promise<false> {
    this.errCode = error;
    // A caller in a loop that does not look at the answer must not stop Node's loop.
    return this.#succeed<false>(false);
  }

  #giveUp<T extends Reader | Writer>(waiters: T[], waiter: T): void {
    const index = waiters.indexOf(waiter);
    if (index === -1) return;
    waiters.splice(index, 1);
    this.errCode = ETIMEDOUT;
    finish(waiter, 'sent' in waiter && waiter.sent > 0 ? waiter.sent : false);
    this.#updateWatch();
  }

  /** The descriptor is watched, and keeps the process alive, exactly while somebody waits. */
  #updateWatch(): void {
    if (this.#watch === null) {
      const watch = DescriptorWatch.open(this.#fd, (readable, writable) => this.#onReady(readable, writable));
      if (typeof watch === 'number') {
        // Out of descriptors, or somebody has closed ours by its number.
        this.errCode = -watch;
        for (const waiter of [...this.#readers.splice(0), ...this.#writers.splice(0)]) finish(waiter, false);
        return;
      }
      this.#watch = watch;
    }
    this.#watch.want(this.#readers.length > 0, this.#writers.length > 0);
  }

  #onReady(readable: boolean, writable: boolean): void {
    if (readable) this.#read();
    if (writable && this.#fd !== -1) this.#write();
    if (this.#fd !== -1) this.#updateWatch();
  }

  #read(): void {
    for (let count = 0; count < BURST_MAX && this.#readers.length > 0; count++) {
      const [reader] = this.#readers;
      const found = receiveNow(this.#fd, reader.bytesMax);
      // Another process was faster.
      if (found === -EAGAIN) return;
      this.#readers.shift();
      const failed = typeof found === 'number' || found.length === 0;
      if (failed) this.errCode = typeof found === 'number' ? -found : ECONNRESET;
      finish(reader, failed ? false : found);
    }
  }

  #write(): void {
    for (let count = 0; count < BURST_MAX && this.#writers.length > 0; count++) {
      const [writer] = this.#writers;
      const taken = sendNow(this.#fd, writer.rest);
      if (taken === -EAGAIN) return;
      if (taken >= 0) {
        writer.sent += taken;
        writer.rest = writer.rest.subarray(taken);
        if (writer.rest.length > 0) return;
      } else this.errCode = -taken;
      this.#writers.shift();
      finish(writer, taken >= 0 ? writer.sent : false);
    }
  }
}

/** Stands for the pipe of another process while a script only repeats: sends nothing, and has nothing to read. */
export class ReplayedPipeSocket extends PipeSocket {
  constructor() {
    super(-1, true);
  }

  override send(data: string | Uint8Array): Promise<number | false> {
    return Promise.resolve(bytesOf(data).length);
  }
}

function finish(waiter: Reader | Writer, answer: Buffer | number | false): void {
  if (waiter.timer !== null) clearTimeout(waiter.timer);
  (waiter.settle as (answer: Buffer | number | false) => void)(answer);
}

export function bytesOf(data: string | Uint8Array): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (isBytes(data)) return data;
  throw badArgument('data', 'a string or a Uint8Array', data);
}

/** -1 where there is no limit, as with every negative number. */
export function millisecondsOf(seconds: number): number {
  if (typeof seconds !== 'number' || Number.isNaN(seconds))
    throw badArgument('timeout', 'a number of seconds', seconds);
  return seconds < 0 ? -1 : Math.min(Math.ceil(seconds * 1000), TIMEOUT_MAX_MS);
}
