/** The signals of this process, and those that it sends. */
import { constants } from 'node:os';
import { badArgument } from '../errors.ts';
import { ESRCH } from '../sys/constants.ts';
import { sendSignal, setIntervalTimer } from '../sys/process.ts';
import { warn } from './failure.ts';
import { isReplaying } from './replay.ts';

/** A signal by its number, as in Swoole, or by its name. */
export type SignalNumber = number | NodeJS.Signals;

/** Signals that this process needs for its part in a server. */
const reserved = new Set<NodeJS.Signals>();
const handlers = new Map<NodeJS.Signals, () => void>();

/** From here on a running server uses these signals itself. */
export function reserveSignals(signals: readonly NodeJS.Signals[]): void {
  for (const signal of signals) reserved.add(signal);
}

/** The server has ended, and listens to them no longer. */
export function releaseSignals(): void {
  reserved.clear();
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
