/** The beginning of a large message whose sender was killed over it: nobody who ends waits for the rest. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { pidOf } from '../support/tasks.ts';

/** Far more than a ring holds, so that the sender has the most of it when it dies. */
const BYTES = 64 * 2 ** 20;
const TOO_LATE = /did not become idle within|did not end within max_wait_time/;

for (const { name, mode } of SUBJECTS) {
  describe(`half a message in ${name}`, { concurrency: false }, () => {
    for (const how of ['reload', 'shutdown'] as const) {
      test(`a worker and a task worker at a ${how}`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: 2, task_worker_num: 1, max_wait_time: 1 },
          setup: ({ server, report, control }) => {
            server.on('receive', () => {});
            server.on('task', () => {});
            server.on('pipeMessage', () => {});
            server.on('workerStop', (_server, id) => report('stop', { id }));
            server.on('afterReload', () => report('afterReload'));
            control();
          },
        });
        const remotes = await Remote.connectToAll(server, 2);
        const readers = [1, 2].map((id) => pidOf(server, id));
        const sendAndDie = remotes[0].run(({ server }, bytes) => {
          server.task(Buffer.alloc(bytes));
          server.sendMessage(Buffer.alloc(bytes), 1);
          process.kill(process.pid, 'SIGKILL');
        }, BYTES);
        sendAndDie.catch(() => {});
        await server.until(() => server.events('$worker').length === 4, 'another worker');
        const waiting = (): Promise<number> =>
          remotes[1].run(({ server }) => (server.stats() as { task_queue_bytes: number }).task_queue_bytes);
        await server.until(async () => (await waiting()) === 0, 'what has come of the task to be taken');
        if (how === 'reload') {
          server.kill('SIGUSR1');
          await server.waitFor('afterReload');
        } else await server.stop();
        assert.doesNotMatch(server.output, TOO_LATE);
        for (const pid of readers) assert.ok(server.events('stop').some((event) => event.pid === pid));
        for (const remote of remotes) remote.close();
      });
    }
  });
}
