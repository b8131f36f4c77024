/** A turn of the reactor takes a limited number of bytes: nobody is forgotten in it, and nobody waits for the loud ones. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { ALONE, PROCESS, SUBJECTS } from '../support/subjects.ts';
import { within } from '../support/until.ts';

/** With a read of up to 64 KiB each they fill a turn several times over. */
const LOUD = 24;
const BYTES_EACH = 4 * 1024 * 1024;
const PINGS = 50;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`many who send without a pause in ${name}`, () => {
    test('all their bytes arrive, and a quiet client is answered meanwhile', async () => {
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server }) => {
          const received = new Map<number, number>();
          server.on('receive', (server, fd, _reactorId, data) => {
            if (data.toString('latin1', 0, 4) === 'ping') {
              server.send(fd, data);
              return;
            }
            const total = (received.get(fd) ?? 0) + data.length;
            received.set(fd, total);
            if (total === 4 * 1024 * 1024) server.send(fd, 'done');
          });
        },
      });
      const loud: Socket[] = [];
      try {
        const quiet = await Client.connect(server.port);
        const done: Promise<unknown>[] = [];
        for (let i = 0; i < LOUD; i++) {
          const socket = connect({ port: server.port, host: '127.0.0.1' });
          loud.push(socket);
          done.push(
            new Promise((resolve, reject) => {
              socket.once('data', (data) => resolve(data.toString()));
              socket.once('error', reject);
              socket.once('close', () => reject(new Error('closed')));
            }),
          );
          socket.write(Buffer.alloc(BYTES_EACH, i));
        }
        for (let i = 0; i < PINGS; i++) {
          await quiet.write('ping');
          assert.equal((await within(quiet.read(4), `answer ${i} for the quiet client`)).toString(), 'ping');
        }
        const answers = await within(Promise.all(done), 'everything of the loud clients');
        assert.deepEqual(new Set(answers), new Set(['done']));
        quiet.destroy();
      } finally {
        for (const socket of loud) socket.destroy();
        await server.stop();
      }
    });
  });
}

for (const { name, mode } of [PROCESS, ALONE]) {
  test(`a socket that always has something leaves Node's loop its turns in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1 },
      setup: async ({ server, report }) => {
        const { connect } = await import('node:net');
        const { writeSync } = await import('node:fs');
        // The worker is its own client: whenever it has read, there is more.
        let client = -1;
        server.on('workerStart', (server) => {
          const socket = connect(server.port, '127.0.0.1', () => {
            client = (socket as unknown as { _handle: { fd: number } })._handle.fd;
            writeSync(client, 'x');
            setTimeout(() => report('timer'), 1);
          });
          socket.unref();
        });
        let received = 0;
        server.on('receive', () => {
          if (++received === 10_000) setImmediate(() => report('immediate'));
          writeSync(client, 'x');
        });
      },
    });
    await server.waitFor('timer');
    await server.waitFor('immediate');
  });
}

test("a socket that is never empty does not let Node's turns grow in SWOOLE_BASE in one process", async () => {
  await using server = await startServer({
    mode: ALONE.mode,
    settings: { worker_num: 1 },
    setup: async ({ server, report }) => {
      const { connect } = await import('node:net');
      const { writeSync } = await import('node:fs');
      const data = Buffer.alloc(256 * 1024);
      let client = -1;
      // The worker is its own client: more than it reads at once is always there.
      const fill = (): void => {
        try {
          for (;;) writeSync(client, data);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        }
      };
      let received = 0;
      let turns = 0;
      const turn = (): void => {
        turns++;
        if (received < 10_000) setImmediate(turn);
        else report('enough', { turns });
      };
      server.on('workerStart', (server) => {
        const socket = connect(server.port, '127.0.0.1', () => {
          client = (socket as unknown as { _handle: { fd: number } })._handle.fd;
          turn();
          fill();
        });
        // The server closes it with what is still in it.
        socket.on('error', () => {});
        socket.unref();
      });
      server.on('receive', () => {
        received++;
        if (received < 10_000) fill();
      });
    },
  });
  // Two turns of the reactor make one of Node's: one for what epoll tells, one for what that has left.
  const { turns } = await server.waitFor('enough');
  assert.ok(turns > 1000, `10,000 reads in ${turns} turns`);
});
