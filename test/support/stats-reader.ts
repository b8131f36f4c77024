/**
 * A program beside a server, for tests: looks into its memory, and prints what it finds.
 *
 *     node stats-reader.ts <pid of the server's first process> <worker id>
 */
import { readFileSync } from 'node:fs';
import { openSegments } from '../../src/shm/beside.ts';
import { readStats } from '../../src/shm/stats.ts';
import type { Stats } from '../../src/shm/stats-shape.ts';
import { WorkerTable } from '../../src/shm/workers.ts';

export interface Seen {
  mode: number;
  workerPid: number;
  /** With the numbers that the worker counts of its own life. */
  stats: Stats;
  /** How this program has mapped the memory: lines of /proc/self/maps. */
  maps: string[];
}

const [pid, worker] = process.argv.slice(2).map(Number);
const segments = openSegments(pid);
if (segments.length !== 1) throw new Error(`${segments.length} segments`);
const [segment] = segments;
const workers = new WorkerTable(segment);
const seen: Seen = {
  mode: segment.layout.mode,
  workerPid: workers.pid(worker),
  stats: readStats(segment, workers.lane(worker)),
  maps: readFileSync('/proc/self/maps', 'latin1')
    .split('\n')
    .filter((line) => line.includes('memfd:tswoole')),
};
process.stdout.write(JSON.stringify(seen));
