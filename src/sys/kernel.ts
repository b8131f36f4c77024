/**
 * What a reactor asks of the kernel, as one record: a test hands it another one, in which calls fail, come short, or find
 * nothing on purpose. A call through the record costs as much as the function itself, within what can be measured.
 *
 * Where nothing else is said, a call answers -1 for a failure, and errno() tells which, if asked at once. Addresses are
 * numbers, as everywhere in this room; memory at them is the caller's.
 */
import { isMainThread } from 'node:worker_threads';
import { monotonicNow } from './clock.ts';
import { collect } from './collect.ts';
import { ESRCH } from './constants.ts';
import { closeFile, openFile, readFilePart } from './file.ts';
import * as libc from './libc.ts';
import { sendSignal } from './process.ts';
import { type SendList, sendEach } from './send-list.ts';
import * as socket from './socket.ts';

export interface Kernel {
  /** Why the last call of this thread failed. */
  errno(): number;
  /** Milliseconds on the monotonic clock (clock.ts). */
  now(): number;
  /** Milliseconds since 1970. */
  wallNow(): number;

  epollCreate1(flags: number): number;
  /** `event` is the address of one struct epoll_event (epoll.ts), or of anything where there is nothing to tell. */
  epollCtl(epoll: number, operation: number, fd: number, event: number): number;
  /** Fills up to `max` structs epoll_event from the address `events` on, and answers how many. */
  epollWait(epoll: number, events: number, max: number, timeoutMs: number): number;

  /** Takes a waiting connection, whose descriptor does not block: answers that, or minus the errno. */
  accept(listener: number): number;
  /** The sockaddr of the peer that accept() took last: family in byte 0, port in 2–3, IPv4 in 4–7, IPv6 in 8–23. */
  readonly peerAddress: Uint8Array;
  recv(fd: number, address: number, length: number, flags: number): number;
  send(fd: number, address: number, length: number, flags: number): number;
  /** Makes all sends of the list, and leaves in it what became of each. */
  sendAll(list: SendList): void;
  /** As send(), for bytes of the JavaScript heap. */
  sendBytes(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  /** Sends from the file's own position, which moves on, when `offset` is 0. */
  sendfile(fd: number, file: number, offset: number, length: number): number;
  /** `headers` is the address of so many structs mmsghdr (datagram.ts). */
  recvmmsg(fd: number, headers: number, count: number, flags: number, timeout: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  /** Answers 0 or an errno. */
  setOption(fd: number, level: number, name: number, value: number): number;
  /** Answers the value, or minus the errno. */
  getOption(fd: number, level: number, name: number): number;
  /** Makes the next close() of the socket send RST and drop what is unsent. */
  resetOnClose(fd: number): void;
  /** How many bytes the peer has not acknowledged yet; negative when that cannot be told. */
  unsentBytes(fd: number): number;

  /**
   * Collects the garbage of a thread that has nothing but sockets: while nothing is to do it would lie there. Takes
   * milliseconds, and what it frees may be free a moment later.
   */
  collectGarbage(): void;
  /** Gives memory that this process has freed back to the kernel. Takes milliseconds. */
  giveMemoryBack(): void;
  /** True exactly when there is no process of this pid. */
  isGone(pid: number): boolean;

  /** Opens a regular file, positioned at `offset`: answers the descriptor, or minus the errno. */
  openFile(path: string, offset: number): number;
  /** Reads from the file's position on: answers how many bytes there were, or minus the errno. */
  readFile(file: number, target: Uint8Array, length: number): number;
  closeFile(file: number): void;
}

/** The kernel that we run on. */
export const linux: Kernel = {
  errno: libc.errno,
  now: monotonicNow,
  wallNow: Date.now,
  epollCreate1: libc.epollCreate1,
  epollCtl: libc.epollCtl,
  epollWait: libc.epollWait,
  accept: socket.acceptFrom,
  peerAddress: socket.peerAddress,
  recv: libc.recv,
  send: libc.send,
  sendAll: (list) => sendEach(libc, list),
  sendBytes: libc.sendBytes,
  sendfile: libc.sendfile,
  recvmmsg: libc.recvmmsg,
  shutdown: libc.shutdown,
  close: libc.close,
  setOption: socket.setOption,
  getOption: socket.getOption,
  resetOnClose: socket.resetOnClose,
  isGone: (pid) => sendSignal(pid, 0) === ESRCH,
  unsentBytes: socket.unsentBytes,
  // The heap of a main thread is the user's: it may be large, and is collected when the user allocates.
  collectGarbage: () => {
    if (!isMainThread) collect('major');
  },
  giveMemoryBack: () => libc.mallocTrim?.(0),
  openFile,
  readFile: readFilePart,
  closeFile,
};
