/** The children that this process has started with `Process`, and how they ended: what wait(2) is to other programs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { TswooleError } from '../errors.ts';
import { compileCacheVariables } from '../process/life/compile-cache.ts';
import { carriedOptions, childDirectory, scriptOf } from '../process/life/run-again.ts';
import type { ProcessRecord } from '../process/life/this-process.ts';
import { recordVariable } from './replay.ts';

/** How a child has ended. */
export interface WaitStatus {
  pid: number;
  /** Its exit code; 0 when a signal has ended it. */
  code: number;
  /** The number of the signal that has ended it, or 0. */
  signal: number;
}

const running = new Map<number, ChildProcess>();
const ended: WaitStatus[] = [];
const waiting: ((status: WaitStatus | false) => void)[] = [];
let started = 0;

export function isRunning(pid: number): boolean {
  return running.has(pid);
}

/** Runs the script again. Answers the pid, or the error of the kernel. It lives on when this process ends. */
export function startAgain(record: ProcessRecord, pipe: number | null, redirect: boolean): number | Error {
  const standard = redirect && pipe !== null ? pipe : 'inherit';
  started++;
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [...carriedOptions(started), scriptToRun(), ...process.argv.slice(2)], {
      cwd: childDirectory(),
      stdio: [standard, standard, standard, ...(pipe === null ? [] : [pipe])],
      env: { ...compileCacheVariables(), ...process.env, ...recordVariable(record) },
    });
  } catch (error) {
    if (error instanceof TswooleError) throw error;
    return error as Error;
  }
  // Node tells of a failed start twice: there is no pid, and an event that nobody may miss.
  let failure: Error = new Error('cannot start the process');
  child.once('error', (error) => {
    failure = error;
  });
  const { pid } = child;
  if (pid === undefined) return failure;
  running.set(pid, child);
  child.once('exit', (code, signal) => {
    running.delete(pid);
    settle({ pid, code: code ?? 0, signal: signal === null ? 0 : constants.signals[signal] });
  });
  child.unref();
  for (const _ of waiting) child.ref();
  return pid;
}

export function scriptToRun(): string {
  try {
    return scriptOf(null);
  } catch {
    throw new TswooleError(
      'ERR_STATE',
      'a Process runs your script again in the child: put the code into a file (not -e or standard input)',
    );
  }
}

/** The next child that has ended, each once. Waiting keeps this process alive; `false` when there is no child left. */
export function waitForChild(): Promise<WaitStatus | false> {
  const status = ended.shift();
  if (status !== undefined) return Promise.resolve(status);
  if (running.size === 0) return Promise.resolve(false);
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) for (const child of running.values()) child.ref();
  });
}

/** The same without waiting: `false` when no child has ended. */
export async function lookForChild(): Promise<WaitStatus | false> {
  // A handler of SIGCHLD runs in the turn in which Node learns of the end, and maybe before it does.
  if (ended.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return ended.shift() ?? false;
}

function settle(status: WaitStatus): void {
  const resolve = waiting.shift();
  if (resolve === undefined) ended.push(status);
  else resolve(status);
  // Whoever waits for more children than there are would wait for ever.
  if (running.size === 0) for (const each of waiting.splice(0)) each(false);
  if (waiting.length === 0) for (const child of running.values()) child.unref();
}
