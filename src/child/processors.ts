/** What processes have of the processors: which ones, and how soon. */
import { readdirSync } from 'node:fs';
import { PRIO_PROCESS } from '../constants.ts';
import { badArgument } from '../errors.ts';
import { EINVAL, ESRCH } from '../sys/constants.ts';
import { getAffinity, getPriority, setAffinity, setPriority } from '../sys/process.ts';
import { type ProcessFailure, warn } from './failure.ts';
import { isReplaying } from './replay.ts';

export function bindToCpus(list: readonly number[]): boolean {
  if (!Array.isArray(list)) throw badArgument('cpus', 'an array of processor numbers', list);
  if (list.length === 0 || !list.every((cpu) => Number.isInteger(cpu) && cpu >= 0)) return false;
  if (isReplaying()) return true;
  // The kernel binds threads; those that come later take after the one that makes them.
  let error = 0;
  for (const thread of readdirSync('/proc/self/task')) {
    const failed = setAffinity(list, Number(thread));
    // A thread may have ended meanwhile.
    if (failed !== 0 && failed !== ESRCH) error = failed;
  }
  if (error !== 0) warn(`sched_setaffinity failed: errno ${error}`);
  return error === 0;
}

export function boundCpus(): number[] | false {
  return getAffinity({ error: 0 }) ?? false;
}

/** `pid`: whom PRIO_PROCESS means unless `who` is given. */
export function setPriorityOf(
  failure: ProcessFailure,
  pid: number,
  which: number,
  priority: number,
  who: number | null,
): boolean {
  if (!Number.isInteger(priority)) throw badArgument('priority', 'a whole number', priority);
  const id = whose(failure, pid, which, who);
  if (id === null) return false;
  if (isReplaying()) return true;
  const error = setPriority(which, id, priority);
  return error === 0 ? true : failure.fail(error);
}

export function priorityOf(failure: ProcessFailure, pid: number, which: number, who: number | null): number | false {
  const answer = { error: 0 };
  const id = whose(failure, pid, which, who);
  return id === null ? false : (getPriority(which, id, answer) ?? failure.fail(answer.error));
}

function whose(failure: ProcessFailure, pid: number, which: number, who: number | null): number | null {
  if (![0, 1, 2].includes(which)) throw badArgument('which', 'PRIO_PROCESS, PRIO_PGRP or PRIO_USER', which);
  if (who !== null && !(Number.isInteger(who) && who >= 0)) throw badArgument('who', 'a whole number or null', who);
  if (who !== null) return who;
  if (which === PRIO_PROCESS) return pid;
  // All processes of a user are too many to be meant by nothing.
  failure.refuse(EINVAL, 'a priority of a group or user needs its id');
  return null;
}
