/** What the kernel tells of a process and of the machine: for asserting that nothing leaks and nothing is left. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** How many descriptors a process has open. */
export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Memory that a process holds, without what it shares through the segment. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return (kib('RssAnon') + kib('RssFile')) * 1024;
}

/** Memory of the segment that a process has touched. */
export function sharedBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^RssShmem:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}

/** Processes that have a tswoole segment open or mapped, by process id. */
export function segmentHolders(): Map<number, string> {
  const holders = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const inode = segmentOf(pid);
    if (inode !== null) holders.set(pid, inode);
  }
  return holders;
}

/** The inode of the segment that a process maps; null when it maps none. */
export function segmentOf(pid: number): string | null {
  try {
    const line = readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .find((each) => each.includes('memfd:tswoole'));
    return line?.trim().split(/\s+/)[4] ?? null;
  } catch {
    return null;
  }
}

/** True exactly when some process still holds the segment with this inode, mapped or as a descriptor. */
export function isSegmentHeld(inode: string): boolean {
  return [...segmentHolders().values()].includes(inode);
}

/** True exactly when somebody listens on the port, over IPv4 or IPv6. */
export function isListening(port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['/proc/net/tcp', '/proc/net/tcp6'].some((file) =>
    readFileSync(file, 'latin1')
      .split('\n')
      .some((line) => {
        const fields = line.trim().split(/\s+/);
        return fields[1]?.endsWith(suffix) === true && fields[3] === '0A';
      }),
  );
}

/** Where the descriptors of a process lead. */
export function descriptorTargets(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return 'gone';
    }
  });
}

/** True exactly when the process runs; one that has ended but was not waited for yet does not. */
export { isAlive } from '../../src/process/life/alive.ts';
