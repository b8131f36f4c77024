/** The reactor threads of the master, as its main thread sees them. */
import { Worker } from 'node:worker_threads';
import type { ReactorThreadConfig } from '../../reactor/thread.ts';
import { reactorInbox } from '../../shm/layout.ts';
import { FINISH, PAUSE_ACCEPTING, REOPEN_LOG, START_ACCEPTING, STOP_ACCEPTING } from '../../shm/messages.ts';
import { childDirectory } from '../life/run-again.ts';
import type { ThreadData } from '../life/this-process.ts';
import type { Runtime } from '../way/runtime.ts';

export interface ReactorThreadsOptions {
  runtime: Runtime;
  config: Omit<ReactorThreadConfig, 'id'>;
  count: number;
  /** The user's script, where its functions must run beside the sockets; else null. */
  script: string | null;
  /** A thread failed: the server cannot go on. */
  onFailure(error: Error): void;
}

export class ReactorThreads {
  private readonly options: ReactorThreadsOptions;
  private readonly threads: Worker[] = [];
  private finished: Promise<unknown> = Promise.resolve();

  constructor(options: ReactorThreadsOptions) {
    this.options = options;
  }

  /** In a daemon, threads run the script where that was started, and this resolves when they have. */
  async start(): Promise<void> {
    const { config, count, script } = this.options;
    // The directory is that of the process, whichever thread asks.
    const directory = script === null ? undefined : childDirectory();
    if (directory !== undefined) process.chdir(directory);
    const exits: Promise<unknown>[] = [];
    for (let id = 0; id < count; id++) {
      const thread = script === null ? this.startEntry({ ...config, id }) : this.startScript(script, { ...config, id });
      thread.on('error', (error) => this.options.onFailure(error as Error));
      exits.push(new Promise((resolve) => thread.once('exit', resolve)));
      this.threads.push(thread);
    }
    this.finished = Promise.all(exits);
    if (directory === undefined) return;
    const begun = this.threads.map((thread) => new Promise((resolve) => thread.once('message', resolve)));
    await Promise.race([Promise.all(begun), this.finished]);
    process.chdir('/');
  }

  private startEntry(config: ReactorThreadConfig): Worker {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    // None of the user's loaders and preloads is wanted in a thread that runs nothing of the user's.
    return new Worker(new URL(`../../reactor/thread-entry${extension}`, import.meta.url), {
      workerData: config,
      execArgv: [],
    });
  }

  private startScript(script: string, config: ReactorThreadConfig): Worker {
    const data: ThreadData = { tswoole: { kind: 'reactor', config } };
    return new Worker(script, { workerData: data, argv: process.argv.slice(2) });
  }

  private tellAll(kind: number, a = 0): void {
    const { runtime, count } = this.options;
    for (let id = 0; id < count; id++) runtime.tell(reactorInbox(id), kind, a);
    runtime.flush();
  }

  startAccepting(): void {
    this.tellAll(START_ACCEPTING);
  }
  pauseAccepting(): void {
    this.tellAll(PAUSE_ACCEPTING);
  }
  /** Takes no more connections and no more input. */
  stopAccepting(): void {
    this.tellAll(STOP_ACCEPTING);
  }
  reopenLogs(): void {
    this.tellAll(REOPEN_LOG);
  }
  /** Sends what is queued, waiting for slow readers that long, closes everything, and ends the threads. */
  async finish(waitMs: number): Promise<void> {
    this.tellAll(FINISH, waitMs);
    await this.finished;
  }
}
