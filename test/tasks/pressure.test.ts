/** More than the rings hold: tasks wait in the sender, answers in the task worker, and none is lost or doubled. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, pidOf, taskServer } from '../support/tasks.ts';

const TASKS = 4000;
const ANSWER_BYTES = 16_384;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`full rings in ${name}`, { concurrency: false }, () => {
    for (const form of ['sync', 'async'] as const) {
      test(`${form} tasks whose answers nobody reads for a while`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: 1, task_enable_coroutine: form === 'async' },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const pid = pidOf(server, workerNum);
        const job =
          form === 'sync'
            ? inTask(({ id }, bytes: number) => Buffer.alloc(bytes, id & 255), ANSWER_BYTES)
            : inTask(async ({ id, rest }, bytes: number) => {
                await rest(1);
                return Buffer.alloc(bytes, id & 255);
              }, ANSWER_BYTES);
        const outcome = await remote.run(
          ({ server }, job, tasks, bytes) => {
            const seen = new Uint8Array(tasks);
            let wrong = 0;
            let left = tasks;
            const done = new Promise<void>((resolve) => {
              for (let i = 0; i < tasks; i++) {
                server.task(job, -1, (_server, id, result) => {
                  const answer = result as Buffer;
                  if (seen[id]++ !== 0 || answer.length !== bytes || answer[0] !== (id & 255)) wrong++;
                  if (--left === 0) resolve();
                });
              }
            });
            // Long enough for the ring of answers to fill, and then for the task worker to have its hands full.
            const until = Date.now() + 600;
            const pause = (): void => {
              Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 150);
              if (Date.now() < until) setTimeout(pause, 1);
            };
            pause();
            return done.then(() => wrong);
          },
          job,
          TASKS,
          ANSWER_BYTES,
        );
        assert.equal(outcome, 0);
        assert.equal(pidOf(server, workerNum), pid, 'the task worker has lived through it');
        const stats = await remote.run(({ server }) => server.stats() as unknown as Record<string, number>);
        assert.deepEqual([stats.task_queue_num, stats.task_count], [0, TASKS]);
        await server.until(
          () =>
            remote.run(({ server }) => (server.stats() as { task_idle_worker_num: number }).task_idle_worker_num === 1),
          'an idle task worker',
        );
      });
    }

    test('more than a ring of tasks for one that is busy waits in the sender, in order', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const outcome = await remote.run(
        ({ server }, hold) => {
          const order: number[] = [];
          server.task(hold);
          const before = process.memoryUsage().rss;
          return new Promise<{ order: boolean; grown: number }>((resolve) => {
            for (let i = 0; i < 3000; i++) {
              server.task(Buffer.alloc(10_000, i & 255), -1, (_server, id) => {
                if (order.push(id) < 3000) return;
                resolve({ order: order.every((id, i) => i + 1 === id), grown: process.memoryUsage().rss - before });
              });
            }
          });
        },
        inTask(({ block }) => block(700)),
      );
      assert.equal(outcome.order, true);
    });
  });
}
