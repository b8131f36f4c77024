/** Each turn of Node's loop, as libuv tells of it: Node's own binary exports what libuv offers to native code. */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { runNextTicks } from './libc.ts';
import { allocate } from './memory.ts';

// Numbers of uv_handle_type, which libuv never changes.
const UV_CHECK = 2;
const UV_PREPARE = 9;

interface Hook {
  callback: () => void;
  start(): void;
  stop(): void;
}

let library: ReturnType<typeof koffi.load> | null = null;
const hooks: { before: Hook | null; after: Hook | null } = { before: null, after: null };

/**
 * Calls back in every turn of the loop: before it waits for events, or after. One callback for each; null takes it away.
 * Does not keep the process alive. Answers false in worker threads, whose loop we do not know.
 */
export function onEachTurn(when: 'before' | 'after', callback: (() => void) | null): boolean {
  if (!isMainThread) return false;
  if (callback === null) {
    hooks[when]?.stop();
    return true;
  }
  hooks[when] ??= when === 'before' ? makeHook('prepare', UV_PREPARE) : makeHook('check', UV_CHECK);
  hooks[when].callback = callback;
  hooks[when].start();
  return true;
}

function makeHook(name: string, type: number): Hook {
  library ??= koffi.load(null);
  const loop = library.func('uv_default_loop', 'int64', [])() as number;
  const bytes = library.func('uv_handle_size', 'int64', ['int'])(type) as number;
  // Kept for ever, as its region: the loop knows the address.
  const handle = allocate(bytes).address;
  const prototype = koffi.pointer(koffi.proto(`void tswoole_${name}(int64 handle)`));
  const init = library.func(`uv_${name}_init`, 'int', ['int64', 'int64']);
  const start = library.func(`uv_${name}_start`, 'int', ['int64', prototype]);
  const stop = library.func(`uv_${name}_stop`, 'int', ['int64']);
  const hook: Hook = { callback: () => {}, start: () => start(handle, native), stop: () => stop(handle) };
  const native = koffi.register(() => {
    try {
      hook.callback();
    } catch (error) {
      // An error must not end in koffi.
      setImmediate(() => {
        throw error;
      });
    }
    runNextTicks();
  }, prototype);
  init(loop, handle);
  library.func('uv_unref', 'void', ['int64'])(handle);
  return hook;
}
