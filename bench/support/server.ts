/** Servers under measurement: started pinned, asked for their port, and always ended again with all their processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSameProcess, type ProcessEntry, processTree } from './process-tree.ts';

const START_MAX_MS = 10_000;
const GRACE_MS = 5000;
const STDERR_KEPT = 4000;

export const SERVER_CPU = 0;
export const LOAD_CPU = 1;

/** Everything that is to be ended when this process itself has to go. */
const running = new Set<RunningServer>();
process.on('exit', () => {
  for (const server of running) server.killNow();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/** The command, tied to one processor, or to a list of them. taskset replaces itself by the command, so the pid is the command's own. */
export function pinned(cpu: number | string, command: readonly string[]): string[] {
  return ['taskset', '-c', String(cpu), ...command];
}

/** Starts a server and waits for its line `listening <port>`; of a Unix socket it is the path. */
export async function startServer(command: readonly string[]): Promise<RunningServer> {
  const server = new RunningServer(command);
  running.add(server);
  try {
    await server.listening();
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

export class RunningServer {
  readonly spawnedAt = performance.now();
  port = '';
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private stderr = '';

  constructor(command: readonly string[]) {
    this.child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    // An end by error (no such program) counts as an end, too.
    this.ended = once(this.child, 'exit').catch((error: Error) => {
      this.stderr += error.message;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_KEPT);
    });
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`the server did not start: ${this.stderr}`);
    return this.child.pid;
  }

  get alive(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The end of what the server wrote to its standard error. */
  get complaint(): string {
    return this.stderr.trim();
  }

  async listening(): Promise<void> {
    const lines = createInterface({ input: this.child.stdout! });
    const found = new Promise<string>((resolve) => {
      // Later lines are read as well, so that a talkative server never waits for its pipe.
      lines.on('line', (line) => {
        const port = /^listening (\S+)$/.exec(line)?.[1];
        if (port !== undefined) resolve(port);
      });
    });
    const late = new AbortController();
    const failed = this.ended.then(() => 'it ended before it listened');
    const timedOut = sleep(START_MAX_MS, `it did not listen within ${START_MAX_MS} ms`, { signal: late.signal });
    const complaint = Promise.race([failed, timedOut]).then((text) => {
      throw new Error(`${text}: ${this.complaint}`);
    });
    this.port = await Promise.race([found, complaint]).finally(() => late.abort());
  }

  /** Asks the server to end, and kills what is left of its processes after a grace time; answers how many were left. */
  async stop(): Promise<number> {
    if (this.child.pid === undefined) return 0;
    // Taken before the signal: once the first process is gone nothing tells any more whose child an orphan was.
    const tree = processTree(this.child.pid);
    this.child.kill('SIGTERM');
    const deadline = performance.now() + GRACE_MS;
    while (tree.some(isSameProcess) && performance.now() < deadline) await sleep(10);
    const left = killAll(tree);
    await this.ended;
    running.delete(this);
    return left;
  }

  killNow(): void {
    if (this.child.pid !== undefined) killAll(processTree(this.child.pid));
  }
}

function killAll(tree: readonly ProcessEntry[]): number {
  const left = tree.filter(isSameProcess);
  for (const entry of left) {
    try {
      process.kill(entry.pid, 'SIGKILL');
    } catch {
      // It ended by itself in this very moment.
    }
  }
  return left.length;
}
