import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { type Opened, open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { PROCESS, SUBJECTS } from '../support/subjects.ts';

for (const subject of SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`close in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, kernel_socket_send_buffer_size: 16384 },
        setup: (fixture) => {
          const { server, report, control } = fixture;
          server.on('connect', (server, fd, reactorId) => {
            const info = server.getClientInfo(fd);
            const remotePort = info === false ? 0 : info.remote_port;
            report('connect', { fd, reactorId, worker: server.worker_id, remotePort });
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            const text = data.toString();
            if (text === 'close') {
              const closed = server.close(fd);
              report('inside', {
                fd,
                closed,
                exists: server.exists(fd),
                send: server.send(fd, 'x'),
                error: server.getLastError(),
              });
            } else if (text === 'bye') report('bye', { fd, results: [server.send(fd, 'good bye'), server.close(fd)] });
            else if (text === 'reset') report('reset', { fd, result: server.close(fd, true) });
            report('receive', { fd, text });
          });
          server.on('close', (server, fd, reactorId) => {
            report('close', {
              ...{ fd, reactorId, worker: server.worker_id },
              exists: server.exists(fd),
              again: server.close(fd),
              againError: server.getLastError(),
              send: server.send(fd, 'x'),
              sendError: server.getLastError(),
              info: server.getClientInfo(fd) !== false,
            });
          });
          control();
        },
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    async function closeEvent({ fd }: Opened): Promise<Record<string, unknown>> {
      return server.waitFor('close', (event) => event.fd === fd);
    }
    /** Nothing more may come: whatever the server had to tell, it has told before it answers this. */
    async function closeEventsOf(fd: number): Promise<number> {
      for (const worker of workers) await worker.run(() => null);
      return server.events('close').filter((event) => event.fd === fd).length;
    }

    test('inside receive: the close callback runs with reactor id -1, the client sees the end', async () => {
      const opened = await open(server);
      await opened.client.write('close');
      assert.equal((await opened.client.readAll()).length, 0);
      const inside = await server.waitFor('inside', (event) => event.fd === opened.fd);
      assert.deepEqual([inside.closed, inside.exists, inside.send], [true, false, false]);
      assert.ok([1001, 1005].includes(inside.error), `${inside.error}`);
      const close = await closeEvent(opened);
      assert.deepEqual([close.reactorId, close.worker], [-1, opened.worker]);
      assert.equal(await closeEventsOf(opened.fd), 1);
      opened.client.destroy();
    });

    test('inside the close callback nothing can be sent or closed (1003), but the connection is still known', async () => {
      for (const closedByServer of [true, false]) {
        const opened = await open(server);
        if (closedByServer) await opened.client.write('close');
        else opened.client.end();
        const { exists, again, againError, send, sendError, info } = await closeEvent(opened);
        assert.deepEqual([exists, again, againError, send, info], [false, false, 1003, false, true]);
        assert.ok(sendError === 1003, `send told ${sendError}`);
        opened.client.destroy();
      }
    });

    test('a client that leaves: the close callback has the reactor id, which is not negative', async () => {
      for (const leave of ['end', 'reset'] as const) {
        const opened = await open(server);
        opened.client[leave]();
        const close = await closeEvent(opened);
        assert.deepEqual([close.reactorId, close.worker], [opened.reactorId, opened.worker], leave);
        assert.ok(opened.reactorId >= 0);
        assert.equal(await closeEventsOf(opened.fd), 1);
        opened.client.destroy();
      }
    });

    test('what was sent before still arrives', async () => {
      const { client, fd } = await open(server);
      await client.write('bye');
      assert.equal((await client.readAll()).toString(), 'good bye');
      assert.deepEqual((await server.waitFor('bye', (event) => event.fd === fd)).results, [true, true]);
      client.destroy();
    });

    test('a megabyte that was sent before still arrives, and the connection ends after it', async () => {
      const { client, fd, worker } = await open(server);
      const size = 1024 * 1024;
      const results = await workers[worker].run(
        ({ server }, fd, size) => [
          server.send(fd, Buffer.alloc(size, 5)),
          server.close(fd),
          server.close(fd),
          server.getLastError(),
        ],
        fd,
        size,
      );
      assert.deepEqual(results, [true, true, false, 1004]);
      const data = await client.readAll();
      assert.ok(data.equals(Buffer.alloc(size, 5)), `${data.length} bytes`);
      client.destroy();
    });

    test('input that nobody read does not destroy the last answer', async () => {
      const { client, fd, worker } = await open(server);
      const blocked = workers[worker].run(({ server }, fd) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
        return [server.send(fd, 'answer'), server.close(fd)];
      }, fd);
      for (let i = 0; i < 20; i++) await client.write(Buffer.alloc(10_000));
      assert.deepEqual(await blocked, [true, true]);
      assert.equal((await client.readAll()).toString(), 'answer');
      client.destroy();
    });

    test('twice: the second call tells 1004 or, when all is over, 1001, and the callback ran once', async () => {
      const opened = await open(server);
      const { fd, worker } = opened;
      const results = await workers[worker].run(
        ({ server }, fd) => [server.close(fd), server.close(fd), server.getLastError()],
        fd,
      );
      assert.deepEqual(results.slice(0, 2), [true, false]);
      assert.ok([1004, 1001].includes(results[2] as number), `${results[2]}`);
      await opened.client.readAll();
      assert.equal(await closeEventsOf(fd), 1);
      opened.client.destroy();
    });

    test('of an unknown connection: false and 1005', async () => {
      const results = await workers[0].run(({ server }) =>
        [123_456, 0, -5, 1.5].map((fd) => [server.close(fd), server.getLastError()]),
      );
      assert.deepEqual(results, new Array(4).fill([false, 1005]));
    });

    test('with reset the client sees ECONNRESET', async () => {
      const opened = await open(server);
      await opened.client.write('reset');
      assert.equal(await opened.client.closed, 'ECONNRESET');
      assert.equal((await closeEvent(opened)).reactorId, -1);
      assert.equal(await closeEventsOf(opened.fd), 1);
    });

    test('with reset what waits to be sent is dropped, also after a first close', async () => {
      const opened = await open(server);
      const { client, fd, worker } = opened;
      client.stopReading();
      const results = await workers[worker].run(async ({ server }, fd) => {
        for (let i = 0; i < 64; i++) server.send(fd, Buffer.alloc(65_536));
        await new Promise((resolve) => setTimeout(resolve, 5));
        const first = server.close(fd);
        const exists = server.exists(fd);
        const waiting = server.getClientInfo(fd, -1, true);
        return [first, exists, waiting !== false && waiting.send_queued_bytes > 0, server.close(fd, true)];
      }, fd);
      assert.deepEqual(results, [true, false, true, true]);
      client.startReading();
      assert.equal(await client.closed, 'ECONNRESET');
      assert.equal(await closeEventsOf(fd), 1);
    });

    test('with reset it is over at once, although the callback goes on', async () => {
      const opened = await open(server);
      const counts = await workers[opened.worker].run(({ server }, fd) => {
        const before = server.connections.count();
        server.close(fd, true);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
        return [before, server.connections.count()];
      }, opened.fd);
      assert.equal(counts[1], counts[0] - 1);
      assert.equal(await opened.client.closed, 'ECONNRESET');
    });

    test('from another worker: the callback runs in the worker of the connection', async () => {
      for (const reset of [false, true]) {
        const opened = await open(server);
        const other = workers[(opened.worker + 1) % workerNum];
        assert.equal(await other.run(({ server }, fd, reset) => server.close(fd, reset), opened.fd, reset), true);
        if (reset) assert.equal(await opened.client.closed, 'ECONNRESET');
        else assert.equal((await opened.client.readAll()).length, 0);
        const close = await closeEvent(opened);
        assert.deepEqual([close.worker, close.reactorId], [opened.worker, -1]);
        assert.equal(await closeEventsOf(opened.fd), 1);
        opened.client.destroy();
      }
    });

    test('from all workers at once: the callback runs once', async () => {
      for (let round = 0; round < 5; round++) {
        const { client, fd } = await open(server);
        await Promise.all(workers.map((worker) => worker.run(({ server }, fd) => server.close(fd), fd)));
        await client.readAll();
        assert.equal(await closeEventsOf(fd), 1);
        client.destroy();
      }
    });

    test('from a timer and from a promise', async () => {
      for (const kind of ['timer', 'promise', 'tick']) {
        const opened = await open(server);
        await workers[opened.worker].run(
          ({ server }, fd, kind) => {
            const close = (): void => {
              server.send(fd, 'late');
              server.close(fd);
            };
            if (kind === 'timer') setTimeout(close, 2);
            else if (kind === 'tick') process.nextTick(close);
            else void Promise.resolve().then(close);
          },
          opened.fd,
          kind,
        );
        assert.equal((await opened.client.readAll()).toString(), 'late', kind);
        assert.equal((await closeEvent(opened)).reactorId, -1);
        opened.client.destroy();
      }
    });

    test('while the client closes too: the callback runs once', async () => {
      for (let round = 0; round < 10; round++) {
        const { client, fd, worker } = await open(server);
        const closing = workers[worker].run(({ server }, fd) => server.close(fd), fd);
        if (round % 2 === 0) client.reset();
        else client.end();
        await closing;
        await server.waitFor('close', (event) => event.fd === fd);
        assert.equal(await closeEventsOf(fd), 1);
        client.destroy();
      }
    });

    test('data that comes after close is not delivered', async () => {
      const { client, fd, worker } = await open(server);
      await workers[worker].run(({ server }, fd) => {
        // Keeps the socket open behind the close.
        server.send(fd, Buffer.alloc(4 * 1024 * 1024));
        server.close(fd);
      }, fd);
      await client.write('too late');
      await client.readAll();
      for (const each of workers) await each.run(() => null);
      assert.deepEqual(
        server.events('receive').filter((event) => event.fd === fd),
        [],
      );
      client.destroy();
    });

    test('a client that only ends its half is gone: close runs, unanswered', async () => {
      const opened = await open(server);
      await opened.client.write('hello');
      opened.client.end();
      await closeEvent(opened);
      const received = server.events('receive').filter((event) => event.fd === opened.fd);
      assert.deepEqual(
        received.map((event) => event.text),
        ['hello'],
      );
      await opened.client.closed;
    });

    test('ids are given once: the next connection has another', async () => {
      const first = await open(server);
      first.client.destroy();
      await closeEvent(first);
      const second = await open(server);
      assert.ok(second.fd > first.fd);
      assert.equal(await workers[second.worker].run(({ server }, fd) => server.exists(fd), first.fd), false);
      second.client.destroy();
    });
  });

  describe(`shutdown in ${name} and close events`, () => {
    const expected = subject === PROCESS ? 0 : 3;
    test(`${expected === 0 ? 'no close' : 'a close'} event for connections that are open at shutdown`, async () => {
      // The peer does the same: in SWOOLE_PROCESS the reactors drop connections when the workers are gone already.
      await using server = await startServer({ mode, settings: { worker_num: workerNum }, setup: recorder });
      const opened = [await open(server), await open(server), await open(server)];
      await server.stop();
      const closes = server.events('close');
      assert.equal(closes.length, expected);
      for (const close of closes) assert.equal(close.reactorId, -1);
      for (const { client } of opened) {
        await client.readAll();
        client.destroy();
      }
    });
  });
}

test('what comes behind close() is dropped, counted and told with 1007 in SWOOLE_PROCESS', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 1, open_eof_split: true, package_eof: '\n' },
    setup: ({ server, report }) => {
      server.on('receive', (server, fd, _reactorId, data) => {
        const stats = server.stats();
        report('receive', { data: String(data), code: server.getLastError(), late: stats.late_package_count });
        if (String(data) === 'close\n') server.close(fd);
      });
    },
  });
  const first = await Client.connect(server.port);
  await first.write('close\nlate\nlater\n');
  await first.ended;
  first.destroy();
  using second = await Client.connect(server.port);
  await second.write('after\n');
  const after = await server.waitFor('receive', (event) => event.data === 'after\n');
  assert.deepEqual([after.code, after.late], [1007, 2]);
  assert.equal(server.events('receive').length, 2);
});
