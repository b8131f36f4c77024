/** The file of counters. */
import { type RootKeys, workerPath } from './paths.ts';
import { type Checked, filled, I32_MAX, type Rows, text, whole } from './row.ts';

export interface StatsKeys {
  /** File that worker 0 writes `stats()` to: `.json` or lines of `key: value`. @default none */
  stats_file?: string;
  /** Milliseconds between two writes of stats_file. @default 1000 */
  stats_timer_interval?: number;
}

export const STATS_ROWS = {
  stats_file: text(),
  stats_timer_interval: whole({ min: 1, max: I32_MAX, default: 1000 }),
} satisfies Rows<StatsKeys>;

export interface StatsSlice {
  statsFile: string | null;
  statsTimerIntervalMs: number;
}

export function resolveStats(values: Checked<StatsKeys & RootKeys>): StatsSlice {
  const set = filled(STATS_ROWS, values);
  return {
    statsFile: set.stats_file ? workerPath(set.stats_file, values) : null,
    statsTimerIntervalMs: set.stats_timer_interval,
  };
}
