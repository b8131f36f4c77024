/** What stats() tells, and who can ask. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Stats } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import type { Seen } from '../support/stats-reader.ts';
import { ALL_SUBJECTS, ALONE, PROCESS, SUBJECTS } from '../support/subjects.ts';
import { pidOf, replaced } from '../support/tasks.ts';

const READER = fileURLToPath(new URL('../support/stats-reader.ts', import.meta.url));

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`stats of ${name}, read by a program beside it`, () => {
    test('are those that stats() tells, from memory that it cannot write', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: subject === ALONE ? 0 : 1, start_session_id: 100 },
        setup: ({ server, control }) => {
          server.on('receive', () => {});
          server.on('task', (_server, _taskId, _sourceId, data) => data);
          control();
        },
      });
      const remotes = await Remote.connectToAll(server, workerNum);
      if (subject !== ALONE) await remotes[0].run(({ server }) => server.taskwait('x', 10));
      for (const remote of remotes) {
        const { worker } = remote;
        // While the worker waits for the program, nothing happens in the server.
        const [before, seen, after] = await remote.run(
          ({ server }, reader, pid, worker) => {
            const { execFileSync } = process.getBuiltinModule('node:child_process');
            const read = (): Seen =>
              JSON.parse(execFileSync(process.execPath, [reader, String(pid), String(worker)], { encoding: 'utf8' }));
            for (let tries = 0; ; tries++) {
              const before = server.stats();
              const seen = read();
              const after = server.stats();
              if (JSON.stringify(before) === JSON.stringify(after) || tries === 5)
                return [before, seen, after] as const;
            }
          },
          READER,
          server.pid,
          worker,
        );
        assert.deepEqual(after, before, 'the server was not quiet');
        assert.deepEqual(seen.stats, before);
        assert.deepEqual([seen.mode, seen.workerPid], [mode, await remote.run(() => process.pid)]);
        assert.ok(seen.stats.worker_request_count > 0 && seen.stats.connection_num >= workerNum);
        assert.equal(seen.stats.task_count, subject === ALONE ? 0 : 1);
        assert.ok(seen.maps.length > 0);
        for (const line of seen.maps) assert.match(line, /^\S+ r--s /);
      }
      for (const remote of remotes) remote.close();
    });
  });
}

for (const subject of SUBJECTS) {
  const { name, mode, workerNum } = subject;
  test(`what goes wrong in ${name} is counted`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum, task_worker_num: 1, socket_buffer_size: 100_000 },
      setup: ({ server, report, control, swoole }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          if (String(data) === 'fail') throw new Error('on purpose');
          report('sent', { answer: server.send(fd, 'x'.repeat(100_001)), code: server.getLastError() });
        });
        server.on('task', async (_server, _taskId, _sourceId, data) => {
          await new Promise((resolve) => setTimeout(resolve, Number(data)));
          report('worked');
          return data;
        });
        server.on('packet', () => {});
        server.on('afterReload', () => report('afterReload'));
        control();
        server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
      },
    });
    const stats = async (): Promise<Stats> => {
      using remote = await Remote.connect(server);
      return await remote.run(({ server }) => server.stats() as Stats);
    };
    const countedTo = (label: keyof Stats, count: number): Promise<unknown> =>
      server.until(async () => (await stats())[label] === count, `${label} ${count}`);

    using unlucky = await Client.connect(server.port);
    await unlucky.write('fail');
    await countedTo('callback_error_count', 1);
    const client = await Client.connect(server.port);
    await client.write('fill');
    const { answer, code } = await server.waitFor('sent');
    assert.deepEqual([answer, code], [false, 1008]);
    await countedTo('send_overflow_count', 1);
    client.reset();
    await countedTo('lost_count', 1);

    const remote = await Remote.connect(server);
    assert.equal(await remote.run(({ server }) => server.taskwait(100, 0.01)), false);
    await countedTo('result_drop_count', 1);
    await remote.run(({ server }) => {
      for (let i = 0; i < 3; i++) server.task(0);
    });
    // There is no finish callback.
    await countedTo('result_drop_count', 4);
    const counted = await stats();
    assert.deepEqual([counted.task_timeout_count, counted.task_count], [1, 4]);
    assert.ok(counted.task_busy_count >= 2);
    // The kernel lets nobody send to everybody who has not asked for it.
    assert.equal(await remote.run(({ server }) => server.sendto('255.255.255.255', 9, 'x')), false);
    await countedTo('sendto_error_count', 1);

    const dead = pidOf(server, 0);
    process.kill(dead, 'SIGKILL');
    await replaced(server, 0, dead);
    const { worker_error_count, worker_restart_count } = await stats();
    assert.deepEqual([worker_error_count, worker_restart_count], [1, 1]);
    process.kill(server.pid, 'SIGUSR1');
    await server.waitFor('afterReload');
    await countedTo('worker_restart_count', 2 + workerNum);
    assert.equal((await stats()).reload_count, 1);
    if (subject === PROCESS) {
      const manager = await (await Remote.connect(server)).run(({ server }) => server.manager_pid);
      process.kill(manager, 'SIGKILL');
      await countedTo('manager_restart_count', 1);
    }
  });
}
