/** Results: many for a task, by return value, by callback. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, pidOf, replaced, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`results of tasks in ${name}`, { concurrency: false }, () => {
    let server: TestServer;
    let remotes: Remote[];

    before(async () => {
      server = await startServer({ mode, settings: { worker_num: workerNum, task_worker_num: 1 }, setup: taskServer });
      remotes = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const remote of remotes) remote.close();
      await server.stop();
    });

    /** Runs a task, and answers the results that came before that of a second one. */
    async function resultsOf(remote: Remote, job: object): Promise<unknown[]> {
      const from = server.events('finish').length;
      const ids = await remote.run(({ server }, job) => [server.task(job), server.task('the end')], job);
      await server.waitFor('finish', ({ worker, id }) => worker === remote.worker && id === ids[1]);
      const events = server.events('finish').slice(from);
      assert.ok(events.every(({ worker }) => worker === remote.worker));
      return events.filter(({ id }) => id === ids[0]).map(({ data }) => data);
    }

    test('finish() many times, and the return value is one more', async () => {
      for (const remote of remotes) {
        const results = await resultsOf(
          remote,
          inTask(({ finish }) => {
            for (let i = 0; i < 500; i++) if (!finish(i)) throw new Error('refused');
            return 'returned';
          }),
        );
        assert.deepEqual(results, [...Array.from({ length: 500 }, (_, i) => i), 'returned']);
      }
    });

    test('what a task has answered and sent arrives while it, or the next one, keeps the thread', async () => {
      const [remote] = remotes;
      const client = await Client.connect(server.port);
      await client.write('hello');
      const { fd } = await server.waitFor('receive');
      // Written once everything has arrived: until then the thread is kept.
      const file = join(server.directory, 'arrived');
      const results = await remote.run(
        ({ server }, quick, keeping) => Promise.all([server.taskwait(quick, 60), server.taskwait(keeping, 60)]),
        inTask(() => 'quick'),
        inTask(
          ({ server, report, finish, block }, fd, file) => {
            const { existsSync } = process.getBuiltinModule('node:fs');
            server.send(fd, 'sent');
            finish('half');
            const limit = Date.now() + 10_000;
            while (!existsSync(file) && Date.now() < limit) block(5);
            report('kept', { arrived: existsSync(file) });
          },
          fd,
          file,
        ),
      );
      assert.deepEqual(results, ['quick', 'half']);
      assert.equal((await client.read(4)).toString(), 'sent');
      writeFileSync(file, '');
      assert.equal((await server.waitFor('kept')).arrived, true, 'it arrived when the thread was free');
      client.destroy();
    });

    test('false, 0 and an empty string are results, undefined and null are none', async () => {
      const [remote] = remotes;
      const results = [
        await resultsOf(
          remote,
          inTask(() => false),
        ),
        await resultsOf(
          remote,
          inTask(() => 0),
        ),
        await resultsOf(
          remote,
          inTask(() => ''),
        ),
        await resultsOf(
          remote,
          inTask(async () => ''),
        ),
        await resultsOf(
          remote,
          inTask(() => undefined),
        ),
        await resultsOf(
          remote,
          inTask(() => null),
        ),
        await resultsOf(
          remote,
          inTask(async () => null),
        ),
      ];
      assert.deepEqual(results, [[false], [0], [''], [''], [], [], []]);
    });

    test('a callback takes the first result only, and no event is fired', async () => {
      const [remote] = remotes;
      const from = server.events('finish').length;
      const calls = await remote.run(
        async ({ server }, job) => {
          const calls: unknown[] = [];
          const id = server.task(job, -1, (own, id, result) => {
            calls.push([own === server, id, result]);
          });
          // Behind it, by the same way.
          await server.taskwait('the end', 30);
          return { calls, id };
        },
        inTask(({ finish }) => {
          finish('first');
          finish('second');
          return 'third';
        }),
      );
      assert.deepEqual(calls.calls, [[true, calls.id, 'first']]);
      assert.equal(server.events('finish').length, from);
    });

    test('callbacks that throw or reject are told, and the next ones run', async () => {
      const [remote] = remotes;
      const ran = await remote.run(({ server }) => {
        server.task('a', -1, () => {
          throw new Error('told: callback threw');
        });
        server.task('b', -1, async () => {
          throw new Error('told: callback rejected');
        });
        return new Promise((resolve) => server.task('c', -1, (_server, _id, result) => resolve(result)));
      });
      assert.equal(ran, 'c');
      await server.waitForOutput(/the finish callback failed: Error: told: callback threw/);
      await server.waitForOutput(/the finish callback failed: Error: told: callback rejected/);
    });

    test('results of a process that was replaced come to the next one as events, its callbacks are forgotten', async () => {
      const remote = remotes[workerNum - 1];
      const pid = pidOf(server, remote.worker);
      const from = server.events('finish').length;
      await remote.run(
        ({ server }, slow) => {
          server.task(slow);
          server.task('with a callback', -1, () => {});
          server.task('awaited by nobody');
        },
        inTask(async ({ rest }) => {
          await rest(400);
          return 'slow';
        }),
      );
      process.kill(pid, 'SIGKILL');
      const next = await replaced(server, remote.worker, pid);
      await server.waitForCount('finish', from + 2);
      assert.deepEqual(
        server
          .events('finish')
          .slice(from)
          .map((event) => [event.data, event.pid]),
        [
          ['slow', next],
          ['awaited by nobody', next],
        ],
      );
      await server.waitForOutput(/task\[\d+\] has expired/);
    });
  });
}
