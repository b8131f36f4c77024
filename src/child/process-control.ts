/** What Swoole's `Process` offers that is about no process object: signals, alarms, processors, becoming a daemon. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { badArgument } from '../errors.ts';
import { carriedOptions } from '../process/launcher.ts';
import { ESRCH } from '../sys/constants.ts';
import { getAffinity, sendSignal, setAffinity, setIntervalTimer } from '../sys/process.ts';
import { scriptToRun } from './family.ts';
import { isReplaying, ownRecord, recordVariable } from './replay.ts';

/** A signal by its number, as in Swoole, or by its name. */
export type SignalNumber = number | NodeJS.Signals;

/** Signals that this process needs for its part in a server. */
const reserved = new Set<NodeJS.Signals>();
const handlers = new Map<NodeJS.Signals, () => void>();
let inServer = false;
let isDaemon = false;

export function warn(text: string): void {
  process.emitWarning(text, 'TswooleWarning');
}

/** From here on the process belongs to a running server, which uses these signals itself. */
export function reserveSignals(signals: readonly NodeJS.Signals[]): void {
  inServer = true;
  for (const signal of signals) reserved.add(signal);
}

/** The server has ended, and listens to them no longer. */
export function releaseSignals(): void {
  reserved.clear();
}

export function isInServer(): boolean {
  return inServer;
}

export function kill(pid: number, signal: SignalNumber): boolean {
  if (!Number.isInteger(pid)) throw badArgument('pid', 'the whole number of a process', pid);
  const number = numberOf(signal);
  if (isReplaying()) return true;
  const error = sendSignal(pid, number);
  if (error !== 0 && !(number === 0 && error === ESRCH)) warn(`kill(${pid}, ${number}) failed: errno ${error}`);
  return error === 0;
}

export function handleSignal(signal: SignalNumber, callback: ((signal: number) => unknown) | null): boolean {
  if (callback !== null && typeof callback !== 'function')
    throw badArgument('callback', 'a function or null', callback);
  const number = numberOf(signal);
  const name = nameOf(number);
  if (isReplaying()) return true;
  if (name === undefined) {
    warn(`signal ${number} cannot be listened to`);
    return false;
  }
  if (reserved.has(name)) {
    warn(`signal ${name} is used by the server`);
    return false;
  }
  const before = handlers.get(name);
  if (callback === null && before === undefined) return false;
  if (callback !== null && !addHandler(name, () => callback(number))) return false;
  if (before !== undefined) process.off(name, before);
  if (callback === null) handlers.delete(name);
  return true;
}

function addHandler(name: NodeJS.Signals, handler: () => void): boolean {
  try {
    process.on(name, handler);
  } catch {
    // SIGKILL and SIGSTOP cannot be caught.
    warn(`signal ${name} cannot be listened to`);
    return false;
  }
  handlers.set(name, handler);
  return true;
}

/** A child begins without the handlers of its parent. */
export function forgetSignals(): void {
  for (const [name, handler] of handlers) process.off(name, handler);
  handlers.clear();
}

export function alarm(microseconds: number, type: number): boolean {
  if (!Number.isSafeInteger(microseconds))
    throw badArgument('usec', 'a whole number of microseconds (below 1: no alarm any more)', microseconds);
  if (![0, 1, 2].includes(type)) throw badArgument('type', '0, 1 or 2', type);
  if (isReplaying()) return true;
  const error = setIntervalTimer(type, Math.max(0, microseconds));
  if (error !== 0) warn(`setitimer failed: errno ${error}`);
  return error === 0;
}

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

/**
 * Goes to the background: the script runs again in a session of its own, daemon() answers true there, and this process
 * ends. `pipe`: the pipe of a child that becomes a daemon, or null.
 */
export function becomeDaemon(nochdir: boolean, noclose: boolean, pipe: number | null): boolean {
  if (isReplaying()) return true;
  if (isDaemon) return true;
  const record = ownRecord();
  if (record?.daemon === true) {
    isDaemon = true;
    if (!nochdir) process.chdir('/');
    return true;
  }
  if (inServer) {
    warn('a process of a running server cannot become a daemon: use the setting daemonize');
    return false;
  }
  const standard = noclose ? 'inherit' : 'ignore';
  const child = spawn(process.execPath, [...carriedOptions(0), scriptToRun(), ...process.argv.slice(2)], {
    detached: true,
    stdio: [standard, standard, standard, ...(pipe === null ? [] : [pipe])],
    env: {
      ...process.env,
      ...recordVariable({ path: [], pids: {}, ...record, hasPipe: pipe !== null, daemon: true }),
    },
  });
  child.once('error', () => {});
  if (child.pid === undefined) return false;
  process.exit(0);
}

/** 0 is no signal, and may be sent to see whether a process exists. */
function numberOf(signal: SignalNumber): number {
  const number = typeof signal === 'string' ? constants.signals[signal] : signal;
  if (!Number.isInteger(number) || number < 0) throw badArgument('signo', 'the number or name of a signal', signal);
  return number;
}

const names = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals] as const),
);

function nameOf(signal: number): NodeJS.Signals | undefined {
  return names.get(signal);
}
