/** What /proc tells about a process and all that descends from it. */
import { readdirSync, readFileSync } from 'node:fs';
import { TICKS_PER_SECOND } from './machine.ts';

export interface ProcessEntry {
  pid: number;
  parent: number;
  /** With the pid it names one process for good: pids are used again, start times are not. */
  startTicks: number;
  cpuSeconds: number;
}

export interface ProcessMemory {
  pid: number;
  rssKib: number;
  /** Resident memory with each shared page divided by the number of processes that share it, so it can be added up. */
  pssKib: number;
  /**
   * The part of Pss that is data: anonymous and shared memory. The rest is the program and its libraries, of which a
   * process counts less whenever another Node process starts, however little that one has to do with it.
   */
  dataKib: number;
}

/** The process and its descendants, parents first; empty when it is gone. */
export function processTree(root: number): ProcessEntry[] {
  const entries = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readProcess(Number(name)))
    .filter((entry) => entry !== null);
  const tree = entries.filter((entry) => entry.pid === root);
  for (let index = 0; index < tree.length; index++) {
    tree.push(...entries.filter((entry) => entry.parent === tree[index].pid));
  }
  return tree;
}

/** Null when the process is gone, or has ended and waits for its parent to notice. */
export function readProcess(pid: number): ProcessEntry | null {
  const stat = readOrNull(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the name in parentheses, which may hold spaces and parentheses itself: count from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z') return null;
  const cpuTicks = Number(fields[11]) + Number(fields[12]);
  return {
    pid,
    parent: Number(fields[1]),
    startTicks: Number(fields[19]),
    cpuSeconds: cpuTicks / TICKS_PER_SECOND,
  };
}

export function isSameProcess(entry: ProcessEntry): boolean {
  return readProcess(entry.pid)?.startTicks === entry.startTicks;
}

export function treeCpuSeconds(root: number): number {
  return processTree(root).reduce((sum, entry) => sum + entry.cpuSeconds, 0);
}

export function treeMemory(root: number): ProcessMemory[] {
  return processTree(root).map((entry) => readMemory(entry.pid));
}

export function readMemory(pid: number): ProcessMemory {
  const rollup = readOrNull(`/proc/${pid}/smaps_rollup`) ?? '';
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
  return { pid, rssKib: kib('Rss'), pssKib: kib('Pss'), dataKib: kib('Pss_Anon') + kib('Pss_Shmem') };
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
