import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, SUBJECTS } from '../support/subjects.ts';

/** Room in a connection's queue; much more than what the kernel takes at once on a small send buffer. */
const QUEUE_BYTES = 1024 * 1024;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`send in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];

    before(async () => {
      server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          socket_buffer_size: QUEUE_BYTES,
          buffer_output_size: 4 * QUEUE_BYTES,
          kernel_socket_send_buffer_size: 16384,
        },
        setup: recorder,
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    test('sends strings as UTF-8, and bytes as they are', async () => {
      const { client, fd, worker } = await open(server);
      const text = 'grüße, 世界, \u{1f600}\n';
      const results = await workers[worker].run(
        ({ server }, fd, text) => {
          const backing = new Uint8Array([9, 9, 0, 1, 2, 255, 9]);
          return [
            server.send(fd, text),
            server.send(fd, backing.subarray(2, 6)),
            server.send(fd, Buffer.from('xxslicexx').subarray(2, 7)),
            server.send(fd, new Uint8Array(0)),
            server.send(fd, ''),
            server.getLastError(),
          ];
        },
        fd,
        text,
      );
      assert.deepEqual(results, [true, true, true, false, false, 550]);
      const expected = Buffer.concat([Buffer.from(text), Buffer.from([0, 1, 2, 255]), Buffer.from('slice')]);
      assert.deepEqual(await client.read(expected.length), expected);
      client.destroy();
    });

    test('an unpaired surrogate becomes the replacement character, as Buffer.from does', async () => {
      const { client, fd, worker } = await open(server);
      await workers[worker].run(({ server }, fd) => server.send(fd, `a${String.fromCharCode(0xd800)}b`), fd);
      assert.equal((await client.read(5)).toString(), 'a\ufffdb');
      client.destroy();
    });

    test('data may be changed right after send, small or large, as often as one likes', async () => {
      const { client, fd, worker } = await open(server);
      const sizes = [1, 10, 64, 65, 1000, 4096, 16384, 16385, 70_000, 200_000];
      const sent = await workers[worker].run(
        ({ server }, fd, sizes) =>
          sizes.map((size) => {
            const data = Buffer.alloc(size, size % 251);
            const ok = server.send(fd, data);
            data.fill(0xee);
            return ok;
          }),
        fd,
        sizes,
      );
      assert.deepEqual(
        sent,
        sizes.map(() => true),
      );
      for (const size of sizes) {
        assert.ok((await client.read(size)).equals(Buffer.alloc(size, size % 251)), `${size} bytes`);
      }
      client.destroy();
    });

    test('many sends arrive in order, mixed in size and type', async () => {
      const { client, fd, worker } = await open(server);
      const count = 3000;
      const results = await workers[worker].run(
        ({ server }, fd, count) => {
          let failed = 0;
          for (let i = 0; i < count; i++) {
            const line = `${i}:${'x'.repeat(i % 200)}\n`;
            if (!server.send(fd, i % 2 === 0 ? line : Buffer.from(line))) failed++;
          }
          return failed;
        },
        fd,
        count,
      );
      assert.equal(results, 0);
      for (let i = 0; i < count; i++) assert.equal(await client.readLine(), `${i}:${'x'.repeat(i % 200)}`);
      client.destroy();
    });

    test('the order holds when one turn sends more than the socket takes, in pieces of any size', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const sizes = [1, 100, 3000, 4096, 5000, 20_000, 64];
      const rounds = 25;
      const failed = await workers[worker].run(
        ({ server }, fd, sizes, rounds) => {
          let failed = 0;
          let number = 0;
          for (let round = 0; round < rounds; round++)
            for (const size of sizes) {
              const text = String.fromCharCode(32 + (number++ % 90)).repeat(size);
              if (!server.send(fd, number % 3 === 0 ? text : Buffer.from(text))) failed++;
            }
          return failed;
        },
        fd,
        sizes,
        rounds,
      );
      assert.equal(failed, 0);
      client.startReading();
      for (let number = 0; number < rounds * sizes.length; number++) {
        const size = sizes[number % sizes.length];
        const expected = String.fromCharCode(32 + (number % 90)).repeat(size);
        assert.ok((await client.read(size)).toString() === expected, `piece ${number} of ${size} bytes`);
      }
      client.destroy();
    });

    test('sends of several workers to one connection never mix', async () => {
      const { client, fd } = await open(server);
      const size = 5000;
      const rounds = 40;
      await Promise.all(
        workers.map((remote, id) =>
          remote.run(
            async ({ server }, fd, id, size, rounds) => {
              for (let i = 0; i < rounds; i++) {
                const data = Buffer.alloc(size, 65 + id);
                data[size - 1] = 10;
                while (!server.send(fd, data)) await new Promise((resolve) => setTimeout(resolve, 1));
                if (i % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
              }
            },
            fd,
            id,
            size,
            rounds,
          ),
        ),
      );
      const counts = workers.map(() => 0);
      for (let i = 0; i < rounds * workers.length; i++) {
        const line = await client.readUntil('\n');
        const id = line[0] - 65;
        assert.ok(line.equals(Buffer.concat([Buffer.alloc(size - 1, 65 + id), Buffer.from('\n')])), `message ${i}`);
        counts[id]++;
      }
      assert.deepEqual(
        counts,
        workers.map(() => rounds),
      );
      client.destroy();
    });

    test('works from every worker, whoever owns the connection, and keeps the order of each', async () => {
      const { client, fd, worker } = await open(server);
      const other = workers[(worker + 1) % workers.length];
      const results = await other.run(
        ({ server }, fd) => Array.from({ length: 50 }, (_, i) => server.send(fd, `${i}\n`)),
        fd,
      );
      assert.ok(results.every((result) => result));
      for (let i = 0; i < 50; i++) assert.equal(await client.readLine(), String(i));
      client.destroy();
    });

    test('tells 1002 for a client that has left, 1005 for one that never was, and 1006 for what is no id', async () => {
      const { client, fd, worker } = await open(server);
      client.destroy();
      await server.waitFor('close', (event) => event.fd === fd);
      const results = await server.until(
        () =>
          workers[worker].run(({ server }, fd): [boolean, number][] | null => {
            const codes: [boolean, number][] = [];
            const errorOf = (id: number): [boolean, number] => [server.send(id, 'x'), server.getLastError()];
            codes.push(errorOf(fd), errorOf(123_456), errorOf(1.5), errorOf(0), errorOf(-1));
            codes.push(errorOf(String(fd) as unknown as number), errorOf('/tmp/none' as unknown as number));
            codes.push(errorOf(null as unknown as number));
            // The connection's socket may be closing for a moment.
            return server.exists(fd) ? null : codes;
          }, fd),
        'the end of the connection',
      );
      assert.deepEqual(results.slice(1), [[false, 1005], [false, 1005], ...new Array(5).fill([false, 1006])]);
      assert.deepEqual(results[0], [false, 1002]);
      await server.waitForOutput(new RegExp(`the string "${fd}" is not the id of a connection, which is a number`));
    });

    test('send, close and sendfile tell who has ended a connection, until another one has its place', async () => {
      for (const [end, code] of [
        ['end', 1002],
        ['reset', 1002],
        ['close', 1001],
      ] as const) {
        const opened = await open(server);
        const { client, fd, worker } = opened;
        if (end === 'close') await workers[worker].run(({ server }, fd) => server.close(fd), fd);
        else client[end]();
        await server.waitFor('close', (event) => event.fd === fd);
        if (end === 'end' || end === 'close') client.destroy();
        await workers[0].run(async ({ server }) => {
          // The socket is closed when everybody knows of it.
          while (server.connections.count() > 2) await new Promise((resolve) => setTimeout(resolve, 5));
        });
        for (const each of [worker, 1 - worker]) {
          const told = await workers[each].run(
            ({ server }, fd, path) => [
              [server.send(fd, 'x'), server.getLastError()],
              [server.close(fd), server.getLastError()],
              [server.close(fd, true), server.getLastError()],
              [server.sendfile(fd, path), server.getLastError()],
              server.exists(fd),
              server.getClientInfo(fd),
            ],
            ...([fd, process.execPath] as const),
          );
          assert.deepEqual(told, [...new Array(4).fill([false, code]), false, false], `${end}, worker ${each}`);
        }
        client.destroy();
      }
    });

    test('throws on data that is neither text nor bytes', async () => {
      const { client, fd, worker } = await open(server);
      for (const data of [5, null, undefined, { toString: null }, [1, 2]]) {
        const code = await workers[worker].run(
          ({ server }, fd, data) => {
            try {
              return server.send(fd, data as unknown as string);
            } catch (error) {
              return (error as { code: string }).code;
            }
          },
          fd,
          data,
        );
        assert.equal(code, 'ERR_ARGUMENT');
      }
      client.destroy();
    });

    test('refuses more than buffer_output_size with 1202, measured in bytes', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(
        ({ server }, fd, max) => {
          const tooLong = server.send(fd, Buffer.alloc(max + 1));
          const tooLongError = server.getLastError();
          // Fewer characters than the limit has bytes, but more bytes.
          const text = server.send(fd, 'ü'.repeat(max / 2 + 1));
          return [tooLong, tooLongError, text, server.getLastError()];
        },
        fd,
        4 * QUEUE_BYTES,
      );
      assert.deepEqual(results, [false, 1202, false, 1202]);
      client.destroy();
    });

    test('refuses with 1008 what does not fit in the queue; nothing of it is sent, and later sends work', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const size = 64 * 1024;
      const { accepted, error, queued } = await workers[worker].run(
        async ({ server }, fd, size) => {
          let accepted = 0;
          for (;;) {
            const data = Buffer.alloc(size, accepted % 256);
            if (!server.send(fd, data)) break;
            accepted++;
            // The owner of the socket gets its turn.
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
          const error = server.getLastError();
          const info = server.getClientInfo(fd);
          return { accepted, error, queued: info === false ? -1 : info.send_queued_bytes };
        },
        fd,
        size,
      );
      assert.equal(error, 1008);
      assert.ok(accepted * size >= QUEUE_BYTES - size, `${accepted} accepted`);
      assert.ok(queued <= QUEUE_BYTES && queued > QUEUE_BYTES - size, `${queued} queued`);
      client.startReading();
      for (let i = 0; i < accepted; i++) {
        assert.ok((await client.read(size)).equals(Buffer.alloc(size, i % 256)), `message ${i}`);
      }
      assert.equal(await workers[worker].run(({ server }, fd) => server.send(fd, 'after'), fd), true);
      assert.equal((await client.read(5)).toString(), 'after');
      client.destroy();
    });

    test('a message may be as long as the queue has room', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(
        ({ server }, fd, max) => [
          server.send(fd, Buffer.alloc(max + 1)),
          server.getLastError(),
          server.send(fd, Buffer.alloc(max, 7)),
        ],
        fd,
        QUEUE_BYTES,
      );
      assert.deepEqual(results, [false, 1008, true]);
      assert.ok((await client.read(QUEUE_BYTES)).equals(Buffer.alloc(QUEUE_BYTES, 7)));
      client.destroy();
    });

    test('after close tells 1003 inside the close callback, and 1001 afterwards', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const results = await workers[worker].run(async ({ server }, fd) => {
        // So much that the socket cannot be closed at once.
        while (server.send(fd, Buffer.alloc(65_536))) await new Promise((resolve) => setTimeout(resolve, 1));
        const closed = server.close(fd);
        return [closed, server.send(fd, 'x'), server.getLastError(), server.exists(fd)];
      }, fd);
      assert.deepEqual(results, [true, false, 1001, false]);
      client.destroy();
    });

    test('after close without output that waits tells 1001 as well', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(
        ({ server }, fd) => [server.close(fd), server.send(fd, 'x'), server.getLastError(), server.exists(fd)],
        fd,
      );
      assert.deepEqual(results, [true, false, 1001, false]);
      assert.equal((await client.readAll()).length, 0);
      const later = await workers[worker].run(
        ({ server }, fd, path) => [server.sendfile(fd, path), server.getLastError()],
        ...([fd, process.execPath] as const),
      );
      assert.deepEqual(later, [false, 1001]);
      client.destroy();
    });

    test('what waits in the sending process counts as queued', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const { sent, queued } = await workers[worker].run(({ server }, fd) => {
        let sent = 0;
        // In one turn: nobody else has looked at it yet.
        while (server.send(fd, Buffer.alloc(65_536))) sent += 65_536;
        const info = server.getClientInfo(fd);
        return { sent, queued: info === false ? -1 : info.send_queued_bytes };
      }, fd);
      assert.ok(queued > QUEUE_BYTES - 65_536 && queued <= QUEUE_BYTES, `${queued} of ${sent}`);
      client.destroy();
    });

    test('counts responses and bytes, and only those that were accepted', async () => {
      const { client, fd, worker } = await open(server);
      const counted = await workers[worker].run(({ server }, fd) => {
        const before = server.stats();
        server.send(fd, 'ü');
        server.send(fd, Buffer.alloc(10));
        server.send(fd, '');
        server.send(999_999, 'x');
        const after = server.stats();
        return [
          after.response_count - before.response_count,
          after.total_send_bytes - before.total_send_bytes,
          after.worker_response_count! - before.worker_response_count!,
        ];
      }, fd);
      assert.deepEqual(counted, [2, 12, 2]);
      await client.read(12);
      client.destroy();
    });
  });
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  test(`what was sent in ${name} goes out although the process ends itself`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          const answer = (): void => {
            server.send(fd, 'short,');
            server.send(fd, 'x'.repeat(20_000));
            server.send(fd, ',end');
            if (data.toString() === 'fail') throw new Error('on purpose');
            process.exit(0);
          };
          if (data.toString() === 'exit') answer();
          else setTimeout(answer, 1);
        });
      },
    });
    // Without a manager that is the end of the server, and a failure of the script.
    for (const end of workerNum === 1 ? ['exit'] : ['exit', 'exit later', 'fail']) {
      using client = await Client.connect(server.port);
      await client.write(end);
      assert.equal((await client.read(20_010)).toString(), `short,${'x'.repeat(20_000)},end`, end);
    }
  });
}
