/** Nobody is silent only because nothing of it was read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Load } from '../support/load.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';

test('a client whose worker takes nothing for long is not idle while it has sent more', async () => {
  const length = 8 * 1024 * 1024;
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 1, max_idle_time: 0.5, socket_buffer_size: '64M' },
    setup: ({ server }) => {
      let first = true;
      server.on('receive', (server, fd, _reactorId, data) => {
        if (first) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
        first = false;
        server.send(fd, data);
      });
    },
  });
  using client = await Client.connect(server.port);
  const sent = Buffer.alloc(length, 'All of this is to come back. ');
  void client.write(sent);
  assert.ok((await client.read(length)).equals(sent));
});

for (const { name, mode } of SUBJECTS) {
  test(`clients that send while the server is held up are not idle in ${name}`, async () => {
    // More than one turn of a reactor looks at.
    const connections = 600;
    const idleSeconds = 3;
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, heartbeat_idle_time: idleSeconds, open_length_check: true },
      setup: ({ server, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
        server.on('close', (_server, fd) => report('close', { fd }));
      },
    });
    using load = await Load.connect({ port: server.port, connections });
    load.start();
    await load.progress(connections);
    await load.pause();
    server.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, (idleSeconds + 1) * 1000));
    load.start();
    server.kill('SIGCONT');
    await load.progress(connections);
    await load.pause();
    load.assertPerfect();
    assert.deepEqual(server.events('close'), []);
  });
}

for (const { name, mode } of SUBJECTS) {
  test(`who never completes a package is closed by package_timeout, and told of, in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, package_timeout: 1, open_eof_split: true, package_eof: '\n', heartbeat_idle_time: 60 },
      setup: ({ server, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
        server.on('close', (server, fd) => report('close', { fd, counted: server.stats().package_timeout_count }));
      },
    });
    using honest = await Client.connect(server.port);
    using slow = await Client.connect(server.port);
    // A byte now and then is no silence.
    while (server.events('close').length === 0) {
      slow.write('x');
      assert.equal(await honest.echo('a line\n'), 'a line\n');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { counted } = await server.waitFor('close');
    assert.equal(counted, 1);
    assert.equal(await honest.echo('a line\n'), 'a line\n');
    await server.until(
      () => /has not completed a package within 1 s, closing it/.test(server.output),
      'a line in the log',
    );
  });
}
