/**
 * Sockets whose connection has ended while the kernel still has bytes for the peer. Closing such a socket with unread
 * input, or with more input to come, makes the kernel send RST, which destroys those bytes on their way. So we only say
 * that we are done (FIN), and close when the peer's side has everything, or takes nothing any more.
 */
import { EAGAIN, SHUT_WR } from '../sys/constants.ts';
import { errno, recv, shutdown } from '../sys/libc.ts';
import type { Region } from '../sys/memory.ts';
import { closeDescriptor, isTcpOver, unsentBytes } from '../sys/socket.ts';
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
  private readonly scratch: Region;
  private nextCheck = 0;

  /** `scratch` is where input is read to that nobody wants. */
  constructor(scratch: Region) {
    this.scratch = scratch;
  }

  get count(): number {
    return this.list.length;
  }

  /** Closes the socket of a connection that has ended, now or as soon as nothing is lost by it. */
  close(fd: number, now: number): void {
    const unsent = unsentBytes(fd);
    if (unsent <= 0 || isTcpOver(fd)) {
      this.closeNow(fd);
      return;
    }
    shutdown(fd, SHUT_WR);
    if (this.list.length === 0) this.nextCheck = now + LINGER_CHECK_MS;
    this.list.push({ fd, unsent, progressAt: now, since: now });
  }

  /** Looks after the sockets now and then. */
  check(now: number): void {
    if (now < this.nextCheck) return;
    this.nextCheck = now + LINGER_CHECK_MS;
    this.list = this.list.filter((lingerer) => !this.finished(lingerer, now));
  }

  private finished(lingerer: Lingerer, now: number): boolean {
    const unsent = unsentBytes(lingerer.fd);
    if (unsent > 0 && unsent !== lingerer.unsent) {
      lingerer.unsent = unsent;
      lingerer.progressAt = now;
    }
    const stalled = now - lingerer.progressAt > LINGER_STALL_MS || now - lingerer.since > LINGER_MAX_MS;
    if (unsent > 0 && !stalled && !this.peerGone(lingerer.fd)) return false;
    this.closeNow(lingerer.fd);
    return true;
  }

  /** Throws away what has come; true when the peer will never take what waits. */
  private peerGone(fd: number): boolean {
    for (let i = 0; i < DISCARDS_MAX; i++) {
      const count = recv(fd, this.scratch.address, READ_BYTES, 0);
      // The end of its output says nothing about whether it still reads, and behind it recv() does not tell of a reset.
      if (count === 0) return isTcpOver(fd);
      if (count < 0) return errno() !== EAGAIN;
    }
    return false;
  }

  private closeNow(fd: number): void {
    for (let i = 0; i < DISCARDS_MAX; i++) if (recv(fd, this.scratch.address, READ_BYTES, 0) <= 0) break;
    closeDescriptor(fd);
  }

  closeAll(): void {
    for (const { fd } of this.list) closeDescriptor(fd);
    this.list = [];
  }
}
