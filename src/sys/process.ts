/** What a process asks of the kernel about itself and its relatives. */
import { availableParallelism } from 'node:os';
import { PR_SET_PDEATHSIG, RLIMIT_NOFILE } from './constants.ts';
import { must } from './error.ts';
import * as libc from './libc.ts';
import { allocate } from './memory.ts';

const scratch = allocate(4096);

/**
 * Asks to be signalled when the parent dies, then looks whether it died before the question: nobody is orphaned. Must be
 * asked again after a change of user, which clears it.
 */
export function dieWithParent(parentPid: number, signal: number): void {
  must('prctl', libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0));
  if (libc.getppid() !== parentPid) process.kill(process.pid, signal);
}

/** Ties the calling process to the given processors; 0 or an errno. */
export function setAffinity(cpus: readonly number[], pid = 0): number {
  const words = scratch.i32;
  words.fill(0, 0, 32);
  for (const cpu of cpus) {
    if (!(cpu >= 0 && cpu < 1024)) return 22;
    words[cpu >> 5] |= 1 << (cpu & 31);
  }
  return libc.schedSetaffinity(pid, 128, scratch.address) === -1 ? libc.errno() : 0;
}

/** How many descriptors this process may have; raises the soft limit to the hard one first. */
export function raiseFileLimit(): number {
  if (libc.getrlimit(RLIMIT_NOFILE, scratch.address) === -1) return 1024;
  const words = scratch.i32;
  // Two 64-bit numbers, soft then hard; a set high word means "more than we can count", which is plenty.
  const hard = words[3] === 0 ? words[2] >>> 0 : 0xffffffff;
  const soft = words[1] === 0 ? words[0] >>> 0 : 0xffffffff;
  if (soft < hard) {
    words[0] = words[2];
    words[1] = words[3];
    if (libc.setrlimit(RLIMIT_NOFILE, scratch.address) === -1) return soft;
  }
  return hard;
}

export function changeRoot(path: string): number {
  return libc.chroot(path) === -1 ? libc.errno() : 0;
}

/** Sends a signal; 0 or an errno. */
export function sendSignal(pid: number, signal: number): number {
  return libc.kill(pid, signal) === -1 ? libc.errno() : 0;
}

/** Lets another process of this processor run first, if one wants to. */
export function yieldProcessor(): void {
  libc.schedYield();
}

export function cpuCount(): number {
  return availableParallelism();
}
