/** Each turn of Node's loop, as libuv tells of it. */
import { isMainThread } from 'node:worker_threads';
import { type LoopHandle, makeLoopHandle } from './libuv.ts';

// Numbers of uv_handle_type, which libuv never changes.
const UV_CHECK = 2;
const UV_PREPARE = 9;

const hooks: { before: LoopHandle | null; after: LoopHandle | null } = { before: null, after: null };

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
  hooks[when] ??= when === 'before' ? makeLoopHandle('prepare', UV_PREPARE) : makeLoopHandle('check', UV_CHECK);
  hooks[when].callback = callback;
  hooks[when].start();
  return true;
}
