/** Each turn of Node's loop, as libuv tells of it. */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { allocateHandle, bindLibuv, defaultLoop, guarded, unrefHandle } from './libuv.ts';

// Numbers of uv_handle_type, which libuv never changes.
const UV_CHECK = 2;
const UV_PREPARE = 9;

interface Hook {
  callback: () => void;
  start(): void;
  stop(): void;
}

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
  const handle = allocateHandle(type);
  const prototype = koffi.pointer(koffi.proto(`void tswoole_${name}(int64 handle)`));
  const init = bindLibuv<(loop: number, handle: number) => number>(`uv_${name}_init`, 'int', ['int64', 'int64']);
  const start = bindLibuv<(handle: number, native: unknown) => number>(`uv_${name}_start`, 'int', ['int64', prototype]);
  const stop = bindLibuv<(handle: number) => number>(`uv_${name}_stop`, 'int', ['int64']);
  const hook: Hook = { callback: () => {}, start: () => start(handle, native), stop: () => stop(handle) };
  const native = koffi.register(
    guarded(() => hook.callback()),
    prototype,
  );
  init(defaultLoop(), handle);
  unrefHandle(handle);
  return hook;
}
