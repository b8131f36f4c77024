/** The pipe of a `Process`: two ends, of which this process holds one. */
import { badArgument } from '../errors.ts';
import { EAGAIN, EBADF, EINVAL, SHUT_RD, SHUT_WR, SOCK_SEQPACKET, SOCK_STREAM } from '../sys/constants.ts';
import { SystemError } from '../sys/error.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { duplicate, openSocketPair, sendNow, shutdownSocket, waitWritable } from '../sys/socket-pair.ts';
import type { ProcessFailure } from './failure.ts';
import { bytesOf, millisecondsOf, PipeSocket, ReplayedPipeSocket } from './pipe-socket.ts';
import { isReplaying } from './replay.ts';

/** What close() closes. */
export const PIPE_MASTER = 1;
export const PIPE_WORKER = 2;
export const PIPE_READ = 3;
export const PIPE_WRITE = 4;

export const PIPE_NONE = 0;
export const PIPE_BYTES = 1;
export const PIPE_MESSAGES = 2;

/** What read() reads of a stream. */
const READ_BYTES = 8192;

/** Two descriptors of this process. */
export interface PipeEnds {
  parent: number;
  child: number;
}

export class ProcessPipe {
  /** PIPE_NONE, PIPE_BYTES or PIPE_MESSAGES. */
  readonly type: number;
  /** How many seconds read() and write() wait; -1: as long as it takes. */
  timeout = -1;
  blocking = true;
  private readonly failure: ProcessFailure;
  /** Our end, and a second descriptor of it that exportSocket() gave away. */
  private own: PipeSocket | null = null;
  private exported: PipeSocket | null = null;
  /** Whether ours is the child's. */
  private isInChild = false;
  /** The other end, until the child has it. */
  private childEnd = -1;
  /** There is no end here any more, and none will be made. */
  private isClosed = false;

  constructor(type: number, failure: ProcessFailure) {
    this.type = type;
    this.failure = failure;
  }

  /** Our end, made when it is first asked for; null without one. */
  end(): PipeSocket | null {
    if (this.own !== null && this.own.fd !== -1) return this.own;
    if (this.type === PIPE_NONE || this.isClosed || isReplaying()) return null;
    const { parent, child } = this.create();
    this.childEnd = child;
    this.own = this.socketOf(parent);
    return this.own;
  }

  /** Both ends, closed on exec, which this object does not keep. Throws a SystemError when the kernel refuses. */
  create(): PipeEnds {
    // Messages keep their bounds on SOCK_SEQPACKET as on Swoole's SOCK_DGRAM, and only the former tells of the other end's end.
    const pair = openSocketPair(this.type === PIPE_MESSAGES ? SOCK_SEQPACKET : SOCK_STREAM);
    if (typeof pair === 'number') throw new SystemError('socketpair', -pair);
    return { parent: pair[0], child: pair[1] };
  }

  /** Takes the descriptor over as our end, in place of the one before; -1: there is none. */
  attach(fd: number, isInChild: boolean): void {
    this.own?.close();
    this.exported?.close();
    this.closeChildEnd();
    this.own = fd === -1 ? null : this.socketOf(fd);
    this.isInChild = isInChild;
    this.isClosed = fd === -1;
  }

  /** None is made here: others hold the ends, as the server or our parent. */
  leaveToOthers(): void {
    this.isClosed = true;
  }

  /** The end for the child that starts next; null without a pipe. Each child has a pipe of its own. */
  endForChild(): number | null {
    if (this.own !== null && this.childEnd === -1 && !this.isClosed) {
      this.own.close();
      this.exported?.close();
      this.own = null;
    }
    return this.end() === null ? null : this.childEnd;
  }

  closeChildEnd(): boolean {
    if (this.childEnd === -1) return false;
    closeDescriptor(this.childEnd);
    this.childEnd = -1;
    return true;
  }

  write(data: string | Uint8Array): number | false {
    const bytes = bytesOf(data);
    if (bytes.length === 0) return this.failure.refuse(EINVAL, 'there is nothing to write');
    if (isReplaying()) return bytes.length;
    const pipe = this.end();
    if (pipe === null) return this.failure.refuse(EBADF, 'there is no pipe to write to');
    const deadline = performance.now() + millisecondsOf(this.timeout);
    let sent = 0;
    for (;;) {
      const count = sendNow(pipe.fd, sent === 0 ? bytes : bytes.subarray(sent));
      if (count >= 0) sent += count;
      if (sent === bytes.length) return sent;
      if (count >= 0) continue;
      const error = count === -EAGAIN && this.blocking ? this.waitForRoom(pipe, deadline) : -count;
      if (error === 0) continue;
      this.failure.fail(error);
      return sent > 0 ? sent : false;
    }
  }

  private waitForRoom(pipe: PipeSocket, deadline: number): number {
    return waitWritable(pipe.fd, this.timeout < 0 ? -1 : Math.max(0, deadline - performance.now()));
  }

  async read(size?: number): Promise<Buffer | false> {
    if (isReplaying()) return false;
    const pipe = this.end();
    if (pipe === null) return this.failure.refuse(EBADF, 'there is no pipe to read from');
    const bytesMax = size ?? (this.type === PIPE_BYTES ? READ_BYTES : undefined);
    const found = await pipe.recv(bytesMax, this.blocking ? this.timeout : 0);
    return found === false ? this.failure.fail(pipe.errCode) : found;
  }

  export(): PipeSocket | false {
    if (this.exported !== null && this.exported.fd !== -1) return this.exported;
    if (isReplaying() && this.type !== PIPE_NONE) {
      this.exported ??= new ReplayedPipeSocket();
      return this.exported;
    }
    const pipe = this.end();
    if (pipe === null) return this.failure.refuse(EBADF, 'there is no pipe to export');
    const copy = duplicate(pipe.fd);
    if (copy < 0) return this.failure.fail(-copy);
    this.exported = this.socketOf(copy);
    return this.exported;
  }

  close(which: number): boolean {
    if (![0, PIPE_MASTER, PIPE_WORKER, PIPE_READ, PIPE_WRITE].includes(which))
      throw badArgument('which', '0 or one of Process.PIPE_*', which);
    if (isReplaying()) return true;
    const pipe = this.end();
    if (pipe === null) return this.failure.refuse(EBADF, 'there is no pipe to close');
    if (which === PIPE_READ || which === PIPE_WRITE) {
      const error = shutdownSocket(pipe.fd, which === PIPE_READ ? SHUT_RD : SHUT_WR);
      return error === 0 ? true : this.failure.fail(error);
    }
    const ours = this.isInChild ? PIPE_WORKER : PIPE_MASTER;
    if (which !== 0 && which !== ours) return this.closeChildEnd() ? true : this.failure.fail(EBADF);
    if (which === 0) this.closeChildEnd();
    this.isClosed = true;
    pipe.close();
    return true;
  }

  private socketOf(fd: number): PipeSocket {
    return new PipeSocket(fd, this.type === PIPE_MESSAGES);
  }
}
