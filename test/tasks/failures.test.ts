/** Tasks that throw, reject, end their process or are killed: whoever waits is told at once, and the others go on. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
  SWOOLE_ERROR_TASK_DISPATCH_FAIL,
  SWOOLE_WORKER_EXIT,
} from '../../src/index.ts';
import { isAlive } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, killWorker, pidOf, replaced, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`failing tasks in ${name}`, { concurrency: false }, () => {
    let server: TestServer;
    let remote: Remote;
    /** Worker id of the task worker with index 0. */
    const first = workerNum;

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      remote = await Remote.connect(server);
    });
    after(async () => {
      remote.close();
      await server.stop();
    });

    test('a task worker that ends itself is not idle until there is another', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pid = pidOf(server, workerNum);
      const manager = await remote.run(({ server }) => server.getManagerPid());
      // Starts no other as long as it sleeps.
      process.kill(manager, 'SIGSTOP');
      try {
        await remote.run(
          ({ server }, job) => server.task(job),
          inTask(() => process.exit(1)),
        );
        await server.until(() => !isAlive(pid), 'the end of the task worker');
        const status = await remote.run(({ server }, id) => server.getWorkerStatus(id), workerNum);
        assert.equal(status, SWOOLE_WORKER_EXIT);
      } finally {
        process.kill(manager, 'SIGCONT');
      }
      await replaced(server, workerNum, pid);
    });

    test('one that throws or rejects is told with its stack, and whoever waits gets false at once', async () => {
      const pid = pidOf(server, first);
      for (const job of [
        inTask(() => {
          throw new Error('told: thrown');
        }),
        inTask(async ({ rest }) => {
          await rest(1);
          throw new Error('told: rejected');
        }),
        inTask(() => () => 'a function is no result'),
      ]) {
        const outcome = await remote.run(async ({ server }, job) => {
          const waited = await server.taskwait(job, 15, 0);
          const code = server.getLastError();
          const blocked = server.taskwaitSync(job, 15, 0);
          const all = await server.taskCo([job, 'fine'], 15);
          const allCode = server.getLastError();
          const called = await new Promise((resolve) => server.task(job, 0, (_server, _id, result) => resolve(result)));
          return { waited, code, blocked, all, allCode, called };
        }, job);
        assert.deepEqual(outcome, {
          waited: false,
          code: SWOOLE_ERROR_TASK_DISPATCH_FAIL,
          blocked: false,
          all: [false, 'fine'],
          // And not that the time was up.
          allCode: SWOOLE_ERROR_TASK_DISPATCH_FAIL,
          called: false,
        });
      }
      assert.match(server.output, /the task callback failed: Error: told: thrown\n {4}at /);
      assert.match(server.output, /the task callback failed: Error: told: rejected\n {4}at /);
      assert.match(server.output, /cannot be sent to another process/);
      assert.equal(pidOf(server, first), pid);
    });

    test('one that fails after it has answered changes nothing', async () => {
      const outcome = await remote.run(
        async ({ server }, job) => {
          const results: unknown[] = [await server.taskwait(job, 15)];
          await new Promise<void>((resolve) => {
            server.task(job, -1, (_server, _id, result) => {
              results.push(result);
              setTimeout(resolve, 50);
            });
          });
          return results;
        },
        inTask(({ finish }) => {
          finish('first');
          throw new Error('afterwards');
        }),
      );
      assert.deepEqual(outcome, ['first', 'first']);
    });

    test('the death of a task worker is told at once to all who wait, and the queue goes on', async () => {
      for (const way of ['kill', 'exit', 'abort'] as const) {
        const pid = pidOf(server, first);
        const done = server.events('done').length;
        const waiting = remote.run(
          async ({ server, report }, deadly, next) => {
            const told: Record<string, unknown> = {};
            const all = [
              // Begun, and dies with its worker.
              server.taskwait(deadly, 60, 0).then((result) => {
                told.waited = [result, server.getLastError()];
                report('told');
              }),
              // Behind it: runs in the replacement.
              ...Array.from({ length: 200 }, (_, i) => server.taskwait({ ...next, args: [i] }, 60, 0)),
              new Promise((resolve) =>
                server.task({ ...next, args: [200] }, 0, (_server, _id, result) => resolve(result)),
              ),
            ];
            const [, ...results] = await Promise.all(all);
            const right = results.every((result, i) => result === i);
            return { told, right, count: results.length };
          },
          way === 'kill'
            ? inTask(({ report }) => {
                report('deadly');
                return new Promise(() => {});
              })
            : way === 'exit'
              ? inTask(() => process.exit(3))
              : inTask(() => process.abort()),
          inTask(({ report }, i: number) => {
            report('done', { i });
            return i;
          }, 0),
        );
        if (way === 'kill') {
          await server.waitForCount('deadly', 1);
          killWorker(server, first);
        }
        assert.deepEqual(await waiting, {
          told: { waited: [false, SWOOLE_ERROR_SERVER_WORKER_TERMINATED] },
          right: true,
          count: 201,
        });
        await replaced(server, first, pid);
        const doneBy = server.events('done').slice(done);
        assert.deepEqual(
          doneBy.map(({ i }) => i),
          Array.from({ length: 201 }, (_, i) => i),
          'each once, in order',
        );
        assert.ok(doneBy.every((event) => event.pid !== pid));
        const error = await server.waitFor('workerError', (event) => event.dead === pid);
        assert.deepEqual(
          [error.id, error.code, error.signal],
          [first, ...(way === 'kill' ? [0, 9] : way === 'exit' ? [3, 0] : [0, 6])],
        );
        assert.match(server.output, /ended in the middle of a task, lost with it: \d+ of worker \d/);
      }
    });

    test('taskwaitSync, taskCo and callbacks are told too', async () => {
      const deadly = inTask(() => process.kill(process.pid, 'SIGKILL'));
      const outcome = await remote.run(async ({ server }, deadly) => {
        const blocked = server.taskwaitSync(deadly, 60, 0);
        const code = server.getLastError();
        const all = (await server.taskCo([deadly, deadly, 'a', 'b'], 60)) as unknown[];
        const allCode = server.getLastError();
        const multi = (await server.taskWaitMulti([deadly, 'c'], 60)) as unknown[];
        const called = await new Promise((resolve) =>
          server.task(deadly, 1, (_server, _id, result) => resolve(result)),
        );
        return { blocked, code, all, allCode, multi, called };
      }, deadly);
      assert.deepEqual(outcome, {
        blocked: false,
        code: SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
        all: [false, false, 'a', 'b'],
        allCode: SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
        multi: [false, 'c'],
        called: false,
      });
    });

    test('an answer given before the end counts, and the end is no second one', async () => {
      const outcome = await remote.run(
        async ({ server }, job) => {
          const results: unknown[] = [];
          for (let i = 0; i < 3; i++) results.push(await server.taskwait(job, 60, 0));
          const calls: unknown[] = [];
          await new Promise<void>((resolve) => {
            server.task(job, 0, (_server, _id, result) => {
              calls.push(result);
              // A failure would come by then: the next task is behind the replacement of the process.
              void server.taskwait('next', 60, 0).then(() => resolve());
            });
          });
          return { results, calls };
        },
        inTask(({ finish }) => {
          finish('last words');
          process.kill(process.pid, 'SIGKILL');
        }),
      );
      assert.deepEqual(outcome, { results: ['last words', 'last words', 'last words'], calls: ['last words'] });
    });

    test('an exit with code 0 loses the task as well, but is no error', async () => {
      const pid = pidOf(server, first);
      const errors = server.events('workerError').length;
      const outcome = await remote.run(
        async ({ server }, job) => [await server.taskwait(job, 60, 0), server.getLastError()],
        inTask(() => process.exit(0)),
      );
      assert.deepEqual(outcome, [false, SWOOLE_ERROR_SERVER_WORKER_TERMINATED]);
      await replaced(server, first, pid);
      assert.equal(server.events('workerError').length, errors);
    });

    test('a large task of which only a part had come is told as lost, or runs in the next process', async () => {
      const pid = pidOf(server, first);
      // It sleeps with its first task; the second, larger than a ring, is half in the ring, half in the sender.
      const waiting = remote.run(
        async ({ server }, deadly) => {
          const first = server.taskwait(deadly, 60, 0);
          const second = server.taskwait(Buffer.alloc(12_000_000, 7), 60, 0);
          const third = server.taskwait('third', 60, 0);
          return [await first, ((await second) as Buffer).length, await third];
        },
        inTask(({ report, block }) => {
          report('asleep');
          block(60_000);
        }),
      );
      await server.waitFor('asleep');
      killWorker(server, first);
      assert.deepEqual(await waiting, [false, 12_000_000, 'third']);
      await replaced(server, first, pid);
    });

    test('nothing is counted as waiting afterwards', async () => {
      await server.until(async () => {
        const stats = await remote.run(({ server }) => server.stats() as unknown as Record<string, number>);
        return (
          stats.task_queue_num === 0 &&
          stats.tasking_num === 0 &&
          stats.task_idle_worker_num === 2 &&
          stats.task_queue_bytes === 0
        );
      }, 'idle task workers');
    });
  });
}
