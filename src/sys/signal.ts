import { SIGRTMIN } from './constants.ts';
import { sigaction } from './libc.ts';
import { type LoopHandle, makeLoopHandle } from './libuv.ts';
import { allocate } from './memory.ts';

/** Of uv_handle_type, which libuv never changes. */
const UV_SIGNAL = 16;

let realtime: LoopHandle | null = null;

/**
 * Node offers no real-time signals; libuv knows them all. One callback; does not keep the process alive. For the main
 * thread.
 */
export function onSigrtmin(callback: () => void): { close(): void } {
  realtime ??= makeLoopHandle('signal', UV_SIGNAL, SIGRTMIN);
  const handle = realtime;
  handle.callback = callback;
  handle.start();
  return { close: () => handle.stop() };
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
