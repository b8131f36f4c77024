/** addCommand() and command(): any process asks any other. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  SWOOLE_SERVER_COMMAND_EVENT_WORKER as EVENT_WORKER,
  SWOOLE_SERVER_COMMAND_MANAGER as MANAGER,
  SWOOLE_SERVER_COMMAND_MASTER as MASTER,
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_OPERATION_NOT_SUPPORT,
  SWOOLE_ERROR_SERVER_INVALID_COMMAND,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_PROCESS,
  SWOOLE_SERVER_COMMAND_TASK_WORKER as TASK_WORKER,
} from '../../src/index.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALONE, SUBJECTS } from '../support/subjects.ts';
import { killWorker, pidOf, replaced } from '../support/tasks.ts';

const TASK_WORKERS = 2;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`commands in ${name}`, { concurrency: false }, () => {
    let server: TestServer;
    let remotes: Remote[];

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS, command_timeout: 3 },
        setup: ({ server, report, swoole, control }) => {
          const { SWOOLE_SERVER_COMMAND_MASTER, SWOOLE_SERVER_COMMAND_MANAGER } = swoole;
          const { SWOOLE_SERVER_COMMAND_EVENT_WORKER, SWOOLE_SERVER_COMMAND_TASK_WORKER } = swoole;
          const all =
            SWOOLE_SERVER_COMMAND_MASTER |
            SWOOLE_SERVER_COMMAND_MANAGER |
            SWOOLE_SERVER_COMMAND_EVENT_WORKER |
            SWOOLE_SERVER_COMMAND_TASK_WORKER;
          const added = [
            server.addCommand('who', all, (server, data) =>
              JSON.stringify({ pid: process.pid, id: server.worker_id, type: typeof data, data: JSON.parse(data) }),
            ),
            server.addCommand('later', all, async (_server, data) => {
              await new Promise((resolve) => setTimeout(resolve, 20));
              return data;
            }),
            server.addCommand('throws', all, () => {
              throw new Error('told: command threw');
            }),
            server.addCommand('rejects', all, async () => {
              throw new Error('told: command rejected');
            }),
            server.addCommand('number', all, () => 7 as unknown as string),
            server.addCommand('no json', all, () => '{broken'),
            server.addCommand('silent', all, () => new Promise<string>(() => {})),
            server.addCommand('large', all, (_server, data) => JSON.stringify(data.length)),
            server.addCommand('two\nlines', all, () => '"two"'),
            server.addCommand('workers only', SWOOLE_SERVER_COMMAND_EVENT_WORKER, () => '"w"'),
            server.addCommand('die', all, () => process.kill(process.pid, 'SIGKILL') as unknown as string),
          ];
          const refused = [
            server.addCommand('who', all, () => ''),
            server.addCommand('none', 0, () => ''),
            server.addCommand('wrong bits', 1024, () => ''),
          ];
          const thrown = [
            () => server.addCommand('', all, () => ''),
            () => server.addCommand('x', all, 'y' as unknown as () => string),
          ].map((run) => {
            try {
              return run();
            } catch (error) {
              return (error as { code: string }).code;
            }
          });
          report('added', { added, refused, thrown });
          server.on('receive', () => {});
          server.on('task', async (server, _id, _source, data) => {
            const [name, id, type] = data as [string, number, number];
            const answer = await server.command(name, id, type, { from: 'task' });
            return answer === false ? server.getLastError() : answer;
          });
          server.on('finish', () => {});
          server.on('start', async (server) => {
            report('late', { late: server.addCommand('late', all, () => '') });
            const answers: unknown[] = [];
            for (const [id, type] of [
              [0, SWOOLE_SERVER_COMMAND_MASTER],
              [0, SWOOLE_SERVER_COMMAND_MANAGER],
              [1, SWOOLE_SERVER_COMMAND_EVENT_WORKER],
              [1, SWOOLE_SERVER_COMMAND_TASK_WORKER],
            ])
              answers.push(await server.command('who', id, type, { type: 'start' }));
            report('answers', { answers, master: server.getMasterPid(), manager: server.getManagerPid() });
          });
          control();
        },
      });
      remotes = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const remote of remotes) remote.close();
      await server.stop();
    });

    test('are added before start(), once each', () => {
      const { added, refused, thrown } = server.events('added')[0];
      assert.deepEqual(added, new Array(11).fill(true));
      assert.deepEqual(refused, [false, false, false]);
      assert.deepEqual(thrown, ['ERR_ARGUMENT', 'ERR_ARGUMENT']);
      assert.equal(server.events('late')[0].late, false);
    });

    test('from the start event to every kind of process', async () => {
      const { answers, master, manager } = await server.waitFor('answers');
      assert.equal(master, server.pid);
      const data = { type: 'start' };
      assert.deepEqual(answers, [
        { pid: server.pid, id: -1, type: 'string', data },
        { pid: manager, id: answers[1].id, type: 'string', data },
        { pid: pidOf(server, 1), id: 1, type: 'string', data },
        { pid: pidOf(server, workerNum + 1), id: workerNum + 1, type: 'string', data },
      ]);
    });

    test('from each worker to every process, itself too', async () => {
      for (const remote of remotes) {
        const answers = await remote.run(
          async ({ server }, types) => {
            const pids: unknown[] = [];
            for (const [id, type] of types)
              pids.push(((await server.command('who', id, type, null)) as { pid: number }).pid);
            return { pids, master: server.getMasterPid(), manager: server.getManagerPid() };
          },
          [
            [0, MASTER],
            [0, MANAGER],
            [0, EVENT_WORKER],
            [1, EVENT_WORKER],
            [0, TASK_WORKER],
            [1, TASK_WORKER],
          ] as const,
        );
        const workers = [0, 1, workerNum, workerNum + 1].map((id) => pidOf(server, id));
        assert.deepEqual(answers.pids, [answers.master, answers.manager, ...workers]);
      }
    });

    test('answers: JSON, text, async, large, and from names with a line break', async () => {
      const outcome = await remotes[0].run(
        async ({ server }, type) => [
          await server.command('later', 1, type, { a: [1, null, 'ä'] }),
          await server.command('later', 1, type, { a: 1 }, false),
          await server.command('large', 1, type, 'x'.repeat(3_000_000)),
          await server.command('two\nlines', 1, type, 'a\nb'),
          await server.command('no json', 1, type, 0, false),
          await server.command('no json', 1, type, 0),
          server.getLastError(),
        ],
        EVENT_WORKER,
      );
      assert.deepEqual(outcome, [
        { a: [1, null, 'ä'] },
        '{"a":1}',
        3_000_002,
        'two',
        '{broken',
        false,
        SWOOLE_ERROR_INVALID_PARAMS,
      ]);
    });

    test('a handler that throws, rejects or answers no text is told to the one who asked', async () => {
      for (const type of [EVENT_WORKER, TASK_WORKER, MANAGER]) {
        const answers = await remotes[0].run(
          async ({ server }, type) => [
            await server.command('throws', 1, type, 0),
            await server.command('rejects', 1, type, 0),
            await server.command('number', 1, type, 0),
          ],
          type,
        );
        assert.deepEqual(answers, [
          { data: 'failed to call function', code: -1 },
          { data: 'failed to call function', code: -1 },
          { data: 'wrong return type', code: -2 },
        ]);
      }
      assert.match(server.output, /the callback of command "throws" failed: Error: told: command threw/);
      assert.match(server.output, /the callback of command "rejects" failed: Error: told: command rejected/);
    });

    test('what cannot be asked is false with a code', async () => {
      const outcome = await remotes[0].run(
        async ({ server }, [event, task, master]) => {
          const cyclic: { self?: unknown } = {};
          cyclic.self = cyclic;
          const codes: unknown[] = [];
          for (const [name, id, type, data] of [
            ['unknown', 0, event, 0],
            ['workers only', 0, task, 0],
            ['workers only', 0, master, 0],
            ['who', 2, event, 0],
            ['who', 2, task, 0],
            ['who', 0, 1024, 0],
            ['who', -1, event, 0],
            ['who', 2 ** 32, event, 0],
            ['who', 0.5, event, 0],
            ['who', 1, event, undefined],
            ['who', 1, event, cyclic],
            ['who', 1, event, 1n],
          ] as const) {
            const answer = await server.command(name, id, type, data);
            codes.push(answer === false ? server.getLastError() : answer);
          }
          return codes;
        },
        [EVENT_WORKER, TASK_WORKER, MASTER] as const,
      );
      const [unknown, refused, outside] = [
        SWOOLE_ERROR_SERVER_INVALID_COMMAND,
        SWOOLE_ERROR_OPERATION_NOT_SUPPORT,
        SWOOLE_ERROR_INVALID_PARAMS,
      ];
      assert.deepEqual(outcome.slice(0, 5), [unknown, refused, refused, outside, outside]);
      assert.ok([refused, outside].includes(outcome[5] as number), `${outcome[5]}`);
      assert.deepEqual(outcome.slice(6), new Array(6).fill(outside));
    });

    test('a silent one times out, and so does one that dies of it; the next answer is no other', async () => {
      const other = 1 - remotes[0].worker;
      const pid = pidOf(server, workerNum);
      const outcome = await remotes[0].run(
        async ({ server }, other, [event, task]) => {
          const begin = performance.now();
          const silent = await server.command('silent', other, event, 0);
          const ms = performance.now() - begin;
          const code = server.getLastError();
          const dead = await server.command('die', 0, task, 0);
          return { silent, code, ms, dead, next: await server.command('later', other, event, 'fine') };
        },
        other,
        [EVENT_WORKER, TASK_WORKER] as const,
      );
      const { ms, ...rest } = outcome;
      assert.deepEqual(rest, { silent: false, code: SWOOLE_ERROR_CO_TIMEDOUT, dead: false, next: 'fine' });
      assert.ok(ms >= 2950, `${ms} ms`);
      await replaced(server, workerNum, pid);
    });

    test('a silent one times out in the process that asks, too', async () => {
      const outcome = await remotes[0].run(async ({ server }, event) => {
        const silent = await server.command('silent', server.worker_id, event, 0);
        return [silent, server.getLastError()];
      }, EVENT_WORKER);
      assert.deepEqual(outcome, [false, SWOOLE_ERROR_CO_TIMEDOUT]);
    });

    test('many at once find their answers', async () => {
      const right = await remotes[0].run(
        async ({ server }, types) => {
          const all = Array.from({ length: 300 }, (_, i) => server.command('later', i % 2, types[i % 3], i));
          return (await Promise.all(all)).filter((answer, i) => answer === i).length;
        },
        [EVENT_WORKER, TASK_WORKER, MANAGER],
      );
      assert.equal(right, 300);
    });

    test('from a task: only to itself where it holds back everything, to all with task_enable_coroutine', async () => {
      const ask = (remote: Remote): Promise<unknown[]> =>
        remote.run(
          async ({ server }, ...asked) => {
            const answers: unknown[] = [];
            for (const data of asked) {
              const answer = (await server.taskwait(data, 30, 0)) as { pid: number } | number;
              answers.push(typeof answer === 'object' ? answer.pid : answer);
            }
            return answers;
          },
          ['who', 0, TASK_WORKER],
          ['who', 1, TASK_WORKER],
          ['who', 0, EVENT_WORKER],
        );
      const code = SWOOLE_ERROR_WRONG_OPERATION;
      assert.deepEqual(await ask(remotes[0]), [pidOf(server, workerNum), code, code]);
      await using other = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS, task_enable_coroutine: true },
        setup: ({ server, swoole, control }) => {
          const types = swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER | swoole.SWOOLE_SERVER_COMMAND_TASK_WORKER;
          server.addCommand('who', types, () => JSON.stringify({ pid: process.pid }));
          server.on('receive', () => {});
          server.on('task', async (server, task: unknown) => {
            const [name, id, type] = (task as { data: [string, number, number] }).data;
            return server.command(name, id, type, 0);
          });
          control();
        },
      });
      using remote = await Remote.connect(other);
      assert.deepEqual(await ask(remote), [pidOf(other, workerNum), pidOf(other, workerNum + 1), pidOf(other, 0)]);
    });

    test('to a worker that was replaced', async () => {
      const id = remotes[1].worker;
      const pid = killWorker(server, id);
      const next = await replaced(server, id, pid);
      const answer = await remotes[0].run(
        ({ server }, id, type) => server.command('who', id, type, 0),
        id,
        EVENT_WORKER,
      );
      assert.equal((answer as { pid: number }).pid, next);
    });

    if (mode === SWOOLE_PROCESS)
      test('a worker that is replaced is told at once that no answer will come', async () => {
        const { worker } = remotes[0];
        await remotes[0].run(
          ({ server, report }, other, type) => {
            const ask = async (): Promise<void> => {
              const answer = await server.command('silent', other, type, 0);
              report('told', { answer, code: server.getLastError() });
            };
            void ask().then(ask);
          },
          1 - worker,
          EVENT_WORKER,
        );
        process.kill(pidOf(server, worker), 'SIGTERM');
        const told = await server.waitForCount('told', 2);
        assert.deepEqual(
          told.map(({ answer, code }) => [answer, code]),
          new Array(2).fill([false, SWOOLE_ERROR_CO_CANCELED]),
        );
      });
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  test(`who waits in the first process is told at the end of the server that no answer will come, in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum, command_timeout: 0, max_wait_time: 1 },
      setup: ({ server, report, swoole }) => {
        server.on('receive', () => {});
        server.addCommand('silent', swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, () => {
          report('asked');
          return new Promise<string>(() => {});
        });
        server.on(server.mode === swoole.SWOOLE_PROCESS ? 'start' : 'managerStart', async (server) => {
          const answer = await server.command('silent', 0, swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, 1);
          report('answered', { answer, error: server.getLastError() });
        });
      },
    });
    await server.waitFor('asked');
    await server.stop();
    const [{ answer, error }] = server.events('answered');
    assert.deepEqual([answer, error], [false, SWOOLE_ERROR_CO_CANCELED]);
  });
}

test('a server of one process is its own master', async () => {
  await using server = await startServer({
    mode: ALONE.mode,
    settings: { worker_num: 1 },
    setup: ({ server, swoole, control }) => {
      server.on('receive', () => {});
      server.addCommand('pid', swoole.SWOOLE_SERVER_COMMAND_MASTER | swoole.SWOOLE_SERVER_COMMAND_MANAGER, () =>
        String(process.pid),
      );
      control();
    },
  });
  using remote = await Remote.connect(server);
  const answers = await remote.run(
    async ({ server }, [master, worker, manager]) => [
      await server.command('pid', 0, master, 0),
      await server.command('pid', 0, worker, 0),
      await server.command('pid', 0, manager, 0),
      server.getLastError(),
    ],
    [MASTER, EVENT_WORKER, MANAGER] as const,
  );
  assert.deepEqual(answers, [server.pid, server.pid, false, SWOOLE_ERROR_OPERATION_NOT_SUPPORT]);
});
