/** Closing: nothing that was sent before is lost, the close event comes exactly once, and no slot stays behind. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { HEADER_BYTES, message } from '../support/load.ts';
import { prng } from '../support/prng.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

interface Variant {
  name: string;
  mode: number;
  settings: ServerSettings;
}

const VARIANTS: Variant[] = [
  { name: 'SWOOLE_PROCESS', mode: SWOOLE_PROCESS, settings: {} },
  {
    name: 'SWOOLE_PROCESS, idle dispatch',
    mode: SWOOLE_PROCESS,
    settings: { dispatch_mode: 3, enable_unsafe_event: true },
  },
  { name: 'SWOOLE_BASE', mode: SWOOLE_BASE, settings: {} },
];
const ROUNDS = process.env.TSWOOLE_LONG === '1' ? 20_000 : 3000;
const AT_ONCE = 50;

async function connectionCount(remote: Remote): Promise<number> {
  return remote.run(({ server }) => server.stats().connection_num);
}

/** Only the control connection is left. */
async function assertAllFreed(server: TestServer, remote: Remote): Promise<void> {
  await server.until(async () => (await connectionCount(remote)) === 1, 'connection_num to return to 1');
}

for (const { name, mode, settings } of VARIANTS) {
  describe(name, { concurrency: false }, () => {
    test('close() right after a big send: everything arrives, then the end', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: 2,
          open_length_check: true,
          buffer_output_size: '16M',
          socket_buffer_size: '32M',
          ...settings,
        },
        setup: ({ server, control }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            // The request says how long the answer is to be.
            const answer = Buffer.alloc(data.readUInt32BE(4));
            for (let i = 0; i < answer.length; i += 4096) answer.writeUInt32BE(i, i);
            server.send(fd, answer);
            server.close(fd);
          });
          control();
        },
      });
      using remote = await Remote.connect(server);
      const sizes = [4, 4096, 65_536, 300_000, 1_048_576, 3_145_728, 10_485_760].map(
        (size) => size - (size % 4096) + 4,
      );
      const fetch = (size: number, pauseMs: number): Promise<number> =>
        new Promise((resolve, reject) => {
          const socket = connect({ port: server.port, host: '127.0.0.1' });
          let at = 0;
          socket.on('error', reject);
          socket.on('data', (chunk: Buffer) => {
            for (let i = (4096 - (at % 4096)) % 4096; i + 4 <= chunk.length; i += 4096) {
              if (chunk.readUInt32BE(i) !== at + i) reject(new Error(`wrong bytes at ${at + i}`));
            }
            at += chunk.length;
            if (pauseMs > 0) {
              socket.pause();
              setTimeout(() => socket.resume(), pauseMs);
            }
          });
          socket.on('end', () => resolve(at));
          const request = Buffer.alloc(8);
          request.writeUInt32BE(4, 0);
          request.writeUInt32BE(size, 4);
          socket.write(request);
        });
      for (let round = 0; round < 8; round++) {
        const got = await Promise.all(sizes.map((size, i) => fetch(size, (i + round) % 3 === 0 ? 1 : 0)));
        assert.deepEqual(got, sizes);
      }
      await assertAllFreed(server, remote);
    });

    test('closed from both sides at once: one close event each', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, ...settings },
        setup: ({ server, report, control }) => {
          server.on('connect', (_, fd) => report('connect', { fd }));
          server.on('receive', (server, fd, _reactorId, data) => {
            if (data[0] === 1) server.close(fd);
            else if (data[0] === 2) setTimeout(() => server.close(fd), data[1] / 20);
            else if (data[0] === 3) server.close(fd, true);
            else server.send(fd, data);
          });
          server.on('close', (_, fd) => report('close', { fd }));
          control();
        },
      });
      using remote = await Remote.connect(server);
      const random = prng(11);
      let opened = 0;
      const client = async (): Promise<void> => {
        while (opened < ROUNDS) {
          opened++;
          const socket = connect({ port: server.port, host: '127.0.0.1' });
          const over = new Promise<void>((resolve) => socket.once('close', () => resolve()));
          socket.on('error', () => {});
          socket.on('data', () => {});
          await new Promise<void>((resolve) => {
            socket.once('connect', () => resolve());
            socket.once('close', () => resolve());
          });
          socket.write(Buffer.from([random.int(5), random.int(256)]));
          const way = random.int(5);
          if (way === 0) socket.destroy();
          else if (way === 1) socket.resetAndDestroy();
          else if (way === 2) socket.end();
          else if (way === 3) setTimeout(() => socket.destroy(), random.int(10));
          else setTimeout(() => socket.end(), random.int(10));
          await over;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, client));
      await assertAllFreed(server, remote);
      const accepted = await remote.run(({ server }) => (server.stats() as { accept_count: number }).accept_count);
      const ascending = (a: number, b: number): number => a - b;
      const fdsOf = (event: string): number[] => server.events(event).map(({ fd }) => fd as number);
      const closed = fdsOf('close').sort(ascending);
      assert.deepEqual(closed, [...new Set(closed)], 'no connection was closed twice');
      assert.equal(closed.length, accepted - 1, 'every connection but the control connection was closed');
      // Where another worker may take the close, it can come before the connect, which is then dropped.
      if (settings.enable_unsafe_event !== true) assert.deepEqual(closed, fdsOf('connect').sort(ascending));
    });
  });
}

describe('a worker killed over a close', { concurrency: false }, () => {
  function start(): Promise<TestServer> {
    return startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 2, reactor_num: 1 },
      setup: ({ server, report, control }) => {
        server.on('receive', (server, fd) => {
          server.close(fd);
        });
        server.on('close', (_, fd) => {
          report('closing', { fd });
          // The first one never returns from it.
          if (fd === 2) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        });
        control();
      },
    });
  }

  test('after the client had left: the slot is freed', async () => {
    await using server = await start();
    // The control connection is the first, and the next descriptor belongs to the other worker.
    using remote = await Remote.connect(server);
    const client = await Client.connect(server.port);
    await until(async () => (await connectionCount(remote)) === 2, 'the connection');
    client.destroy();
    const { pid } = await server.waitFor('closing');
    process.kill(pid, 'SIGKILL');
    await server.until(() => server.events('$worker').length === 3, 'a new worker');
    await assertAllFreed(server, remote);
    assert.equal(server.events('closing').length, 1);
  });

  test('in close() of its own: the slot is freed', async () => {
    await using server = await start();
    using remote = await Remote.connect(server);
    using client = await Client.connect(server.port);
    await client.write('x');
    const { pid } = await server.waitFor('closing');
    process.kill(pid, 'SIGKILL');
    await server.until(() => server.events('$worker').length === 3, 'a new worker');
    await until(async () => (await connectionCount(remote)) === 1, 'the end of the connection', 5000);
  });
});

test('a client that goes on writing still gets all that was sent before the close', async () => {
  const length = 3_000_000;
  for (const mode of [SWOOLE_PROCESS, SWOOLE_BASE]) {
    await using server = await startServer({
      mode,
      settings: { worker_num: 2, buffer_output_size: '8M' },
      setup: ({ server }) => {
        server.on('receive', (server, fd) => {
          server.send(fd, Buffer.alloc(3_000_000, 'a'));
          server.close(fd);
        });
      },
    });
    for (let i = 0; i < 10; i++) {
      using client = await Client.connect(server.port);
      const chatter = setInterval(() => client.write('still here').catch(() => {}), 2);
      void client.write('go').catch(() => {});
      const answer = await client.read(length);
      clearInterval(chatter);
      assert.equal(answer.length, length, `mode ${mode}`);
    }
  }
});

test('a client that has sent FIN still gets its answer', async () => {
  for (const mode of [SWOOLE_PROCESS, SWOOLE_BASE]) {
    await using server = await startServer({
      mode,
      settings: { worker_num: 2, open_length_check: true, buffer_output_size: '8M' },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    for (const length of [HEADER_BYTES, 1000, 100_000, 1_500_000]) {
      using client = await Client.connect(server.port);
      const request = message(1, length, length);
      void client.write(request);
      client.end();
      assert.ok(request.equals(await client.readAll()), `${length} bytes in mode ${mode}`);
    }
  }
});
