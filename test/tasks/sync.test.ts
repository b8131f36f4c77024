/** taskwaitSync(): blocks the whole process, and loses nothing that arrives meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_ERROR_CO_TIMEDOUT } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, pidOf, replaced, taskServer } from '../support/tasks.ts';

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`taskwaitSync() in ${name}`, { concurrency: false }, () => {
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

    test('answers, blocks, and times out', async () => {
      const outcome = await remote.run(
        ({ server }, slow) => {
          const fast = Array.from({ length: 500 }, (_, i) => server.taskwaitSync(i, 30)).every(
            (value, i) => value === i,
          );
          let ran = false;
          setImmediate(() => {
            ran = true;
          });
          void Promise.resolve().then(() => {
            ran = true;
          });
          const large = server.taskwaitSync(Buffer.alloc(6_000_000, 1), 30) as Buffer;
          const begin = performance.now();
          const late = server.taskwaitSync(slow, 0.1, 1);
          const ms = performance.now() - begin;
          const error = server.getLastError();
          const behind = server.taskwaitSync('behind', 30, 1);
          return { fast, large: large.length, late, error, ms, behind, ran };
        },
        inTask(async ({ rest }) => {
          await rest(300);
          return 'late';
        }),
      );
      const { ms, ...rest } = outcome;
      assert.deepEqual(rest, {
        fast: true,
        large: 6_000_000,
        late: false,
        error: SWOOLE_ERROR_CO_TIMEDOUT,
        behind: 'behind',
        ran: false,
      });
      assert.ok(ms >= 95, `${ms} ms`);
    });

    test('what comes meanwhile is handled afterwards, in order', async () => {
      const [first, second] = remotes;
      const from = server.events('pipe').length;
      const finished = server.events('finish').length;
      const blocked = first.run(
        ({ server, report }, slow, quick) => {
          // Results that come before the awaited one, by the same way.
          for (let i = 0; i < 40; i++) server.task({ ...quick, args: [i] }, i % 2);
          report('blocked');
          const answer = server.taskwaitSync(slow, 30, 1);
          report('free');
          return answer;
        },
        inTask(({ server, block }, worker: number) => {
          for (let i = 0; i < 20; i++) server.sendMessage(`task ${i}`, worker);
          block(300);
          return 'slept';
        }, first.worker),
        inTask((_, i: number) => i, 0),
      );
      await server.waitFor('blocked');
      await second.run(({ server }, worker) => {
        for (let i = 0; i < 20; i++) server.sendMessage(`worker ${i}`, worker);
      }, first.worker);
      assert.equal(await blocked, 'slept');
      await server.waitForCount('pipe', from + 40);
      await server.waitForCount('finish', finished + 40);
      const texts = server.events('pipe').slice(from);
      for (const source of ['task', 'worker']) {
        const own = texts.filter(({ data }) => data.startsWith(source)).map(({ data }) => data);
        assert.deepEqual(
          own,
          Array.from({ length: 20 }, (_, i) => `${source} ${i}`),
        );
      }
      const events = server.events();
      const free = events.findIndex(({ event }) => event === 'free');
      const early = events
        .slice(0, free)
        .filter(({ event, data }) => event === 'pipe' || (event === 'finish' && data === 39));
      assert.deepEqual(early, []);
      const results = server.events('finish').slice(finished);
      for (const target of [0, 1]) {
        const own = results.filter(({ data }) => data % 2 === target).map(({ data }) => data);
        assert.deepEqual(
          own,
          Array.from({ length: 20 }, (_, i) => 2 * i + target),
        );
      }
    });

    test('connections wait, and are served in order', async () => {
      await using echo = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, open_length_check: true },
        setup: ({ server }) => {
          server.on('task', (_server, _id, _source, data) => data);
          server.on('receive', (server, fd, _reactorId, data) => {
            // In the reactor's own turn, in SWOOLE_BASE.
            const answer = server.taskwaitSync(data, 30) as Buffer;
            server.send(fd, answer);
          });
        },
      });
      const packet = (i: number, bytes: number): Buffer => {
        const data = Buffer.alloc(4 + bytes, i & 255);
        data.writeUInt32BE(bytes);
        return data;
      };
      const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(echo.port)));
      await Promise.all(
        clients.map(async (client, index) => {
          const sent: Buffer[] = [];
          for (let i = 0; i < 30; i++) {
            const data = packet(index * 31 + i, i % 10 === 9 ? 60_000 : 100 + i);
            sent.push(data);
            void client.write(data);
          }
          const whole = Buffer.concat(sent);
          const answer = await client.read(whole.length);
          assert.ok(answer.equals(whole), `client ${index}`);
          client.destroy();
        }),
      );
    });

    test('a timer and an unfinished promise do not disturb it, nor it them', async () => {
      const outcome = await remote.run(
        async ({ server }, slow) => {
          let ticks = 0;
          const timer = setInterval(() => ticks++, 1);
          const waiting = server.taskwait(slow, 30, 0);
          const answers = [server.taskwaitSync('a', 30, 1), server.taskwaitSync('b', 30, 1)];
          const blocked = ticks;
          const slept = await waiting;
          clearInterval(timer);
          return { answers, blocked, slept, ticked: ticks > 0 };
        },
        inTask(async ({ rest }) => {
          await rest(200);
          return 'slept';
        }),
      );
      assert.deepEqual(outcome, { answers: ['a', 'b'], blocked: 0, slept: 'slept', ticked: true });
    });

    test('works in workerStart, and inside a callback that it has held up', async () => {
      await using other = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('task', (server, _id, source, data) => {
            if (data === 'begin') for (let i = 0; i < 3; i++) server.sendMessage(i, source);
            return data;
          });
          server.on('pipeMessage', (server, _source, data) => {
            // Blocks again while others are kept.
            report('pipe', { data, answer: server.taskwaitSync(`pipe ${data}`, 30) });
          });
          server.on('workerStart', (server, id) => {
            if (id === 0) report('answer', { answer: server.taskwaitSync('begin', 30) });
          });
        },
      });
      assert.equal((await other.waitFor('answer')).answer, 'begin');
      const pipes = await other.waitForCount('pipe', 3);
      assert.deepEqual(
        pipes.map(({ data, answer }) => `${data} ${answer}`),
        ['0 pipe 0', '1 pipe 1', '2 pipe 2'],
      );
    });

    test('what was kept is handled though the worker is told to stop meanwhile', async () => {
      const pid = pidOf(server, remote.worker);
      const from = server.events('pipe').length;
      const again = await Remote.connectToAll(server, workerNum);
      void again[remote.worker]
        .run(
          ({ server }, slow) => {
            // In a callback of the loop's last phase: the signal is handled before the loop comes back to messages.
            setImmediate(() => {
              server.taskwaitSync(slow, 30);
              server.stop(-1, true);
            });
          },
          inTask(
            ({ server, block }, worker: number, pid: number) => {
              for (let i = 0; i < 10; i++) server.sendMessage(`kept ${i}`, worker);
              process.kill(pid, 'SIGTERM');
              block(100);
              return 1;
            },
            remote.worker,
            pid,
          ),
        )
        .catch(() => {});
      await server.waitForCount('pipe', from + 10);
      await replaced(server, remote.worker, pid);
      const kept = server.events('pipe').slice(from);
      assert.deepEqual(
        kept.map(({ data, pid }) => `${data} ${pid}`),
        Array.from({ length: 10 }, (_, i) => `kept ${i} ${pid}`),
      );
      for (const each of again) each.close();
      remotes = await Remote.connectToAll(server, workerNum);
      [remote] = remotes;
    });

    test('one that ends does not read what is for the next one', async () => {
      await using other = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, max_wait_time: 3 },
        setup: ({ server, report, control }) => {
          server.on('receive', () => {});
          server.on('task', (_server, _id, _source, data) => data);
          server.on('workerExit', (server, id) => {
            if (id === 0) report('exit', { answer: server.taskwaitSync('x', 0.5), code: server.getLastError() });
          });
          control();
        },
      });
      using control = await Remote.connect(other);
      const pid = pidOf(other, 0);
      // A timer keeps it for a while, so that workerExit comes.
      await control.run(({ server }) => {
        setTimeout(() => {}, 1000);
        setImmediate(() => server.stop(0, true));
      });
      const { answer } = await other.waitFor('exit');
      if (mode === 2) assert.equal(answer, false);
      await replaced(other, 0, pid);
      using next = await Remote.connect(other);
      assert.equal(await next.run(({ server }) => server.taskwaitSync('fine', 30)), 'fine');
    });
  });
}
