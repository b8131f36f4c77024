import { renameSync, writeFileSync } from 'node:fs';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import { readStats } from '../../shm/stats.ts';
import type { Running } from '../state/running.ts';

/** With `stats_file`, worker 0 writes the counters to it again and again. Readers always find a whole file. */
export function keepStatsFile(running: Running): void {
  const { script, settings, workerId, segment, runtime } = running;
  const { statsFile, statsTimerIntervalMs } = settings;
  if (statsFile === null || workerId !== 0) return;
  const write = (): void => {
    const stats = readStats(segment, runtime.lane);
    const lines = Object.entries(stats).map(([key, value]) => `${key}: ${value}\n`);
    const text = /\.(json|php)$/.test(statsFile) ? `${JSON.stringify(stats)}\n` : lines.join('');
    try {
      const fresh = `${statsFile}.${process.pid}`;
      writeFileSync(fresh, text);
      renameSync(fresh, statsFile);
    } catch (error) {
      script.logger.once('stats_file', SWOOLE_LOG_WARNING, `cannot write stats_file: ${(error as Error).message}`);
    }
  };
  write();
  const timer = setInterval(
    () => {
      // A process that was the whole server lives on.
      if (script.ended) clearInterval(timer);
      else write();
    },
    Math.max(1, statsTimerIntervalMs),
  );
  timer.unref();
}
