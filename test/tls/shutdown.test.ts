import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { LINGER_STALL_MS } from '../../src/reactor/limits.ts';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { ALL_SUBJECTS } from '../support/subjects.ts';
import { makePair, settingsOf } from './certificates.ts';

const PAIR = makePair('localhost');

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  test(`a TLS server that has nothing to say stops at once in ${name}`, async () => {
    await using server = await startServer({
      mode,
      type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
      settings: { worker_num: workerNum, max_wait_time: 60, ...settingsOf(PAIR) },
      setup: ({ server, report }) => {
        server.on('connect', () => report('connect'));
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
        server.on('close', () => report('close'));
      },
    });
    const idle = await Client.connectTls(server.port);
    const served = await Client.connectTls(server.port);
    await served.echo('hello');
    const silent = await Client.connect(server.port);
    const vanished = await Promise.all(Array.from({ length: 10 }, () => Client.connectTls(server.port)));
    await server.waitForCount('connect', 12);
    // They close without close_notify, and refuse ours: nobody is there to take it.
    for (const client of vanished) client.destroy();
    await server.waitForCount('close', 10);
    const begun = Date.now();
    await server.stop();
    const took = Date.now() - begun;
    assert.ok(took < LINGER_STALL_MS, `${took} ms`);
    for (const client of [idle, served, silent]) client.destroy();
  });
}
