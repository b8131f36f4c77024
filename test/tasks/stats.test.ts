/** What stats() tells of tasks while they wait, run, and afterwards. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, pidOf, replaced, taskServer } from '../support/tasks.ts';

interface TaskStats {
  task_worker_num: number;
  task_idle_worker_num: number;
  tasking_num: number;
  task_count: number;
  task_queue_num: number;
  task_queue_bytes: number;
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`stats() of tasks in ${name}`, { concurrency: false }, () => {
    for (const ipc of [1, 2] as const) {
      test(`with task_ipc_mode ${ipc}`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: 2, task_ipc_mode: ipc },
          setup: taskServer,
        });
        const remotes = await Remote.connectToAll(server, workerNum);
        const stats = (of = remotes[0]): Promise<TaskStats> =>
          of.run(({ server }) => server.stats() as unknown as TaskStats);
        const idle = {
          task_worker_num: 2,
          task_idle_worker_num: 2,
          tasking_num: 0,
          task_count: 0,
          task_queue_num: 0,
          task_queue_bytes: 0,
        };
        const pick = (all: TaskStats): TaskStats =>
          Object.fromEntries(
            Object.keys(idle).map((key) => [key, all[key as keyof TaskStats]]),
          ) as unknown as TaskStats;
        assert.deepEqual(pick(await stats()), idle);

        const hold = inTask(async ({ report, rest }) => {
          report('held');
          while (!process.getBuiltinModule('node:fs').existsSync('go')) await rest(5);
        });
        await remotes[0].run(({ server }, hold) => server.task(hold, 0), hold);
        await server.waitForCount('held', 1);
        assert.deepEqual(pick(await stats()), { ...idle, task_idle_worker_num: 1, tasking_num: 1, task_count: 1 });
        await remotes[1].run(({ server }, hold) => server.task(hold, 1), hold);
        await server.waitForCount('held', 2);
        for (const remote of remotes)
          await remote.run(({ server }) => [0, 1].map((target) => server.task('x'.repeat(1000), target)));
        // Every process tells the same.
        for (const remote of remotes) {
          const { task_queue_bytes, ...rest } = pick(await stats(remote));
          assert.deepEqual(rest, {
            task_worker_num: 2,
            task_idle_worker_num: 0,
            tasking_num: 2,
            task_count: 6,
            task_queue_num: 4,
          });
          assert.ok(task_queue_bytes >= 4000 && task_queue_bytes < 5000, `${task_queue_bytes} bytes`);
        }
        process.getBuiltinModule('node:fs').writeFileSync(`${server.directory}/go`, '');
        await server.waitForCount('finish', 4);
        await server.until(async () => (await stats()).task_idle_worker_num === 2, 'idle task workers');
        assert.deepEqual(pick(await stats()), { ...idle, task_count: 6 });

        // Totals survive the processes.
        await remotes[0].run(({ server }) => server.reload(true));
        await server.waitFor('afterReload');
        assert.equal(await remotes[0].run(({ server }) => server.taskwait('again', 30)), 'again');
        await server.until(async () => (await stats()).task_idle_worker_num === 2, 'idle task workers');
        assert.deepEqual(pick(await stats()), { ...idle, task_count: 7 });
      });
    }

    for (const ipc of [1, 2] as const) {
      test(`with task_ipc_mode ${ipc} tasks that died with their sender do not count as waiting`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: 1, task_ipc_mode: ipc },
          setup: taskServer,
        });
        const hold = inTask(async ({ rest }) => {
          while (!process.getBuiltinModule('node:fs').existsSync('go')) await rest(5);
        });
        const stats = async (): Promise<TaskStats> => {
          using remote = await Remote.connect(server);
          return await remote.run(({ server }) => server.stats() as unknown as TaskStats);
        };
        // More than the ring or the queue takes; without files, which the killed sender would leave behind.
        const sizes = ipc === 1 ? [...new Array(200).fill(100_000), 8_000_000] : new Array(201).fill(1000);
        // Once between two turns, and once in the middle of one.
        for (const way of ['kill', 'exit'] as const) {
          const remote = await Remote.connect(server);
          const { worker } = remote;
          const pid = pidOf(server, worker);
          const sent = remote.run(
            ({ server, report }, hold, way, sizes) => {
              server.task(hold);
              for (const size of sizes) server.task(Buffer.alloc(size));
              report('waiting', server.stats() as object);
              if (way === 'exit') process.exit(1);
            },
            hold,
            way,
            sizes,
          );
          // In SWOOLE_PROCESS the connection lives, and nobody answers.
          sent.catch(() => {});
          const waiting = (await server.waitFor('waiting', (event) => event.pid === pid)) as unknown as TaskStats;
          assert.ok(waiting.task_queue_num >= 200, `${waiting.task_queue_num} tasks`);
          if (way === 'kill') process.kill(pid, 'SIGKILL');
          await replaced(server, worker, pid);
          remote.close();
        }
        process.getBuiltinModule('node:fs').writeFileSync(`${server.directory}/go`, '');
        await server.until(async () => (await stats()).task_queue_num === 0, 'no task that waits');
        const { task_count, task_queue_num } = await stats();
        assert.deepEqual([task_count, task_queue_num], [404, 0]);
      });
    }

    test('a task worker that dies works no longer, and one that is replaced works until its task is done', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, task_enable_coroutine: true },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const tasking = (): Promise<number> => remote.run(({ server }) => server.stats().tasking_num);
      const hold = inTask(async ({ report, rest }) => {
        report('held');
        while (!process.getBuiltinModule('node:fs').existsSync('go')) await rest(5);
      });
      // Two tasks of one process are one at work.
      await remote.run(({ server }, hold) => [server.task(hold), server.task(hold)], hold);
      await server.waitForCount('held', 2);
      assert.equal(await tasking(), 1);
      process.kill(pidOf(server, workerNum), 'SIGKILL');
      await server.until(async () => (await tasking()) === 0, 'nobody at work');
      await remote.run(({ server }, hold) => server.task(hold), hold);
      await server.waitForCount('held', 3);
      await remote.run(({ server }) => server.reload(true));
      await server.until(
        () => server.events('$worker').filter(({ id }) => id === workerNum).length === 3,
        'the next one',
      );
      assert.equal(await tasking(), 1);
      process.getBuiltinModule('node:fs').writeFileSync(`${server.directory}/go`, '');
      await server.until(async () => (await tasking()) === 0, 'the end of the task');
    });

    test('what counts for one task worker', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const own = inTask(({ server }) => {
        const { worker_request_count, coroutine_num } = server.stats() as {
          worker_request_count: number;
          coroutine_num: number;
        };
        return [worker_request_count, coroutine_num];
      });
      const counts = await remote.run(
        async ({ server }, own) => [
          await server.taskwait(own, 30),
          await server.taskwait(own, 30),
          await server.taskwait(own, 30),
        ],
        own,
      );
      // Tasks that were handled before.
      assert.deepEqual(counts, [
        [0, 0],
        [1, 0],
        [2, 0],
      ]);
    });
  });
}
