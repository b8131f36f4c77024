/** What was done first is seen first, also where another process is told of it and goes on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';

const WORKERS = 3;
const CLIENTS = 20;

/**
 * Three steps for each line that a client sends: its worker tells another, that one answers and tells a third process
 * in the way that the line names, and that one answers, too.
 */
function start(mode: number): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: WORKERS, task_worker_num: 1, open_eof_split: true, package_eof: '\n' },
    args: WORKERS,
    setup: ({ server, args: workers }) => {
      const { randomBytes } = process.getBuiltinModule('node:crypto');
      const next = (): number => (server.worker_id + 1) % workers;
      server.on('receive', (server, fd, _reactor, line) => {
        server.sendMessage({ fd, how: String(line).trim() }, next());
      });
      server.on('pipeMessage', (server, _source, message) => {
        const { fd, how } = message as { fd: number; how: string };
        if (how === 'last') {
          server.send(fd, 'second\n');
          return;
        }
        server.send(fd, 'first\n');
        try {
          server.sendMessage(() => {}, next());
        } catch {
          // It cannot be cloned.
        }
        const ballast = how === 'large' ? randomBytes(1.5 * 2 ** 20) : null;
        if (how === 'task') server.task(fd);
        else server.sendMessage({ fd, how: 'last', ballast }, next());
      });
      server.on('task', (server, _id, _source, fd) => {
        server.send(fd as number, 'second\n');
      });
      server.on('finish', () => {});
    },
  });
}

for (const { name, mode } of [
  { name: 'SWOOLE_PROCESS', mode: SWOOLE_PROCESS },
  { name: 'SWOOLE_BASE', mode: SWOOLE_BASE },
]) {
  describe(`the answers of two processes to one connection in ${name}`, { concurrency: false }, () => {
    for (const { how, rounds } of [
      { how: 'large', rounds: 3 },
      { how: 'small', rounds: 50 },
      { how: 'task', rounds: 50 },
    ]) {
      test(`come in order where the first tells the second with a ${how} one`, async () => {
        await using server = await start(mode);
        const clients = await Promise.all(Array.from({ length: CLIENTS }, () => Client.connect(server.port)));
        for (let round = 0; round < rounds; round++) {
          await Promise.all(
            clients.map(async (client) => {
              client.write(`${how}\n`);
              assert.equal(String(await client.read('first\nsecond\n'.length)), 'first\nsecond\n');
            }),
          );
        }
        for (const client of clients) client.destroy();
      });
    }
  });
}
