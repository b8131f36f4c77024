/** libuv, as far as we call it: Node's own binary exports what libuv offers to native code. For the main thread alone. */
import koffi from 'koffi';
import { runNextTicks } from './libc.ts';
import { allocate } from './memory.ts';

type N = number;

let library: ReturnType<typeof koffi.load> | null = null;

export function bindLibuv<T extends (...args: never[]) => unknown>(
  name: string,
  result: string,
  args: Parameters<typeof koffi.sizeof>[0][],
): T {
  library ??= koffi.load(null);
  return library.func(name, result, args) as unknown as T;
}

/** Memory for a handle of a type, one of uv_handle_type. Kept for ever, as its region: the loop knows the address. */
export function allocateHandle(type: N): N {
  return allocate(bindLibuv<(type: N) => N>('uv_handle_size', 'int64', ['int'])(type)).address;
}

/** Node's loop. */
export function defaultLoop(): N {
  return bindLibuv<() => N>('uv_default_loop', 'int64', [])();
}

/** The handle does not keep the loop alive. */
export function unrefHandle(handle: N): void {
  bindLibuv<(handle: N) => void>('uv_unref', 'void', ['int64'])(handle);
}

/** What a callback of libuv's has to be. */
export function guarded(callback: () => void): () => void {
  return () => {
    try {
      callback();
    } catch (error) {
      // An error must not end in koffi.
      setImmediate(() => {
        throw error;
      });
    }
    runNextTicks();
  };
}
