/**
 * What this run of the script is. Node cannot fork: each process of a server, a thread that needs the user's functions, and
 * the child of a `Process` run the script again from its beginning, and must know from its first line on that they do. A
 * process is told by an environment variable, a thread by its workerData. Answered here, and nowhere else.
 */
import { isMainThread, workerData } from 'node:worker_threads';
import type { ReactorThreadConfig } from '../../reactor/thread.ts';
import { SIGINT, SIGKILL, SIGQUIT } from '../../sys/constants.ts';
import { dieWithParent } from '../../sys/process.ts';
import { ignoreSignal } from '../../sys/signal.ts';
import type { ChildDescription, ChildRole } from '../identity.ts';
import { type Inheritance, type InheritedLengths, readInheritance } from './inheritance.ts';

/** Of a child of a server: an Order. */
export const CHILD_VARIABLE = 'TSWOOLE_CHILD';
/** Of a daemon: what it takes over from the process that the user started, which has become it. */
export const DAEMON_VARIABLE = 'TSWOOLE_DAEMON';
/** Of the child of a `Process`: a ProcessRecord. */
export const PROCESS_VARIABLE = 'TSWOOLE_PROCESS';

/** How a child of a server is told what it is. */
export interface Order {
  description: ChildDescription;
  inherits: InheritedLengths;
  /** The pid to die with. */
  parent: number;
}

/** How the child of a `Process` finds its place: see child/replay.ts. */
export interface ProcessRecord {
  path: number[];
  /** Processes that ran when this one was started, by their number: a replay answers what the parent got. */
  pids: Record<number, number>;
  hasPipe: boolean;
  /** True exactly when Process.daemon() has started this run in place of the process that called it. */
  daemon: boolean;
}

/** The user has started it; or it has become a daemon, and takes over what that tells, or what `record` tells. */
interface First {
  readonly kind: 'first';
  readonly daemon: unknown;
  readonly record: ProcessRecord | null;
}

/** On its way to a place in the script where another process has started it. */
interface Replay {
  readonly kind: 'replay';
  readonly record: ProcessRecord;
}

/** A process of a server that another one has started. */
export interface StartedChild {
  readonly kind: ChildRole;
  readonly description: ChildDescription;
  readonly inheritance: Inheritance;
  /** The process to die with; null in a thread, which does in any case. */
  readonly parent: number | null;
}

/** A thread beside the sockets, which needs functions of the user's. */
interface ReactorThread {
  readonly kind: 'reactor';
  readonly config: ReactorThreadConfig;
}

export type ThisProcess = First | Replay | StartedChild | ReactorThread;

/** A thread that runs the script is told what it is as it is. */
export interface ThreadData {
  readonly tswoole: Exclude<ThisProcess, First | Replay>;
}

let known: ThisProcess | undefined;

/** From the first call on, which is the import, a child dies with its parent: what the script does before start() may take long. */
export function thisProcess(): ThisProcess {
  known ??= isMainThread ? fromEnvironment() : fromThreadData();
  return known;
}

/** True exactly in the process that the user has started, or the daemon that it became; not in its threads. */
export function isFirst(): boolean {
  const { kind } = thisProcess();
  return kind === 'first' || kind === 'replay';
}

/** The variables are taken away, so that its own children, of whatever program, are free. */
function fromEnvironment(): ThisProcess {
  const order = take(CHILD_VARIABLE) as Order | null;
  const daemon = take(DAEMON_VARIABLE);
  const record = take(PROCESS_VARIABLE) as ProcessRecord | null;
  if (order !== null) {
    const { description, inherits, parent } = order;
    dieWithParent(parent, SIGKILL);
    leaveTerminalToFirst();
    return { kind: description.role, description, inheritance: readInheritance(inherits), parent };
  }
  if (record !== null && record.path.length > 0) return { kind: 'replay', record };
  return { kind: 'first', daemon, record };
}

/**
 * Ctrl+C and Ctrl+\ reach every process of a terminal. What they mean is the first process's to say; a handler of the
 * user's takes the place of this, before or after.
 */
function leaveTerminalToFirst(): void {
  if (process.listenerCount('SIGINT') === 0) ignoreSignal(SIGINT);
  if (process.listenerCount('SIGQUIT') === 0) ignoreSignal(SIGQUIT);
}

function take(variable: string): unknown {
  const text = process.env[variable];
  delete process.env[variable];
  return text === undefined ? null : JSON.parse(text);
}

/** Threads of the user's are told nothing. */
function fromThreadData(): ThisProcess {
  const { tswoole } = (workerData ?? {}) as Partial<ThreadData>;
  return tswoole ?? { kind: 'first', daemon: null, record: null };
}
