/** Descriptors of users in Node's own loop: any descriptor, readable and writable, and safe whatever becomes of it. */
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, F_DUPFD_CLOEXEC } from './constants.ts';
import { must } from './error.ts';
import { close, epollCreate1, epollCtl, errno, fcntl, runNextTicks } from './libc.ts';
import { allocate } from './memory.ts';
import { type Events, Poll } from './poll.ts';

/** Lowest descriptor for copies: out of the way of those that are inherited by number. */
const FIRST_COPY = 16;

/**
 * Watches a copy of the descriptor, for three reasons. libuv bears one poll handle for each descriptor only, and others may
 * have one. A number that is closed under a watch may be another file soon, and libuv would mix them up; the copy stays
 * what it is. And two watches of one socket need not know of each other.
 *
 * What is wanted can be changed at any time. A watch that wants nothing does not keep the process alive.
 */
export class DescriptorWatch {
  private readonly copy: number;
  private readonly callback: (readable: boolean, writable: boolean) => void;
  private poll: Poll | null = null;
  private readable = false;
  private writable = false;
  private closed = false;

  private constructor(copy: number, callback: (readable: boolean, writable: boolean) => void) {
    this.copy = copy;
    this.callback = callback;
  }

  /** Answers the watch, which wants nothing yet, or minus the errno: EBADF, or EPERM for what is always ready (files). */
  static open(fd: number, callback: (readable: boolean, writable: boolean) => void): DescriptorWatch | number {
    const copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_COPY);
    if (copy === -1) return -errno();
    // koffi ends the whole process when it is given a descriptor that epoll does not take.
    const error = tryEpoll(copy);
    if (error !== 0) {
      close(copy);
      return -error;
    }
    return new DescriptorWatch(copy, callback);
  }

  /** Calls back as long as the descriptor is readable, or writable: level triggered. */
  want(readable: boolean, writable: boolean): void {
    if (this.closed || (readable === this.readable && writable === this.writable)) return;
    this.readable = readable;
    this.writable = writable;
    this.arm();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.poll?.close();
    close(this.copy);
  }

  private arm(): void {
    const { readable, writable } = this;
    if (!readable && !writable) this.poll?.stop();
    else if (this.poll === null) this.poll = new Poll(this.copy, { readable, writable }, this.onPoll);
    else this.poll.start({ readable, writable });
  }

  private readonly onPoll = (status: number, events: Events): void => {
    if (this.closed) return;
    const failed = status < 0;
    try {
      // An error of the socket: whoever reads or writes is told of it by the kernel.
      this.callback(this.readable && (failed || events.readable), this.writable && (failed || events.writable));
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
    }
    // libuv has stopped polling then.
    if (failed && !this.closed) setImmediate(() => this.closed || this.arm());
    // koffi calls from outside of Node's callback scope: see watchReadable.
    runNextTicks();
  };
}

const event = allocate(16);
let probe = -1;

/** 0, or the errno with which epoll refuses the descriptor. */
function tryEpoll(fd: number): number {
  if (probe === -1) probe = must('epoll_create1', epollCreate1(EPOLL_CLOEXEC));
  if (epollCtl(probe, EPOLL_CTL_ADD, fd, event.address) === -1) return errno();
  epollCtl(probe, EPOLL_CTL_DEL, fd, event.address);
  return 0;
}
