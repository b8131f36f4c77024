/** taskwait(), taskWaitMulti() and taskCo(): answers, time-outs, limits, and nobody else's results. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_TASK_DISPATCH_FAIL,
} from '../../src/index.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`waiting for tasks in ${name}`, { concurrency: false }, () => {
    let server: TestServer;
    let remotes: Remote[];
    let remote: Remote;

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      remotes = await Remote.connectToAll(server, workerNum);
      [remote] = remotes;
    });
    after(async () => {
      for (const each of remotes) each.close();
      await server.stop();
    });

    test('the result of the callback, or the first that finish() gives', async () => {
      const results = await remote.run(
        async ({ server }, ...jobs) => {
          const results: unknown[] = [];
          for (const job of jobs) results.push(await server.taskwait(job, 30));
          return results;
        },
        inTask(() => 'returned'),
        inTask(async ({ rest }) => {
          await rest(1);
          return 'resolved';
        }),
        inTask(({ finish }) => {
          finish('finished');
        }),
        inTask(() => 0),
        inTask(() => ''),
        inTask(() => false),
        inTask(({ finish }) => {
          setTimeout(() => finish('late'), 30);
        }),
      );
      assert.deepEqual(results, ['returned', 'resolved', 'finished', 0, '', false, 'late']);
      assert.equal(server.events('finish').length, 0, 'taskwait does not fire finish');
    });

    test('a task without a result times out with 10018, in time', async () => {
      for (const nothing of [inTask(() => undefined), inTask(() => null), inTask(async () => {})]) {
        const [result, error, ms] = await remote.run(async ({ server }, job) => {
          const begin = performance.now();
          const result = await server.taskwait(job, 0.2);
          return [result, server.getLastError(), performance.now() - begin] as const;
        }, nothing);
        assert.deepEqual([result, error], [false, SWOOLE_ERROR_CO_TIMEDOUT]);
        assert.ok(ms >= 190, `${ms} ms`);
      }
    });

    test('a result that comes too late is told as expired, and no other task gets it', async () => {
      const late = inTask(async ({ rest }) => {
        await rest(300);
        return 'late';
      });
      const results = await remote.run(async ({ server }, late) => {
        const first = await server.taskwait(late, 0.05, 0);
        const others = await Promise.all([
          server.taskwait('own', 30, 0),
          server.taskwait('other', 30, 1),
          server.taskCo(['a', 'b'], 30),
        ]);
        return [first, ...others];
      }, late);
      assert.deepEqual(results, [false, 'own', 'other', ['a', 'b']]);
      await server.waitForOutput(/task\[\d+\] has expired/);
    });

    test('many wait at once, each for its own, in all workers', async () => {
      const slowest = inTask(async ({ rest }, value: number) => {
        await rest(value % 3);
        return value;
      }, 0);
      const all = remotes.map((each, index) =>
        each.run(
          async ({ server }, slowest, base) => {
            const values = Array.from({ length: 200 }, (_, i) => base + i);
            const results = await Promise.all(
              values.map((value) => server.taskwait({ ...slowest, args: [value] }, 30, value % 4 === 3 ? 1 : -1)),
            );
            return results.every((result, i) => result === values[i]);
          },
          slowest,
          index * 1000,
        ),
      );
      assert.deepEqual(await Promise.all(all), new Array(workerNum).fill(true));
    });

    test('a time-out of 0 is none, nor is one below', async () => {
      const results = await remote.run(
        async ({ server }, job) => [await server.taskwait(job, 0), await server.taskwait(job, -1)],
        inTask(async ({ rest }) => {
          await rest(700);
          return 'patient';
        }),
      );
      assert.deepEqual(results, ['patient', 'patient']);
    });

    test('taskWaitMulti keeps the order of 1,024, and refuses 1,025 and none', async () => {
      const outcome = await remote.run(async ({ server }) => {
        const numbers = Array.from({ length: 1025 }, (_, i) => `${i}`);
        const all = (await server.taskWaitMulti(numbers.slice(0, 1024), 30)) as string[];
        const tooMany = [await server.taskWaitMulti(numbers, 30), server.getLastError()];
        const none = [await server.taskWaitMulti([], 30), server.getLastError()];
        const noneCo = [await server.taskCo([], 30), server.getLastError()];
        return { right: all.length === 1024 && all.every((text, i) => text === numbers[i]), tooMany, none, noneCo };
      });
      assert.deepEqual(outcome, {
        right: true,
        tooMany: [false, SWOOLE_ERROR_INVALID_PARAMS],
        none: [false, SWOOLE_ERROR_TASK_DISPATCH_FAIL],
        noneCo: [false, SWOOLE_ERROR_TASK_DISPATCH_FAIL],
      });
    });

    test('those that did not come in time leave holes in taskWaitMulti, and false in taskCo', async () => {
      const slow = inTask(async ({ rest }) => {
        await rest(1500);
        return 'slow';
      });
      const outcome = await remote.run(async ({ server }, slow) => {
        const show = (all: unknown[] | false): string =>
          all === false ? 'false' : Array.from({ length: 3 }, (_, i) => (i in all ? String(all[i]) : 'hole')).join();
        // The first two are for one each; the third is behind one of them, or before.
        const multi = show(await server.taskWaitMulti(['quick', slow, slow], 1));
        const error = server.getLastError();
        // Until both have slept.
        await server.taskwait('x', 30, 0);
        await server.taskwait('x', 30, 1);
        const co = show(await server.taskCo(['quick', slow, slow], 1));
        return { multi, error, co };
      }, slow);
      assert.deepEqual(outcome, { multi: 'quick,hole,hole', error: SWOOLE_ERROR_CO_TIMEDOUT, co: 'quick,false,false' });
    });

    test('holes in the list of tasks are refused, before anything is sent', async () => {
      const outcome = await remote.run(async ({ server }) => {
        const before = (server.stats() as { task_count: number }).task_count;
        const tasks: unknown[] = ['a'];
        tasks[2] = 'c';
        const error = await server.taskCo(tasks, 0.5).catch((error: Error) => error.message);
        return { error, sent: (server.stats() as { task_count: number }).task_count - before };
      });
      assert.deepEqual(outcome, { error: 'taskCo() needs the data of each task: [1] has none', sent: 0 });
    });

    test('several lists at once do not mix', async () => {
      const outcome = await remote.run(async ({ server }) => {
        const lists = Array.from({ length: 8 }, (_, list) => Array.from({ length: 100 }, (_, i) => `${list}/${i}`));
        const all = await Promise.all(
          lists.map((list, i) => (i % 2 ? server.taskCo(list, 30) : server.taskWaitMulti(list, 30))),
        );
        return JSON.stringify(all) === JSON.stringify(lists);
      });
      assert.equal(outcome, true);
    });

    test('nothing was left behind', async () => {
      await server.until(async () => {
        const stats = await remote.run(({ server }) => server.stats() as unknown as Record<string, number>);
        return stats.tasking_num === 0 && stats.task_idle_worker_num === 2 && stats.task_queue_num === 0;
      }, 'idle task workers');
    });
  });
}
