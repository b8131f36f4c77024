/** What a worker, or the manager, can ask of connections that are another worker's. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Fixture } from '../support/fixture.ts';
import { type Opened, open, receivedText, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { BASE, SUBJECTS } from '../support/subjects.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`connections of another worker in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    before(async () => {
      server = await startServer({ mode, settings: { worker_num: workerNum }, setup: recorder });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    /** A connection, the worker that serves it, and one that does not. */
    async function openBeside(): Promise<Opened & { own: Remote; other: Remote }> {
      const opened = await open(server);
      return { ...opened, own: workers[opened.worker], other: workers[1 - opened.worker] };
    }

    test('exist, getClientInfo and the like tell the same', async () => {
      const { client, fd, own, other } = await openBeside();
      const ask = ({ server }: { server: Fixture<unknown>['server'] }, fd: number): unknown[] => [
        server.exist(fd),
        server.exists(fd),
        server.getClientInfo(fd),
        server.connections.offsetExists(fd),
        server.connections.offsetGet(fd),
      ];
      const told = await own.run(ask, fd);
      assert.deepEqual(await other.run(ask, fd), told);
      assert.equal(told[0], true);
      client.destroy();
      await server.waitFor('close', (event) => event.fd === fd);
      await server.until(async () => (await other.run(ask, fd))[2] === false, 'the end of it');
      assert.deepEqual(await other.run(ask, fd), [false, false, false, false, false]);
      const late = await other.run(({ server }, fd) => server.getClientInfo(fd, -1, true), fd);
      assert.ok(late !== false && late.remote_port > 0);
    });

    test('pause and resume', async () => {
      const { client, fd, own, other } = await openBeside();
      assert.equal(await other.run(({ server }, fd) => server.pause(fd), fd), true);
      // What the owner answers now comes behind the message to it.
      await own.run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      await client.write('waits');
      await own.run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      assert.equal(receivedText(server, fd), '');
      assert.equal(await other.run(({ server }, fd) => server.confirm(fd), fd), true);
      await server.until(() => receivedText(server, fd) === 'waits', 'the data');
      assert.equal(await other.run(({ server }, fd) => server.confirm(fd), fd), false);
      assert.equal(await other.run(({ server }, fd) => server.resume(fd), fd), true);
      client.destroy();
    });

    test('what waits for one whose worker is stuck is limited, and arrives', async () => {
      const { client, fd, own, other } = await openBeside();
      const file = join(server.directory, `seen-${fd}`);
      const stuck = own.run(({ report }, file) => {
        const { existsSync } = process.getBuiltinModule('node:fs');
        report('stuck');
        while (!existsSync(file)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }, file);
      await server.waitFor('stuck');
      const [sent, code] = await other.run(({ server }, fd) => {
        const data = Buffer.alloc(1 << 20, 'x');
        let sent = 0;
        while (sent < 64 << 20 && server.send(fd, data)) sent += data.length;
        return [sent, server.getLastError()] as const;
      }, fd);
      writeFileSync(file, '');
      await stuck;
      // In SWOOLE_PROCESS reactors serve the socket, and as much as it takes is out of the way.
      if (mode === BASE.mode) assert.deepEqual([sent < 64 << 20, code], [true, 1008]);
      await client.read(sent);
      client.destroy();
    });

    test('bind, once', async () => {
      const { client, fd, own, other } = await openBeside();
      const bound = await other.run(({ server }, fd) => [server.bind(fd, 77), server.bind(fd, 78)], fd);
      assert.deepEqual(bound, [true, false]);
      const info = await own.run(({ server }, fd) => server.getClientInfo(fd), fd);
      assert.equal(info !== false && info.uid, 77);
      assert.equal(await own.run(({ server }, fd) => server.bind(fd, 79), fd), false);
      client.destroy();
    });

    test('the lists of a worker have its own connections in SWOOLE_BASE, and all else', async () => {
      const { client, fd, own, other } = await openBeside();
      const list = ({ server }: { server: Fixture<unknown>['server'] }, fd: number): boolean[] => [
        (server.getClientList(0, 100) as number[]).includes(fd),
        [...server.connections].includes(fd),
      ];
      assert.deepEqual(await own.run(list, fd), [true, true]);
      const all = mode !== BASE.mode;
      assert.deepEqual(await other.run(list, fd), [all, all]);
      client.destroy();
    });
  });

  test(`heartbeat() of any process is for all connections in ${name}`, async () => {
    await using server = await startServer({
      mode,
      // Looked for once in a thousand seconds: nobody but the test finds them.
      settings: { worker_num: workerNum, heartbeat_check_interval: 1000, heartbeat_idle_time: 1 },
      setup: (fixture) => {
        fixture.server.on('connect', (server, fd) => {
          const info = server.getClientInfo(fd);
          fixture.report('connect', {
            fd,
            worker: server.worker_id,
            remotePort: info === false ? 0 : info.remote_port,
          });
        });
        fixture.server.on('receive', () => {});
        fixture.server.on('close', (server, fd, reactorId) => {
          fixture.report('close', { fd, reactorId, worker: server.worker_id });
        });
        fixture.control();
      },
    });
    const workers = await Remote.connectToAll(server, workerNum);
    const opened: Opened[] = [];
    const busy = new Set<number>();
    while (busy.size < workerNum || opened.length < 6) {
      const each = await open(server);
      opened.push(each);
      busy.add(each.worker);
      if (busy.size < workerNum) workers[each.worker].block(30);
    }
    const [kept, ...others] = opened;
    const other = workers[1 - kept.worker];
    for (const worker of workers) await worker.run(({ server, fd }) => server.protect(fd));
    assert.equal(await other.run(({ server }, fd) => server.protect(fd), kept.fd), true);
    const fds = others.map(({ fd }) => fd).sort((a, b) => a - b);
    const silent = (list: number[] | false): number[] =>
      (list || []).filter((fd) => opened.some((each) => each.fd === fd));
    for (const worker of workers) {
      await server.until(
        async () => silent(await worker.run(({ server }) => server.heartbeat(false))).length === fds.length,
        'all of them silent for long',
      );
      assert.deepEqual(silent(await worker.run(({ server }) => server.heartbeat(false))), fds);
    }
    assert.deepEqual(server.events('close'), []);
    assert.deepEqual(silent(await other.run(({ server }) => server.heartbeat())), fds);
    for (const { fd, worker } of others) {
      const closed = await server.waitFor('close', (event) => event.fd === fd);
      assert.deepEqual([closed.worker, closed.reactorId], [worker, -1]);
    }
    assert.equal(await other.run(({ server }, fd) => server.exists(fd), kept.fd), true);
    for (const { client } of opened) client.destroy();
    for (const worker of workers) worker.close();
  });
}
