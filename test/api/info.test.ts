import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { open } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, BASE, PROCESS } from '../support/subjects.ts';

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`what is known of connections in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, start_session_id: 1000 },
        setup: (fixture) => {
          const { server, report, control, swoole } = fixture;
          server.on('connect', (server, fd, reactorId) => {
            const info = server.getClientInfo(fd);
            const remotePort = info === false ? 0 : info.remote_port;
            report('connect', { fd, reactorId, worker: server.worker_id, remotePort });
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            report('receive', { fd, info: server.getClientInfo(fd), length: data.length });
          });
          server.on('close', (server, fd) => report('close', { fd, info: server.getClientInfo(fd) }));
          control();
          server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
        },
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    test('ids begin behind start_session_id and grow by one', async () => {
      const first = await open(server);
      const second = await open(server);
      assert.ok(first.fd > 1000 && first.fd < 1100, `${first.fd}`);
      assert.equal(second.fd, first.fd + 1);
      first.client.destroy();
      second.client.destroy();
    });

    test('getClientInfo has all fields', async () => {
      const before = Date.now() / 1000;
      const { client, fd, worker, reactorId } = await open(server);
      const remote = workers[worker];
      const info = await remote.run(({ server }, fd) => server.getClientInfo(fd), fd);
      assert.ok(info !== false);
      const { connect_time, last_time, last_recv_time, server_fd, socket_fd, ...rest } = info;
      assert.deepEqual(rest, {
        server_port: server.port,
        socket_type: 1,
        remote_port: client.localPort,
        remote_ip: '127.0.0.1',
        reactor_id: reactorId,
        last_send_time: 0,
        last_dispatch_time: 0,
        close_errno: 0,
        recv_queued_bytes: 0,
        send_queued_bytes: 0,
      });
      assert.ok(Number.isInteger(server_fd) && Number.isInteger(socket_fd) && server_fd !== socket_fd);
      assert.ok(Number.isInteger(connect_time) && Math.abs(connect_time - before) < 30);
      assert.equal(last_time, Math.floor(last_recv_time));
      await client.write('12345');
      const received = await server.waitFor('receive', (event) => event.fd === fd);
      assert.ok(received.info.last_recv_time >= last_recv_time);
      assert.equal(received.info.last_dispatch_time, received.info.last_recv_time);
      const sent = await remote.run(async ({ server }, fd) => {
        server.send(fd, 'x');
        for (;;) {
          const info = server.getClientInfo(fd);
          if (info === false || info.last_send_time > 0) return info;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }, fd);
      assert.ok(sent !== false && Math.abs(sent.last_send_time - before) < 30);
      const alias = await remote.run(({ server }, fd) => server.connection_info(fd), fd);
      assert.deepEqual(alias, sent);
      client.destroy();
    });

    test('getClientInfo ends with the close callback, unless errors are to be ignored', async () => {
      const { client, fd, worker } = await open(server);
      const { localPort } = client;
      client.end();
      const { info } = await server.waitFor('close', (event) => event.fd === fd);
      assert.equal(info.remote_port, localPort);
      const remote = workers[worker];
      assert.equal(await remote.run(({ server }, fd) => server.getClientInfo(fd), fd), false);
      const ignored = await remote.run(({ server }, fd) => server.getClientInfo(fd, -1, true), fd);
      assert.equal(ignored !== false && ignored.remote_port, localPort);
      const nobody = await remote.run(({ server }) => [
        server.getClientInfo(9_999_999, -1, true),
        server.getClientInfo(0),
      ]);
      assert.deepEqual(nobody, [false, false]);
      client.destroy();
    });

    test('a reset leaves its errno in close_errno', async () => {
      const { client, fd } = await open(server);
      client.reset();
      const { info } = await server.waitFor('close', (event) => event.fd === fd);
      assert.equal(info.close_errno, 104);
    });

    test('exist and exists', async () => {
      const { client, fd, worker } = await open(server);
      const ask = (
        { server }: { server: { exist(fd: number): boolean; exists(fd: number): boolean } },
        fd: number,
      ): boolean[] => [server.exist(fd), server.exists(fd)];
      assert.deepEqual(await workers[worker].run(ask, fd), [true, true]);
      assert.deepEqual(await workers[worker].run(ask, 9_999_999), [false, false]);
      assert.deepEqual(await workers[worker].run(ask, -1), [false, false]);
      if (subject !== ALONE) assert.deepEqual(await workers[1 - worker].run(ask, fd), [true, true]);
      client.destroy();
    });

    test('bind keeps the first uid, and takes what fits in 32 bits', async () => {
      const cases: [number, boolean, number | undefined][] = [
        [7, true, 7],
        [-10, true, 4294967286],
        [4294967295, true, 4294967295],
        [-2147483648, true, 2147483648],
        [0, false, undefined],
        [4294967296, false, undefined],
        [-2147483649, false, undefined],
        [1.5, false, undefined],
      ];
      for (const [uid, result, stored] of cases) {
        const { client, fd, worker } = await open(server);
        const bound = await workers[worker].run(
          ({ server }, fd, uid) => {
            const result = server.bind(fd, uid);
            const code = result ? 0 : server.getLastError();
            const info = server.getClientInfo(fd);
            return {
              result,
              code,
              uid: info === false ? -1 : info.uid,
              again: server.bind(fd, 5),
              unknown: server.bind(9_999_999, 5),
            };
          },
          fd,
          uid,
        );
        assert.deepEqual(
          bound,
          { result, code: result ? 0 : 505, uid: stored, again: stored === undefined, unknown: false },
          `uid ${uid}`,
        );
        client.destroy();
      }
    });

    test('getClientList goes on behind a connection that has left meanwhile', async () => {
      const opened = await Promise.all(Array.from({ length: 12 }, () => open(server)));
      const remote = workers[opened[0].worker];
      const all = (await remote.run(({ server }) => server.getClientList(0, 100))) as number[];
      const start = all[Math.floor(all.length / 2)];
      const leaver = opened.find(({ fd }) => fd === start) ?? opened[0];
      leaver.client.destroy();
      await server.waitFor('close', ({ fd }) => fd === leaver.fd);
      const behind = all.filter((fd) => fd > leaver.fd);
      assert.deepEqual(await remote.run(({ server }, fd) => server.getClientList(fd, 100), leaver.fd), behind);
      for (const { client } of opened) client.destroy();
    });

    test('getClientList pages through the connections in order', async () => {
      const opened = await Promise.all(Array.from({ length: 25 }, () => open(server)));
      const remote = workers[opened[0].worker];
      const own = opened.filter((each) => subject === PROCESS || each.worker === remote.worker).map((each) => each.fd);
      own.sort((a, b) => a - b);
      const pages = await remote.run(({ server }, port) => {
        const pages: number[][] = [];
        let start = 0;
        for (;;) {
          const page = server.getClientList(start, 4);
          if (page === false || page.length === 0) return { pages, last: page };
          pages.push(page);
          start = page[page.length - 1];
          if (pages.length > 100) return { pages, last: port };
        }
      }, server.port);
      assert.deepEqual(pages.last, []);
      const listed = pages.pages.flat();
      assert.deepEqual(
        listed,
        [...listed].sort((a, b) => a - b),
      );
      assert.deepEqual(
        listed.filter((fd) => own.includes(fd)),
        own,
      );
      assert.ok(pages.pages.slice(0, -1).every((page) => page.length === 4));
      const special = await remote.run(
        ({ server }, fd) => ({
          preset: (server.getClientList() as number[]).length,
          tooMany: server.getClientList(0, 101),
          most: (server.getClientList(0, 100) as number[]).length,
          unknown: server.getClientList(9_999_999),
          alias: JSON.stringify(server.connection_list(fd, 3)) === JSON.stringify(server.getClientList(fd, 3)),
        }),
        own[0],
      );
      // In SWOOLE_BASE the kernel decides how many connections this worker has.
      const preset = Math.min(10, listed.length);
      assert.deepEqual(special, { preset, tooMany: false, most: listed.length, unknown: false, alias: true });
      for (const { client } of opened) client.destroy();
      for (const { fd } of opened) await server.waitFor('close', (event) => event.fd === fd);
    });

    test('connections can be iterated and counted, for the server and for each port', async () => {
      const first = await open(server);
      const second = await open(server, server.portAt(2));
      const seen = await workers[first.worker].run(
        ({ server }, fds) => {
          const { connections } = server;
          return {
            all: fds.map((fd) => [...connections].includes(fd)),
            ports: server.ports.map((port) => fds.map((fd) => [...port.connections].includes(fd))),
            counts: server.ports.map((port) => port.connections.count()),
            count: connections.count(),
            offsets: fds.map((fd) => connections.offsetExists(fd)),
            get: JSON.stringify(connections.offsetGet(fds[0])) === JSON.stringify(server.getClientInfo(fds[0])),
          };
        },
        [first.fd, second.fd],
      );
      const visible = subject === PROCESS || first.worker === second.worker;
      assert.deepEqual(seen.all, [true, visible]);
      assert.deepEqual(seen.ports, [
        [true, false],
        [false, false],
        [false, visible],
      ]);
      assert.equal(seen.counts[2], 1);
      assert.equal(seen.count, seen.counts[0] + seen.counts[1] + seen.counts[2]);
      assert.deepEqual(seen.offsets, [true, true]);
      assert.equal(seen.get, true);
      first.client.destroy();
      second.client.destroy();
    });

    test('a connection that is closed during an iteration is left out of the rest', async () => {
      const opened = [await open(server), await open(server), await open(server), await open(server)];
      for (const remote of workers) {
        const own = opened.filter((each) => each.worker === remote.worker).map((each) => each.fd);
        if (own.length < 2) continue;
        const seen = await remote.run(({ server }, own) => {
          const seen: number[] = [];
          for (const fd of server.connections) {
            if (!own.includes(fd)) continue;
            seen.push(fd);
            for (const other of own) if (other !== fd) server.close(other);
          }
          return seen;
        }, own);
        assert.deepEqual(seen, [own[0]]);
      }
      for (const { client } of opened) client.destroy();
    });

    test('stats has all documented keys, and counts', async () => {
      const remote = workers[0];
      const before = await remote.run(({ server }) => server.stats());
      const expected = [
        ...[
          'start_time',
          'connection_num',
          'abort_count',
          'accept_count',
          'close_count',
          'worker_num',
          'task_worker_num',
        ],
        ...[
          'user_worker_num',
          'idle_worker_num',
          'dispatch_count',
          'request_count',
          'response_count',
          'total_recv_bytes',
        ],
        ...['total_send_bytes', 'pipe_packet_msg_id', 'concurrency', 'session_round', 'min_fd', 'max_fd'],
        ...['worker_request_count', 'worker_response_count', 'worker_dispatch_count', 'worker_concurrency'],
        ...['task_idle_worker_num', 'tasking_num', 'task_count', 'task_queue_num', 'task_queue_bytes'],
        ...['coroutine_num', 'coroutine_peek_num'],
      ];
      assert.deepEqual(
        expected.filter((key) => !(key in before)),
        [],
      );
      assert.ok(Object.values(before).every((value) => typeof value === 'number'));
      assert.equal(before.worker_num, workerNum);
      const ofTasks = [before.task_idle_worker_num, before.tasking_num, before.task_queue_num, before.task_queue_bytes];
      assert.deepEqual(ofTasks, [0, 0, 0, 0]);
      assert.ok(Math.abs(before.start_time - Date.now() / 1000) < 120 && Number.isInteger(before.start_time));
      const { client, fd, worker } = await open(server);
      await client.write('0123456789');
      await server.waitFor('receive', (event) => event.fd === fd);
      const during = await workers[worker].run(({ server }) => server.stats());
      assert.equal(during.accept_count, before.accept_count + 1);
      assert.equal(during.session_round, fd);
      assert.ok(during.max_fd >= during.min_fd && during.min_fd > 2, `${during.min_fd} to ${during.max_fd}`);
      // The asking is counted as well.
      assert.ok(during.request_count > before.request_count);
      assert.ok(during.dispatch_count > before.dispatch_count);
      assert.ok(during.total_recv_bytes >= before.total_recv_bytes + 10);
      client.destroy();
      await server.until(async () => {
        const after = await remote.run(({ server }) => server.stats());
        return after.connection_num === workers.length && after.close_count > before.close_count;
      }, 'the counters of the end');
    });

    test('the number of unfinished async callbacks is told', async () => {
      const numbers = await workers[0].run(async ({ server }) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const stats = server.stats();
        return [stats.coroutine_num, stats.coroutine_peek_num];
      });
      // The callback that answers this is one.
      assert.ok(numbers[0] >= 1 && numbers[1] >= numbers[0], String(numbers));
    });

    test('each worker knows itself and the others', async () => {
      const told = await Promise.all(
        workers.map((worker) =>
          worker.run(({ server }) => ({
            ids: [server.worker_id, server.getWorkerId()],
            pids: [process.pid, server.worker_pid, server.getWorkerPid(), server.getWorkerPid(server.worker_id)],
            all: [server.getWorkerPid(0), server.getWorkerPid(1), server.getWorkerPid(99), server.getWorkerPid(1.5)],
            status: [server.getWorkerStatus(), server.getWorkerStatus(server.worker_id)],
            otherStatus: [0, 1, 99].map((id) => (id === server.worker_id ? null : server.getWorkerStatus(id))),
            taskworker: server.taskworker,
            master: [server.getMasterPid(), server.master_pid],
            manager: [server.getManagerPid(), server.manager_pid],
          })),
        ),
      );
      const pids = told.map((each) => each.pids[0]);
      assert.equal(new Set(pids).size, workerNum);
      for (const [id, each] of told.entries()) {
        assert.deepEqual(each.ids, [id, id]);
        assert.equal(new Set(each.pids).size, 1);
        assert.deepEqual(each.all, [pids[0], pids[1] ?? false, false, false]);
        assert.equal(each.taskworker, false);
        assert.equal(new Set(each.master).size, 1);
        assert.equal(new Set(each.manager).size, 1);
        assert.equal(each.otherStatus[2], false);
      }
      const [{ master, manager }] = told;
      if (subject === PROCESS) assert.ok(master[0] === server.pid && manager[0] !== server.pid && manager[0] !== 0);
      if (subject === BASE) assert.deepEqual([master[0], manager[0]], [server.pid, server.pid]);
      if (subject === ALONE) assert.deepEqual([master[0], manager[0], pids[0]], [server.pid, 0, server.pid]);
    });
  });
}

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  test(`properties in every process of ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum },
      setup: ({ server, report }) => {
        const tell = (where: string): void => {
          report('self', {
            where,
            workerId: server.worker_id,
            getWorkerId: server.getWorkerId(),
            workerPid: server.worker_pid,
            getWorkerPid: server.getWorkerPid(),
            status: server.getWorkerStatus(),
            master: server.master_pid,
            manager: server.manager_pid,
            taskworker: server.taskworker,
            mode: server.mode,
            port: server.port,
            workers: server.setting.worker_num,
            maxConnection: server.setting.max_connection,
            stats: typeof server.stats() === 'object',
            list: server.getClientList(),
            lastError: server.getLastError(),
          });
        };
        server.on('receive', () => {});
        server.on('start', () => tell('start'));
        server.on('managerStart', () => tell('managerStart'));
        server.on('workerStart', (_server, id) => tell(`worker${id}`));
      },
    });
    const of = (where: string): Promise<Record<string, unknown>> =>
      server.waitFor('self', (event) => event.where === where);
    for (let id = 0; id < workerNum; id++) {
      const worker = await of(`worker${id}`);
      assert.deepEqual(
        [worker.workerId, worker.getWorkerId, worker.workerPid, worker.getWorkerPid, worker.lastError],
        [id, id, worker.pid, worker.pid, 0],
      );
      assert.notEqual(worker.master, 0);
      assert.equal(worker.manager === 0, subject === ALONE);
    }
    const start = await of('start');
    assert.deepEqual([start.mode, start.port, start.workers, start.taskworker], [mode, server.port, workerNum, false]);
    assert.ok((start.maxConnection as number) > 0);
    assert.equal(start.stats, true);
    assert.deepEqual(start.list, []);
    if (subject === PROCESS) {
      assert.deepEqual([start.pid, start.workerId, start.getWorkerId], [server.pid, -1, false]);
      assert.equal(start.getWorkerPid, false);
      assert.equal(start.master, server.pid);
    }
    if (subject !== ALONE) {
      const manager = await of('managerStart');
      assert.deepEqual(
        [manager.workerId, manager.getWorkerId, manager.getWorkerPid, manager.manager],
        [-1, false, false, manager.pid],
      );
      assert.equal(manager.stats, true);
    } else
      assert.deepEqual(
        server.events('self').filter((event) => event.where === 'managerStart'),
        [],
      );
  });
}

test('a worker that is being replaced still knows its own pid', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 1 },
    setup: ({ server, report }) => {
      server.on('receive', () => {
        server.reload();
        // The timer keeps this process until the next one of its id is there.
        const timer = setInterval(() => {
          if (server.getWorkerPid(0) === server.worker_pid) return;
          clearInterval(timer);
          report('own', { told: server.getWorkerPid(), status: server.getWorkerStatus() });
        }, 5);
      });
    },
  });
  using client = await Client.connect(server.port);
  await client.write('go');
  const own = await server.waitFor('own');
  assert.deepEqual([own.told, own.status], [own.pid, 3]);
});

describe('stats with task workers', () => {
  test('a task is no request, but for the process that has done it', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, task_worker_num: 1 },
      setup: ({ server, control }) => {
        server.on('task', (server) => {
          return server.stats().worker_request_count;
        });
        server.on('receive', () => {});
        control();
      },
    });
    using worker = await Remote.connect(server);
    const [before, done, after] = await worker.run(async ({ server }) => {
      const before = server.stats();
      const done = [await server.taskwait('first', 10), await server.taskwait('second', 10)];
      return [before, done, server.stats()] as const;
    });
    assert.deepEqual(done, [0, 1]);
    assert.equal(after.task_count, 2);
    assert.equal(after.tasking_num, 0);
    // The call that has asked for both is one itself.
    assert.equal(after.request_count, before.request_count + 1);
  });
});

test('with several reactors too, ids grow in the order in which clients have connected', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 2, reactor_num: 2, dispatch_mode: 1 },
    setup: ({ server }) => {
      server.on('receive', (server, fd) => server.send(fd, `${fd}\n`));
    },
  });
  let inOrder = 0;
  for (let connections = 0; connections < 200; connections += 2) {
    const first = await Client.connect(server.port);
    first.destroy();
    const second = await Client.connect(server.port);
    await second.write('which?');
    const fd = Number(await second.readLine());
    assert.ok(fd === connections + 1 || fd === connections + 2, `${fd} after ${connections} connections`);
    if (fd === connections + 2) inOrder++;
    second.destroy();
  }
  // A reactor may lose its processor between accept() and the id, and another one be first.
  assert.ok(inOrder >= 95, `${inOrder} of 100`);
});
