/** Many connections at once. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SLOT_REST } from '../../src/reactor/limits.ts';
import { Client } from '../support/client.ts';
import { Crowd } from '../support/crowd.ts';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { BASE, PROCESS } from '../support/subjects.ts';

const CONNECTIONS = 10_000;

for (const { name, mode } of [PROCESS, BASE]) {
  test(`${name}: ${CONNECTIONS} connections at once are all served`, async (t) => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 2, open_length_check: true, backlog: 4096 },
      setup: ({ server, control }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
        control();
      },
    });
    using remote = await Remote.connect(server);
    const stats = (): Promise<{ connection_num: number; abort_count: number }> =>
      remote.run(({ server }) => server.stats() as { connection_num: number; abort_count: number });
    const pids = server.processes();
    const descriptors = pids.map(descriptorCount);
    {
      using crowd = await Crowd.connect(server.port, CONNECTIONS);
      const report = await crowd.ask(2);
      assert.deepEqual(report.wrongs, []);
      assert.equal(report.lost, 0);
      assert.ok(report.answered >= 2 * CONNECTIONS);
      assert.deepEqual(await stats().then((now) => [now.connection_num, now.abort_count]), [CONNECTIONS + 1, 0]);
      const memory = pids.map((pid) => `${(residentBytes(pid) / 1024 ** 2).toFixed(0)} MiB`);
      t.diagnostic(`resident with ${CONNECTIONS} connections: ${memory.join(', ')}`);
    }
    // The crowd was killed: all its connections end at once.
    await server.until(async () => (await stats()).connection_num === 1, 'connection_num to return to 1');
    for (const [i, pid] of pids.entries())
      await server.until(() => descriptorCount(pid) <= descriptors[i], `${descriptors[i]} descriptors in process ${i}`);
  });
}

test('data for a client that leaves in the middle of send() never reaches the next client in its slot', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    // Without close events a slot is free as soon as its client has left.
    settings: { worker_num: 2, reactor_num: 1, dispatch_mode: 3 },
    setup: ({ server, report, control }) => {
      const { existsSync } = process.getBuiltinModule('node:fs');
      const cell = new Int32Array(new SharedArrayBuffer(4));
      /** Holds send() up where it asks for the length: the third time it has found the connection already. */
      class Slow extends Uint8Array {
        asked = 0;
        override get length(): number {
          if (++this.asked === 3) {
            report('held');
            while (!existsSync('go')) Atomics.wait(cell, 0, 0, 1);
          }
          return super.length;
        }
      }
      server.on('receive', (server, fd, _reactorId, data) => {
        if (data.toString() === 'ping') {
          server.send(fd, 'pong');
          return;
        }
        const secret = new Slow(6);
        secret.set(Buffer.from('secret'));
        const result = server.send(fd, secret);
        setTimeout(() => report('sent', { result }), 10);
      });
      control();
    },
  });
  using remote = await Remote.connect(server);
  const connections = (count: number): Promise<true> =>
    server.until(async () => {
      const stats = await remote.run(({ server }) => server.stats());
      return stats.connection_num === 1 + count;
    }, `${count} connections`);

  const leaver = await Client.connect(server.port);
  await leaver.write('send');
  await server.waitFor('held');
  leaver.destroy();
  await connections(0);
  // A slot rests until so many others are free.
  const others = await Promise.all(Array.from({ length: SLOT_REST + 1 }, () => Client.connect(server.port)));
  await connections(others.length);
  for (const other of others) other.destroy();
  await connections(0);
  const next = await Promise.all(Array.from({ length: 3 }, () => Client.connect(server.port)));
  await connections(next.length);
  writeFileSync(join(server.directory, 'go'), '');
  await server.waitFor('sent');
  for (const client of next) {
    assert.equal(await client.echo('ping'), 'pong');
    client.destroy();
  }
});
