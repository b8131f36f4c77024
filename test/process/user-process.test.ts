/** addProcess(): processes of the user's beside the workers, and the pipes to them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client } from '../support/client.ts';
import type { Fixture } from '../support/fixture.ts';
import { Orders } from '../support/orders.ts';
import { isAlive } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { runScript, startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { userPid } from '../support/users.ts';

describe('addProcess', () => {
  it('counts, and refuses what it cannot take', async () => {
    const run = await runScript(async ({ swoole: { Process, Server, SWOOLE_BASE }, report }) => {
      const server = new Server('127.0.0.1', 0, SWOOLE_BASE);
      server.set({ log_level: 5 });
      server.on('receive', () => {});
      const processes = [0, 1, 2].map((type) => new Process(() => new Promise(() => {}), false, type));
      report('answers', {
        value: [...processes.map((each) => server.addProcess(each)), server.addProcess(processes[1])],
      });
      for (const wrong of [{}, null, 'process', () => {}]) {
        try {
          server.addProcess(wrong as never);
        } catch (error) {
          report('threw', { value: (error as { code: string }).code });
        }
      }
      const own = processes[0].start();
      server.on('workerStart', () => {
        report('late', { value: [server.addProcess(new Process(() => {})), own] });
        server.shutdown();
      });
      report('end', { value: [await server.start(), server.setting.worker_num] });
    });
    assert.deepEqual(run.exit, { code: 0, signal: null }, run.output);
    const [answers] = run.events('answers').filter((event) => event.pid === run.pid);
    assert.deepEqual(answers.value, [0, 1, 2, false]);
    const threw = run.events('threw').filter((event) => event.pid === run.pid);
    assert.deepEqual(
      threw.map((event) => event.value),
      Array.from({ length: 4 }, () => 'ERR_ARGUMENT'),
    );
    const [late] = run.events('late');
    assert.deepEqual(late.value, [false, false]);
    assert.notEqual(late.pid, run.pid, 'with a user process there is a manager');
    assert.deepEqual(run.events('end')[0].value, [true, 1]);
  });

  it('is of no use inside a Process, where a server of several processes cannot start', async () => {
    const run = await runScript(async ({ swoole: { Process, Server, SWOOLE_BASE }, report }) => {
      const child = new Process(async () => {
        const server = new Server('127.0.0.1', 0, SWOOLE_BASE);
        server.set({ worker_num: 2 });
        server.on('receive', () => {});
        await server.start().catch(({ code, message }) => report('threw', { code, message }));
      });
      child.start();
      report('ended', { value: await Process.wait() });
    });
    const [threw] = run.events('threw');
    assert.equal(threw?.code, 'ERR_UNSUPPORTED', run.output);
    assert.match(threw.message, /inside a Process/);
    assert.equal(run.events('ended')[0].value.code, 0);
  });

  it('refuses a process that was started already', async () => {
    const run = await runScript(async ({ swoole: { Process, Server, SWOOLE_BASE }, report }) => {
      const started = new Process(() => new Promise(() => setTimeout(() => {}, 60_000)));
      const pid = started.start();
      const server = new Server('127.0.0.1', 0, SWOOLE_BASE);
      server.set({ log_level: 5 });
      report('answer', { value: [typeof pid, server.addProcess(started)] });
      if (pid !== false) Process.kill(pid);
      await Process.wait();
    });
    assert.deepEqual(run.events('answer')[0].value, ['number', false]);
  });
});

for (const { name, mode } of SUBJECTS) {
  describe(`a user process in ${name}`, { concurrency: false }, () => {
    it('knows who and where it is', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, task_worker_num: 1 },
        setup: ({ server, swoole, report, control, takeOrders }) => {
          const processes = [0, 1].map(
            () =>
              new swoole.Process((self) => {
                const { worker_id, worker_pid, taskworker } = server;
                report('user', { id: self.id, value: { own: self.pid, worker_id, worker_pid, taskworker } });
                setInterval(() => {}, 60_000);
              }),
          );
          for (const each of processes) server.addProcess(each);
          server.on('receive', () => {});
          server.on('task', () => {});
          server.on('workerStop', (_, id) => report('workerStop', { id }));
          server.on('workerError', (_, id) => report('workerError', { id }));
          control();
          takeOrders(...processes);
        },
      });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      for (const id of [3, 4]) {
        const pid = await userPid(server, id);
        const [{ value }] = server.events('user').filter((event) => event.id === id);
        assert.deepEqual(value, { own: pid, worker_id: -1, worker_pid: 0, taskworker: false });
        const seen = await orders.run(
          id,
          ({ server, processes }, pid) => [
            server.getWorkerId(),
            processes.map((each) => each.id),
            processes.map((each) => each.pid === pid),
            process.ppid === server.getManagerPid(),
            processes[0].start(),
          ],
          pid,
        );
        assert.deepEqual(seen, [false, [3, 4], [id === 3, id === 4], true, false]);
        const fromWorker = await remote.run(({ server }, id) => [server.getWorkerPid(id), server.getWorkerId()], id);
        assert.deepEqual(fromWorker, [pid, remote.worker]);
      }
      assert.equal(server.events('$worker').filter((event) => event.id > 2).length, 0, 'workerStart is for workers');
      await server.stop();
      assert.equal(server.events('workerStop').filter((event) => event.id > 2).length, 0);
      assert.equal(server.events('workerError').length, 0, server.output);
    });

    it('tells workers its pid of now', async () => {
      await using server = await startUser(mode);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const first = await userPid(server, 3);
      const pidIn = (id: number): Promise<number> => orders.run(id, ({ processes }) => processes[0].pid);
      assert.deepEqual([await pidIn(remote.worker), await pidIn(2)], [first, first]);
      process.kill(first, 'SIGKILL');
      const second = await userPid(server, 3, first);
      assert.deepEqual([await pidIn(remote.worker), await pidIn(2)], [second, second]);
    });

    it('acts on connections', async () => {
      await using server = await startUser(mode);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      await userPid(server, 3);
      const clients = await Promise.all(Array.from({ length: 6 }, () => Client.connect(server.port)));
      await server.waitForCount('connect', 6);
      const seen = await orders.run(3, ({ server }) => {
        const info = [...server.connections].map((fd) => server.getClientInfo(fd));
        const stats = server.stats();
        return {
          count: server.connections.count(),
          ids: [...server.connections].length,
          list: (server.getClientList() as number[]).length,
          page: (server.getClientList(0, 3) as number[]).length,
          ports: info.map((each) => (each === false ? 0 : each.remote_port)),
          exists: [...server.connections].every((fd) => server.exists(fd)),
          stats: stats.connection_num,
        };
      });
      // With the control connection.
      assert.deepEqual({ ...seen, ports: 0 }, { count: 7, ids: 7, list: 7, page: 3, ports: 0, exists: true, stats: 7 });
      for (const client of clients) assert.ok(seen.ports.includes(client.localPort));
      const sent = await orders.run(3, ({ server, report }) => {
        const fds = [...server.connections].filter((fd) => server.getClientInfo(fd) !== false);
        const control = server.ports[1].connections;
        const own = fds.filter((fd) => ![...control].includes(fd));
        report('fds', { own });
        return own.map((fd) => server.send(fd, `to ${fd}\n`) && server.send(fd, Buffer.from('bytes\n')));
      });
      assert.deepEqual(sent, new Array(6).fill(true));
      const { own } = server.events('fds')[0];
      const lines = await Promise.all(
        clients.map(async (client) => [await client.readLine(), await client.readLine()]),
      );
      assert.deepEqual(lines.map(([first]) => first).sort(), own.map((fd: number) => `to ${fd}`).sort());
      assert.deepEqual(await orders.run(3, ({ server }, own) => own.map((fd) => server.close(fd)), own as number[]), [
        ...new Array(6).fill(true),
      ]);
      await Promise.all(clients.map((client) => client.ended));
      for (const client of clients) client.destroy();
      await server.waitForCount('close', 6);
      assert.equal(await orders.run(3, ({ server }, fd) => server.send(fd, 'x'), own[0] as number), false);
    });

    it('gives tasks one-way, and cannot wait for one', async () => {
      await using server = await startUser(mode);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const answers = await orders.run(3, async ({ server, report }) => [
        server.task('one', -1, () => report('finish')),
        server.task({ two: 2 }, 0),
        server.task('wrong', 1),
        await server.taskwait('three', 0.5),
        await server.taskWaitMulti(['four']),
        await server.taskCo(['five']),
      ]);
      assert.deepEqual(answers, [0, 1, false, false, false, false]);
      const tasks = await server.waitForCount('task', 2);
      assert.deepEqual(
        tasks.map(({ from, data, answered }) => ({ from, data, answered })),
        [
          { from: 3, data: 'one', answered: false },
          { from: 3, data: { two: 2 }, answered: false },
        ],
      );
      // A later round trip: no result has come.
      assert.equal(await orders.run(3, ({ server }) => server.taskworker), false);
      assert.equal(server.events('finish').length + server.events('workerError').length, 0);
    });

    it('asks others to run commands', async () => {
      await using server = await startUser(mode);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const answers = await orders.run(3, async ({ server, swoole }) => [
        await server.command('where', 1, swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, 'x'),
        await server.command('where', 0, swoole.SWOOLE_SERVER_COMMAND_TASK_WORKER, 'x'),
        await server.command('where', 0, swoole.SWOOLE_SERVER_COMMAND_MANAGER, 'x'),
        await server.command('unknown', 0, swoole.SWOOLE_SERVER_COMMAND_MANAGER, 'x'),
      ]);
      assert.deepEqual(answers, [1, 2, -1, false]);
    });

    it('sends messages to all, and gets them from all', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, task_worker_num: 2 },
        setup: ({ server, swoole, report, control, takeOrders }) => {
          for (let n = 0; n < 2; n++)
            server.addProcess(
              new swoole.Process((self) => {
                report('user', { id: self.id });
                setInterval(() => {}, 60_000);
              }),
            );
          server.on('receive', () => {});
          server.on('task', () => {});
          control();
          takeOrders();
        },
      });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const ids = [0, 1, 2, 3, 4, 5];
      const pids: number[] = [];
      for (const id of ids) pids.push(await orders.run(id, () => process.pid));
      for (const from of ids) {
        const sent = await orders.run(
          from,
          ({ server }, from, ids) => {
            const large = 'x'.repeat(1024 * 1024);
            return ids.map((to) => [
              server.sendMessage({ from, to }, to),
              server.sendMessage(`${from}>${to}${large}`, to),
            ]);
          },
          from,
          ids,
        );
        assert.deepEqual(
          sent,
          ids.map((to) => [to !== from, to !== from]),
        );
        assert.equal(await orders.run(from, ({ server }) => server.sendMessage('x', 6)), false);
      }
      const messages = await server.waitForCount('pipeMessage', 2 * 6 * 5);
      const seen = messages.map(({ from, pid, message }) =>
        typeof message === 'string'
          ? `${from} ${message.slice(0, 3)} ${message.length} ${ids[pids.indexOf(pid)]}`
          : `${from} ${message.from}>${message.to} ${ids[pids.indexOf(pid)]}`,
      );
      const expected = ids.flatMap((from) =>
        ids
          .filter((to) => to !== from)
          .flatMap((to) => [`${from} ${from}>${to} ${to}`, `${from} ${from}>${to} ${1024 * 1024 + 3} ${to}`]),
      );
      assert.deepEqual(seen.sort(), expected.sort());
    });

    it('reloads the server, lives on, and ends it', async () => {
      await using server = await startUser(mode);
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const pid = await userPid(server, 3);
      await server.waitForCount('$worker', 3);
      assert.equal(await orders.run(3, ({ server }) => server.reload()), true);
      await server.waitFor('afterReload');
      // 2 workers and a task worker at first, and again for each.
      await server.waitForCount('$worker', 6);
      process.kill(server.pid, 'SIGUSR1');
      await server.waitForCount('afterReload', 2);
      await server.waitForCount('$worker', 9);
      process.kill(server.pid, 'SIGUSR2');
      await server.waitForCount('afterReload', 3);
      await server.waitForCount('$worker', 10);
      assert.equal(server.events('user').length, 1);
      assert.ok(isAlive(pid));
      assert.equal(server.events('workerError').length, 0, server.output);
      using again = await Remote.connect(server);
      assert.equal(await new Orders(server, again).run(3, ({ server }) => server.shutdown()), true);
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.deepEqual(server.events('$end')[0].result, true);
      assert.equal(server.events('workerError').length, 0, server.output);
    });
  });
}

/** Two workers, a task worker, and one user process (id 3) that stays idle and takes orders. */
function startUser(mode: number, settings: object = {}): Promise<TestServer> {
  return startServer({ mode, settings: { worker_num: 2, task_worker_num: 1, ...settings }, setup: setUpUser });
}

const setUpUser = ({ server, swoole, report, control, takeOrders }: Fixture<unknown>): void => {
  const user = new swoole.Process((self) => {
    report('user', { id: self.id });
    setInterval(() => {}, 60_000);
  });
  server.addProcess(user);
  const types =
    swoole.SWOOLE_SERVER_COMMAND_MANAGER |
    swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER |
    swoole.SWOOLE_SERVER_COMMAND_TASK_WORKER;
  server.addCommand('where', types, () => `${server.worker_id}`);
  server.on('connect', (_, fd) => report('connect', { fd }));
  server.on('receive', () => {});
  server.on('close', (_, fd) => report('close', { fd }));
  server.on('task', (server, id, from, data) => {
    report('task', { id, from, data, answered: server.finish('result') });
  });
  server.on('finish', (_, id) => report('finish', { id }));
  server.on('afterReload', () => report('afterReload'));
  server.on('workerError', (_, id, pid, code, signal) => report('workerError', { id, workerPid: pid, code, signal }));
  control();
  takeOrders(user);
};
