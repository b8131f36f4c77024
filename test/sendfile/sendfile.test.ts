import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_BASE } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { prng } from '../support/prng.ts';
import { descriptorTargets } from '../support/process-info.ts';
import { open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';

const MIB = 1024 * 1024;
const QUEUE_BYTES = MIB;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`sendfile in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    const contents = prng(1).bytes(3 * MIB + 17);

    before(async () => {
      server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          socket_buffer_size: QUEUE_BYTES,
          kernel_socket_send_buffer_size: 65536,
          max_wait_time: 2,
        },
        setup: recorder,
      });
      workers = await Remote.connectToAll(server, workerNum);
      writeFileSync(file('data'), contents);
      writeFileSync(file('small'), 'small file');
      writeFileSync(file('empty'), '');
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    const file = (path: string): string => join(server.directory, path);

    /** How often the server's processes have a file open. */
    function openCount(path: string): number {
      return server
        .processes()
        .flatMap((pid) => descriptorTargets(pid))
        .filter((target) => target.startsWith(path)).length;
    }

    test('sends whole files and parts of them', async () => {
      const { client, fd, worker } = await open(server);
      const parts = [
        [0, 0],
        [1, 0],
        [contents.length - 1, 0],
        [100, 1],
        [65_535, 65_537],
        [0, contents.length],
      ];
      const results = await workers[worker].run(
        ({ server }, fd, path, parts) => parts.map(([offset, length]) => server.sendfile(fd, path, offset, length)),
        fd,
        file('data'),
        parts,
      );
      assert.deepEqual(
        results,
        parts.map(() => true),
      );
      for (const [offset, length] of parts) {
        const expected = contents.subarray(offset, length === 0 ? undefined : offset + length);
        assert.ok((await client.read(expected.length)).equals(expected), `from ${offset}, ${length} bytes`);
      }
      client.destroy();
    });

    test('resolves a relative path where it is called', async () => {
      const { client, fd, worker } = await open(server);
      mkdirSync(file('elsewhere'));
      writeFileSync(file('elsewhere/here'), 'found');
      const result = await workers[worker].run(
        ({ server }, fd, directory) => {
          const before = process.cwd();
          process.chdir(directory);
          try {
            return server.sendfile(fd, 'here');
          } finally {
            process.chdir(before);
          }
        },
        fd,
        file('elsewhere'),
      );
      assert.equal(result, true);
      assert.equal((await client.read(5)).toString(), 'found');
      client.destroy();
    });

    test('keeps the order among sends, long and short, with a reader that is fast or slow', async () => {
      for (const slow of [false, true]) {
        const { client, fd, worker } = await open(server);
        if (slow) client.stopReading();
        const count = 40;
        const refused = await workers[worker].run(
          async ({ server }, fd, path, count, slow) => {
            let refused = 0;
            for (let i = 0; i < count; i++) {
              if (!server.send(fd, `<${i}>`)) refused++;
              if (!server.sendfile(fd, path, i * 1000, 50_000 + i)) refused++;
              if (!server.send(fd, Buffer.alloc(i % 3 === 0 ? 9000 : 10, i))) refused++;
              if (slow && i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
            }
            return refused;
          },
          fd,
          file('data'),
          count,
          slow,
        );
        assert.equal(refused, 0);
        client.startReading();
        for (let i = 0; i < count; i++) {
          assert.equal((await client.read(`<${i}>`.length)).toString(), `<${i}>`);
          assert.ok((await client.read(50_000 + i)).equals(contents.subarray(i * 1000, i * 1000 + 50_000 + i)), `${i}`);
          const length = i % 3 === 0 ? 9000 : 10;
          assert.ok((await client.read(length)).equals(Buffer.alloc(length, i)), `${i}`);
        }
        client.destroy();
      }
    });

    test('counts as a response, but not for the send queue', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const results = await workers[worker].run(
        async ({ server }, fd, path) => {
          const before = server.stats();
          const sent: boolean[] = [];
          // Together much more than socket_buffer_size.
          for (let i = 0; i < 5; i++) sent.push(server.sendfile(fd, path));
          sent.push(server.send(fd, 'end'));
          await new Promise((resolve) => setTimeout(resolve, 100));
          const info = server.getClientInfo(fd);
          const after = server.stats();
          if (info === false) return null;
          return {
            sent,
            queued: info.send_queued_bytes,
            responses: after.response_count - before.response_count,
            bytes: after.total_send_bytes - before.total_send_bytes,
          };
        },
        fd,
        file('data'),
      );
      const bytes = 5 * contents.length + 3;
      assert.deepEqual(results, { sent: Array(6).fill(true), queued: 3, responses: 6, bytes });
      client.startReading();
      for (let i = 0; i < 5; i++) assert.ok((await client.read(contents.length)).equals(contents));
      assert.equal((await client.read(3)).toString(), 'end');
      client.destroy();
    });

    test('tells why it cannot', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(
        ({ server }, fd, data, empty, directory) => {
          const call = (...args: Parameters<typeof server.sendfile>): [boolean, number] => [
            server.sendfile(...args),
            server.getLastError(),
          ];
          const size = 3 * 1024 * 1024 + 17;
          return {
            missing: call(fd, `${data}.not`),
            nothing: call(fd, ''),
            zeroByte: call(fd, 'a\0b'),
            throughFile: call(fd, `${data}/x`),
            directory: call(fd, directory),
            device: call(fd, '/dev/null'),
            empty: call(fd, empty),
            atEnd: call(fd, data, size),
            behindEnd: call(fd, data, size + 1),
            tooMuch: call(fd, data, 1, size),
            longName: call(fd, `/${'x'.repeat(9000)}`),
            noId: call(0, data),
            noText: call('1' as unknown as number, data),
            unknown: call(123_456, data),
            // Leaves the code as it was.
            negativeOffset: call(fd, data, -1),
            negativeLength: call(fd, data, 0, -1),
          };
        },
        fd,
        file('data'),
        file('empty'),
        server.directory,
      );
      assert.deepEqual(results, {
        missing: [false, 502],
        nothing: [false, 502],
        zeroByte: [false, 502],
        throughFile: [false, 502],
        directory: [false, 9013],
        device: [false, 9013],
        empty: [false, 502],
        atEnd: [false, 502],
        behindEnd: [false, 502],
        tooMuch: [false, 505],
        longName: [false, 504],
        noId: [false, 1006],
        noText: [false, 1006],
        unknown: [false, 1005],
        negativeOffset: [false, 1005],
        negativeLength: [false, 1005],
      });
      client.destroy();
    });

    test('throws on arguments of a wrong type', async () => {
      const codes = await workers[0].run(({ server }) =>
        [
          [5, 0, 0],
          [null, 0, 0],
          ['x', 0.5, 0],
          ['x', 0, Number.NaN],
          ['x', '1', 0],
        ].map((args) => {
          try {
            return server.sendfile(1, ...(args as [string, number, number]));
          } catch (error) {
            return (error as { code: string }).code;
          }
        }),
      );
      assert.deepEqual(codes, Array(5).fill('ERR_ARGUMENT'));
    });

    test('close waits for the file, and nothing can be sent after it', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const results = await workers[worker].run(
        ({ server }, fd, path) => [
          server.send(fd, 'head'),
          server.sendfile(fd, path),
          server.send(fd, 'tail'),
          server.close(fd),
          server.sendfile(fd, path),
          server.getLastError(),
        ],
        fd,
        file('data'),
      );
      assert.deepEqual(results, [true, true, true, true, false, 1001]);
      client.startReading();
      const all = await client.readAll();
      assert.equal(all.length, contents.length + 8);
      assert.ok(all.equals(Buffer.concat([Buffer.from('head'), contents, Buffer.from('tail')])));
      assert.equal(await endOf(client), null);
      await server.until(() => openCount(file('data')) === 0, 'all files to be closed');
    });

    test('reset drops the file', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      await workers[worker].run(({ server }, fd, path) => server.sendfile(fd, path), fd, file('data'));
      await server.until(() => openCount(file('data')) === 1, 'the file to be open');
      assert.equal(await workers[worker].run(({ server }, fd) => server.close(fd, true), fd), true);
      await server.until(() => openCount(file('data')) === 0, 'the file to be closed');
      client.startReading();
      assert.equal(await client.closed, 'ECONNRESET');
    });

    test('a client that leaves in the middle leaves no file open', async () => {
      for (const leave of ['reset', 'destroy'] as const) {
        const { client, fd, worker } = await open(server);
        client.stopReading();
        await workers[worker].run(
          ({ server }, fd, path) => {
            for (let i = 0; i < 30; i++) server.sendfile(fd, path);
          },
          fd,
          file('data'),
        );
        await server.until(() => openCount(file('data')) > 1, 'files to be open');
        assert.ok(openCount(file('data')) <= 17, 'not all of those that wait are open');
        client[leave]();
        await server.until(() => openCount(file('data')) === 0, 'the files to be closed');
        await server.waitFor('close', (event) => event.fd === fd);
      }
    });

    test('serves a client that has finished writing', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      await workers[worker].run(({ server }, fd, path) => server.sendfile(fd, path), fd, file('data'));
      client.end();
      await server.waitFor('close', (event) => event.fd === fd);
      client.startReading();
      assert.ok((await client.readAll()).equals(contents));
    });

    test('a file that becomes shorter ends the connection after what there was, and is told once', async () => {
      const { client, fd, worker } = await open(server);
      const path = file('shrinks');
      writeFileSync(path, Buffer.alloc(32 * MIB, 's'));
      client.stopReading();
      await workers[worker].run(
        ({ server }, fd, path) => [server.send(fd, 'head'), server.sendfile(fd, path), server.send(fd, 'GARBAGE')],
        fd,
        path,
      );
      await server.until(() => openCount(path) === 1, 'the file to be open');
      truncateSync(path, 16 * MIB);
      client.startReading();
      const all = await client.readAll();
      assert.equal(await endOf(client), null);
      assert.equal(all.length, 4 + 16 * MIB);
      assert.ok(all.subarray(4).equals(Buffer.alloc(16 * MIB, 's')));
      await server.waitFor('close', (event) => event.fd === fd);
      assert.equal(openCount(path), 0);
      assert.equal(server.output.split('\n').filter((line) => line.includes(path)).length, 1, server.output);
    });

    test('the same when the connection is being closed already', async () => {
      const { client, fd, worker } = await open(server);
      const path = file('shrinks-closing');
      writeFileSync(path, Buffer.alloc(32 * MIB, 's'));
      client.stopReading();
      await workers[worker].run(({ server }, fd, path) => [server.sendfile(fd, path), server.close(fd)], fd, path);
      await server.until(() => openCount(path) === 1, 'the file to be open');
      truncateSync(path, 16 * MIB);
      client.startReading();
      assert.equal((await client.readAll()).length, 16 * MIB);
      assert.equal(await endOf(client), null);
    });

    test('a file that cannot be opened when it is its turn ends the connection after what came before', async () => {
      const { client, fd, worker } = await open(server);
      const path = file('vanishes');
      writeFileSync(path, Buffer.alloc(MIB, 'v'));
      client.stopReading();
      const accepted = await workers[worker].run(
        async ({ server }, fd, path, unlink) => {
          let accepted = 0;
          for (let i = 0; i < 40; i++) if (server.sendfile(fd, path)) accepted++;
          server.send(fd, 'GARBAGE');
          // The owner of the socket gets its turn.
          await new Promise((resolve) => setTimeout(resolve, 100));
          const { unlinkSync } = await import(unlink);
          unlinkSync(path);
          return accepted;
        },
        fd,
        path,
        'node:fs',
      );
      assert.equal(accepted, 40);
      client.startReading();
      const all = await client.readAll();
      assert.equal(await endOf(client), null);
      assert.ok(all.length >= 16 * MIB && all.length % MIB === 0 && all.length < 40 * MIB, `${all.length} bytes`);
      assert.ok(all.every((byte) => byte === 118));
      await server.waitForOutput(/vanishes" to connection \d+, closing it: no such file/);
      await server.waitFor('close', (event) => event.fd === fd);
    });

    test('refuses with 1008 when more than a thousand files wait for one connection', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const { accepted, error } = await workers[worker].run(
        async ({ server }, fd, path) => {
          let accepted = 0;
          while (accepted < 100_000 && server.sendfile(fd, path)) {
            accepted++;
            if (accepted % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
          }
          return { accepted, error: server.getLastError() };
        },
        fd,
        file('data'),
      );
      assert.equal(error, 1008);
      assert.ok(accepted >= 1024 && accepted < 2000, `${accepted}`);
      assert.ok(openCount(file('data')) <= 17);
      client.reset();
      await server.until(() => openCount(file('data')) === 0, 'the files to be closed');
    });

    test('works from every worker', async () => {
      const { client, fd, worker } = await open(server);
      const other = workers[(worker + 1) % workers.length];
      assert.equal(await other.run(({ server }, fd, path) => server.sendfile(fd, path), fd, file('small')), true);
      assert.equal((await client.read(10)).toString(), 'small file');
      client.destroy();
    });

    test('big files to many readers at once arrive whole, and nobody else has to wait', async () => {
      const size = 6 * MIB;
      const path = file('big');
      const big = Buffer.alloc(size);
      for (let at = 0; at < size; at += contents.length) contents.copy(big, at);
      writeFileSync(path, big);
      const expected = createHash('sha256').update(big).digest('hex');
      const readers = await Promise.all(Array.from({ length: 8 }, () => open(server)));
      const quick = await open(server);
      await Promise.all(
        readers.map(({ fd, worker }) =>
          workers[worker].run(({ server }, fd, path) => server.sendfile(fd, path), fd, path),
        ),
      );
      assert.equal(
        await workers[quick.worker].run(({ server }, fd, path) => server.sendfile(fd, path), quick.fd, file('small')),
        true,
      );
      assert.equal((await quick.client.read(10)).toString(), 'small file');
      for (const { client } of readers) {
        assert.equal(
          createHash('sha256')
            .update(await client.read(size))
            .digest('hex'),
          expected,
        );
        client.destroy();
      }
      quick.client.destroy();
    });
  });

  test(`a server that stops closes files that nobody reads, in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, max_wait_time: 1 },
      setup: ({ server, report, swoole }) => {
        server.on('connect', (server, fd) => {
          report('sent', { ok: server.sendfile(fd, process.execPath), mode: swoole.SWOOLE_BASE });
        });
        server.on('receive', () => {});
      },
    });
    const client = await Client.connect(server.port);
    client.stopReading();
    assert.equal((await server.waitFor('sent')).ok, true);
    await server.stop();
    client.destroy();
  });
}

test('a close callback that waits for a task, because a file failed, stops no other file', async () => {
  const count = 60;
  const size = 3 * MIB;
  await using server = await startServer({
    mode: SWOOLE_BASE,
    settings: { worker_num: 1, task_worker_num: 1 },
    args: { count },
    setup: ({ server, report, args }) => {
      const { truncateSync } = process.getBuiltinModule('node:fs');
      const fds: number[] = [];
      server.on('task', () => 'done');
      server.on('connect', (_server, fd) => void fds.push(fd));
      server.on('receive', (server) => {
        report('sent', { results: fds.map((fd, i) => server.sendfile(fd, i === 0 ? 'shrinks' : 'big')) });
        truncateSync('shrinks', 0);
      });
      server.on('close', (server, fd) => {
        if (fd === fds[0] && fds.length === args.count) report('failed', { answer: server.taskwaitSync('wait', 5) });
      });
    },
  });
  writeFileSync(join(server.directory, 'shrinks'), 'will be empty');
  writeFileSync(join(server.directory, 'big'), Buffer.alloc(size, 'b'));
  const clients: Client[] = [];
  for (let i = 0; i < count; i++) clients.push(await Client.connect(server.port));
  await clients[count - 1].write('send');
  await Promise.all(clients.slice(1).map((client) => client.read(size)));
  assert.equal((await server.waitFor('failed')).answer, 'done');
  for (const client of clients) client.destroy();
});

test('the master of SWOOLE_PROCESS refuses with 9009', async () => {
  await using server = await startServer({
    mode: 2,
    settings: { worker_num: 1 },
    setup: ({ server, report }) => {
      server.on('start', (server) => {
        report('master', { result: server.sendfile(1, process.execPath), error: server.getLastError() });
      });
      server.on('receive', () => {});
    },
  });
  const { result, error } = await server.waitFor('master');
  assert.deepEqual([result, error], [false, 9009]);
});

/** The client ends as well, and tells how the connection was. */
function endOf(client: Client): Promise<string | null> {
  client.end();
  return client.closed;
}
