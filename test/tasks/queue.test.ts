/** task_ipc_mode 2 and 3: tasks in a message queue of the kernel. Every queue that is made here is removed here. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { SWOOLE_TASK_TMPFILE, Task } from '../../src/index.ts';
import { encodeTask } from '../../src/shm/queued-task.ts';
import { messageQueueStatus, openMessageQueue, removeMessageQueue, sendMessage } from '../../src/sys/message-queue.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { inTask, killWorker, pidOf, replaced, taskServer } from '../support/tasks.ts';

/** Where large tasks go; empty when nothing is left. */
const DIRECTORY = mkdtempSync(join(tmpdir(), 'tswoole-tasks-'));
after(() => rmSync(DIRECTORY, { recursive: true, force: true }));

/** The queues of the machine that a process of the server has sent to or made. */
function queuesOf(server: TestServer): number[] {
  const pids = server.processes();
  return readFileSync('/proc/sysvipc/msg', 'latin1')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, , , , , sender, receiver]) => pids.includes(sender) || pids.includes(receiver))
    .map(([, id]) => id);
}

const exists = (queue: number): boolean => messageQueueStatus(queue, { count: 0, bytes: 0, limit: 0 }) === 0;

/** A key that nobody uses. */
function freshKey(): number {
  const used = readFileSync('/proc/sysvipc/msg', 'latin1');
  for (;;) {
    const key = 0x54530000 + Math.floor(Math.random() * 0xffff);
    if (!used.includes(String(key))) return key;
  }
}

const stats = (remote: Remote): Promise<Record<string, number>> =>
  remote.run(({ server }) => server.stats() as unknown as Record<string, number>);

for (const { name, mode, workerNum } of SUBJECTS) {
  for (const ipc of [2, 3] as const) {
    describe(`task_ipc_mode ${ipc} in ${name}`, { concurrency: false }, () => {
      const settings = {
        worker_num: workerNum,
        task_worker_num: 2,
        task_ipc_mode: ipc,
        task_tmpdir: DIRECTORY,
      } as const;

      test('works as the rings do, and leaves no queue and no file behind', async () => {
        await using server = await startServer({ mode, settings, setup: taskServer });
        const remotes = await Remote.connectToAll(server, workerNum);
        const [remote] = remotes;
        const who = inTask(({ server }) => server.worker_id - (server.setting.worker_num ?? 0));
        // What is too long for a message goes through a file, there; the answer comes through a ring.
        const outcome = await remote.run(async ({ server }, who) => {
          const { isDeepStrictEqual } = process.getBuiltinModule('node:util');
          const values = [
            'a',
            '',
            Buffer.from('b'),
            { a: [1n] },
            null,
            0,
            false,
            'x'.repeat(8100),
            'y'.repeat(8153),
            Buffer.alloc(5_000_000, 1),
          ];
          const wrong: string[] = [];
          for (const value of values) {
            const back = await server.taskwait(value, 30);
            if (!isDeepStrictEqual(back, value)) wrong.push(String(value).slice(0, 20));
          }
          if (server.taskwaitSync('sync', 30) !== 'sync') wrong.push('sync');
          const targets = new Set<unknown>();
          for (let i = 0; i < 20; i++) targets.add(await server.taskwait(who, 30, 1));
          const all = (await server.taskCo(
            Array.from({ length: 1000 }, (_, i) => i),
            60,
          )) as number[];
          if (!all.every((value, i) => value === i)) wrong.push('taskCo');
          return { wrong, targets: [...targets].sort() };
        }, who);
        assert.deepEqual(outcome.wrong, []);
        if (ipc === 2) assert.deepEqual(outcome.targets, [1], 'the target is honoured');
        // Events of all workers come to the one that asked.
        for (const each of remotes) await each.run(({ server }) => server.task('event'));
        const finished = await server.waitForCount('finish', workerNum);
        assert.deepEqual(
          finished.map(({ worker }) => worker).sort(),
          Array.from({ length: workerNum }, (_, i) => i),
        );
        const queues = queuesOf(server);
        assert.equal(queues.length, 1);
        assert.deepEqual(readdirSync(DIRECTORY), []);

        // Tasks that nobody runs any more, with files: shutdown clears them away.
        const hold = inTask(async ({ rest, report }) => {
          report('held');
          await rest(300);
        });
        await remote.run(({ server }, hold) => {
          server.task(hold, 0);
          server.task(hold, 1);
          for (let i = 0; i < 10; i++) server.task('z'.repeat(9000), i % 2);
        }, hold);
        await server.waitForCount('held', 2);
        for (const each of remotes) each.close();
        await server.stop();
        assert.deepEqual(readdirSync(DIRECTORY), []);
        assert.equal(exists(queues[0]), false);
      });

      test('a full queue loses nothing and keeps the order of each task worker', async () => {
        await using server = await startServer({ mode, settings, setup: taskServer });
        using remote = await Remote.connect(server);
        const outcome = await remote.run(
          ({ server }, hold) => {
            const count = 3000;
            const order: Record<string, number[]> = { 0: [], 1: [] };
            server.task(hold, 0);
            server.task(hold, 1);
            let left = count;
            return new Promise<{ count: number; sorted: boolean[] }>((resolve) => {
              for (let i = 0; i < count; i++) {
                const data = i % 100 === 0 ? 'L'.repeat(10_000) : `${i}`.padEnd(100, '.');
                server.task(data, i % 2, (_server, id, result) => {
                  if (result === data) order[i % 2].push(id);
                  if (--left > 0) return;
                  const sorted = [order[0], order[1]].map((ids) => ids.every((id, at) => at === 0 || id > ids[at - 1]));
                  resolve({ count: order[0].length + order[1].length, sorted });
                });
              }
            });
          },
          inTask(async ({ rest }) => rest(300)),
        );
        assert.equal(outcome.count, 3000);
        // In mode 3 any of them takes any: then there is no order.
        if (ipc === 2) assert.deepEqual(outcome.sorted, [true, true]);
        assert.deepEqual(readdirSync(DIRECTORY), []);
        const after = await stats(remote);
        assert.deepEqual([after.tasking_num, after.task_queue_num, after.task_queue_bytes], [0, 0, 0]);
      });

      test('a task worker that dies takes only what it had begun along', async () => {
        await using server = await startServer({
          mode,
          settings: { ...settings, task_worker_num: 1 },
          setup: taskServer,
        });
        using remote = await Remote.connect(server);
        const pid = pidOf(server, workerNum);
        const waiting = remote.run(
          async ({ server }, deadly) => {
            const all = [server.taskwait(deadly, 60), ...Array.from({ length: 300 }, (_, i) => server.taskwait(i, 60))];
            const [first, ...rest] = await Promise.all(all);
            return [first, rest.every((value, i) => value === i)];
          },
          inTask(({ report }) => {
            report('deadly');
            return new Promise(() => {});
          }),
        );
        await server.waitFor('deadly');
        killWorker(server, workerNum);
        assert.deepEqual(await waiting, [false, true]);
        await replaced(server, workerNum, pid);
      });
    });
  }

  describe(`message_queue_key in ${name}`, { concurrency: false }, () => {
    test('tasks survive a restart, and other programs may add some', async () => {
      const key = freshKey();
      const queue = openMessageQueue(key);
      try {
        const settings = {
          worker_num: 1,
          task_worker_num: 1,
          task_ipc_mode: 2,
          message_queue_key: key,
          task_tmpdir: DIRECTORY,
          max_wait_time: 1,
        } as const;
        {
          await using server = await startServer({ mode, settings, setup: taskServer });
          using remote = await Remote.connect(server);
          await remote.run(
            ({ server }, hold, told) => {
              server.task(hold);
              for (let i = 0; i < 5; i++) server.task({ ...told, args: [i, i === 4 ? 'L'.repeat(9000) : ''] });
            },
            inTask(async ({ rest, report }) => {
              report('held');
              await rest(60_000);
            }),
            inTask(({ report }, i: number, text: string) => report('told', { i, length: text.length }), 0, ''),
          );
          await server.waitFor('held');
          assert.equal((await stats(remote)).task_queue_num, 5);
          // In the middle of a task, and with others in the queue.
          await server.stop();
          assert.equal(server.events('told').length, 0);
        }
        assert.equal(exists(queue), true);
        // What is no task is dropped and told; a file elsewhere is nobody's to read or to remove.
        const foreign = join(DIRECTORY, 'foreign', 'swoole.task.x');
        mkdirSync(join(DIRECTORY, 'foreign'));
        writeFileSync(foreign, 'not ours');
        for (const bytes of [
          Buffer.from('rubbish'),
          Buffer.alloc(200, 0xff),
          encodeTask(0, -1, 0, SWOOLE_TASK_TMPFILE, foreign),
          encodeTask(0, -1, 0, SWOOLE_TASK_TMPFILE, join(DIRECTORY, 'swoole.task.missing')),
        ])
          assert.equal(sendMessage(queue, 2, bytes), 0);
        const job = inTask(
          ({ report, source, finish }, text: string) => report('foreign', { text, source, done: finish('x') }),
          'hello',
        );
        assert.equal(sendMessage(queue, 2, Task.pack(job)), 0);
        {
          await using server = await startServer({ mode, settings, setup: taskServer });
          const told = await server.waitForCount('told', 5);
          assert.deepEqual(
            told.map(({ i, length }) => [i, length]),
            [0, 1, 2, 3, 4].map((i) => [i, i === 4 ? 9000 : 0]),
          );
          const task = await server.waitFor('foreign');
          assert.deepEqual([task.text, task.source, task.done], ['hello', 0, false]);
          // While it runs, too.
          assert.equal(sendMessage(queue, 2, Task.pack({ ...job, args: ['again'] })), 0);
          await server.waitFor('foreign', ({ text }) => text === 'again');
          assert.equal(server.output.match(/in the task queue is dropped/g)?.length, 4);
          using remote = await Remote.connect(server);
          const after = await stats(remote);
          assert.deepEqual([after.tasking_num, after.task_queue_num], [0, 0]);
          assert.equal(await remote.run(({ server }) => server.taskwait('own', 30)), 'own');
        }
        assert.equal(readFileSync(foreign, 'utf8'), 'not ours');
        rmSync(join(DIRECTORY, 'foreign'), { recursive: true });
        assert.deepEqual(readdirSync(DIRECTORY), []);
      } finally {
        removeMessageQueue(queue);
      }
    });

    test('a large task whose task worker is killed over its file, or finds none, is told as lost', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, task_ipc_mode: 2, task_tmpdir: DIRECTORY },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const hold = inTask(async ({ rest }) => {
        await rest(500);
      });
      for (const kill of [true, false]) {
        const pid = pidOf(server, 1);
        const outcome = remote.run(async ({ server }, hold) => {
          server.task(hold);
          const result = await server.taskwait('z'.repeat(9000), 10);
          return result === false ? server.getLastError() : 'a result';
        }, hold);
        const [file] = await server.until(() => {
          const names = readdirSync(DIRECTORY);
          return names.length === 1 && names;
        }, 'the file of the task');
        rmSync(join(DIRECTORY, file));
        if (kill) {
          // Whoever opens it waits until somebody writes.
          execFileSync('mkfifo', [join(DIRECTORY, file)]);
          await server.until(async () => (await stats(remote)).task_queue_num === 0, 'the task to be taken');
          killWorker(server, 1);
        }
        assert.equal(await outcome, kill ? 9003 : 2002);
        if (kill) {
          rmSync(join(DIRECTORY, file));
          await replaced(server, 1, pid);
        }
        assert.equal((await stats(remote)).task_queue_num, 0);
      }
      assert.deepEqual(readdirSync(DIRECTORY), []);
    });

    test('whoever waits is told, however soon after its start a task worker is killed', async () => {
      const kills = 24;
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 3, task_ipc_mode: 3 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const results = remote.run(async ({ server, state }) => {
        const codes: Record<number, number> = {};
        const ask = async (): Promise<void> => {
          while (state.enough !== true) {
            const code = (await server.taskwait('x', 30)) === false ? server.getLastError() : 0;
            codes[code] = (codes[code] ?? 0) + 1;
            await new Promise((resolve) => setTimeout(resolve, 1));
          }
        };
        await Promise.all(Array.from({ length: 24 }, ask));
        return codes;
      });
      // In the first milliseconds, when all of its code is slow.
      const killed = new Set<number>();
      while (killed.size < kills) {
        const isNew = ({ id, pid }: { id?: number; pid: number }): boolean => id !== 0 && !killed.has(pid);
        const { pid } = await server.waitFor('$worker', isNew);
        killed.add(pid);
        await new Promise((resolve) => setTimeout(resolve, killed.size % 8));
        process.kill(pid, 'SIGKILL');
      }
      await remote.run(({ state }) => {
        state.enough = true;
      });
      const { 0: answered, 9003: lost = 0, ...others } = await results;
      assert.ok(answered > 0 && lost <= kills, `${answered} answered, ${lost} lost`);
      assert.deepEqual(others, {});
    });

    test('a sender that dies with more large tasks than the queue holds leaves no file behind', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, task_ipc_mode: 3, task_tmpdir: DIRECTORY },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const tasks = 300;
      const hold = inTask(async ({ rest, report }) => {
        report('held');
        await rest(1000);
      });
      const sent = remote.run(
        ({ server }, hold, tasks) => {
          server.task(hold);
          for (let i = 0; i < tasks; i++) server.task('z'.repeat(9000));
          return server.stats().task_held_num;
        },
        hold,
        tasks,
      );
      assert.ok((await sent) > 0, 'some wait in the sender');
      await server.waitFor('held');
      killWorker(server, 0);
      await server.stop();
      assert.deepEqual(readdirSync(DIRECTORY), []);
    });

    test('a queue that somebody removes is told, and kills nobody', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1, task_ipc_mode: 3 },
        setup: taskServer,
      });
      using remote = await Remote.connect(server);
      const pid = pidOf(server, 1);
      assert.equal(await remote.run(({ server }) => server.taskwait('x', 30)), 'x');
      const waiting = remote.run(
        async ({ server, report }, hold) => {
          server.task(hold);
          // The queue fills; the rest waits here, until there is no queue.
          const all = Array.from({ length: 400 }, () => server.taskwait('w'.repeat(500), 3));
          report('sent');
          return (await Promise.all(all)).filter((result) => result === false).length;
        },
        inTask(async ({ rest, report }) => {
          report('held');
          await rest(500);
        }),
      );
      await server.waitFor('sent');
      await server.waitFor('held');
      for (const queue of queuesOf(server)) removeMessageQueue(queue);
      assert.ok((await waiting) > 300);
      await server.waitForOutput(/the message queue of the tasks is gone/);
      const outcome = await remote.run(async ({ server }) => [
        server.task('x'),
        await server.taskwait('x', 30),
        await server.taskCo(['x', 'y'], 30),
        server.getLastError(),
      ]);
      assert.deepEqual(outcome, [false, false, false, 2002]);
      assert.equal(pidOf(server, 1), pid);
    });
  });
}

test('Task.unpack() reads what Task.pack() has made; what was cut, or is no task, is false', () => {
  for (const value of ['text', Buffer.alloc(3_000_000, 1), { data: Buffer.from('bytes'), id: 1 }]) {
    const packed = Task.pack(value);
    assert.deepEqual(Task.unpack(packed), value);
    for (const length of [0, 1, 31, packed.length - 1]) assert.equal(Task.unpack(packed.subarray(0, length)), false);
  }
  assert.equal(Task.unpack(Buffer.alloc(100, 'no task')), false);
});
