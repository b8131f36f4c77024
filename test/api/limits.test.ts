import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { ALL_SUBJECTS, SUBJECTS } from '../support/subjects.ts';

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`max_connection in ${name}`, () => {
    test('a newcomer beyond it is refused and counted, and welcome again once somebody has left', async () => {
      // The least that is possible for two ports, as in the peer.
      const limit = workerNum * 2 + 32 + 2;
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, max_connection: limit },
        setup: ({ server, report, control }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
          server.on('connect', (_server, fd) => report('connect', { fd }));
          server.on('close', (_server, fd) => report('close', { fd }));
          control();
        },
      });
      using remote = await Remote.connect(server);
      const clients: Client[] = [];
      for (let i = 0; i < limit - 1; i++) {
        const client = await Client.connect(server.port);
        assert.equal(await client.echo('in'), 'in');
        clients.push(client);
      }
      for (let i = 1; i <= 3; i++) {
        using refused = await Client.connect(server.port);
        assert.equal((await refused.readAll().catch(() => Buffer.alloc(0))).length, 0);
        const stats = await remote.run(({ server }) => server.stats());
        assert.deepEqual([stats.abort_count, stats.connection_num], [i, limit]);
      }
      assert.match(server.output, /WARNING\t.*max_connection=\d+/);
      assert.equal(server.events('connect').length, limit - 1);
      clients.pop()!.destroy();
      await server.waitFor('close');
      await server.until(async () => {
        using again = await Client.connect(server.port);
        await again.write('in');
        return await again.read(2).then(
          () => true,
          () => false,
        );
      }, 'a newcomer to be accepted');
      for (const client of clients) assert.equal(await client.echo('still in'), 'still in');
      for (const client of clients) client.destroy();
    });

    test('a limit that is too low is raised, and told', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, max_conn: 2 },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('workerStart', (server) =>
            report('setting', { max: [server.setting.max_conn, server.setting.max_connection] }),
          );
        },
      });
      const expected = workerNum * 2 + 32 + 1;
      assert.deepEqual(server.events('setting')[0].max, [expected, expected]);
      assert.equal(server.output.match(/WARNING\t.*max_connection 2 /g)?.length, 1);
    });
  });
}

for (const { name, mode } of SUBJECTS) {
  describe(`max_request in ${name}`, () => {
    test('a worker is replaced after so many requests, each is answered, and no error is told', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_request: 5, dispatch_mode: 2 },
        setup: ({ server, report }) => {
          let requests = 0;
          server.on('receive', (server, fd, _reactorId, data) => {
            report('receive', { number: ++requests });
            server.send(fd, data);
          });
          server.on('workerStop', (_server, id) => report('workerStop', { id, requests }));
          server.on('workerError', () => report('workerError'));
        },
      });
      for (let i = 0; i < 12; i++) {
        await server.until(async () => {
          using client = await Client.connect(server.port);
          await client.write('x');
          // In SWOOLE_BASE a connection that came to a worker which is stopping ends unanswered.
          return await client.read(1).then(
            () => true,
            () => false,
          );
        }, 'an answer');
      }
      const stops = await server.waitForCount('workerStop', 2);
      assert.deepEqual(
        stops.slice(0, 2).map((event) => event.requests),
        [5, 5],
      );
      assert.equal(new Set(server.events('receive').map((event) => event.pid)).size, 3);
      assert.ok(server.events('receive').every((event) => event.number <= 5));
      assert.deepEqual(server.events('workerError'), []);
    });

    test('with a grace each worker goes on for a random part of it', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_request: 3, max_request_grace: 4 },
        setup: ({ server, report }) => {
          let requests = 0;
          server.on('receive', (server, fd, _reactorId, data) => {
            requests++;
            server.send(fd, data);
          });
          server.on('workerStop', () => report('workerStop', { requests }));
        },
      });
      for (let i = 0; i < 25; i++) {
        await server.until(async () => {
          using client = await Client.connect(server.port);
          await client.write('x');
          return await client.read(1).then(
            () => true,
            () => false,
          );
        }, 'an answer');
      }
      const stops = await server.waitForCount('workerStop', 3);
      for (const { requests } of stops) assert.ok(requests >= 4 && requests <= 7, `${requests} requests`);
    });

    test(`connections ${mode === 2 ? 'stay' : 'end'} when their worker is replaced`, async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_request: 4 },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
          server.on('close', (_server, fd, reactorId) => report('close', { fd, reactorId }));
        },
      });
      using client = await Client.connect(server.port);
      if (mode === 2) {
        for (let i = 0; i < 20; i++) assert.equal(await client.echo(`${i}`), `${i}`);
        assert.ok(server.events('$worker').length > 3);
      } else {
        for (let i = 0; i < 4; i++) await client.echo(`${i}`);
        assert.equal((await client.readAll()).length, 0);
        assert.equal((await server.waitFor('close')).reactorId, -1);
      }
    });

    test('a request that is still waited for is finished first', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_request: 1 },
        setup: ({ server }) => {
          server.on('receive', async (server, fd, _reactorId, data) => {
            await new Promise((resolve) => setTimeout(resolve, 100));
            server.send(fd, data);
          });
        },
      });
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('slow'), 'slow');
    });
  });

  describe(`max_queued_bytes in ${name}`, () => {
    test('a worker that does not keep up stops the reading, and nothing is lost', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_queued_bytes: '64K' },
        setup: ({ server, report }) => {
          let total = 0;
          server.on('receive', (server, fd, _reactorId, data) => {
            const info = server.getClientInfo(fd);
            if (info !== false) report('receive', { queued: info.recv_queued_bytes });
            if (total === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
            total += data.length;
            if (total === 2_000_000) server.send(fd, 'all');
          });
        },
      });
      using client = await Client.connect(server.port);
      void client.write(Buffer.alloc(2_000_000));
      assert.equal((await client.read(3)).toString(), 'all');
      // One read may come on top of it.
      const most = Math.max(...server.events('receive').map((event) => event.queued));
      assert.ok(most <= 64 * 1024 + 65_536, `${most} bytes were queued`);
    });
  });
}
