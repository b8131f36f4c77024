/** Async task callbacks: one at a time by default, as many as come with task_enable_coroutine; and the forms of callbacks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, killWorker, replaced, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`async tasks in ${name}`, { concurrency: false }, () => {
    test('an async task holds back the next one, whatever rings at the door', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const job = inTask(async ({ report, id, rest }) => {
        report('begin', { id });
        await rest(8);
        report('end', { id });
        return id;
      });
      const all = remote.run(
        ({ server }, job) => Promise.all(Array.from({ length: 60 }, () => server.taskwait(job, 20, 0))),
        job,
      );
      // The death of any process rings every doorbell.
      await server.waitForCount('begin', 10);
      await replaced(server, workerNum + 1, killWorker(server, workerNum + 1));
      assert.deepEqual(
        await all,
        Array.from({ length: 60 }, (_, id) => id),
      );
      const steps = server.events().filter(({ event }) => event === 'begin' || event === 'end');
      assert.deepEqual(
        steps.map(({ event, id }) => `${event} ${id}`),
        Array.from({ length: 60 }, (_, id) => [`begin ${id}`, `end ${id}`]).flat(),
      );
    });

    test('a task that begins when an async one has settled may catch what rejects a moment earlier', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const job = inTask(async ({ id, rest }) => {
        // The others wait in the ring meanwhile.
        if (id === 0) await rest(50);
        const fail = async (): Promise<never> => {
          throw new Error('caught');
        };
        // That somebody waits for this is known a microtask after it has failed.
        const pass = async (): Promise<never> => fail();
        await pass().catch(() => {});
        return process.pid;
      });
      const pids = await remote.run(
        ({ server }, job) => Promise.all([1, 2, 3].map(() => server.taskwait(job, 20))),
        job,
      );
      assert.ok(Number.isInteger(pids[0]));
      assert.deepEqual(new Set(pids), new Set([pids[0]]));
    });

    test('a worker with an async task at hand is busy, and idle afterwards', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const job = inTask(async ({ server, rest }) => {
        await rest(20);
        return server.getWorkerStatus();
      });
      assert.equal(await remote.run(({ server }, job) => server.taskwait(job, 60), job), 1);
      await server.until(
        () => remote.run(({ server }, id) => server.getWorkerStatus(id) === 2, workerNum),
        'idle again',
      );
    });

    test('with task_enable_coroutine tasks overlap, have a Task object, and finish by it only', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, task_enable_coroutine: true },
        setup: ({ server, report, control, swoole }) => {
          server.on('receive', () => {});
          let running = 0;
          let most = 0;
          server.on('task', async (server, task: unknown) => {
            const { id, worker_id, data, flags, dispatch_time, finish } = task as InstanceType<typeof swoole.Task>;
            const isTask = task instanceof swoole.Task;
            let code = '';
            try {
              server.finish('wrong way');
            } catch (error) {
              code = (error as { code: string }).code;
            }
            most = Math.max(most, ++running);
            await new Promise((resolve) => setTimeout(resolve, 50 + (50 - Number(data))));
            running--;
            report('task', { id, worker_id, data, flags, dispatch_time, isTask, code, now: Date.now() / 1000 });
            if (data === 49) report('most', { most, finish: typeof finish });
            return (task as InstanceType<typeof swoole.Task>).finish(data) ? undefined : 'not sent';
          });
          server.on('finish', (_server, id, data) => report('finish', { id, data }));
          control();
        },
      });
      using remote = await Remote.connect(server);
      const results = await remote.run(({ server }) =>
        server.taskCo(
          Array.from({ length: 50 }, (_, i) => i),
          10,
        ),
      );
      assert.deepEqual(
        results,
        Array.from({ length: 50 }, (_, i) => i),
      );
      await remote.run(({ server }) => server.task(0));
      await server.waitFor('finish');
      const tasks = server.events('task');
      assert.equal(tasks.length, 51);
      for (const task of tasks) {
        assert.deepEqual([task.isTask, task.code, task.worker_id], [true, 'ERR_STATE', remote.worker]);
        assert.ok(task.now - task.dispatch_time >= 0 && task.now - task.dispatch_time < 15, JSON.stringify(task));
      }
      assert.deepEqual([...new Set(tasks.map(({ flags }) => flags))].sort(), [32, 4]);
      // The longest began first: all were at hand before any was over.
      const [{ most }] = server.events('most');
      assert.ok(most > 25, `at most ${most} at once`);
    });

    test('task_use_object gives the Task object, and finish() of the server still works', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, task_use_object: true },
        setup: ({ server, report, control, swoole }) => {
          server.on('receive', () => {});
          server.on('task', (server, task: unknown) => {
            const isTask = task instanceof swoole.Task;
            server.finish('by the server');
            (task as InstanceType<typeof swoole.Task>).finish('by the task');
            return { isTask };
          });
          server.on('finish', (_server, _id, data) => report('finish', { data }));
          control();
        },
      });
      using remote = await Remote.connect(server);
      await remote.run(({ server }) => server.task('x'));
      const finished = await server.waitForCount('finish', 3);
      assert.deepEqual(
        finished.map(({ data }) => data),
        ['by the server', 'by the task', { isTask: true }],
      );
    });

    test('event_object gives objects for task, finish and pipeMessage', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, event_object: true },
        setup: ({ server, report, swoole }) => {
          // The control port would get objects too.
          server.on('receive', () => {});
          server.on('task', (server, task: unknown) => {
            server.sendMessage({ from: 'task' }, 0);
            return { isTask: task instanceof swoole.Task, data: (task as { data: unknown }).data };
          });
          server.on('finish', (_server, result: unknown) => report('finish', { result }));
          server.on('pipeMessage', (_server, message: unknown) => report('pipe', { message }));
          server.on('workerStart', (server, id) => {
            if (id === 0) server.task('hello');
          });
        },
      });
      const { result } = await server.waitFor('finish');
      const { dispatch_time, ...rest } = result;
      assert.deepEqual(rest, { task_id: 0, task_worker_id: workerNum, data: { isTask: true, data: 'hello' } });
      assert.ok(Math.abs(Date.now() / 1000 - dispatch_time) < 20);
      const { message } = await server.waitFor('pipe');
      assert.deepEqual(
        [message.source_worker_id, message.worker_id, message.data],
        [workerNum, workerNum, { from: 'task' }],
      );
      assert.ok(Math.abs(Date.now() / 1000 - message.dispatch_time) < 20);
    });

    test('what goes on behind a task still finds it: timers, promises, after another has begun', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const late = inTask(({ server, report }, name: string) => {
        setTimeout(() => report('late', { name, done: server.finish(`timer ${name}`) }), name === 'a' ? 120 : 40);
        void Promise.resolve().then(() => server.finish(`promise ${name}`));
      }, '');
      await remote.run(({ server }, late) => ['a', 'b'].map((name) => server.task({ ...late, args: [name] })), late);
      await server.waitForCount('finish', 4);
      const finished = server.events('finish').map(({ id, data }) => `${id} ${data}`);
      assert.deepEqual(finished, ['0 promise a', '1 promise b', '1 timer b', '0 timer a']);
    });
  });
}
