/** Pairs of Unix sockets between related processes, and reading and writing them without waiting. Failures are errnos. */
import {
  AF_UNIX,
  EINTR,
  ETIMEDOUT,
  F_DUPFD_CLOEXEC,
  F_SETFD,
  FD_CLOEXEC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  POLLIN,
  POLLOUT,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOL_SOCKET,
} from './constants.ts';
import * as libc from './libc.ts';
import { allocate, copyBytes, type Region } from './memory.ts';
import { setOption } from './socket.ts';

/** As much as Swoole asks for its pipes. The kernel gives less where net.core.wmem_max is less. */
const PIPE_BUFFER_BYTES = 8 * 1024 * 1024;
/**
 * The kernel doubles what is asked for, and a message may be as long as the whole buffer. With room for that no message is
 * ever cut. Memory that no message touches costs nothing.
 */
export const MESSAGE_BYTES_MAX = 2 * PIPE_BUFFER_BYTES;
/** Room for the two descriptors of socketpair() and for one struct pollfd: fd i32, events i16, happened i16. */
const scratch = allocate(16);
const POLL_WORD = 2;
let received: Region | null = null;

/** Two connected sockets, closed on exec: `[one, other]`, or minus the errno. */
export function openSocketPair(type: number): [number, number] | number {
  if (libc.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, scratch.address) === -1) return -libc.errno();
  const pair: [number, number] = [scratch.i32[0], scratch.i32[1]];
  for (const fd of pair) {
    setOption(fd, SOL_SOCKET, SO_SNDBUF, PIPE_BUFFER_BYTES);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, PIPE_BUFFER_BYTES);
  }
  return pair;
}

/** Takes what there is, one message at most: a copy, or minus the errno. Of a longer message the rest is lost. */
export function receiveNow(fd: number, bytesMax: number): Buffer | number {
  received ??= allocate(MESSAGE_BYTES_MAX);
  const most = Math.min(bytesMax, MESSAGE_BYTES_MAX);
  for (;;) {
    const length = libc.recv(fd, received.address, most, MSG_DONTWAIT);
    if (length >= 0) return copyBytes(received.u8, 0, length);
    const error = libc.errno();
    if (error !== EINTR) return -error;
  }
}

/** How many bytes the kernel has taken, or minus the errno. Never SIGPIPE. */
export function sendNow(fd: number, bytes: Uint8Array): number {
  for (;;) {
    const count = libc.sendBytes(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) return count;
    const error = libc.errno();
    if (error !== EINTR) return -error;
  }
}

/** Holds the whole process until the descriptor is writable: 0 or an errno. -1: as long as it takes. */
export function waitWritable(fd: number, timeoutMs: number): number {
  return wait(fd, POLLOUT, timeoutMs);
}

/** The same until it is readable. */
export function waitReadable(fd: number, timeoutMs: number): number {
  return wait(fd, POLLIN, timeoutMs);
}

function wait(fd: number, events: number, timeoutMs: number): number {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    scratch.i32[POLL_WORD] = fd;
    scratch.i32[POLL_WORD + 1] = events;
    const left = timeoutMs < 0 ? -1 : Math.max(0, Math.ceil(deadline - performance.now()));
    const count = libc.poll(scratch.address + 4 * POLL_WORD, 1, Math.min(left, 2 ** 31 - 1));
    if (count > 0) return 0;
    if (count === 0) return ETIMEDOUT;
    const error = libc.errno();
    if (error !== EINTR) return error;
  }
}

/** The same socket under another number, closed on exec; or minus the errno. */
export function duplicate(fd: number): number {
  const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy === -1 ? -libc.errno() : copy;
}

/** Programs that this process starts do not get the descriptor. */
export function closeOnExec(fd: number): void {
  libc.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/** Standard input, output and error of this process become the socket: 0 or an errno. */
export function becomeStandard(fd: number): number {
  for (const standard of [0, 1, 2]) if (fd !== standard && libc.dup3(fd, standard, 0) === -1) return libc.errno();
  return 0;
}

/** 0 or an errno. */
export function shutdownSocket(fd: number, how: number): number {
  return libc.shutdown(fd, how) === -1 ? libc.errno() : 0;
}
