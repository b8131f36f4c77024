/** task(): who gets it, in which order, with what data, and who may not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SWOOLE_BASE, SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_WRONG_OPERATION } from '../../src/index.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`task() in ${name}`, { concurrency: false }, () => {
    test('ids count from 0 in each worker, and 0 is no failure', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      for (const remote of await Remote.connectToAll(server, workerNum)) {
        const ids = await remote.run(({ server }) => [server.task('a'), server.task('b'), server.task('c', 1)]);
        assert.deepEqual(ids, [0, 1, 2]);
        const waited = await remote.run(({ server }) => server.taskwait('d'));
        assert.equal(waited, 'd');
        assert.equal(await remote.run(({ server }) => server.task('e')), 4);
      }
      const finished = await server.waitForCount('finish', 4 * workerNum);
      const seen = finished.map((event) => `${event.worker}/${event.id}/${event.data}`).sort();
      const expected = Array.from({ length: workerNum }, (_, worker) =>
        ['0/a', '1/b', '2/c', '4/e'].map((text) => `${worker}/${text}`),
      );
      assert.deepEqual(seen, expected.flat().sort());
    });

    test('a task goes to the one that was named, to an idle one, or round when all are busy', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 4 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const who = inTask(({ server }) => server.worker_id - (server.setting.worker_num ?? 0));
      for (const target of [3, 0, 2, 2, 1])
        assert.equal(
          await remote.run(({ server }, who, target) => server.taskwait(who, 60, target), who, target),
          target,
        );

      // Three are held: each free choice is the fourth, whoever is next in turn.
      const held = inTask(async ({ rest }) => rest(60_000));
      await remote.run(({ server }, held) => [0, 1, 3].map((target) => server.task(held, target)), held);
      await server.until(
        () =>
          remote.run(({ server }) => (server.stats() as { task_idle_worker_num: number }).task_idle_worker_num === 1),
        'one idle task worker',
      );
      for (let i = 0; i < 6; i++) assert.equal(await remote.run(({ server }, who) => server.taskwait(who, 60), who), 2);

      // All are busy: tasks are spread over all of them.
      await remote.run(({ server }, held) => server.task(held, 2), held);
      await server.until(
        () =>
          remote.run(({ server }) => (server.stats() as { task_idle_worker_num: number }).task_idle_worker_num === 0),
        'no idle task worker',
      );
      const code = await remote.run(({ server }) => {
        for (let i = 0; i < 8; i++) server.task('x');
        return server.getLastError();
      });
      assert.equal(code, 9007);
      assert.match(server.output, /no idle task worker/);
      const stats = await remote.run(({ server }) => server.stats());
      assert.deepEqual([stats.task_queue_num, stats.tasking_num], [8, 4]);
      // They hold for ever: the test does not wait for them.
      server.killAll();
      await server.exited();
    });

    for (const ipc of [1, 2] as const) {
      test(`data above package_max_length is sent with a warning, with task_ipc_mode ${ipc}`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: 1, task_worker_num: 1, task_ipc_mode: ipc, package_max_length: 65_536 },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const send = async (bytes: number): Promise<number> => {
          const back = await remote.run(({ server }, bytes) => server.taskwait(Buffer.alloc(bytes), 60), bytes);
          return (back as unknown as Uint8Array).length;
        };
        assert.equal(await send(65_536), 65_536);
        assert.doesNotMatch(server.output, /package_max_length/);
        assert.equal(await send(65_537), 65_537);
        assert.match(server.output, /WARNING\ttask 1 has 65537 bytes of data, more than package_max_length \(65536\)/);
      });
    }

    test('data of every kind comes as it was sent, there and back', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      // Compared in the worker: the way back to the test is v8's too, and would hide a difference.
      const wrong = await remote.run(async ({ server }) => {
        const { isDeepStrictEqual } = process.getBuiltinModule('node:util');
        class Point {
          x = 1;
        }
        const cyclic: { self?: unknown } = {};
        cyclic.self = cyclic;
        const values: unknown[] = [
          'text',
          '',
          'ä€😀\0',
          'x'.repeat(5_000_000),
          0,
          -0,
          1.5,
          Number.NaN,
          Number.POSITIVE_INFINITY,
          true,
          false,
          12345678901234567890n,
          [1, [2, [3]]],
          {},
          { a: { b: null, c: undefined } },
          new Map<unknown, unknown>([
            ['k', new Set([1])],
            [{}, 2],
          ]),
          new Set(['a', 1]),
          new Date(1e12),
          /a+/gi,
          new Error('told'),
          new Float64Array([1.5, -2]),
          new Uint16Array([1, 65535]),
          new BigInt64Array([-1n]),
          new ArrayBuffer(5),
          new DataView(new ArrayBuffer(3)),
          { nested: Buffer.from('bytes') },
          Buffer.from([0, 255, 10]),
          Buffer.alloc(0),
          Buffer.alloc(3_000_000, 'abc'),
          cyclic,
        ];
        const wrong: string[] = [];
        for (const [index, value] of values.entries()) {
          const back = await server.taskwait(value, 10);
          if (!isDeepStrictEqual(back, value))
            wrong.push(`${index}: ${String(value).slice(0, 40)} → ${String(back).slice(0, 40)}`);
        }
        const bytes = await server.taskwait(new Uint8Array([1, 2, 3]));
        if (!(Buffer.isBuffer(bytes) && bytes.equals(Buffer.from([1, 2, 3])))) wrong.push('Uint8Array → Buffer');
        const part = await server.taskwait(Buffer.from('abcdef').subarray(2, 4));
        if (String(part) !== 'cd') wrong.push('a part of a Buffer');
        const point = await server.taskwait(new Point());
        if (!isDeepStrictEqual(point, { x: 1 })) wrong.push('an instance becomes a plain object');
        return wrong;
      });
      assert.deepEqual(wrong, []);
      // An answer of null is one where finish() gives it.
      const nothing = await remote.run(
        ({ server }, job) => server.taskwait(job),
        inTask(({ finish }) => {
          finish(null);
        }),
      );
      assert.equal(nothing, null);
    });

    test('data that no process can be given throws, and costs no id', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const outcomes = await remote.run(async ({ server, swoole }) => {
        const tried: string[] = [];
        const attempt = async (run: () => unknown): Promise<void> => {
          try {
            tried.push(`answered ${String(await run())}`);
          } catch (error) {
            tried.push(error instanceof swoole.TswooleError ? error.code : String(error));
          }
        };
        await attempt(() => server.task(() => 1));
        await attempt(() => server.task({ deep: [Symbol('s')] }));
        await attempt(() => server.task(undefined));
        await attempt(() => server.taskwait(Promise.resolve()));
        await attempt(() => server.taskwaitSync(new WeakMap()));
        await attempt(() => server.taskCo([1, () => 2]));
        await attempt(() => server.taskWaitMulti('no array' as unknown as unknown[]));
        await attempt(() => server.taskwait('x', Number.NaN));
        await attempt(() => server.task('x', -1, 'no function' as unknown as () => void));
        // They would arrive as empty objects.
        await attempt(() => server.task(server));
        await attempt(() => server.taskwait({ deep: [server.ports[0]] }));
        await attempt(() => server.task(server.connections));
        await attempt(() => server.task(server.getSocket()));
        return { tried, id: server.task('next') };
      });
      assert.deepEqual(outcomes.tried, new Array(13).fill('ERR_ARGUMENT'));
      // The first task of taskCo() was sent before the second threw.
      assert.ok((outcomes.id as number) <= 1, `id ${outcomes.id}`);
    });

    test('100 MiB of text and of bytes come whole', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const hashes = await remote.run(
        async ({ server }, job) => {
          const { createHash } = process.getBuiltinModule('node:crypto');
          const hash = (data: string | Uint8Array): string => createHash('sha1').update(data).digest('hex');
          const bytes = Buffer.allocUnsafe(100 * 2 ** 20);
          for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
          const text = bytes.toString('latin1').slice(0, 50 * 2 ** 20);
          return [
            [hash(bytes), hash((await server.taskwait(bytes, 60)) as Buffer)],
            [hash(text), hash((await server.taskwait(text, 60)) as string)],
            [bytes.length, await server.taskwait({ ...job, args: [bytes] }, 60)],
          ];
        },
        inTask((_, bytes: Buffer) => bytes.length, Buffer.alloc(0)),
      );
      for (const [sent, came] of hashes) assert.equal(came, sent);
    });

    test('tasks to one task worker keep their order, whatever their size', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const disorder = await remote.run(({ server }) => {
        const size = (i: number): number => (i % 97 === 0 ? 1_200_000 : i % 11 === 0 ? 70_000 : i % 5);
        let next = 0;
        let disorder = 0;
        return new Promise<number>((resolve) => {
          for (let i = 0; i < 600; i++) {
            const data = i % 2 === 0 ? `${i}:${'x'.repeat(size(i))}` : Buffer.from(`${i}:${'y'.repeat(size(i))}`);
            server.task(data, 1, (_server, _id, result) => {
              const text = String(result);
              if (Number.parseInt(text, 10) !== next++ || text.length !== `${next - 1}:`.length + size(next - 1))
                disorder++;
              if (next === 600) resolve(disorder);
            });
          }
        });
      });
      assert.equal(disorder, 0);
    });

    test('a task from where nobody can be answered is one-way', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: ({ server, report, swoole }) => {
          server.on('receive', () => {});
          server.on('task', (server, id, source, data) => {
            report('task', { id, source, data, answered: server.finish('x') });
            return 'y';
          });
          server.on('finish', () => report('finish'));
          const send = async (from: string): Promise<void> => {
            const sent = server.task(from, -1, () => report('callback'));
            const waited = await server.taskwait(from);
            report('sent', { from, sent, waited, error: server.getLastError() });
          };
          // In SWOOLE_BASE start runs in worker 0, which is answered.
          if (server.mode === swoole.SWOOLE_PROCESS) server.on('start', () => send('master'));
          server.on('managerStart', () => send('manager'));
        },
      });
      const froms = mode === SWOOLE_BASE ? ['manager'] : ['manager', 'master'];
      for (const from of froms) {
        const task = await server.waitFor('task', (event) => event.data === from);
        assert.deepEqual([task.id, task.source, task.answered], [0, 0, false]);
        const sent = await server.waitFor('sent', (event) => event.from === from);
        assert.deepEqual([sent.sent, sent.waited, sent.error], [0, false, SWOOLE_ERROR_WRONG_OPERATION]);
      }
      await server.stop();
      assert.equal(server.events('finish').length + server.events('callback').length, 0);
      assert.equal(server.events('task').length, froms.length);
    });

    test('a task that is sent while task workers are still starting waits without a complaint', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('task', (_server, _id, _source, data) => report('task', { data }));
          server.on('managerStart', () => report('sent', { sent: [server.task('early'), server.task('early')] }));
        },
      });
      assert.deepEqual((await server.waitFor('sent')).sent, [0, 1]);
      await server.waitForCount('task', 2);
      assert.doesNotMatch(server.output, /no idle task worker/);
    });

    test('a task worker sends no tasks, and nobody can name one that is not there', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 2 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const inside = inTask(async ({ server }) => [
        server.task('x'),
        server.getLastError(),
        await server.taskwait('x'),
        server.taskwaitSync('x'),
        await server.taskWaitMulti(['x']),
        await server.taskCo(['x']),
      ]);
      assert.deepEqual(await remote.run(({ server }, inside) => server.taskwait(inside), inside), [
        false,
        SWOOLE_ERROR_WRONG_OPERATION,
        false,
        false,
        false,
        false,
      ]);
      const outside = await remote.run(async ({ server }) => [
        server.task('x', 2),
        server.getLastError(),
        await server.taskwait('x', 1, 2),
        server.taskwaitSync('x', 1, 99),
        server.task('x', 0.5),
        server.finish('x'),
        server.getLastError(),
      ]);
      const { false: no } = { false: false };
      assert.deepEqual(outside, [no, SWOOLE_ERROR_INVALID_PARAMS, no, no, no, no, SWOOLE_ERROR_WRONG_OPERATION]);
    });

    test('without task workers, and before start(), it is false', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report, control }) => {
          server.on('receive', () => {});
          report('before', { task: server.task('x'), message: server.sendMessage('x', 0), finish: server.finish('x') });
          control();
        },
      });
      const { task, message, finish } = server.events('before')[0];
      assert.deepEqual([task, message, finish], [false, false, false]);
      using remote = await Remote.connect(server);
      const answers = await remote.run(async ({ server }) => [
        server.task('x'),
        await server.taskwait('x'),
        server.taskwaitSync('x'),
        await server.taskCo(['x']),
        server.getLastError(),
      ]);
      assert.deepEqual(answers, [false, false, false, false, SWOOLE_ERROR_WRONG_OPERATION]);
    });

    test('start() rejects where there are task workers but no task callback', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        args: { without: ['task'] },
        setup: taskServer,
        waitUntilReady: false,
      });
      const threw = await server.waitFor('$threw');
      assert.equal(threw.code, 'ERR_CALLBACK_MISSING');
      assert.match(threw.message, /task/);
      await server.exited();
    });
  });
}
