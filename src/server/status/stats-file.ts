import { renameSync, writeFileSync } from 'node:fs';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import { readStats } from '../../shm/stats.ts';
import type { ServerCore } from '../state/core.ts';

/** With `stats_file`, worker 0 writes the counters to it again and again. Readers always find a whole file. */
export function keepStatsFile(core: ServerCore): void {
  const { statsFile, statsTimerIntervalMs } = core.settings!;
  if (statsFile === null || core.workerId !== 0) return;
  const { segment, lane } = core.runtime!;
  const write = (): void => {
    const stats = readStats(segment, lane);
    const lines = Object.entries(stats).map(([key, value]) => `${key}: ${value}\n`);
    const text = /\.(json|php)$/.test(statsFile) ? `${JSON.stringify(stats)}\n` : lines.join('');
    try {
      const fresh = `${statsFile}.${process.pid}`;
      writeFileSync(fresh, text);
      renameSync(fresh, statsFile);
    } catch (error) {
      core.logger.once('stats_file', SWOOLE_LOG_WARNING, `cannot write stats_file: ${(error as Error).message}`);
    }
  };
  write();
  const timer = setInterval(
    () => {
      // A process that was the whole server lives on.
      if (core.ended) clearInterval(timer);
      else write();
    },
    Math.max(1, statsTimerIntervalMs),
  );
  timer.unref();
}
