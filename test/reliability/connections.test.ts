/** Many connections at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
