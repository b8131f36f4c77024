/** Clients that misbehave harm nobody but themselves, and leave nothing behind. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { Load, message } from '../support/load.ts';
import { prng } from '../support/prng.ts';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { BASE, PROCESS } from '../support/subjects.ts';

const SHORT_CONNECTIONS = process.env.TSWOOLE_LONG === '1' ? 100_000 : 10_000;
const AT_ONCE = 50;
const GROWTH_MAX_BYTES = 48 * 1024 * 1024;

function start(mode: number): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: 2, open_length_check: true, package_max_length: 1024 * 1024 },
    setup: ({ server, control }) => {
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      control();
    },
  });
}

/** What a bad client does with a connection that it has just made. */
const DEEDS: { name: string; closed: boolean; run(socket: Socket, random: ReturnType<typeof prng>): void }[] = [
  { name: 'vanishes at once', closed: false, run: (socket) => socket.destroy() },
  { name: 'resets at once', closed: false, run: (socket) => socket.resetAndDestroy() },
  { name: 'ends at once', closed: true, run: (socket) => socket.end() },
  {
    name: 'vanishes in the middle of a packet',
    closed: false,
    run: (socket) => socket.write(message(1, 1, 50_000).subarray(0, 20_000), () => socket.destroy()),
  },
  {
    name: 'resets in the middle of a packet',
    closed: false,
    run: (socket) => socket.write(message(1, 1, 50_000).subarray(0, 20_000), () => socket.resetAndDestroy()),
  },
  {
    name: 'ends in the middle of a packet',
    closed: true,
    run: (socket) => socket.end(message(1, 1, 900).subarray(0, 2)),
  },
  {
    name: 'resets instead of reading the answers',
    closed: false,
    run: (socket) => {
      socket.pause();
      for (let i = 0; i < 20; i++) socket.write(message(1, i, 100_000));
      setTimeout(() => socket.resetAndDestroy(), 20);
    },
  },
  ...[0xffffffff, 0x80000000, 0x7fffffff, 0xfffffffc, 1024 * 1024].map((length) => ({
    name: `announces ${length} bytes`,
    closed: true,
    run: (socket: Socket): void => {
      const header = Buffer.alloc(64, 0xaa);
      header.writeUInt32BE(length, 0);
      socket.write(header);
    },
  })),
  {
    name: 'sends garbage',
    closed: true,
    run: (socket, random) => {
      const garbage = random.bytes(65_536);
      garbage[0] |= 0x80;
      socket.write(garbage);
    },
  },
];

for (const { name, mode } of [PROCESS, BASE]) {
  describe(name, { concurrency: false }, () => {
    test('only the connection of a bad client closes', async () => {
      await using server = await start(mode);
      using remote = await Remote.connect(server);
      using load = await Load.connect({ port: server.port, connections: 20 });
      load.start();
      const random = prng(9);
      for (let round = 0; round < 15; round++) {
        await Promise.all(
          DEEDS.map(async (deed) => {
            const socket = connect({ port: server.port, host: '127.0.0.1' });
            socket.on('error', () => {});
            socket.on('data', () => {});
            const over = new Promise<void>((resolve) => socket.once('close', () => resolve()));
            await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
            deed.run(socket, random);
            await over;
          }),
        );
      }
      await load.progress(100);
      await load.pause();
      load.assertPerfect();
      await server.until(
        async () =>
          (await remote.run(({ server }) => (server.stats() as { connection_num: number }).connection_num)) === 21,
        'the bad connections to be gone',
      );
    });

    test('half a packet may wait for its other half', async () => {
      await using server = await start(mode);
      using client = await Client.connect(server.port);
      const bytes = message(3, 4, 300_000);
      for (let at = 0; at < bytes.length; at += 75_001) {
        await client.write(bytes.subarray(at, at + 75_001));
        using other = await Client.connect(server.port);
        const small = message(1, at, 30);
        await other.write(small);
        assert.ok(small.equals(await other.read(30)));
      }
      assert.ok(bytes.equals(await client.read(bytes.length)));
    });

    test(`${SHORT_CONNECTIONS} short connections leak nothing`, async (t) => {
      await using server = await start(mode);
      using remote = await Remote.connect(server);
      const random = prng(10);
      const run = async (total: number): Promise<number> => {
        let opened = 0;
        let answered = 0;
        const client = async (): Promise<void> => {
          while (opened < total) {
            const id = opened++;
            const socket = connect({ port: server.port, host: '127.0.0.1' });
            socket.on('error', () => {});
            const over = new Promise<void>((resolve) => socket.once('close', () => resolve()));
            const way = random.int(6);
            if (way === 0) socket.once('connect', () => socket.resetAndDestroy());
            else {
              const bytes = message(id, way, 100);
              let got = 0;
              socket.on('data', (chunk: Buffer) => {
                assert.ok(chunk.equals(bytes.subarray(got, got + chunk.length)));
                got += chunk.length;
                if (got < bytes.length) return;
                answered++;
                if (way < 4) socket.resetAndDestroy();
                else socket.end();
              });
              socket.write(bytes);
            }
            await over;
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, client));
        return answered;
      };
      const settle = (): Promise<unknown> =>
        server.until(
          async () =>
            (await remote.run(({ server }) => (server.stats() as { connection_num: number }).connection_num)) === 1,
          'all connections to be gone',
        );
      // The first ones warm up caches and heaps.
      await run(SHORT_CONNECTIONS / 5);
      await settle();
      const pids = server.processes();
      const before = pids.map((pid) => [descriptorCount(pid), residentBytes(pid)]);
      const answered = await run(SHORT_CONNECTIONS);
      await settle();
      assert.ok(answered > SHORT_CONNECTIONS / 2);
      for (const [i, pid] of pids.entries()) {
        const [descriptors, resident] = before[i];
        await server.until(
          () => descriptorCount(pid) <= descriptors,
          `${descriptors} descriptors, not ${descriptorCount(pid)}`,
        );
        const growth = residentBytes(pid) - resident;
        t.diagnostic(`process ${i}: ${descriptors} descriptors, grew by ${(growth / 1024 ** 2).toFixed(1)} MiB`);
        assert.ok(growth < GROWTH_MAX_BYTES, `process ${i} grew by ${growth} bytes`);
      }
    });
  });
}
