/** Starts processes that run the user's script again in another role. They end by signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { reapOrphan } from '../../sys/process.ts';
import type { SpareDescriptors } from '../../sys/spare-descriptors.ts';
import type { ChildDescription } from '../identity.ts';
import { isAlive } from './alive.ts';
import { compileCacheVariables } from './compile-cache.ts';
import { descriptorsOf, type Inheritance, lengthsOf } from './inheritance.ts';
import type { Child, ChildEnd, Launcher } from './launcher.ts';
import { carriedOptions, childDirectory } from './run-again.ts';
import { CHILD_VARIABLE, type Order } from './this-process.ts';

/** How often it is looked whether an orphan has ended. */
const ORPHAN_LOOK_MS = 2;
/** A pipe over which a child tells whether it could run its program, and what a child needs for itself. */
const FILES_TO_START = 4;

export interface ProcessLauncherOptions {
  script: string;
  inheritance: Inheritance;
  /** Added to the parent's --inspect port, so that every process has one of its own. */
  inspectOffset: number;
  /** Given up for the start of a child, where connections may have taken all other descriptors. */
  spare?: SpareDescriptors;
}

export class ProcessLauncher implements Launcher {
  private readonly options: ProcessLauncherOptions;
  private readonly cacheVariables = compileCacheVariables();
  private launched = 0;

  constructor(options: ProcessLauncherOptions) {
    this.options = options;
  }

  launch(description: ChildDescription, onEnd: (end: ChildEnd) => void): Child {
    this.launched++;
    const { script, inheritance, spare } = this.options;
    const order: Order = { description, inherits: lengthsOf(inheritance), parent: process.pid };
    spare?.give();
    const child: ChildProcess = spawn(
      process.execPath,
      [...carriedOptions(this.options.inspectOffset + this.launched), script, ...process.argv.slice(2)],
      {
        cwd: childDirectory(),
        stdio: ['inherit', 'inherit', 'inherit', ...descriptorsOf(inheritance)],
        env: { ...this.cacheVariables, ...process.env, [CHILD_VARIABLE]: JSON.stringify(order) },
      },
    );
    // Node tells of a failed start twice: there is no pid, and an event that nobody may miss. The caller is told once. A
    // signal that we may not send is such an event, too.
    child.on('error', () => {});
    const reason = child.pid === undefined ? reasonOfFailure() : '';
    spare?.take();
    if (child.pid === undefined) throw new Error(`${process.execPath} ${script} does not start: ${reason}`);
    let stopped = false;
    child.once('exit', (code, signal) =>
      onEnd({ exitCode: code ?? 0, signal, byStop: stopped && signal === 'SIGTERM' }),
    );
    return {
      life: description.life,
      pid: child.pid,
      stop: () => {
        stopped = true;
        child.kill('SIGTERM');
      },
      kill: () => child.kill('SIGKILL'),
    };
  }

  async orphanEnded(pid: number, deadline: number): Promise<void> {
    // As the first process of a container we have inherited it, and Node takes the ends of its own children only.
    while ((isAlive(pid) || !reapOrphan(pid)) && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, ORPHAN_LOOK_MS));
  }
}

/** Node tells the errno too late for us. The same is asked of the kernel once more: the program, and what starting takes. */
function reasonOfFailure(): string {
  const opened: number[] = [];
  try {
    accessSync(process.execPath, constants.X_OK);
    for (let i = 0; i < FILES_TO_START; i++) opened.push(openSync('/dev/null', 'r'));
    return 'EAGAIN: too many processes (ulimit -u)';
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === 'EMFILE' ? 'EMFILE: too many open files (ulimit -n)' : message;
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}
