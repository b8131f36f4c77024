import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import { isAlive } from '../../process/life/alive.ts';
import { readStats } from '../../shm/stats.ts';
import type { Running } from '../state/running.ts';

/** What the name of a file ends with that is not written to its end yet. */
const DRAFT = '.draft';

/** With `stats_file`, worker 0 writes the counters to it again and again. Readers always find a whole file. */
export function keepStatsFile(running: Running): void {
  const { script, settings, workerId, segment, runtime } = running;
  const { statsFile, statsTimerIntervalMs } = settings;
  if (statsFile === null || workerId !== 0) return;
  const write = (): void => {
    const stats = readStats(segment, runtime.lane);
    const lines = Object.entries(stats).map(([key, value]) => `${key}: ${value}\n`);
    const text = /\.(json|php)$/.test(statsFile) ? `${JSON.stringify(stats)}\n` : lines.join('');
    const draft = `${statsFile}.${process.pid}${DRAFT}`;
    try {
      writeFileSync(draft, text);
      renameSync(draft, statsFile);
    } catch (error) {
      // The disk may be full.
      rmSync(draft, { force: true });
      script.logger.once('stats_file', SWOOLE_LOG_WARNING, `cannot write stats_file: ${(error as Error).message}`);
    }
  };
  removeDrafts(statsFile);
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

/** Those of workers that were killed over them. The one before us may still be alive, and write. */
function removeDrafts(statsFile: string): void {
  const begin = `${basename(statsFile)}.`;
  const directory = dirname(statsFile);
  try {
    for (const name of readdirSync(directory)) {
      const pid = name.startsWith(begin) && name.endsWith(DRAFT) ? name.slice(begin.length, -DRAFT.length) : '';
      if (/^\d+$/.test(pid) && !isAlive(Number(pid))) rmSync(join(directory, name), { force: true });
    }
  } catch {
    // Where nothing can be read or removed, writing tells why.
  }
}
