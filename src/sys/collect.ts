/** Asks V8 to collect garbage, where its own judgement of when that is due is wrong. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { type: 'minor' | 'major' }) => void;

let found: Collect | null = null;

/** `minor`: what has become garbage young, a fifth of a millisecond; `major`: all, milliseconds. */
export function collect(type: 'minor' | 'major'): void {
  found ??= find();
  found({ type });
}

/** The function that --expose-gc makes global, without making it global. */
function find(): Collect {
  // Then the user wants the flag to stay as it is.
  if (globalThis.gc !== undefined) return globalThis.gc as Collect;
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  return gc;
}
