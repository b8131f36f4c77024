/**
 * Swoole's `Event`: descriptors of any kind in Node's loop. A descriptor is its number, or an object that has one: `fd` of
 * a pipe or listening socket, `pipe` of a Process.
 */
import { fstatSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { SWOOLE_EVENT_READ, SWOOLE_EVENT_WRITE } from '../constants.ts';
import { badArgument } from '../errors.ts';
import { runNextTicks } from '../sys/libc.ts';
import { isBytes } from '../sys/memory.ts';
import { setNonBlocking } from '../sys/socket.ts';
import { onEachTurn } from '../sys/turns.ts';
import { DescriptorWatch } from '../sys/watch.ts';
import { Timer } from './timer.ts';

export type Descriptor = number | { readonly fd: number } | { readonly pipe: number };
/** Gets the descriptor as it was given to Event.add(). */
export type EventCallback = (descriptor: Descriptor) => unknown;

const BOTH = SWOOLE_EVENT_READ | SWOOLE_EVENT_WRITE;

interface Entry {
  readonly fd: number;
  readonly descriptor: Descriptor;
  /** What the number led to when it was added. */
  readonly file: string;
  watch: DescriptorWatch;
  onRead: EventCallback | null;
  onWrite: EventCallback | null;
  flags: number;
  /** What write() could not write yet. */
  readonly output: Uint8Array[];
}

const entries = new Map<number, Entry>();
const cycles: { before: (() => unknown) | null; after: (() => unknown) | null } = { before: null, after: null };

/** The turn that all wait for who have called dispatch() since the last. */
let nextTurn: Promise<true> | null = null;
/** Called when the next turn begins. */
let onBeginning: (() => void) | null = null;
/** True while that is called, with all that it sets off. */
let beginning = false;

export const Event = {
  /**
   * Calls back whenever the descriptor can be read, or written. It becomes non-blocking. `flags`: SWOOLE_EVENT_READ,
   * SWOOLE_EVENT_WRITE or both; by default READ with a read callback, else WRITE. Answers the number of the descriptor;
   * `false` when it is watched already, when a callback is missing, and for what cannot be watched, as files.
   */
  add(
    descriptor: Descriptor,
    read_callback: EventCallback | null = null,
    write_callback: EventCallback | null = null,
    flags?: number,
  ): number | false {
    const fd = numberOf(descriptor);
    checkCallback('read_callback', read_callback);
    checkCallback('write_callback', write_callback);
    const wanted = flagsOf(flags) ?? (read_callback === null ? SWOOLE_EVENT_WRITE : SWOOLE_EVENT_READ);
    if (read_callback === null && write_callback === null) return false;
    if (fd < 0 || wanted === 0 || (fd === 0 && (wanted & SWOOLE_EVENT_WRITE) !== 0)) return false;
    const file = fileOf(fd);
    if (file === null) return false;
    const before = entries.get(fd);
    // The number was closed, and stands for something new.
    if (before !== undefined && before.file !== file) remove(before);
    else if (before !== undefined) return false;
    const watch = DescriptorWatch.open(fd, (readable, writable) => onReady(entry, readable, writable));
    if (typeof watch === 'number') return false;
    const entry: Entry = {
      fd,
      descriptor,
      file,
      watch,
      onRead: read_callback,
      onWrite: write_callback,
      flags: wanted,
      output: [],
    };
    if (!hasCallbacks(entry, wanted)) {
      watch.close();
      return false;
    }
    setNonBlocking(fd, true);
    entries.set(fd, entry);
    update(entry);
    return fd;
  },

  /** Changes callbacks (null: stays as it is) and flags (by default as they are). `false` when it is not watched. */
  set(
    descriptor: Descriptor,
    read_callback: EventCallback | null = null,
    write_callback: EventCallback | null = null,
    flags?: number,
  ): boolean {
    checkCallback('read_callback', read_callback);
    checkCallback('write_callback', write_callback);
    const entry = entries.get(numberOf(descriptor));
    const wanted = flagsOf(flags) ?? entry?.flags ?? 0;
    if (entry === undefined) return false;
    entry.onRead = read_callback ?? entry.onRead;
    entry.onWrite = write_callback ?? entry.onWrite;
    if (!hasCallbacks(entry, wanted)) return false;
    entry.flags = wanted;
    update(entry);
    return true;
  },

  /** True exactly when the descriptor is watched for one of these. */
  isset(descriptor: Descriptor, flags: number = BOTH): boolean {
    const entry = entries.get(numberOf(descriptor));
    return entry !== undefined && (entry.flags & (flagsOf(flags) ?? BOTH)) !== 0;
  },

  /** To be called before the descriptor is closed. What write() has not written yet is dropped. */
  del(descriptor: Descriptor): boolean {
    const entry = entries.get(numberOf(descriptor));
    if (entry === undefined) return false;
    remove(entry);
    return true;
  },

  /** Writes to a descriptor that was added; what does not fit now is written when there is room. */
  write(descriptor: Descriptor, data: string | Uint8Array): boolean {
    if (typeof data !== 'string' && !isBytes(data)) throw badArgument('data', 'a string or a Uint8Array', data);
    const entry = entries.get(numberOf(descriptor));
    if (entry === undefined || data.length === 0) return false;
    if (isStale(entry)) {
      remove(entry);
      return false;
    }
    const bytes = Buffer.from(data);
    entry.output.push(bytes);
    if (entry.output.length === 1 && !flush(entry)) return false;
    update(entry);
    return true;
  },

  /** Calls back at the end of the current turn of the loop, in the order of the calls. */
  defer(callback: () => unknown): boolean {
    if (typeof callback !== 'function') throw badArgument('callback', 'a function', callback);
    setImmediate(() => callback());
    return true;
  },

  /**
   * Calls back in every turn of the loop: at its end, or with `before` at its beginning. One callback for each. null takes
   * the one at the end away: `false` when there was none. Does not keep the process alive.
   */
  cycle(callback: (() => unknown) | null, before = false): boolean {
    checkCallback('callback', callback);
    const when = before ? 'before' : 'after';
    if (callback === null && cycles[when] === null) return false;
    cycles[when] = callback;
    if (before ? lookAtBeginnings() : onEachTurn('after', callback === null ? null : runLast)) return true;
    cycles[when] = null;
    return false;
  },

  /**
   * Resolves after one turn of the loop, which waits for something to happen, unless there is nothing to wait for. (Node's
   * loop needs nobody to run it.)
   */
  dispatch(): Promise<true> {
    nextTurn ??= new Promise((resolve) => {
      const turned = (): void => {
        nextTurn = null;
        process.off('beforeExit', turned);
        clearImmediate(turn);
        whenNextBegins(() => resolve(true));
      };
      const turn = setImmediate(turned);
      // What happens before a turn has begun wakes nobody: who comes then does not wait in this one. (In worker threads
      // nobody knows when that is.)
      if (beginning || !isMainThread) turn.unref();
      process.once('beforeExit', turned);
    });
    return nextTurn;
  },

  /** Resolves when nothing is left to wait for. (Node's loop needs nobody to start it.) */
  wait(): Promise<void> {
    return new Promise((resolve) => process.once('beforeExit', () => resolve()));
  },

  /** Takes everything of `Event` and `Timer` out of the loop. The process ends, unless something else keeps it alive. */
  exit(): void {
    for (const entry of [...entries.values()]) remove(entry);
    Event.cycle(null);
    Event.cycle(null, true);
    Timer.clearAll();
  },
};

/** Calls back when everything of this turn is over, timers too, which come last in one of Node's. Keeps the loop alive. */
function whenNextBegins(callback: () => void): void {
  const alive = setImmediate(callback);
  onBeginning = () => {
    // Or this turn would not wait.
    clearImmediate(alive);
    callback();
  };
  // Elsewhere than in the main thread nobody tells of turns.
  if (!lookAtBeginnings()) onBeginning = null;
}

function lookAtBeginnings(): boolean {
  return onEachTurn('before', cycles.before === null && onBeginning === null ? null : runFirst);
}

function runFirst(): void {
  try {
    cycles.before?.();
  } finally {
    if (onBeginning !== null) begin(onBeginning);
  }
}

function begin(callback: () => void): void {
  onBeginning = null;
  lookAtBeginnings();
  beginning = true;
  try {
    callback();
    runNextTicks();
  } finally {
    beginning = false;
  }
}

/** Behind what was deferred in this turn. Does not keep the loop from waiting. */
function runLast(): void {
  setImmediate(() => cycles.after?.()).unref();
}

function onReady(entry: Entry, readable: boolean, writable: boolean): void {
  if (isStale(entry)) {
    remove(entry);
    return;
  }
  if (writable && entry.output.length > 0 && !flush(entry)) return;
  if (readable && (entry.flags & SWOOLE_EVENT_READ) !== 0) entry.onRead?.(entry.descriptor);
  // The first callback may have taken the entry away.
  const stillWatched = entries.get(entry.fd) === entry;
  if (writable && stillWatched && (entry.flags & SWOOLE_EVENT_WRITE) !== 0) entry.onWrite?.(entry.descriptor);
}

/** False when the descriptor has failed, and is not watched any more. */
function flush(entry: Entry): boolean {
  const { output, fd } = entry;
  try {
    while (output.length > 0) {
      const count = writeSync(fd, output[0]);
      if (count === output[0].length) output.shift();
      else output[0] = output[0].subarray(count);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
      remove(entry);
      return false;
    }
  }
  update(entry);
  return true;
}

function update(entry: Entry): void {
  const { flags, output, watch } = entry;
  watch.want((flags & SWOOLE_EVENT_READ) !== 0, (flags & SWOOLE_EVENT_WRITE) !== 0 || output.length > 0);
}

function remove(entry: Entry): void {
  entries.delete(entry.fd);
  entry.output.length = 0;
  entry.watch.close();
}

/** True exactly when the number was closed since it was added; it may be another file by now. */
function isStale(entry: Entry): boolean {
  return fileOf(entry.fd) !== entry.file;
}

/** Which file, socket or pipe the number stands for; null for none. */
function fileOf(fd: number): string | null {
  try {
    const { dev, ino } = fstatSync(fd);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

function hasCallbacks(entry: Entry, flags: number): boolean {
  if ((flags & SWOOLE_EVENT_READ) !== 0 && entry.onRead === null) return false;
  return (flags & SWOOLE_EVENT_WRITE) === 0 || entry.onWrite !== null;
}

function numberOf(descriptor: Descriptor): number {
  const object = descriptor as { fd?: unknown; pipe?: unknown } | null;
  const fd = typeof object === 'object' && object !== null ? (object.fd ?? object.pipe) : descriptor;
  if (typeof fd === 'number' && Number.isInteger(fd)) return fd;
  throw badArgument('descriptor', 'a number, or an object with fd or pipe', descriptor);
}

function flagsOf(flags: number | undefined): number | undefined {
  if (flags === undefined || flags === null) return undefined;
  if (Number.isInteger(flags)) return flags & BOTH;
  throw badArgument('flags', 'SWOOLE_EVENT_READ, SWOOLE_EVENT_WRITE or both', flags);
}

function checkCallback(key: string, callback: unknown): void {
  if (callback !== null && typeof callback !== 'function') throw badArgument(key, 'a function or null', callback);
}
