import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AF_INET, MSG_OOB, SOCK_STREAM } from '../../src/sys/constants.ts';
import { sendBytes } from '../../src/sys/libc.ts';
import { closeDescriptor, connectTo, localPort, openSocket, setNonBlocking } from '../../src/sys/socket.ts';
import { Client } from '../support/client.ts';
import { open, receivedText, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { type Event, startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`pause and resume in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, kernel_socket_send_buffer_size: 16384 },
        setup: recorder,
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    test('nothing is delivered while paused, and nothing is lost', async () => {
      const { client, fd, worker } = await open(server);
      const paused = await workers[worker].run(({ server }, fd) => [server.pause(fd), server.pause(fd)], fd);
      assert.deepEqual(paused, [true, true]);
      // In SWOOLE_PROCESS the owner of the socket hears of it a moment later; a round trip is later still.
      await workers[worker].run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      const text = 'x'.repeat(100_000);
      for (let i = 0; i < 5; i++) void client.write(text);
      await workers[worker].run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      assert.deepEqual(
        server.events('receive').filter((event) => event.fd === fd),
        [],
      );
      assert.equal(await workers[worker].run(({ server }, fd) => server.send(fd, 'sending goes on'), fd), true);
      assert.equal((await client.read(15)).toString(), 'sending goes on');
      const resumed = await workers[worker].run(({ server }, fd) => [server.resume(fd), server.resume(fd)], fd);
      assert.deepEqual(resumed, [true, true]);
      const total = (): number =>
        server.events('receive').reduce((sum, event) => sum + (event.fd === fd ? event.length : 0), 0);
      await server.until(() => total() === 500_000, 'all 500000 bytes');
      client.destroy();
    });

    test('a connection paused while its output drains stays paused', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      await workers[worker].run(async ({ server }, fd) => {
        server.send(fd, Buffer.alloc(2 * 1024 * 1024));
        server.pause(fd);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }, fd);
      await client.write('waits');
      client.startReading();
      await client.read(2 * 1024 * 1024);
      await workers[worker].run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      assert.equal(receivedText(server, fd), '');
      await workers[worker].run(({ server }, fd) => server.resume(fd), fd);
      await server.until(() => receivedText(server, fd) === 'waits', 'the data');
      client.destroy();
    });

    test('a client that leaves while paused is noticed after resume, with all its data before', async () => {
      const { client, fd, worker } = await open(server);
      await workers[worker].run(async ({ server }, fd) => {
        server.pause(fd);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }, fd);
      await client.write('last words');
      client.end();
      await workers[worker].run(() => new Promise((resolve) => setTimeout(resolve, 20)));
      assert.equal(await workers[worker].run(({ server }, fd) => server.exists(fd), fd), true);
      await workers[worker].run(({ server }, fd) => server.resume(fd), fd);
      await server.waitFor('close', (event) => event.fd === fd);
      assert.equal(receivedText(server, fd), 'last words');
      client.destroy();
    });

    test('what comes behind urgent data, which is left out, does not wait for more', async () => {
      const socket = openSocket(AF_INET, SOCK_STREAM);
      try {
        setNonBlocking(socket, false);
        assert.equal(connectTo(socket, { family: AF_INET, host: '127.0.0.1', port: server.port }), 0);
        const own = (event: Event): boolean => event.remotePort === localPort(socket);
        const { fd, worker } = await server.waitFor('connect', own);
        await workers[worker].run(async ({ server }, fd) => {
          server.pause(fd);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }, fd);
        assert.equal(sendBytes(socket, Buffer.from('before'), 6, 0), 6);
        assert.equal(sendBytes(socket, Buffer.from('!'), 1, MSG_OOB), 1);
        assert.equal(sendBytes(socket, Buffer.from(' and behind'), 11, 0), 11);
        await workers[worker].run(({ server }, fd) => server.resume(fd), fd);
        await server.until(() => receivedText(server, fd) === 'before and behind', 'all of the data');
      } finally {
        closeDescriptor(socket);
      }
    });

    test('of an unknown connection: false and 1005', async () => {
      const results = await workers[0].run(({ server }) => [
        [server.pause(99_999), server.getLastError()],
        [server.resume(99_999), server.getLastError()],
        [server.confirm(99_999), server.getLastError()],
      ]);
      assert.deepEqual(results, new Array(3).fill([false, 1005]));
    });

    test('confirm of a connection that is read from already: false', async () => {
      const { client, fd, worker } = await open(server);
      assert.equal(await workers[worker].run(({ server }, fd) => server.confirm(fd), fd), false);
      client.destroy();
    });
  });

  test(`a reset that came together with the data over which the connection is paused is told in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1 },
      setup: ({ server, report }) => {
        const { existsSync } = process.getBuiltinModule('node:fs');
        const cell = new Int32Array(new SharedArrayBuffer(4));
        server.on('receive', (server, fd, _reactorId, data) => {
          report('receive', { fd });
          if (data.toString() === 'pause') server.pause(fd);
          else while (!existsSync('go')) Atomics.wait(cell, 0, 0, 1);
        });
        server.on('close', (_server, fd) => report('close', { fd }));
      },
    });
    using blocker = await Client.connect(server.port);
    const client = await Client.connect(server.port);
    await blocker.write('block');
    const { fd } = await server.waitFor('receive');
    await client.write('pause');
    client.reset();
    await client.closed;
    writeFileSync(join(server.directory, 'go'), '');
    await server.waitFor('close', (event) => event.fd !== fd);
  });

  describe(`enable_delay_receive in ${name}`, () => {
    test('nothing is delivered until confirm, which works once', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, enable_delay_receive: true },
        setup: ({ server, report }) => {
          server.on('connect', (server, fd) => {
            report('connect', { fd });
            setTimeout(() => {
              report('confirming', { fd, received: false });
              report('confirmed', { fd, first: server.confirm(fd), second: server.confirm(fd) });
            }, 30);
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            report('receive', { fd, data: data.toString() });
            server.send(fd, data);
          });
          server.on('close', (_server, fd) => report('close', { fd }));
        },
      });
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('early bird'), 'early bird');
      const { first, second } = server.events('confirmed')[0];
      assert.deepEqual([first, second], [true, false]);
      const order = server
        .events()
        .map((event) => event.event)
        .filter((each) => !each.startsWith('$'));
      assert.deepEqual(order.slice(0, 4), ['connect', 'confirming', 'confirmed', 'receive']);
      client.end();
      await server.waitFor('close');
    });

    test('confirm inside connect', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, enable_delay_receive: true },
        setup: ({ server, report }) => {
          server.on('connect', (server, fd) => report('confirm', { result: server.confirm(fd) }));
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
        },
      });
      for (let i = 0; i < 5; i++) {
        using client = await Client.connect(server.port);
        assert.equal(await client.echo('confirmed'), 'confirmed');
      }
      assert.deepEqual(
        server.events('confirm').map((event) => event.result),
        new Array(5).fill(true),
      );
    });
  });

  describe(`watermarks in ${name}`, () => {
    test('bufferFull comes once at the high mark, bufferEmpty once at the low one, and again the next time', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          kernel_socket_send_buffer_size: 16384,
          socket_buffer_size: '4M',
          buffer_high_watermark: '1M',
          buffer_low_watermark: '64K',
        },
        setup: (fixture) => {
          const { server, report, control } = fixture;
          server.on('connect', (server, fd, reactorId) => {
            const info = server.getClientInfo(fd);
            const remotePort = info === false ? 0 : info.remote_port;
            report('connect', { fd, reactorId, worker: server.worker_id, remotePort });
          });
          server.on('receive', () => {});
          server.on('bufferFull', (server, fd) => {
            const info = server.getClientInfo(fd);
            report('mark', { kind: 'full', fd, queued: info === false ? -1 : info.send_queued_bytes });
          });
          server.on('bufferEmpty', (server, fd) => {
            const info = server.getClientInfo(fd);
            report('mark', { kind: 'empty', fd, queued: info === false ? -1 : info.send_queued_bytes });
          });
          control();
        },
      });
      using remote = await Remote.connect(server);
      const { client, fd } = await open(server);
      const marks = (): string[] => server.events('mark').map((event) => event.kind);
      for (let round = 1; round <= 2; round++) {
        client.stopReading();
        const size = 3 * 1024 * 1024;
        await remote.run(
          ({ server }, fd, size) => {
            for (let i = 0; i < 3; i++) server.send(fd, Buffer.alloc(size / 3));
          },
          fd,
          size,
        );
        await server.until(() => marks().length === round * 2 - 1, 'bufferFull');
        client.startReading();
        await client.read(size);
        await server.until(() => marks().length === round * 2, 'bufferEmpty');
      }
      assert.deepEqual(marks(), ['full', 'empty', 'full', 'empty']);
      for (const { kind, queued } of server.events('mark'))
        if (kind === 'empty') assert.ok(queued <= 65_536, `${queued} at bufferEmpty`);
      client.destroy();
    });

    test('a refused send makes bufferEmpty come, also where the high mark is never reached', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          kernel_socket_send_buffer_size: 16384,
          socket_buffer_size: '256K',
          buffer_high_watermark: '255K',
        },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd) => {
            let sent = 0;
            while (server.send(fd, Buffer.alloc(100_000))) sent += 100_000;
            report('full', { sent, error: server.getLastError() });
          });
          server.on('bufferEmpty', (server, fd) => {
            report('empty', { result: server.send(fd, 'the rest') });
          });
        },
      });
      using client = await Client.connect(server.port);
      client.stopReading();
      await client.write('go');
      const { sent, error } = await server.waitFor('full');
      assert.equal(error, 1008);
      client.startReading();
      assert.equal((await client.read(sent + 8)).subarray(sent).toString(), 'the rest');
      assert.deepEqual(
        server.events('empty').map((event) => event.result),
        [true],
      );
    });

    test('close is the last event of a connection, also where output still waits', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          kernel_socket_send_buffer_size: 16384,
          socket_buffer_size: '256K',
          buffer_high_watermark: '100K',
        },
        setup: ({ server, report }) => {
          for (const name of ['bufferFull', 'bufferEmpty', 'close'] as const)
            server.on(name, (_server: unknown, fd: number) => report('told', { name, fd }));
          server.on('receive', (server, fd, _reactorId, data) => {
            let sent = 0;
            while (server.send(fd, Buffer.alloc(100_000))) sent += 100_000;
            const word = data.toString();
            const results = [server.close(fd), word !== 'reset' || server.close(fd, true)];
            report('closed', { word, sent, results });
          });
        },
      });
      for (const word of ['close', 'reset']) {
        using client = await Client.connect(server.port);
        client.stopReading();
        await client.write(word);
        const { sent, results } = await server.waitFor('closed', (event) => event.word === word);
        assert.deepEqual(results, [true, true]);
        client.startReading();
        if (word === 'close') assert.equal((await client.readAll()).length, sent);
      }
      // What is on its way to the worker arrives before it ends.
      await server.stop();
      assert.deepEqual(
        server.events('told').map((event) => event.name),
        ['close', 'close'],
      );
    });
  });

  describe(`heartbeat in ${name}`, () => {
    test('silent connections are closed, protected and talking ones are not; close has a reactor id', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, heartbeat_idle_time: 1, heartbeat_check_interval: 1 },
        setup: recorder,
      });
      const silent = await open(server);
      const guarded = await open(server);
      const talking = await open(server);
      using remote = await Remote.connect(server);
      // A control connection is silent too.
      await remote.run(({ server, fd }) => server.protect(fd));
      const protectedBy = await Promise.all(
        (await Remote.connectToAll(server, workerNum)).map((each) =>
          each.run(({ server, fd }, guarded) => {
            server.protect(fd);
            return server.protect(guarded);
          }, guarded.fd),
        ),
      );
      assert.ok(protectedBy.includes(true));
      const talk = setInterval(() => void talking.client.write('.'), 100);
      try {
        const { reactorId } = await server.waitFor('close', (event) => event.fd === silent.fd);
        assert.ok(reactorId >= 0, `${reactorId}`);
        assert.equal((await silent.client.readAll()).length, 0);
        const closed = server.events('close').map((event) => event.fd);
        assert.ok(!closed.includes(guarded.fd) && !closed.includes(talking.fd), `closed: ${closed}`);
      } finally {
        clearInterval(talk);
      }
      for (const { client } of [silent, guarded, talking]) client.destroy();
    });

    test('heartbeat() lists silent connections and closes them by default', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, heartbeat_idle_time: 1 },
        setup: recorder,
      });
      using remote = await Remote.connect(server);
      await remote.run(({ server, fd }) => server.protect(fd));
      const guarded = await open(server);
      assert.equal(await remote.run(({ server }, fd) => server.protect(fd), guarded.fd), true);
      const seen = await server.until(async () => {
        const { client, fd } = await open(server);
        const lists = await remote.run(async ({ server }, fd) => {
          // The periodic check may be faster: then another connection is tried.
          while (server.exists(fd)) {
            const list = server.heartbeat(false);
            if (list !== false && list.length > 0) {
              return { list, before: server.exists(fd), closed: server.heartbeat(), after: server.exists(fd) };
            }
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
          return null;
        }, fd);
        await client.readAll();
        client.destroy();
        return lists === null ? null : { fd, ...lists };
      }, 'a silent connection in the list');
      const { fd, list, before, closed, after } = seen;
      assert.deepEqual([list, before, closed, after], [[fd], true, [fd], false]);
      assert.equal((await server.waitFor('close', (event) => event.fd === fd)).reactorId, -1);
      guarded.client.destroy();
    });

    test('heartbeat() is false without the settings, protect of an unknown connection too', async () => {
      await using server = await startServer({ mode, settings: { worker_num: 1 }, setup: recorder });
      using remote = await Remote.connect(server);
      assert.deepEqual(await remote.run(({ server }) => [server.heartbeat(), server.protect(77)]), [false, false]);
    });

    test('max_idle_time closes what is idle in both directions, and spares what is sent to', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, max_idle_time: 0.3 },
        setup: recorder,
      });
      const idle = await open(server);
      const fed = await open(server);
      using remote = await Remote.connect(server);
      await remote.run(({ server, fd }, fed) => {
        server.protect(fd);
        setInterval(() => {
          server.send(fed, '.');
        }, 30).unref();
      }, fed.fd);
      const { reactorId } = await server.waitFor('close', (event) => event.fd === idle.fd);
      assert.ok(reactorId >= 0);
      assert.equal((await idle.client.readAll()).length, 0);
      assert.equal(await remote.run(({ server }, fd) => server.exists(fd), fed.fd), true);
      for (const { client } of [idle, fed]) client.destroy();
    });

    test('does not delay shutdown', async () => {
      const started = await startServer({
        mode,
        settings: { worker_num: workerNum, heartbeat_check_interval: 60, heartbeat_idle_time: 600 },
        setup: recorder,
      });
      // stop() waits much less than a heartbeat's period.
      await started.stop();
    });
  });
}
