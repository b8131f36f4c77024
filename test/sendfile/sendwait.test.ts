import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { open, recorder } from '../support/recorder.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALONE, BASE } from '../support/subjects.ts';

const MIB = 1024 * 1024;

for (const { name, mode, workerNum } of [BASE, ALONE]) {
  describe(`sendwait in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, socket_buffer_size: MIB, kernel_socket_send_buffer_size: 65536 },
        setup: recorder,
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    test('resolves true at once for what the kernel takes at once', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(
        async ({ server }, fd) => [await server.sendwait(fd, 'text'), await server.sendwait(fd, Buffer.from('bytes'))],
        fd,
      );
      assert.deepEqual(results, [true, true]);
      assert.equal((await client.read(9)).toString(), 'textbytes');
      client.destroy();
    });

    test('waits until a slow reader has taken what the kernel cannot hold, in order with other sends', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const remote = workers[worker];
      await remote.run(
        ({ server, state }, fd, size) => {
          state.done = [];
          const done = state.done as string[];
          server.send(fd, 'a');
          const note = (name: string) => (ok: boolean) => done.push(`${name} ${ok}`);
          // Much more than socket_buffer_size.
          void server.sendwait(fd, Buffer.alloc(size, 'b')).then(note('big'));
          void server.sendwait(fd, 'c').then(note('small'));
        },
        fd,
        16 * MIB,
      );
      await remote.run(() => new Promise((resolve) => setTimeout(resolve, 100)));
      assert.deepEqual(await remote.run(({ state }) => state.done), []);
      // Its bytes are in the queue, so an ordinary send finds it full.
      const refused = await remote.run(({ server }, fd) => [server.send(fd, 'x'), server.getLastError()], fd);
      assert.deepEqual(refused, [false, 1008]);
      client.startReading();
      const all = await client.read(16 * MIB + 2);
      assert.equal(all[0], 97);
      assert.ok(all.subarray(1, -1).equals(Buffer.alloc(16 * MIB, 'b')));
      assert.equal(all.at(-1), 99);
      assert.deepEqual(await remote.run(({ state }) => state.done), ['big true', 'small true']);
      client.destroy();
    });

    test('waits for a file before it, and close waits for it', async () => {
      const { client, fd, worker } = await open(server);
      client.stopReading();
      const pending = workers[worker].run(async ({ server }, fd) => {
        const sent = server.sendfile(fd, process.execPath, 0, 8 * 1024 * 1024);
        const waiting = server.sendwait(fd, 'end');
        return [sent, server.close(fd), await waiting];
      }, fd);
      client.startReading();
      assert.equal((await client.readAll()).subarray(8 * MIB).toString(), 'end');
      assert.deepEqual(await pending, [true, true, true]);
      client.destroy();
    });

    test('resolves false when the connection ends first', async () => {
      for (const how of ['client', 'reset'] as const) {
        const { client, fd, worker } = await open(server);
        client.stopReading();
        const pending = workers[worker].run(
          async ({ server, report }, fd, size) => {
            const waiting = server.sendwait(fd, Buffer.alloc(size));
            report('waiting', { fd });
            return waiting;
          },
          fd,
          16 * MIB,
        );
        await server.waitFor('waiting', (event) => event.fd === fd);
        if (how === 'client') client.reset();
        else await workers[worker].run(({ server }, fd) => server.close(fd, true), fd);
        assert.equal(await pending, false);
        client.destroy();
      }
    });

    test('tells 550, 1005 and 1006, and rejects a wrong type', async () => {
      const { client, fd, worker } = await open(server);
      const results = await workers[worker].run(async ({ server }, fd) => {
        const call = async (id: number, data: string): Promise<[boolean, number]> => [
          await server.sendwait(id, data),
          server.getLastError(),
        ];
        return {
          empty: await call(fd, ''),
          unknown: await call(99_999, 'x'),
          noId: await call(0, 'x'),
          wrongType: await server
            .sendwait(fd, 5 as unknown as string)
            .catch((error: Error & { code: string }) => error.code),
        };
      }, fd);
      assert.deepEqual(results, {
        empty: [false, 550],
        unknown: [false, 1005],
        noId: [false, 1006],
        wrongType: 'ERR_ARGUMENT',
      });
      client.destroy();
    });

    test('does not count as a response', async () => {
      const { client, fd, worker } = await open(server);
      const counted = await workers[worker].run(async ({ server }, fd) => {
        const before = server.stats();
        await server.sendwait(fd, 'x');
        const after = server.stats();
        return after.response_count - before.response_count;
      }, fd);
      assert.equal(counted, 0);
      client.destroy();
    });

    if (workerNum > 1) {
      test("refuses another worker's connection", async () => {
        const { client, fd, worker } = await open(server);
        const result = await workers[(worker + 1) % workerNum].run(
          async ({ server }, fd) => [await server.sendwait(fd, 'x'), server.getLastError()],
          fd,
        );
        assert.deepEqual(result, [false, 1005]);
        await server.waitForOutput(/sendwait\(\): connection \d+ belongs to worker \d/);
        client.destroy();
      });
    }
  });
}

test('sendwait is false, with a warning, in SWOOLE_PROCESS', async () => {
  await using server = await startServer({ mode: 2, settings: { worker_num: 1 }, setup: recorder });
  const remote = await Remote.connect(server);
  const { client, fd } = await open(server);
  assert.equal(await remote.run(({ server }, fd) => server.sendwait(fd, 'x'), fd), false);
  await server.waitForOutput(/sendwait\(\) works in the event workers of SWOOLE_BASE only/);
  client.destroy();
  remote.close();
});
