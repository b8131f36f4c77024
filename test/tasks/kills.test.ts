/**
 * Very many tasks, while task workers are killed: each is answered once, or told as failed once, the sum checks, and the
 * processes that live through it do not grow. TSWOOLE_LONG=1 takes a million, and kills once a second.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { killWorker, pidOf, replaced } from '../support/tasks.ts';

const LONG = process.env.TSWOOLE_LONG === '1';
const TASKS = LONG ? 1_000_000 : 60_000;
const KILL_MS = LONG ? 1000 : 150;
const WORKERS = 2;
const TASK_WORKERS = 4;
const AT_ONCE = 64;
/** Of memory, in the second half of the run. */
const GROWTH_MAX = 64 * 2 ** 20;
/** Fifty bytes kept of each task would be more. */
const LIVE_MAX = (TASKS / WORKERS) * 50 + 2 ** 20;

/** What a worker tells of its share. */
interface Tally {
  sent: number;
  answered: number;
  failed: number;
  doubled: number;
  sum: number;
  expected: number;
  wrongs: string[];
}

for (const { name, mode } of SUBJECTS) {
  describe(`kill -9 of task workers in ${name}`, { concurrency: false }, () => {
    test(`${TASKS.toLocaleString('en')} tasks are each answered once or told as failed once`, async (t) => {
      await using server = await startServer({
        mode,
        settings: { worker_num: WORKERS, task_worker_num: TASK_WORKERS },
        setup: ({ server, control }) => {
          server.on('receive', () => {});
          server.on('task', (_server, _id, _source, data) => {
            const { n, wait } = data as { n: number; wait: boolean };
            // Some go on after the callback has returned, so that a kill finds them at hand.
            if (wait) return new Promise((resolve) => setTimeout(() => resolve(n * 3), 1));
            return n * 3;
          });
          server.on('finish', () => {
            throw new Error('nobody asked for this event');
          });
          control();
        },
      });
      const remotes = await Remote.connectToAll(server, WORKERS);
      const memory = new Map<number, { descriptors: number; bytes: number }>();
      const survivors = server.processes().filter((pid) => !taskPids().includes(pid));
      function taskPids(): number[] {
        return Array.from({ length: TASK_WORKERS }, (_, i) => pidOf(server, WORKERS + i));
      }
      const share = (tasks: number): Promise<Tally[]> =>
        Promise.all(
          remotes.map((remote) =>
            remote.run(
              async ({ server, state }, tasks, atOnce) => {
                const tally: Tally = { sent: 0, answered: 0, failed: 0, doubled: 0, sum: 0, expected: 0, wrongs: [] };
                state.tally = tally;
                const settled = new Uint8Array(tasks);
                const settle = (n: number, result: unknown): void => {
                  if (settled[n]++ !== 0) tally.doubled++;
                  if (result === false) tally.failed++;
                  else {
                    tally.answered++;
                    tally.sum += result as number;
                    tally.expected += n * 3;
                    if (result !== n * 3 && tally.wrongs.length < 10) tally.wrongs.push(`${n} → ${String(result)}`);
                  }
                };
                const one = (n: number): Promise<void> => {
                  const data = { n, wait: n % 20 === 0 };
                  tally.sent++;
                  if (n % 2 === 0) return server.taskwait(data, 60).then((result) => settle(n, result));
                  return new Promise((resolve) => {
                    server.task(data, -1, (_server, _id, result) => {
                      settle(n, result);
                      resolve();
                    });
                  });
                };
                let next = 0;
                const lane = async (): Promise<void> => {
                  while (next < tasks) await one(next++);
                };
                await Promise.all(Array.from({ length: atOnce }, lane));
                return tally;
              },
              tasks,
              AT_ONCE,
            ),
          ),
        );

      /** What is reachable in each worker. */
      const liveBytes = (): Promise<number[]> =>
        Promise.all(
          remotes.map((remote) =>
            remote.run(() => {
              process.getBuiltinModule('node:v8').setFlagsFromString('--expose-gc');
              process.getBuiltinModule('node:vm').runInNewContext('gc')();
              return process.memoryUsage().heapUsed;
            }),
          ),
        );

      await share(1000);
      const liveBefore = await liveBytes();
      let running = true;
      let kills = 0;
      const killer = async (): Promise<void> => {
        for (let i = 0; running; i++) {
          await new Promise((resolve) => setTimeout(resolve, KILL_MS));
          if (!running) break;
          const id = WORKERS + (i % TASK_WORKERS);
          const pid = killWorker(server, id);
          kills++;
          await replaced(server, id, pid);
        }
      };
      const killing = killer();
      // At least so many are sent, and at least so many processes are killed.
      const tallies: Tally[] = [];
      const sent = (): number => tallies.reduce((sum, tally) => sum + tally.sent, 0);
      while (kills < 8 || sent() < TASKS) {
        tallies.push(...(await share(TASKS / WORKERS / 4)));
        // The allocators of V8 and libc have taken by then what so much rubbish between two collections needs.
        if (memory.size > 0 || sent() < TASKS / 2) continue;
        for (const pid of survivors) memory.set(pid, { descriptors: descriptorCount(pid), bytes: residentBytes(pid) });
      }
      running = false;
      await killing;

      const total = (key: 'sent' | 'answered' | 'failed' | 'doubled' | 'sum' | 'expected'): number =>
        tallies.reduce((sum, tally) => sum + tally[key], 0);
      assert.deepEqual(
        tallies.flatMap(({ wrongs }) => wrongs),
        [],
      );
      assert.equal(total('doubled'), 0);
      assert.equal(total('answered') + total('failed'), total('sent'));
      assert.equal(total('sum'), total('expected'));
      // Each task worker has one task at hand, or has just taken the next.
      assert.ok(total('failed') <= kills * 2, `${total('failed')} failed, ${kills} kills`);
      assert.doesNotMatch(server.output, /nobody asked|damaged|has expired/);

      await server.until(async () => {
        const stats = await remotes[0].run(({ server }) => server.stats() as unknown as Record<string, number>);
        return stats.task_idle_worker_num === TASK_WORKERS && stats.task_queue_bytes === 0;
      }, 'idle task workers');
      const grown: string[] = [];
      for (const [pid, before] of memory) {
        const descriptors = descriptorCount(pid) - before.descriptors;
        const bytes = residentBytes(pid) - before.bytes;
        if (descriptors > 2 || bytes > GROWTH_MAX) grown.push(`${pid}: ${descriptors} descriptors, ${bytes} bytes`);
      }
      assert.deepEqual(grown, []);
      const live = (await liveBytes()).map((bytes, i) => bytes - liveBefore[i]);
      assert.ok(
        live.every((bytes) => bytes < LIVE_MAX),
        `live memory has grown by ${live} bytes`,
      );
      t.diagnostic(`${total('sent')} tasks, ${kills} kills, ${total('failed')} failed`);
      for (const remote of remotes) remote.close();
    });
  });
}
