/**
 * Sockets whose connection has ended while the kernel still has bytes for the peer. Closing such a socket with unread
 * input, or with more input to come, makes the kernel send RST, which destroys those bytes on their way. So we only say
 * that we are done (FIN), and close when the peer's side has everything, or takes nothing any more.
 */
import { EAGAIN, EINTR, IPPROTO_TCP, SHUT_WR, TCP_CLOSE, TCP_INFO } from '../sys/constants.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Region } from '../sys/memory.ts';
import { LINGER_CHECK_MS, LINGER_MAX_MS, LINGER_STALL_MS, READ_BYTES } from './limits.ts';

interface Lingerer {
  fd: number;
  unsent: number;
  /** When the peer last took something. */
  progressAt: number;
  since: number;
}

/** Reads that are thrown away before a socket is closed. */
const DISCARDS_MAX = 16;

export class Lingerers {
  private list: Lingerer[] = [];
  private readonly kernel: Kernel;
  private readonly scratch: Region;
  private nextCheck = 0;
  private stalled = 0;

  /** `scratch` is where input is read to that nobody wants. */
  constructor(kernel: Kernel, scratch: Region) {
    this.kernel = kernel;
    this.scratch = scratch;
  }

  get count(): number {
    return this.list.length;
  }

  /** Closes the socket of a connection that has ended, now or as soon as nothing is lost by it. */
  close(fd: number, now: number): void {
    const unsent = this.kernel.unsentBytes(fd);
    if (unsent <= 0 || this.isOver(fd)) {
      this.closeNow(fd);
      return;
    }
    this.kernel.shutdown(fd, SHUT_WR);
    if (this.list.length === 0) this.nextCheck = now + LINGER_CHECK_MS;
    this.list.push({ fd, unsent, progressAt: now, since: now });
  }

  /** Looks after the sockets now and then. Answers how many were closed because their peers took no more. */
  check(now: number): number {
    if (now < this.nextCheck) return 0;
    this.nextCheck = now + LINGER_CHECK_MS;
    this.stalled = 0;
    this.list = this.list.filter((lingerer) => !this.finished(lingerer, now));
    return this.stalled;
  }

  private finished(lingerer: Lingerer, now: number): boolean {
    const unsent = this.kernel.unsentBytes(lingerer.fd);
    if (unsent > 0 && unsent !== lingerer.unsent) {
      lingerer.unsent = unsent;
      lingerer.progressAt = now;
    }
    const stalled = now - lingerer.progressAt > LINGER_STALL_MS || now - lingerer.since > LINGER_MAX_MS;
    if (unsent > 0 && !stalled && !this.peerGone(lingerer.fd)) return false;
    if (unsent > 0 && stalled) this.stalled++;
    this.closeNow(lingerer.fd);
    return true;
  }

  /** Throws away what has come; true when the peer will never take what waits. */
  private peerGone(fd: number): boolean {
    const { kernel } = this;
    for (let i = 0; i < DISCARDS_MAX; i++) {
      const count = kernel.recv(fd, this.scratch.at(0, READ_BYTES), READ_BYTES, 0);
      // The end of its output says nothing about whether it still reads, and behind it recv() does not tell of a reset.
      if (count === 0) return this.isOver(fd);
      if (count < 0) {
        const error = kernel.errno();
        return error !== EAGAIN && error !== EINTR;
      }
    }
    return false;
  }

  /** True exactly when TCP has nothing to do for the socket any more: its peer has reset it, or knows of its end. */
  private isOver(fd: number): boolean {
    // struct tcp_info begins with the state, one byte; other sockets refuse.
    const info = this.kernel.getOption(fd, IPPROTO_TCP, TCP_INFO);
    return info >= 0 && (info & 255) === TCP_CLOSE;
  }

  private closeNow(fd: number): void {
    for (let i = 0; i < DISCARDS_MAX; i++)
      if (this.kernel.recv(fd, this.scratch.at(0, READ_BYTES), READ_BYTES, 0) <= 0) break;
    this.kernel.close(fd);
  }

  closeAll(): void {
    for (const { fd } of this.list) this.kernel.close(fd);
    this.list = [];
  }
}
