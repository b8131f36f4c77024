import koffi from 'koffi';
import { SIGRTMIN } from './constants.ts';
import { sigaction } from './libc.ts';
import { allocateHandle, bindLibuv, defaultLoop, guarded, unrefHandle } from './libuv.ts';
import { allocate } from './memory.ts';

/** Of uv_handle_type, which libuv never changes. */
const UV_SIGNAL = 16;

interface SignalWatch {
  callback: () => void;
  start(): void;
  stop(): void;
}

let realtime: SignalWatch | null = null;

/**
 * Node offers no real-time signals; libuv knows them all. One callback; does not keep the process alive. For the main
 * thread.
 */
export function onSigrtmin(callback: () => void): { close(): void } {
  realtime ??= watchSignal(SIGRTMIN);
  const watch = realtime;
  watch.callback = callback;
  watch.start();
  return { close: () => watch.stop() };
}

function watchSignal(signal: number): SignalWatch {
  const handle = allocateHandle(UV_SIGNAL);
  const prototype = koffi.pointer(koffi.proto('void tswoole_signal(int64 handle, int signal)'));
  const init = bindLibuv<(loop: number, handle: number) => number>('uv_signal_init', 'int', ['int64', 'int64']);
  const start = bindLibuv<(handle: number, native: unknown, signal: number) => number>('uv_signal_start', 'int', [
    'int64',
    prototype,
    'int',
  ]);
  const stop = bindLibuv<(handle: number) => number>('uv_signal_stop', 'int', ['int64']);
  const watch: SignalWatch = {
    callback: () => {},
    start: () => start(handle, native, signal),
    stop: () => stop(handle),
  };
  const native = koffi.register(
    guarded(() => watch.callback()),
    prototype,
  );
  init(defaultLoop(), handle);
  unrefHandle(handle);
  return watch;
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
