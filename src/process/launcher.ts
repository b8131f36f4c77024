/**
 * Starts processes that run the user's script again in another role. One small interface, so that a launcher of threads
 * can stand beside this one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { compileCacheVariables } from './compile-cache.ts';
import { type ChildDescription, ROLE_VARIABLE } from './environment.ts';

export interface Child {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
}

export interface Launcher {
  /** Starts a child; `onExit` is called once, when it has ended. Throws when the kernel refuses, and never calls it then. */
  launch(description: ChildDescription, onExit: (code: number, signal: string | null) => void): Child;
}

export interface ProcessLauncherOptions {
  script: string;
  /** Segment, doorbells, listeners: in the order of environment.ts. */
  fds: number[];
  /** Added to the parent's --inspect port, so that every process has one of its own. */
  inspectOffset: number;
}

/** Where the script was started, once this process has gone elsewhere. */
let startDirectory: string | undefined;

/**
 * A daemon's own directory is the root, so that it holds no file system. Its children leave too, but only once they have
 * run the script: paths in that, and those of Node's own options (`--import ./x.ts`), are written for where it was started.
 */
export function leaveStartDirectory(): void {
  startDirectory = process.cwd();
  process.chdir('/');
}

/** Where a process begins that runs the script; undefined = here. One that is gone must not keep a server from replacing workers. */
export function childDirectory(): string | undefined {
  return startDirectory !== undefined && existsSync(startDirectory) ? startDirectory : undefined;
}

export class ProcessLauncher implements Launcher {
  private readonly options: ProcessLauncherOptions;
  private readonly cacheVariables = compileCacheVariables();
  private launched = 0;

  constructor(options: ProcessLauncherOptions) {
    this.options = options;
  }

  launch(description: ChildDescription, onExit: (code: number, signal: string | null) => void): Child {
    this.launched++;
    const { script, fds } = this.options;
    const child: ChildProcess = spawn(
      process.execPath,
      [...carriedOptions(this.options.inspectOffset + this.launched), script, ...process.argv.slice(2)],
      {
        cwd: childDirectory(),
        stdio: ['inherit', 'inherit', 'inherit', ...fds],
        env: { ...this.cacheVariables, ...process.env, [ROLE_VARIABLE]: JSON.stringify(description) },
      },
    );
    // Node tells of a failed start twice: there is no pid, and an event that nobody may miss. The caller is told once. A
    // signal that we may not send is such an event, too.
    child.on('error', () => {});
    if (child.pid === undefined)
      throw new Error(
        `${process.execPath} ${script} does not start: there may be too many processes or open files (ulimit -u, ulimit -n)`,
      );
    child.once('exit', (code, signal) => onExit(code ?? 0, signal));
    return { pid: child.pid, kill: (signal) => child.kill(signal) };
  }
}

/** Node's own options are carried over; an inspector gets a port of its own, so much above ours. */
export function carriedOptions(inspectOffset: number): string[] {
  return process.execArgv.map((option) => {
    const inspect = /^(--inspect(?:-brk|-wait|-port)?|--debug-port)(?:=(.*))?$/.exec(option);
    if (inspect === null) return option;
    const [, name, where = ''] = inspect;
    // A port, a host, or both; an IPv6 host stands in brackets.
    const [, host, port] = /^\d+$/.test(where)
      ? ['', '', where]
      : (/^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(where) ?? []);
    const own = port === '0' ? 0 : Number(port ?? 9229) + inspectOffset;
    return `${name}=${host === undefined || host === '' ? '' : `${host}:`}${own}`;
  });
}

/** The script that children run. Throws when there is none that can be run again. */
export function scriptOf(entryScript: string | null): string {
  const script = entryScript ?? process.argv[1];
  const evaluated = process.execArgv.some((option) => /^(-e|-p|-pe|--eval|--print)(=|$)/.test(option));
  if (script === undefined || script === '-' || (entryScript === null && evaluated)) {
    throw new Error(
      'the server needs more than one process, and each runs your script again: put the code into a file (not -e or standard input), or name one with the setting entry_script',
    );
  }
  return script;
}
