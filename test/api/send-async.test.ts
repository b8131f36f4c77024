/** sendAsync(): a send that waits for room. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import type { Fixture } from '../support/fixture.ts';
import { type Opened, open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, PROCESS, SUBJECTS } from '../support/subjects.ts';
import { replaced } from '../support/tasks.ts';

const MIB = 1 << 20;
const SMALL = { socket_buffer_size: MIB, kernel_socket_send_buffer_size: 65_536, reactor_num: 1 };
/** Filled as bytes are numbered: a piece that is missing, late or early shows. */
const PIECE = 256 * 1024;

function assertPieces(data: Uint8Array, first: number, count: number): void {
  assert.equal(data.length, count * PIECE);
  for (let i = 0; i < count; i++) {
    const piece = data.subarray(i * PIECE, (i + 1) * PIECE);
    assert.ok(
      piece.every((byte) => byte === ((first + i) & 0xff)),
      `piece ${first + i}`,
    );
  }
}

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`sendAsync in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    before(async () => {
      server = await startServer({ mode, settings: { ...SMALL, worker_num: workerNum }, setup: recorder });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    /**
     * A connection whose client does not read, filled up until send() is false, and how many pieces that took. `asking` is a
     * worker that it must not belong to.
     */
    async function openFull(asking?: Remote): Promise<Opened & { remote: Remote; sent: number }> {
      const others: Opened[] = [];
      let opened = await open(server);
      while (opened.worker === asking?.worker) {
        others.push(opened);
        asking.block(30);
        opened = await open(server);
      }
      for (const { client } of others) client.destroy();
      opened.client.stopReading();
      const remote = asking ?? workers[opened.worker];
      const sent = await remote.run(
        async ({ server, state }, fd, length) => {
          let sent = 0;
          // The kernel takes some a moment later.
          for (let refused = 0; refused < 3; refused++) {
            while (server.send(fd, Buffer.alloc(length, sent))) sent++;
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
          state.results = [];
          return sent;
        },
        opened.fd,
        PIECE,
      );
      return { ...opened, remote, sent };
    }

    /** Begins so many sends; their results and codes come to state.results. */
    function begin(remote: Remote, fd: number, first: number, count: number, timeout: number | null): Promise<void> {
      return remote.run(
        ({ server, state }, fd, first, count, length, timeout) => {
          const results = state.results as unknown[];
          for (let i = first; i < first + count; i++) {
            const piece = Buffer.alloc(length, i);
            void server.sendAsync(fd, piece, timeout).then((sent) => {
              results.push(sent || server.getLastError());
            });
            piece.fill(0xee);
          }
        },
        fd,
        first,
        count,
        PIECE,
        timeout,
      );
    }

    function resultsOf(remote: Remote, count: number): Promise<unknown[]> {
      return server.until(async () => {
        const results = await remote.run(({ state }) => state.results as unknown[]);
        return results.length >= count && results;
      }, `${count} results`);
    }

    test('without much that waits it is done at once', async () => {
      const { client, fd, worker } = await open(server);
      const sent = await workers[worker].run(async ({ server }, fd) => [await server.sendAsync(fd, 'hello')], fd);
      assert.deepEqual(sent, [true]);
      assert.equal((await client.read(5)).toString(), 'hello');
      client.destroy();
    });

    test('a loop that awaits it sends more than the buffer has room for, in order', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const count = 64;
      const done = workers[worker].run(
        async ({ server, report }, fd, length, count) => {
          let most = 0;
          for (let i = 0; i < count; i++) {
            if (!(await server.sendAsync(fd, Buffer.alloc(length, i)))) return server.getLastError();
            const info = server.getClientInfo(fd);
            if (info !== false) most = Math.max(most, info.send_queued_bytes);
            if (i === 4) report('some', { fd });
          }
          return most;
        },
        fd,
        PIECE,
        count,
      );
      await server.waitFor('some', (event) => event.fd === fd);
      client.startReading();
      assertPieces(await client.read(count * PIECE), 0, count);
      const most = await done;
      // In SWOOLE_PROCESS what is on its way to the reactor comes on top, at most a ring.
      const limit = mode === PROCESS.mode ? 5 * MIB : MIB;
      assert.ok(most > 0 && most <= limit, `${most} bytes waited`);
      client.destroy();
    });

    test('send, sendfile and another sendAsync do not overtake one that waits', async () => {
      const { client, fd, remote, sent } = await openFull();
      await begin(remote, fd, sent, 3, null);
      const refused = await remote.run(
        ({ server }, fd) => [
          [server.send(fd, 'x'), server.getLastError()],
          [server.sendfile(fd, process.argv[1]), server.getLastError()],
        ],
        fd,
      );
      assert.deepEqual(refused, [
        [false, 1008],
        [false, 1008],
      ]);
      client.startReading();
      assertPieces(await client.read((sent + 3) * PIECE), 0, sent + 3);
      assert.deepEqual(await resultsOf(remote, 3), [true, true, true]);
      assert.equal(await remote.run(({ server }, fd) => server.send(fd, 'behind'), fd), true);
      assert.equal((await client.read(6)).toString(), 'behind');
      client.destroy();
    });

    if (subject !== ALONE)
      test("another worker's connection is waited for as well", async () => {
        const { client, fd, remote, sent } = await openFull(workers[0]);
        await begin(remote, fd, sent, 4, null);
        client.startReading();
        assertPieces(await client.read((sent + 4) * PIECE), 0, sent + 4);
        assert.deepEqual(await resultsOf(remote, 4), [true, true, true, true]);
        client.destroy();
      });

    test('the client leaves: false with 1002', async () => {
      const { client, fd, remote, sent } = await openFull();
      await begin(remote, fd, sent, 2, null);
      client.reset();
      assert.deepEqual(await resultsOf(remote, 2), [1002, 1002]);
    });

    test('the server closes: false with a code that says so', async () => {
      const { client, fd, remote, sent } = await openFull();
      await begin(remote, fd, sent, 2, null);
      await remote.run(({ server }, fd) => server.close(fd), fd);
      for (const code of await resultsOf(remote, 2)) assert.ok(code === 1001 || code === 1004, `${code}`);
      client.destroy();
    });

    test('no room in time: false with 10018, and those behind go on', async () => {
      const { client, fd, remote, sent } = await openFull();
      await begin(remote, fd, 99, 1, 0.05);
      await begin(remote, fd, sent, 1, null);
      await begin(remote, fd, 99, 1, 0.05);
      assert.deepEqual(await resultsOf(remote, 2), [10018, 10018]);
      client.startReading();
      assertPieces(await client.read((sent + 1) * PIECE), 0, sent + 1);
      assert.deepEqual(await resultsOf(remote, 3), [10018, 10018, true]);
      client.destroy();
    });

    test('too many, too large, nobody: false at once', async () => {
      const { client, fd, remote } = await openFull();
      const codes = await remote.run(async ({ server }, fd) => {
        const code = async (sent: Promise<boolean>): Promise<number> => ((await sent) ? 0 : server.getLastError());
        const codes = [
          await code(server.sendAsync(fd, Buffer.alloc(1_048_577))),
          await code(server.sendAsync(9_999_999, 'x')),
          await code(server.sendAsync(-1, 'x')),
          await code(server.sendAsync(fd, '')),
        ];
        for (let i = 0; i < 4; i++) void server.sendAsync(fd, Buffer.alloc(262_144));
        codes.push(await code(server.sendAsync(fd, 'x')));
        return codes;
      }, fd);
      assert.deepEqual(codes, [1202, 1005, 1006, 550, 1008]);
      client.reset();
    });

    test('at most 1,024 calls wait for a connection', async () => {
      const { client, fd, remote } = await openFull();
      const [before, code, after] = await remote.run(async ({ server }, fd) => {
        while (server.send(fd, Buffer.alloc(1000)));
        const before = server.stats().send_hold_count;
        for (let i = 0; i < 1024; i++) void server.sendAsync(fd, Buffer.alloc(1000));
        const sent = await server.sendAsync(fd, 'x');
        return [before, sent || server.getLastError(), server.stats().send_hold_count] as const;
      }, fd);
      assert.equal(code, 1008);
      assert.equal(after - before, 1025);
      client.reset();
    });

    test('a wrong time-out, and wrong data, reject', async () => {
      const codes = await workers[0].run(async ({ server }) => {
        const codeOf = (error: unknown): string => (error as { code: string }).code;
        return [
          await server.sendAsync(1, 'x', '1' as unknown as number).catch(codeOf),
          await server.sendAsync(1, 5 as unknown as string).catch(codeOf),
        ];
      });
      assert.deepEqual(codes, ['ERR_ARGUMENT', 'ERR_ARGUMENT']);
    });
  });
}

/** "fill" fills its connection and waits with one more piece; "task" has a task worker send a lot. */
const filler = ({ server, report }: Fixture<unknown>): void => {
  const length = 262_144;
  const fill = async (fd: number): Promise<void> => {
    let sent = 0;
    // The kernel takes some a moment later.
    for (let refused = 0; refused < 3; refused++) {
      while (server.send(fd, Buffer.alloc(length, sent))) sent++;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    report('full', { sent });
    const more = await server.sendAsync(fd, Buffer.alloc(length, sent));
    report('more', { more, code: server.getLastError() });
  };
  server.on('receive', (server, fd, _reactorId, data) => {
    if (data.toString() === 'fill') void fill(fd);
    else server.task(fd);
  });
  server.on('task', async (server, _id, _source, fd) => {
    let sent = 0;
    while (sent < 40 && (await server.sendAsync(fd as number, Buffer.alloc(length, sent)))) {
      sent++;
      if (sent === 4) report('some');
    }
    report('done', { sent });
  });
};

for (const { name, mode } of SUBJECTS) {
  describe(`sendAsync at the end of a worker, and in a task, in ${name}`, () => {
    test('a reload waits for it', async () => {
      await using server = await startServer({
        mode,
        settings: { ...SMALL, worker_num: 1, task_worker_num: 1, max_wait_time: 60 },
        setup: filler,
      });
      using client = await Client.connect(server.port);
      client.stopReading();
      await client.write('fill');
      const { sent, pid } = await server.waitFor('full');
      server.kill('SIGUSR1');
      await server.until(
        () => server.events('$worker').filter(({ id }) => id === 1).length === 2,
        'the next task worker',
      );
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.deepEqual(server.events('more'), []);
      client.startReading();
      assertPieces(await client.read((sent + 1) * PIECE), 0, sent + 1);
      assert.equal((await server.waitFor('more')).more, true);
      await replaced(server, 0, pid);
    });

    test('one that ends by force gives it up', async () => {
      await using server = await startServer({
        mode,
        settings: { ...SMALL, worker_num: 1, task_worker_num: 1, max_wait_time: 1 },
        setup: filler,
      });
      using client = await Client.connect(server.port);
      client.stopReading();
      await client.write('fill');
      await server.waitFor('full');
      server.kill('SIGUSR1');
      const { more, code } = await server.waitFor('more');
      assert.deepEqual([more, code], [false, 10017]);
      client.reset();
    });

    test('a task may await it', async () => {
      await using server = await startServer({
        mode,
        settings: { ...SMALL, worker_num: 1, task_worker_num: 1 },
        setup: filler,
      });
      using client = await Client.connect(server.port);
      client.stopReading();
      await client.write('task');
      await server.waitFor('some');
      client.startReading();
      assertPieces(await client.read(40 * PIECE), 0, 40);
      assert.equal((await server.waitFor('done')).sent, 40);
    });
  });
}
