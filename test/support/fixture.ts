/**
 * What the scripts of test servers import. A script runs once in every process of its server, and again in a thread where
 * settings hold functions, so everything here works everywhere.
 */
import { openSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { isMainThread } from 'node:worker_threads';
import type { Port, Process, Server, ServerEvents, ServerSettings } from '../../src/index.ts';
import * as swoole from '../../src/index.ts';
import { takeOrders } from './orders.ts';

/** The environment variables by which the harness and its scripts know each other. */
export const EVENTS_VARIABLE = 'TSWOOLE_TEST_EVENTS';
export const ID_VARIABLE = 'TSWOOLE_TEST_ID';

/** Opened at once: later the process may have another user, root or directory. */
const eventsFd = process.env[EVENTS_VARIABLE] === undefined ? 1 : openSync(process.env[EVENTS_VARIABLE], 'a');

/**
 * Tells the test something. One write to a file opened for appending: lines of several processes do not mix, and nothing
 * is lost when a process is killed. `pid` is added.
 */
export function report(event: string, details: object = {}): void {
  const line = JSON.stringify({ event, pid: process.pid, ...details }, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  writeSync(eventsFd, `${line}\n`);
}

/** What a test's `setup` function gets. It is sent as source text: it must not use anything from around it. */
export interface Fixture<Args> {
  server: Server;
  /** All that users import. */
  swoole: typeof swoole;
  report: typeof report;
  /** From the options of startServer(); has crossed as JSON. */
  args: Args;
  /** Listens on a further port over which the test can run functions in workers: see remote.ts. */
  control(): Port;
  /** Registers pipeMessage, so that the test can run functions in all processes: see orders.ts. */
  takeOrders(...processes: Process[]): void;
}

/** What functions that run in a worker get: see remote.ts. */
export interface RemoteScope {
  server: Server;
  swoole: typeof swoole;
  report: typeof report;
  /** The connection over which the function came, and its reactor. */
  fd: number;
  /** Kept between calls, one for each process. */
  state: Record<string, unknown>;
}

export interface FixtureOptions {
  host: string;
  port: number;
  mode: number;
  type: number;
  settings: ServerSettings | null;
  args: unknown;
}

/**
 * The life of a test server: makes it, lets the test set it up, starts it. Reports `$start` with all ports, `$worker` for
 * every worker that is ready, `$end` with what start() has answered, `$threw` when something threw.
 */
export async function runFixture(
  setup: (fixture: Fixture<unknown>) => unknown,
  options: FixtureOptions,
): Promise<void> {
  try {
    const { host, port, mode, type, settings, args } = options;
    const server = new swoole.Server(host, port, mode, type);
    if (settings !== null) server.set(settings);
    await setup({
      ...{ server, swoole, report, args },
      control: () => listenForControl(server),
      takeOrders: (...processes) => takeOrders({ server, swoole, report, processes }),
    });
    reportReadiness(server);
    const result = await server.start();
    report('$end', { result, error: server.getLastError() });
  } catch (error) {
    const { message, code, stack } = error as swoole.TswooleError;
    report('$threw', { message, code, stack, thread: !isMainThread });
    process.exitCode = 1;
  }
}

function reportReadiness(server: Server): void {
  const onStart = server.getCallback('start') as ServerEvents['start'] | null;
  const onWorkerStart = server.getCallback('workerStart') as ServerEvents['workerStart'] | null;
  server.on('start', (started) => {
    try {
      return onStart?.(started);
    } finally {
      const ports = started.ports.map(({ host, port, type }) => ({ host, port, type }));
      const { worker_num = 1, task_worker_num = 0 } = started.setting;
      report('$start', { workers: worker_num + task_worker_num, ports });
    }
  });
  server.on('workerStart', (started, id) => {
    try {
      return onWorkerStart?.(started, id);
    } finally {
      report('$worker', { id });
    }
  });
}

const state: Record<string, unknown> = {};

function listenForControl(server: Server): Port {
  const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
  if (port === false) throw new Error('no port for the control connection');
  port.set({ open_length_check: true, package_max_length: '16M' });
  // Its own, so that the callbacks of the server do not see control connections.
  port.on('connect', () => {});
  port.on('close', () => {});
  port.on('receive', async (_, fd, _reactorId, data) => {
    const { id, source, args } = deserialize(data.subarray(4)) as { id: number; source: string; args: unknown[] };
    const scope: RemoteScope = { server, swoole, report, fd, state };
    const answer = await runSource(scope, source, args);
    const bytes = serialize({ id, worker: server.worker_id, pid: process.pid, ...answer });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    server.send(fd, Buffer.concat([length, bytes]));
  });
  return port;
}

async function runSource(scope: RemoteScope, source: string, args: unknown[]): Promise<object> {
  try {
    const run = new Function(`return (${source});`)() as (scope: RemoteScope, ...args: unknown[]) => unknown;
    return { value: await run(scope, ...args) };
  } catch (error) {
    return { error: (error as Error).stack ?? String(error) };
  }
}
