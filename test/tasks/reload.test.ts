/** Task workers that are replaced: by task_max_request, reload, stop() and shutdown, under load. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_SERVER_NO_IDLE_WORKER,
  SWOOLE_PROCESS,
} from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { isAlive } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, pidOf, replaced, taskServer } from '../support/tasks.ts';

const TASK_WORKERS = 3;

function taskPids(server: TestServer, workerNum: number): number[] {
  return Array.from({ length: TASK_WORKERS }, (_, i) => pidOf(server, workerNum + i));
}

/** Keeps tasks under way until told to end; answers how many were answered, and what went wrong. */
function startLoad(remote: Remote, large: boolean): { end(): Promise<{ answered: number; wrong: number }> } {
  const sync = inTask((_, n: number) => n, 0);
  const async = inTask(async ({ rest }, n: number) => {
    await rest(n % 4);
    return n;
  }, 0);
  const running = remote.run(
    async ({ server, state }, sync, async, large) => {
      state.loaded = true;
      const ballast = Buffer.alloc(2_500_000, 1);
      let n = 0;
      let answered = 0;
      let wrong = 0;
      const lane = async (): Promise<void> => {
        while (state.loaded === true) {
          const value = n++;
          const job = value % 3 === 0 ? async : sync;
          const args = large && value % 7 === 0 ? [value, ballast] : [value];
          const result = await server.taskwait({ ...job, args }, 60, value % 5 === 0 ? value % 3 : -1);
          if (result === value) answered++;
          else wrong++;
        }
      };
      await Promise.all(Array.from({ length: 24 }, lane));
      return { answered, wrong };
    },
    sync,
    async,
    large,
  );
  return {
    end: async () => {
      // By a connection of its own: the other is in use.
      await remote.run(({ state }) => {
        state.loaded = false;
      });
      return running;
    },
  };
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`replacing task workers in ${name}`, { concurrency: false }, () => {
    for (const large of [false, true]) {
      test(`reload(true) and SIGUSR2 replace task workers only, one at a time, ${large ? 'and no large task' : 'and nothing'} is lost`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const eventPids = Array.from({ length: workerNum }, (_, id) => pidOf(server, id));
        const before = taskPids(server, workerNum);
        const load = startLoad(remote, large);
        await remote.run(({ server }) => server.reload(true));
        await server.waitForCount('afterReload', 1);
        await server.until(() => taskPids(server, workerNum).every((pid, i) => pid !== before[i]), 'new task workers');
        const between = taskPids(server, workerNum);
        server.kill('SIGUSR2');
        await server.waitForCount('afterReload', 2);
        await server.until(() => taskPids(server, workerNum).every((pid, i) => pid !== between[i]), 'new task workers');
        const { answered, wrong } = await load.end();
        assert.equal(wrong, 0, `${answered} answered`);
        assert.ok(answered > 100, `${answered} answered`);
        assert.deepEqual(
          Array.from({ length: workerNum }, (_, id) => pidOf(server, id)),
          eventPids,
        );
        assert.equal(server.events('workerError').length, 0);
        // The next is told only when the one before has ended.
        const stops = server.events('stop').map(({ id }) => id - workerNum);
        assert.deepEqual(stops, [0, 1, 2, 0, 1, 2]);
        assert.doesNotMatch(server.output, /lost with it|expired|damaged/);
      });
    }

    describe('one at a time', { concurrency: false }, () => {
      /** A task for one task worker that lasts until a file is there. */
      const hold = (server: TestServer, remote: Remote, index: number): Promise<unknown> => {
        const job = inTask(async ({ rest, report }, file) => {
          const { existsSync } = process.getBuiltinModule('node:fs');
          report('begun');
          while (!existsSync(file)) await rest(5);
          return 'done';
        }, `${server.directory}/go${index}`);
        return remote.run(({ server }, job, index) => server.taskwait(job, 60, index), { ...job }, index);
      };
      const release = (server: TestServer, index: number): void => writeFileSync(`${server.directory}/go${index}`, '');

      test('each has all of max_wait_time, from when it is told', async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: 2, max_wait_time: 3 },
          setup: taskServer,
        });
        using first = await Remote.connect(server);
        using second = await Remote.connect(server);
        const results = [hold(server, first, 0), hold(server, second, 1)];
        await server.waitForCount('begun', 2);
        server.kill('SIGUSR2');
        await delay(2000);
        release(server, 0);
        await delay(1800);
        release(server, 1);
        assert.deepEqual(await Promise.all(results), ['done', 'done']);
        await server.waitFor('afterReload');
        assert.equal(server.events('workerError').length, 0);
      });

      test('one that dies before its turn does not hasten the others', async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS, max_wait_time: 60 },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const result = hold(server, remote, 0);
        await server.waitFor('begun');
        const [, , dead] = taskPids(server, workerNum);
        server.kill('SIGUSR2');
        await server.waitForOutput(/reloading all task workers/);
        process.kill(dead, 'SIGKILL');
        await replaced(server, workerNum + 2, dead);
        release(server, 0);
        assert.equal(await result, 'done');
        await server.waitFor('afterReload');
        assert.deepEqual(
          server.events('stop').map(({ id }) => id - workerNum),
          [0, 1],
        );
      });
    });

    test('a reload of the only task worker lasts until it has ended, which max_wait_time sees to', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, max_wait_time: 1 },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('workerStart', (server, id) => {
            if (id === 0) server.task('never done');
          });
          server.on('task', () => {
            report('task');
            for (;;);
          });
          server.on('afterReload', () => report('afterReload'));
          server.on('workerError', (_server, id, _pid, _code, signal) => report('workerError', { id, signal }));
        },
      });
      await server.waitFor('task');
      server.kill('SIGUSR2');
      await server.waitFor('afterReload');
      const order = server.events().filter(({ event }) => event === 'afterReload' || event === 'workerError');
      assert.deepEqual(
        order.map(({ event, signal }) => [event, signal]),
        [
          ['workerError', 9],
          ['afterReload', undefined],
        ],
      );
    });

    test('a reload of all under load loses no task of a worker that stays or waits', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS, max_wait_time: 10 },
        setup: taskServer,
      });
      const before = taskPids(server, workerNum);
      // One-way tasks, which do not depend on the workers that are replaced too.
      using remote = await Remote.connect(server);
      const sent = await remote.run(
        ({ server }, job) => {
          for (let i = 0; i < 3000; i++) server.task({ ...job, args: [i] });
          server.reload();
          return 3000;
        },
        inTask(({ report }, i: number) => report('ran', { i }), 0),
      );
      await server.waitForCount('ran', sent);
      await server.until(() => taskPids(server, workerNum).every((pid, i) => pid !== before[i]), 'new task workers');
      const ran = server.events('ran').map(({ i }) => i as number);
      assert.equal(new Set(ran).size, sent, 'each once');
      assert.equal(ran.length, sent);
      assert.doesNotMatch(server.output, /lost with it|damaged/);
    });

    test('task_max_request replaces a task worker after so many, with its grace, and loses nothing', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, task_max_request: 20, task_max_request_grace: 5 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pids = await remote.run(
        async ({ server }, ...jobs) => {
          const all = Array.from({ length: 120 }, (_, i) => server.taskwait(jobs[i % 2], 60));
          // A message is no task.
          for (let i = 0; i < 50; i++) server.sendMessage('x', server.setting.worker_num as number);
          return Promise.all(all);
        },
        inTask(() => process.pid),
        inTask(async () => process.pid),
      );
      const counts = new Map<unknown, number>();
      for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1);
      assert.ok(!counts.has(false), 'none is lost');
      const full = [...counts.values()].slice(0, -1);
      assert.ok(full.length >= 3, `${full}`);
      for (const count of full) assert.ok(count > 20 && count <= 25, `${full}`);
      assert.equal(server.events('workerError').length, 0);
    });

    test('task_max_request with tasks that overlap', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: workerNum,
          task_worker_num: 1,
          task_max_request: 30,
          task_max_request_grace: 1,
          task_enable_coroutine: true,
        },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const job = inTask(async ({ rest }, i: number) => {
        await rest(i % 7);
        return i;
      }, 0);
      const right = await remote.run(async ({ server }, job) => {
        const all = Array.from({ length: 300 }, (_, i) => server.taskwait({ ...job, args: [i] }, 60));
        return (await Promise.all(all)).filter((value, i) => value === i).length;
      }, job);
      assert.equal(right, 300);
      assert.equal(server.events('workerError').length, 0);
    });

    test('stop(id) replaces a task worker once its task is done, and the queue goes on in the next', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pid = pidOf(server, workerNum);
      const results = remote.run(
        ({ server }, slow, who, id) => {
          const all = [server.taskwait(slow, 60)];
          server.stop(id);
          for (let i = 0; i < 10; i++) all.push(server.taskwait(who, 60));
          return Promise.all(all);
        },
        inTask(async ({ rest }) => {
          await rest(200);
          return process.pid;
        }),
        inTask(() => process.pid),
        workerNum,
      );
      const next = await replaced(server, workerNum, pid);
      assert.deepEqual(await results, [pid, ...new Array(10).fill(next)]);
      // By itself, from within a task.
      const self = await remote.run(
        ({ server }, stop) => server.taskwait(stop, 60),
        inTask(({ server }) => {
          server.stop();
          return process.pid;
        }),
      );
      assert.equal(self, next);
      const last = await replaced(server, workerNum, next);
      const after = await remote.run(
        ({ server }, who) => server.taskwait(who, 60),
        inTask(() => process.pid),
      );
      assert.equal(after, last);
      assert.equal(server.events('workerError').length, 0);
    });

    test('SIGTERM to a task worker waits for its async task, and max_wait_time kills one that is stuck', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2, max_wait_time: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pid = pidOf(server, workerNum);
      const patient = remote.run(
        ({ server }, job) => server.taskwait(job, 60, 0),
        inTask(async ({ rest }) => {
          process.kill(process.pid, 'SIGTERM');
          await rest(300);
          return 'done';
        }),
      );
      assert.equal(await patient, 'done');
      await replaced(server, workerNum, pid);
      assert.equal(server.events('workerError').length, 0);
      // One that never ends is given up after max_wait_time; one that does not even look at signals is killed by the manager.
      for (const stuck of [
        inTask(({ report }) => {
          report('stuck');
          return new Promise(() => {});
        }),
        inTask(({ report, block }) => {
          report('stuck');
          block(60_000);
        }),
      ]) {
        const old = pidOf(server, workerNum + 1);
        const from = server.events('stuck').length;
        const waiting = remote.run(({ server }, stuck) => server.taskwait(stuck, 60, 1), stuck);
        await server.waitForCount('stuck', from + 1);
        await remote.run(({ server }) => server.reload(true));
        assert.equal(await waiting, false);
        await replaced(server, workerNum + 1, old);
        await server.until(() => !isAlive(old), 'the end of the stuck one');
        await server.until(
          () => remote.run(({ server }) => server.taskwait('x', 60, 1)).then((x) => x === 'x'),
          'an answer',
        );
        await server.waitForCount('afterReload', server.events('stuck').length);
      }
    });

    test('SIGTERM in the middle of a large task that arrives: it is run to its end', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pid = pidOf(server, workerNum);
      const results = await remote.run(
        ({ server }, job, id) => {
          // More than the ring holds: the rest waits here, where nothing moves for a while.
          const large = server.taskwait({ ...job, args: [Buffer.alloc(12_000_000)] }, 60);
          const next = server.taskwait({ ...job, args: [''] }, 60);
          setImmediate(() => {
            process.kill(server.getWorkerPid(id) as number, 'SIGTERM');
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
          });
          return Promise.all([large, next]);
        },
        inTask(async ({ rest }, data: Buffer | string) => {
          await rest(50);
          return [process.pid, data.length];
        }, ''),
        workerNum,
      );
      const successor = await replaced(server, workerNum, pid);
      assert.deepEqual(results, [
        [pid, 12_000_000],
        [successor, 0],
      ]);
      assert.doesNotMatch(server.output, /lost with it/);
    });

    for (const way of ['reload', 'shutdown'] as const) {
      const comes = way === 'shutdown' || mode === SWOOLE_BASE;
      test(`a worker that waits for a task at a ${way} ${comes ? 'gets its result' : 'is told at once that none will come'}`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, task_worker_num: 1, max_wait_time: 60 },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const file = join(server.directory, 'go');
        const job = inTask(async ({ rest, report }, file) => {
          const { existsSync } = process.getBuiltinModule('node:fs');
          report('begun');
          while (!existsSync(file)) await rest(5);
          report('done');
          return 'result';
        }, file);
        await remote.run(
          ({ server, swoole, report }, job) => {
            const told = (how: string, result: unknown): void => report('told', { how, result });
            void server.taskwait(job, 120).then((result) => {
              told('taskwait', result);
              report('code', { code: server.getLastError() });
              // One that is sent afterwards is done all the same.
              void server.taskwait('late', 120).then((result) => told('late', result));
            });
            void server.taskCo([job], 120).then((results) => told('taskCo', (results as unknown[])[0]));
            server.task(job, -1, (_server, _id, result) => told('callback', result));
            const look = setInterval(() => {
              if (server.getWorkerStatus() === swoole.SWOOLE_WORKER_EXIT) report('exiting');
              else return;
              clearInterval(look);
            }, 5);
          },
          { ...job },
        );
        await server.waitFor('begun');
        if (way === 'shutdown') server.kill();
        else process.kill(pidOf(server, remote.worker), 'SIGTERM');
        if (comes) await server.waitFor('exiting');
        else await server.waitForCount('told', 4);
        writeFileSync(file, '');
        const events = await server.waitForCount('told', 4);
        const told = Object.fromEntries(events.map(({ how, result }) => [how, result]));
        const result = comes ? 'result' : false;
        assert.deepEqual(told, { taskwait: result, taskCo: result, callback: result, late: comes ? 'late' : false });
        // task() found the only task worker busy.
        const code = comes ? SWOOLE_ERROR_SERVER_NO_IDLE_WORKER : SWOOLE_ERROR_CO_CANCELED;
        assert.equal(server.events('code')[0].code, code);
        await server.waitForCount('done', 3);
      });
    }

    for (const question of mode === SWOOLE_PROCESS ? ['taskwait', 'command'] : [])
      test(`a worker that calls ${question}() again and again hears that it ends`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: 1, task_worker_num: 1, max_wait_time: 2 },
          args: question,
          setup: ({ server, swoole, report, args }) => {
            const { SWOOLE_SERVER_COMMAND_MANAGER } = swoole;
            let ends = false;
            server.on('receive', () => {});
            server.on('task', () => 'done');
            server.addCommand('more', SWOOLE_SERVER_COMMAND_MANAGER, () => 'done');
            server.on('workerStart', async (server, id) => {
              while (id === 0 && !ends)
                await (args === 'taskwait'
                  ? server.taskwait('more', 60)
                  : server.command('more', 0, SWOOLE_SERVER_COMMAND_MANAGER, null));
            });
            server.on('workerExit', (_server, id) => {
              ends = true;
              report('exit', { id });
            });
          },
        });
        const pid = pidOf(server, 0);
        server.kill('SIGUSR1');
        await replaced(server, 0, pid);
        await server.until(() => !server.processes().includes(pid), 'the end of the old worker');
        assert.ok(server.events('exit').some((event) => event.pid === pid));
        assert.doesNotMatch(server.output, /did not/);
      });

    test('a task worker that dies at a shutdown costs those who wait one task', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, max_wait_time: 10 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      await remote.run(
        ({ server, report, swoole }, job) => {
          for (const data of [job, 'behind'])
            void server.taskwait(data, 60).then((result) => report('told', { result }));
          const look = setInterval(() => {
            if (server.getWorkerStatus() !== swoole.SWOOLE_WORKER_EXIT) return;
            clearInterval(look);
            report('exiting');
          }, 5);
        },
        inTask(async ({ rest, report }) => {
          report('begun');
          await rest(60_000);
        }),
      );
      await server.waitFor('begun');
      server.kill('SIGTERM');
      await server.waitFor('exiting');
      process.kill(pidOf(server, 1), 'SIGKILL');
      await server.exited();
      assert.deepEqual(
        server.events('told').map(({ result }) => result),
        [false, 'behind'],
      );
    });

    test('shutdown with tasks in the queue ends in time', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2, max_wait_time: 2 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      await remote.run(
        ({ server }, slow) => {
          for (let i = 0; i < 1000; i++) server.task(slow);
          for (let i = 0; i < 20; i++) server.task(Buffer.alloc(1_000_000));
        },
        inTask(({ block, report }) => {
          report('working');
          block(50);
        }),
      );
      await server.waitFor('working');
      // All of them would take longer than stop() waits.
      await server.stop();
    });
  });
}

for (const { ballast, what } of [
  { ballast: 10, what: 'wait in the ring' },
  { ballast: 200_000, what: 'wait in the memory of the worker' },
]) {
  test(`tasks of a connection that ${what} come before those of the next process of its worker`, async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 1, task_worker_num: 1, max_wait_time: 60, open_eof_split: true, package_eof: '\n' },
      args: ballast,
      setup: ({ server, report, args: ballast }) => {
        server.on('receive', (server, _fd, _reactor, line) => {
          server.task({ n: Number(line), by: process.pid, ballast: Buffer.alloc(ballast) }, 0);
          report('sent');
        });
        server.on('task', (_server, _id, _source, data) => {
          const { n, by } = data as { n: number; by: number };
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4);
          report('task', { n, by });
        });
        server.on('finish', () => {});
      },
    });
    using client = await Client.connect(server.port);
    const before = pidOf(server, 0);
    let tasks = 0;
    const post = (): void => void client.write(`${tasks++}\n`);
    while (tasks < 150) post();
    await server.waitForCount('task', 5);
    server.kill('SIGUSR1');
    const afterwards = (): number => server.events('sent').filter(({ pid }) => pid !== before).length;
    while (afterwards() < 100) {
      post();
      await delay(2);
    }
    await server.waitForCount('task', tasks);
    const done = server.events('task');
    assert.equal(new Set(done.map(({ by }) => by)).size, 2, 'both processes have sent tasks');
    assert.deepEqual(
      done.map(({ n }) => n),
      Array.from({ length: tasks }, (_, n) => n),
    );
  });
}
