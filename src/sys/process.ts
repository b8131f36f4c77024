/** What a process asks of the kernel about itself and its relatives. */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
  PR_SET_PDEATHSIG,
  RLIMIT_NOFILE,
  SIGPIPE,
  SIGXFSZ,
  WNOHANG,
} from './constants.ts';
import { must } from './error.ts';
import * as libc from './libc.ts';
import { allocate } from './memory.ts';
import { ignoreSignal, resetSignal } from './signal.ts';

const scratch = allocate(4096);

/**
 * Asks to be signalled when the parent dies, then looks whether it died before the question: nobody is orphaned. Must be
 * asked again after a change of user, which clears it.
 */
export function dieWithParent(parentPid: number, signal: number): void {
  must('prctl', libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0));
  if (libc.getppid() !== parentPid) process.kill(process.pid, signal);
}

/**
 * Takes the end of a process that the kernel has given us as the nearest who cares for orphans. False as long as there is
 * more to wait for: a process has ended only with the last of its threads.
 */
export function reapOrphan(pid: number): boolean {
  return libc.waitpid(pid, 0, WNOHANG) !== 0;
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

/** The processors that the thread, or process, may run on; null with an errno in `answer`. */
export function getAffinity(answer: { error: number }, pid = 0): number[] | null {
  const words = scratch.i32;
  words.fill(0, 0, 32);
  const bytes = libc.schedGetaffinity(pid, 128, scratch.address);
  answer.error = bytes === -1 ? libc.errno() : 0;
  if (bytes === -1) return null;
  return Array.from({ length: 1024 }, (_, cpu) => cpu).filter((cpu) => (words[cpu >> 5] & (1 << (cpu & 31))) !== 0);
}

/** 0 or an errno. `which`: PRIO_PROCESS, PRIO_PGRP or PRIO_USER; `who` 0 is the caller's own. */
export function setPriority(which: number, who: number, priority: number): number {
  return libc.setpriority(which, who, priority) === -1 ? libc.errno() : 0;
}

/** The lowest number of those that are asked for, which may be -1; null with an errno in `answer`. */
export function getPriority(which: number, who: number, answer: { error: number }): number | null {
  libc.clearErrno();
  const priority = libc.getpriority(which, who);
  answer.error = priority === -1 ? libc.errno() : 0;
  return answer.error === 0 ? priority : null;
}

/** Sends SIGALRM, SIGVTALRM or SIGPROF (`which` 0, 1, 2) again and again; 0 stops it. Answers 0 or an errno. */
export function setIntervalTimer(which: number, microseconds: number): number {
  const words = scratch.i32;
  // struct itimerval: period and first time, each seconds i64 and microseconds i64.
  words.fill(0, 0, 8);
  for (const word of [0, 4]) {
    words[word] = Math.floor(microseconds / 1e6);
    words[word + 2] = microseconds % 1e6;
  }
  return libc.setitimer(which, scratch.address, 0) === -1 ? libc.errno() : 0;
}

/**
 * Another program takes this process over: it keeps its pid, its environment, its directory, and the descriptors 0 to 2,
 * which block again as programs expect. Comes back only when the kernel refuses, with the errno.
 */
export function execute(file: string, args: readonly string[]): number {
  // Node has marked all that it inherited, 0 to 2 as well.
  for (const fd of readdirSync('/proc/self/fd').map(Number)) libc.fcntl(fd, F_SETFD, fd > 2 ? FD_CLOEXEC : 0);
  const flags = [0, 1, 2].map((fd) => libc.fcntl(fd, F_GETFL, 0));
  for (const [fd, each] of flags.entries()) if (each !== -1) libc.fcntl(fd, F_SETFL, each & ~O_NONBLOCK);
  const strings = [file, ...args].map((text) => Buffer.from(`${text}\0`));
  const tableBytes = (strings.length + 1) * 8;
  // A table of addresses that ends with 0, then the strings it points to.
  const memory = allocate(tableBytes + strings.reduce((sum, { length }) => sum + length, 0));
  let offset = tableBytes;
  for (const [index, bytes] of strings.entries()) {
    const address = memory.address + offset;
    memory.i32[2 * index] = address | 0;
    memory.i32[2 * index + 1] = Math.floor(address / 2 ** 32);
    memory.u8.set(bytes, offset);
    offset += bytes.length;
  }
  // Node ignores these, and the next program would inherit that.
  for (const signal of [SIGPIPE, SIGXFSZ]) resetSignal(signal);
  libc.execv(memory.address + tableBytes, memory.address);
  const error = libc.errno();
  for (const signal of [SIGPIPE, SIGXFSZ]) ignoreSignal(signal);
  for (const [fd, each] of flags.entries()) if (each !== -1) libc.fcntl(fd, F_SETFL, each);
  return error;
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

/** How many descriptors this process has; more than there can be where the kernel has none to count them with. */
export function openFiles(): number {
  try {
    // Listing takes one itself.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return Number.MAX_SAFE_INTEGER;
  }
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
