import { EFD_CLOEXEC, F_GETFD, SA_RESTART, SIGRTMIN } from './constants.ts';
import { clearEventfd, createEventfd } from './eventfd.ts';
import { close, dup3, fcntl, functionAddress, sigaction, type Watch, watchReadable } from './libc.ts';
import { allocate } from './memory.ts';

/** The handler cannot be taken away as long as signals may come: the eventfd stays, for the next server of this process. */
let placed = false;

/**
 * Node offers no real-time signals. The kernel calls a handler with the signal's number as its first argument, and libc's
 * eventfd_write(fd, value) takes a descriptor first: so with an eventfd at descriptor 34, eventfd_write itself is the
 * handler of signal 34. It is async-signal-safe, needs no code of ours in signal context, and Node's loop watches the
 * eventfd. Answers null when something else holds descriptor 34 already; SIGWINCH then remains for reopening logs.
 */
export function onSigrtmin(callback: () => void): Watch | null {
  placed ||= handleByEventfd();
  if (!placed) return null;
  return watchReadable(SIGRTMIN, () => {
    clearEventfd(SIGRTMIN);
    callback();
  });
}

function handleByEventfd(): boolean {
  if (fcntl(SIGRTMIN, F_GETFD, 0) !== -1) return false;
  const source = createEventfd();
  const target = dup3(source, SIGRTMIN, EFD_CLOEXEC);
  close(source);
  if (target === -1) return false;

  // struct sigaction: handler u64, then on glibc a mask of 128 bytes, flags i32, restorer u64.
  const action = allocate(4096);
  const handler = functionAddress('eventfd_write');
  action.i32[0] = handler | 0;
  action.i32[1] = Math.floor(handler / 2 ** 32);
  action.i32[34] = SA_RESTART;
  return sigaction(SIGRTMIN, action.address, 0) !== -1;
}

/** What the kernel does with a signal when the program says nothing. */
export function resetSignal(signal: number): void {
  setDisposition(signal, 0);
}

export function ignoreSignal(signal: number): void {
  setDisposition(signal, 1);
}

/** SIG_DFL is the address 0, SIG_IGN the address 1. */
function setDisposition(signal: number, handler: number): void {
  const action = allocate(4096);
  action.i32[0] = handler;
  sigaction(signal, action.address, 0);
}
