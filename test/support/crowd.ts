/**
 * Ten thousand clients in a process of their own, because client and server together would need more descriptors than one
 * process may have. Told what to do by messages: see Crowd.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { raiseFileLimit } from '../../src/sys/process.ts';
import { Load } from './load.ts';
import { within } from './until.ts';

const CROWD_DEADLINE_MS = 60_000;

interface Report {
  done: string;
  error?: string;
  wrongs: string[];
  answered: number;
  lost: number;
}

/** The test's side. */
export class Crowd {
  private readonly child: ChildProcess;
  private exited = false;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.once('exit', () => {
      this.exited = true;
    });
  }

  /** Resolves when all are connected. */
  static async connect(port: number, connections: number): Promise<Crowd> {
    const child = fork(new URL(import.meta.url), [String(port), String(connections)], { execArgv: [] });
    const crowd = new Crowd(child);
    await crowd.report('connected');
    return crowd;
  }

  /** Each asks so many times and checks its answers. */
  ask(times: number): Promise<Report> {
    this.child.send({ ask: times });
    return this.report('asked');
  }

  private async report(what: string): Promise<Report> {
    const message = new Promise<Report>((resolve, reject) => {
      this.child.once('message', (report) => resolve(report as Report));
      this.child.once('exit', () => reject(new Error(`the crowd ended before it had ${what}`)));
    });
    const report = await within(message, `a crowd that has ${what}`, CROWD_DEADLINE_MS);
    if (report.error !== undefined || report.done !== what)
      throw new Error(`the crowd: ${report.error ?? report.done}`);
    return report;
  }

  [Symbol.dispose](): void {
    if (!this.exited) this.child.kill('SIGKILL');
  }
}

async function run(port: number, connections: number): Promise<void> {
  raiseFileLimit();
  const load = await Load.connect({ port, connections });
  const tell = (done: string, error?: string): void => {
    const { wrongs, answered, lost } = load;
    process.send!({ done, error, wrongs, answered, lost } satisfies Report);
  };
  process.on('message', async ({ ask }: { ask: number }) => {
    try {
      load.start();
      await load.progress(ask * connections, CROWD_DEADLINE_MS);
      await load.pause(CROWD_DEADLINE_MS);
      tell('asked');
    } catch (error) {
      tell('asked', (error as Error).message);
    }
  });
  process.on('disconnect', () => process.exit());
  tell('connected');
}

if (import.meta.main) {
  const [port, connections] = process.argv.slice(2).map(Number);
  run(port, connections).catch((error: Error) => {
    process.send!({ done: 'nothing', error: error.stack, wrongs: [], answered: 0, lost: 0 } satisfies Report);
  });
}
