/** The master is the first process, in every mode: its pid is what init scripts and users send signals to. */
import assert from 'node:assert/strict';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Event, startServer, type TestServer } from '../support/server.ts';
import { ALONE, SUBJECTS } from '../support/subjects.ts';
import { killWorker } from '../support/tasks.ts';

function start(mode: number, workerNum: number): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: workerNum, task_worker_num: 1, log_file: 'log' },
    setup: ({ server, swoole, report }) => {
      const { SWOOLE_SERVER_COMMAND_MASTER } = swoole;
      server.addCommand('pid', SWOOLE_SERVER_COMMAND_MASTER, () => String(process.pid));
      server.on('receive', () => {});
      server.on('task', () => {});
      server.on('workerStart', async (server, id) => {
        const command = await server.command('pid', 0, SWOOLE_SERVER_COMMAND_MASTER, '');
        report('worker', { id, pids: [server.getMasterPid(), server.master_pid, command] });
      });
      for (const event of [
        'start',
        'managerStart',
        'afterReload',
        'beforeShutdown',
        'managerStop',
        'shutdown',
      ] as const)
        server.on(event, (server: { master_pid: number }) => {
          report('event', { name: event, master: server.master_pid });
        });
    },
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`the master of ${name}`, () => {
    const processes = workerNum + 1;
    /** How often a worker of the id has begun. */
    const begun = (server: TestServer, id: number): number =>
      server.events('worker').filter((event) => event.id === id).length;
    const assertMaster = (server: TestServer): void => {
      for (const { pids } of server.events('worker')) assert.deepEqual(pids, [server.pid, server.pid, server.pid]);
      for (const { master } of server.events('event')) assert.equal(master, server.pid);
    };

    test('is the first process for everybody, also when workers have died', async () => {
      await using server = await start(mode, workerNum);
      await server.waitForCount('worker', processes);
      await killWorker(server, 0);
      await server.until(() => begun(server, 0) === 2, 'another worker 0');
      assertMaster(server);
    });

    test('reloads at SIGUSR1, task workers at SIGUSR2', async () => {
      await using server = await start(mode, workerNum);
      await server.waitForCount('worker', processes);
      const reloaded = (count: number) => (): boolean =>
        server.events('event').filter((event: Event) => event.name === 'afterReload').length === count;
      process.kill(server.pid, 'SIGUSR1');
      await server.until(reloaded(1), 'the end of the reload');
      await server.waitForCount('worker', 2 * processes);
      process.kill(server.pid, 'SIGUSR2');
      await server.until(reloaded(2), 'the end of the second reload');
      await server.waitForCount('worker', 2 * processes + 1);
      assert.equal(begun(server, workerNum), 3);
      assert.equal(begun(server, 0), 2);
      assertMaster(server);
    });

    for (const signal of ['SIGWINCH', 34] as const)
      test(`opens the log again at ${signal}`, async () => {
        await using server = await start(mode, workerNum);
        await server.waitForCount('worker', processes);
        const log = join(server.directory, 'log');
        process.kill(server.pid, 'SIGUSR1');
        await server.until(() => existsSync(log), 'a log');
        renameSync(log, `${log}.1`);
        process.kill(server.pid, signal);
        await server.until(() => existsSync(log), 'a new one');
      });

    test('ends the server at SIGTERM', async () => {
      await using server = await start(mode, workerNum);
      await server.waitForCount('worker', processes);
      process.kill(server.pid, 'SIGTERM');
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      const names = server.events('event').map((event) => event.name);
      assert.equal(names.at(-1), 'shutdown');
      assert.equal(names.filter((name) => name === 'start').length, 1);
      assertMaster(server);
    });
  });
}

test(`a command for worker 0 is for the master as well in ${ALONE.name} only`, async () => {
  for (const { mode, workerNum } of [...SUBJECTS, ALONE]) {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum },
      setup: ({ server, swoole, report }) => {
        const { SWOOLE_SERVER_COMMAND_EVENT_WORKER, SWOOLE_SERVER_COMMAND_MASTER } = swoole;
        server.addCommand('pid', SWOOLE_SERVER_COMMAND_MASTER, () => String(process.pid));
        server.on('receive', () => {});
        server.on('workerStart', async (server) => {
          const answer = await server.command('pid', 0, SWOOLE_SERVER_COMMAND_EVENT_WORKER, '');
          report('answer', { answer, code: server.getLastError() });
        });
      },
    });
    const { answer, code } = await server.waitFor('answer');
    if (workerNum === 1) assert.equal(answer, server.pid);
    else assert.deepEqual([answer, code], [false, 507]);
  }
});
