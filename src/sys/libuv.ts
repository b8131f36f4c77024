/** Handles of libuv's: Node's own binary exports what libuv offers to native code. For the main thread alone. */
import koffi from 'koffi';
import { runAsNode } from './libc.ts';
import { allocate } from './memory.ts';

type N = number;

export interface LoopHandle {
  callback: () => void;
  start(): void;
  stop(): void;
}

/**
 * A handle of Node's loop by the name of its functions, as `prepare` or `signal`, and its number in uv_handle_type. It does
 * not keep the loop alive. Some are started with further numbers, which libuv hands to the callback as well.
 */
export function makeLoopHandle(name: string, type: N, ...startNumbers: N[]): LoopHandle {
  const library = koffi.load(null);
  const numbers = startNumbers.map((_, index) => `, int n${index}`).join('');
  const prototype = koffi.pointer(koffi.proto(`void tswoole_${name}(int64 handle${numbers})`));
  const loop = library.func('uv_default_loop', 'int64', [])() as N;
  const bytes = library.func('uv_handle_size', 'int64', ['int'])(type) as N;
  // Kept for ever, as its region: the loop knows the address.
  const handle = allocate(bytes).address;
  const start = library.func(`uv_${name}_start`, 'int', ['int64', prototype, ...startNumbers.map(() => 'int')]);
  const stop = library.func(`uv_${name}_stop`, 'int', ['int64']);
  const made: LoopHandle = {
    callback: () => {},
    start: () => start(handle, native, ...startNumbers),
    stop: () => stop(handle),
  };
  const native = koffi.register(() => runAsNode(made.callback), prototype);
  library.func(`uv_${name}_init`, 'int', ['int64', 'int64'])(loop, handle);
  library.func('uv_unref', 'void', ['int64'])(handle);
  return made;
}
