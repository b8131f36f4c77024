/**
 * Swoole's timers on Node's. Ids count from 1 in each process; a tick that is late does not pile up; intervals may be
 * longer than the 2^31 - 1 ms that Node can wait at once.
 */
import { describeValue, TswooleError } from '../errors.ts';

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
  handle: NodeJS.Timeout | null;
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
    run: makeRun(id),
    due: now + interval,
    runs: 0,
    round: rounds,
    handle: null,
    removed: false,
  };
  entries.set(id, entry);
  arm(entry);
  return id;
}

function arm(entry: Entry): void {
  const wait = Math.max(0, entry.due - performance.now());
  entry.handle = setTimeout(() => fire(entry), Math.min(wait, WAIT_MAX_MS));
}

function fire(entry: Entry): void {
  const now = performance.now();
  // Part of a long wait, or Node's clock is a fraction of a millisecond early.
  if (entry.due - now >= 1) {
    arm(entry);
    return;
  }
  rounds++;
  entry.runs++;
  if (entry.repeats) {
    // Those that were missed while the process was busy are left out.
    const missed = Math.floor((now - entry.due) / entry.interval);
    entry.due += (Math.max(0, missed) + 1) * entry.interval;
    arm(entry);
  }
  current = entry;
  try {
    entry.run();
  } finally {
    current = null;
    if (entry.removed || !entry.repeats) entries.delete(entry.id);
  }
}

/** Timers of the current process. They die with it. */
export const Timer = {
  /** Calls back every `ms` milliseconds with the timer's id and the arguments. Answers the id, or `false` below 1 ms. */
  tick<Args extends unknown[]>(
    ms: number,
    callback: (timerId: number, ...args: Args) => unknown,
    ...args: Args
  ): number | false {
    return add(ms, true, callback, (id) => () => callback(id, ...args));
  },

  /** Calls back once, after `ms` milliseconds. */
  after<Args extends unknown[]>(ms: number, callback: (...args: Args) => unknown, ...args: Args): number | false {
    return add(ms, false, callback, () => () => callback(...args));
  },

  /** Removes a timer; `false` when there is none of that id. */
  clear(timerId: number): boolean {
    const entry = entries.get(timerId);
    if (entry === undefined || entry.removed) return false;
    if (entry.handle !== null) clearTimeout(entry.handle);
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
