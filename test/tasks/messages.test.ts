/** sendMessage(): between all processes, of any size and kind, in order; and who may not. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_WRONG_OPERATION, SWOOLE_PROCESS } from '../../src/index.ts';
import { Remote } from '../support/remote.ts';
import { type Event, startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { killWorker, pidOf, replaced, taskServer } from '../support/tasks.ts';

const TASK_WORKERS = 2;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`sendMessage() in ${name}`, { concurrency: false }, () => {
    let server: TestServer;
    let remotes: Remote[];

    before(async () => {
      server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: TASK_WORKERS },
        setup: ({ server, report, swoole, control }) => {
          const { createHash } = process.getBuiltinModule('node:crypto');
          server.on('receive', () => {});
          server.on('task', (server, _id, source, data) => {
            const { to, count } = data as { to: number; count: number };
            const sent: boolean[] = [];
            for (let i = 0; i < count; i++) sent.push(server.sendMessage(`task ${i}`, to));
            return { sent: sent.every(Boolean), source };
          });
          server.on('finish', () => {});
          server.on('pipeMessage', (server, source, data) => {
            const about = { worker: server.worker_id, source, finish: server.finish('x') };
            if (Buffer.isBuffer(data) && data.length > 1000)
              report('pipe', {
                ...about,
                kind: 'bytes',
                length: data.length,
                hash: createHash('sha1').update(data).digest('hex'),
              });
            else if (typeof data === 'string') report('pipe', { ...about, kind: 'text', data });
            else
              report('pipe', {
                ...about,
                kind: data?.constructor?.name ?? String(data),
                data: process.getBuiltinModule('node:util').inspect(data),
              });
          });
          server.on('managerStart', (server) =>
            report('sent', { from: 'manager', sent: [0, 3].map((id) => server.sendMessage('from manager', id)) }),
          );
          if (server.mode === swoole.SWOOLE_PROCESS)
            server.on('start', (server) =>
              report('sent', { from: 'master', sent: [0, 3].map((id) => server.sendMessage('from master', id)) }),
            );
          control();
        },
      });
      remotes = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const remote of remotes) remote.close();
      await server.stop();
    });

    const fresh = async (matches: (event: Event) => boolean, count: number): Promise<Event[]> => {
      await server.until(() => server.events('pipe').filter(matches).length >= count, `${count} messages`);
      return server.events('pipe').filter(matches);
    };

    test('from every worker and task worker to every other, with the id of the sender, in order', async () => {
      const ids = Array.from({ length: workerNum + TASK_WORKERS }, (_, id) => id);
      for (const remote of remotes) {
        await remote.run(({ server }, ids) => {
          for (let i = 0; i < 50; i++)
            for (const id of ids) if (id !== server.worker_id) server.sendMessage(`worker ${i}`, id);
        }, ids);
        for (let task = 0; task < TASK_WORKERS; task++) {
          for (const to of ids) {
            if (to === workerNum + task) continue;
            const answer = await remote.run(
              ({ server }, task, to) => server.taskwait({ to, count: 20 }, 30, task),
              task,
              to,
            );
            assert.deepEqual(answer, { sent: true, source: remote.worker });
          }
        }
      }
      for (const to of ids) {
        for (const from of ids) {
          if (to === from) continue;
          const isWorker = from < workerNum;
          const wave = isWorker ? 50 : 20;
          const waves = isWorker ? 1 : remotes.length;
          const prefix = isWorker ? 'worker' : 'task';
          const events = await fresh(
            (event) => event.worker === to && event.source === from && String(event.data).startsWith(prefix),
            wave * waves,
          );
          const expected = Array.from({ length: wave * waves }, (_, i) => `${prefix} ${i % wave}`);
          assert.deepEqual(
            events.map(({ data }) => data),
            expected,
            `from ${from} to ${to}`,
          );
          // finish() has no task here.
          assert.ok(events.every(({ finish }) => finish === false));
        }
      }
    });

    test('of any kind, and of any size', async () => {
      const [remote] = remotes;
      const other = workerNum - 1 - remote.worker;
      for (const to of [other, workerNum]) {
        const hash = await remote.run(({ server }, to) => {
          const { createHash } = process.getBuiltinModule('node:crypto');
          const large = Buffer.allocUnsafe(10 * 2 ** 20);
          for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
          const values = [
            '',
            'kind',
            Buffer.from('ab'),
            new Uint8Array([1, 2]),
            7,
            0,
            false,
            null,
            5n,
            new Map([[1, new Set(['x'])]]),
            new Date(0),
            [1, [2]],
            { a: 1 },
          ];
          if (!values.every((value) => server.sendMessage(value, to))) throw new Error('refused');
          server.sendMessage(large, to);
          server.sendMessage('behind the large one', to);
          return createHash('sha1').update(large).digest('hex');
        }, to);
        await fresh((event) => event.worker === to && event.data === 'behind the large one', 1);
        const events = server
          .events('pipe')
          .filter(
            (event) =>
              event.worker === to && event.source === remote.worker && !String(event.data).startsWith('worker'),
          );
        assert.deepEqual(
          events.map((event) => (event.kind === 'text' ? event.data : event.kind)),
          [
            '',
            'kind',
            'Buffer',
            'Buffer',
            'Number',
            'Number',
            'Boolean',
            'null',
            'BigInt',
            'Map',
            'Date',
            'Array',
            'Object',
            'bytes',
            'behind the large one',
          ],
        );
        const bytes = events.find(({ kind }) => kind === 'bytes')!;
        assert.deepEqual([bytes.length, bytes.hash], [10 * 2 ** 20, hash]);
        assert.equal(events.find(({ kind }) => kind === 'Map')!.data, "Map(1) { 1 => Set(1) { 'x' } }");
      }
    });

    test('from manager and master, as worker 0 and without an answer', async () => {
      const froms = mode === SWOOLE_PROCESS ? ['manager', 'master'] : ['manager'];
      for (const from of froms) {
        const sent = await server.waitFor('sent', (event) => event.from === from);
        assert.deepEqual(sent.sent, [true, true]);
        const events = await fresh((event) => event.data === `from ${from}`, 2);
        assert.deepEqual(events.map(({ worker, source }) => [worker, source]).sort(), [
          [0, 0],
          [3, 0],
        ]);
      }
    });

    test('not to itself, to nobody, or what no process can be given', async () => {
      const [remote] = remotes;
      const outcome = await remote.run(({ server, swoole }) => {
        const codeOf = (run: () => unknown): unknown => {
          try {
            return run();
          } catch (error) {
            return error instanceof swoole.TswooleError ? error.code : error;
          }
        };
        const all: unknown[] = [];
        for (const id of [server.worker_id, 99, -1, 0.5]) all.push(server.sendMessage('x', id), server.getLastError());
        all.push(
          codeOf(() => server.sendMessage(() => 1, 1)),
          codeOf(() => server.sendMessage(undefined, 1)),
          codeOf(() => server.sendMessage(server, 1)),
        );
        return all;
      });
      assert.deepEqual(outcome, [
        false,
        SWOOLE_ERROR_WRONG_OPERATION,
        false,
        SWOOLE_ERROR_INVALID_PARAMS,
        false,
        SWOOLE_ERROR_INVALID_PARAMS,
        false,
        SWOOLE_ERROR_INVALID_PARAMS,
        'ERR_ARGUMENT',
        'ERR_ARGUMENT',
        'ERR_ARGUMENT',
      ]);
    });

    test('to a worker that dies: what it had not taken, the next one gets', async () => {
      const [first] = remotes;
      const pid = pidOf(server, workerNum);
      await first.run(({ server }, id) => {
        process.kill(server.getWorkerPid(id) as number, 'SIGSTOP');
        for (let i = 0; i < 30; i++) server.sendMessage(`survivor ${i}`, id);
      }, workerNum);
      killWorker(server, workerNum);
      const next = await replaced(server, workerNum, pid);
      const events = await fresh(({ data }) => String(data).startsWith('survivor'), 30);
      assert.deepEqual(
        events.map((event) => `${event.data} ${event.pid}`),
        Array.from({ length: 30 }, (_, i) => `survivor ${i} ${next}`),
      );
    });

    test('without a pipeMessage callback it is false', async () => {
      await using other = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        args: { without: ['pipeMessage', 'finish'] },
        setup: taskServer,
      });
      using remote = await Remote.connect(other);
      const outcome = await remote.run(({ server }) => [server.sendMessage('x', 2), server.getLastError()]);
      assert.deepEqual(outcome, [false, SWOOLE_ERROR_WRONG_OPERATION]);
      assert.match(other.output, /no pipeMessage callback/);
      // And without a finish callback results are dropped, with one warning.
      await remote.run(async ({ server }) => {
        for (let i = 0; i < 5; i++) server.task('x');
        await server.taskwait('behind them', 30);
      });
      assert.equal(other.output.match(/there is no finish callback/g)?.length, 1);
    });
  });
}
