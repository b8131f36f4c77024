/**
 * A server whose task workers run functions of the test: what remote.ts is for event workers.
 *
 *     const job = inTask(({ server }, text) => `${server.worker_id}: ${text}`, 'hello');
 *     await remote.run(({ server }, job) => server.taskwait(job), job);
 *
 * A task that is no such function is answered with its own data. Events finish, pipeMessage, workerStop,
 * workerError and afterReload are reported.
 */
import type { Server } from '../../src/index.ts';
import type { Fixture, report } from './fixture.ts';
import { sourceOf, type TestServer } from './server.ts';

/** What a function that runs as a task gets. */
export interface TaskScope {
  server: Server;
  report: typeof report;
  /** The task's own. */
  id: number;
  source: number;
  /** Answers the task, whatever form its callback has. */
  finish: (data: unknown) => boolean;
  /** Waits without giving way to anything. */
  block: (ms: number) => void;
  rest: (ms: number) => Promise<void>;
}

/** The data of a task that runs a function. */
export interface Job {
  job: string;
  args: unknown[];
}

export function inTask<Args extends unknown[]>(fn: (scope: TaskScope, ...args: Args) => unknown, ...args: Args): Job {
  return { job: sourceOf(fn), args };
}

export interface TaskServerArgs {
  /** Leave these callbacks out. */
  without?: string[];
}

export const taskServer = ({ server, swoole, report, control, args }: Fixture<TaskServerArgs | undefined>): void => {
  const without = args?.without ?? [];
  server.on('receive', (_server, fd) => report('receive', { fd }));
  const block = (ms: number): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  };
  const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const work = (id: number, source: number, data: unknown, finish: (value: unknown) => boolean): unknown => {
    const order = data as { job?: string; args: unknown[] } | null;
    if (typeof order !== 'object' || order === null || typeof order.job !== 'string') {
      finish(data);
      return undefined;
    }
    const run = new Function(`return (${order.job});`)();
    return run({ server, report, id, source, finish, block, rest }, ...order.args);
  };
  if (!without.includes('task')) {
    server.on('task', (server, ...rest: unknown[]) => {
      if (rest.length === 3) {
        const [id, source, data] = rest as [number, number, unknown];
        return work(id, source, data, (value) => server.finish(value));
      }
      const task = rest[0] as InstanceType<typeof swoole.Task>;
      return work(task.id, task.worker_id, task.data, (value) => task.finish(value));
    });
  }
  if (!without.includes('finish')) {
    server.on('finish', (server, ...rest: unknown[]) => {
      if (rest.length === 2) report('finish', { worker: server.worker_id, id: rest[0], data: rest[1] });
      else report('finish', { worker: server.worker_id, object: rest[0] });
    });
  }
  if (!without.includes('pipeMessage')) {
    server.on('pipeMessage', (server, ...rest: unknown[]) => {
      if (rest.length === 2) report('pipe', { worker: server.worker_id, source: rest[0], data: rest[1] });
      else report('pipe', { worker: server.worker_id, object: rest[0] });
    });
  }
  server.on('afterReload', () => report('afterReload'));
  server.on('workerStop', (_server, id) => report('stop', { id }));
  server.on('workerError', (_server, id, pid, code, signal) => report('workerError', { id, dead: pid, code, signal }));
  control();
};

/** The process that has a worker id now. */
export function pidOf(server: TestServer, id: number): number {
  return server.events('$worker').findLast((event) => event.id === id)!.pid;
}

/** Kills the process of a worker id, and answers its process id. */
export function killWorker(server: TestServer, id: number): number {
  const pid = pidOf(server, id);
  process.kill(pid, 'SIGKILL');
  return pid;
}

/** Waits until another process than `pid` serves under a worker id, and answers its process id. */
export async function replaced(server: TestServer, id: number, pid: number): Promise<number> {
  await server.until(() => pidOf(server, id) !== pid, `another process of worker ${id}`);
  return pidOf(server, id);
}
