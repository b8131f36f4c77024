/**
 * Swoole's timers on one of Node's, which waits for the next. Ids count from 1 in each process; timers run in the order in
 * which they are due, as Node's own of different lengths do not; a tick that is late does not pile up; intervals may be
 * longer than the 2^31 - 1 ms that Node can wait at once.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { describeValue, TswooleError } from '../errors.ts';
import { runNextTicks } from '../sys/libc.ts';
import { asFunction, type MethodOf } from './method.ts';

/** Node fires at once when asked to wait longer. */
const WAIT_MAX_MS = 2 ** 31 - 1;

interface Entry {
  readonly id: number;
  readonly interval: number;
  readonly repeats: boolean;
  readonly run: () => unknown;
  /** When it is due, on the clock of performance.now(). */
  due: number;
  runs: number;
  /** The value of `rounds` when it was added. */
  readonly round: number;
  /** Its place in the queue, or -1. */
  place: number;
  /** Cleared by its own callback, during which it is still known. */
  removed: boolean;
}

/** What `Timer.info` tells of a timer. */
export interface TimerInfo {
  /** Milliseconds from the first timer of the process until it is due. */
  exec_msec: number;
  exec_count: number;
  interval: number;
  round: number;
  removed: boolean;
}

export interface TimerStats {
  initialized: boolean;
  num: number;
  round: number;
}

const entries = new Map<number, Entry>();
/** A heap: none is due before its parent at (place - 1) / 2. */
const queue: Entry[] = [];
let handle: NodeJS.Timeout | null = null;
/** When the handle is due; Infinity without one. */
let handleDue = Number.POSITIVE_INFINITY;
/** True while callbacks run: what they add and clear is looked at once, afterwards. */
let running = false;
let lastId = 0;
/** When the first timer was added, on the clock of performance.now(). */
let began = 0;
/** The one whose callback runs. It counts as a timer until that has returned. */
let current: Entry | null = null;
/** How many timers have fired: what Swoole counts in turns of its loop. */
let rounds = 0;

function add(ms: number, repeats: boolean, callback: unknown, makeRun: (id: number) => () => unknown): number | false {
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    throw new TswooleError(
      'ERR_ARGUMENT',
      `a timer's time must be a number of milliseconds, got ${describeValue(ms)}`,
      { key: 'ms' },
    );
  }
  if (typeof callback !== 'function') {
    throw new TswooleError('ERR_ARGUMENT', `a timer's callback must be a function, got ${describeValue(callback)}`, {
      key: 'callback',
    });
  }
  if (ms < 1) return false;
  const now = performance.now();
  if (lastId === 0) began = now;
  const id = ++lastId;
  const interval = Math.floor(ms);
  const entry: Entry = {
    id,
    interval,
    repeats,
    run: AsyncLocalStorage.bind(makeRun(id)),
    due: now + interval,
    runs: 0,
    round: rounds,
    place: -1,
    removed: false,
  };
  entries.set(id, entry);
  rise(entry, queue.length);
  arm();
  return id;
}

function put(entry: Entry, place: number): void {
  queue[place] = entry;
  entry.place = place;
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.due < b.due || (a.due === b.due && a.id < b.id);
}

function rise(entry: Entry, from: number): void {
  let place = from;
  while (place > 0) {
    const parent = (place - 1) >> 1;
    if (!isBefore(entry, queue[parent])) break;
    put(queue[parent], place);
    place = parent;
  }
  put(entry, place);
}

function sink(entry: Entry, from: number): void {
  let place = from;
  for (;;) {
    let child = 2 * place + 1;
    if (child + 1 < queue.length && isBefore(queue[child + 1], queue[child])) child++;
    if (child >= queue.length || !isBefore(queue[child], entry)) break;
    put(queue[child], place);
    place = child;
  }
  put(entry, place);
}

function leave(entry: Entry): void {
  const { place } = entry;
  if (place === -1) return;
  entry.place = -1;
  const last = queue.pop() as Entry;
  if (last === entry) return;
  if (isBefore(last, entry)) rise(last, place);
  else sink(last, place);
}

/** Waits for the next one. */
function arm(): void {
  if (running) return;
  const due = queue.length === 0 ? Number.POSITIVE_INFINITY : queue[0].due;
  if (due === handleDue) return;
  handleDue = due;
  if (handle !== null) clearTimeout(handle);
  handle = queue.length === 0 ? null : setTimeout(runDue, Math.min(Math.max(0, due - performance.now()), WAIT_MAX_MS));
}

/** Node's clock is a fraction of a millisecond early. Nothing may be due yet after a part of a long wait. */
function runDue(): void {
  handle = null;
  handleDue = Number.POSITIVE_INFINITY;
  const now = performance.now();
  running = true;
  try {
    while (queue.length > 0 && queue[0].due - now < 1) {
      fire(queue[0], now);
      // As between two timers of Node's.
      runNextTicks();
    }
  } finally {
    running = false;
    arm();
  }
}

function fire(entry: Entry, now: number): void {
  rounds++;
  entry.runs++;
  leave(entry);
  if (entry.repeats) {
    // Those that were missed while the process was busy are left out.
    const missed = Math.floor((now - entry.due) / entry.interval);
    entry.due += (Math.max(0, missed) + 1) * entry.interval;
    rise(entry, queue.length);
  }
  current = entry;
  try {
    entry.run();
  } finally {
    current = null;
    if (entry.removed || !entry.repeats) entries.delete(entry.id);
  }
}

/** Of tick(). */
export type TickCallback<Args extends unknown[]> = (timerId: number, ...args: Args) => unknown;
/** Of after(). */
export type AfterCallback<Args extends unknown[]> = (...args: Args) => unknown;

/** Timers of the current process. They die with it. */
export const Timer = {
  /** Calls back every `ms` milliseconds with the timer's id and the arguments. Answers the id, or `false` below 1 ms. */
  tick<Args extends unknown[], Method extends string = never>(
    ms: number,
    callback: TickCallback<Args> | MethodOf<TickCallback<Args>, Method>,
    ...args: Args
  ): number | false {
    const call = asFunction(callback) as TickCallback<Args>;
    return add(ms, true, call, (id) => () => call(id, ...args));
  },

  /** Calls back once, after `ms` milliseconds. */
  after<Args extends unknown[], Method extends string = never>(
    ms: number,
    callback: AfterCallback<Args> | MethodOf<AfterCallback<Args>, Method>,
    ...args: Args
  ): number | false {
    const call = asFunction(callback) as AfterCallback<Args>;
    return add(ms, false, call, () => () => call(...args));
  },

  /** Removes a timer; `false` when there is none of that id. Takes what `tick` and `after` answer, `false` too. */
  clear(timerId: number | false): boolean {
    if (timerId === false) return false;
    const entry = entries.get(timerId);
    if (entry === undefined || entry.removed) return false;
    leave(entry);
    arm();
    entry.removed = true;
    if (entry !== current) entries.delete(timerId);
    return true;
  },

  /** Removes all timers of this process. */
  clearAll(): boolean {
    for (const id of [...entries.keys()]) Timer.clear(id);
    return true;
  },

  exists(timerId: number): boolean {
    return entries.get(timerId)?.removed === false;
  },

  info(timerId: number): TimerInfo | null {
    const entry = entries.get(timerId);
    if (entry === undefined) return null;
    return {
      exec_msec: Math.round(entry.due - began),
      exec_count: entry.runs,
      interval: entry.repeats ? entry.interval : 0,
      round: entry.round,
      removed: entry.removed,
    };
  },

  /** The ids of all timers of this process. */
  list(): IterableIterator<number> {
    return [...entries.keys()].values();
  },

  stats(): TimerStats {
    return { initialized: lastId > 0, num: entries.size, round: rounds };
  },
};
