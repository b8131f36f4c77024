/** What stats() tells, and who can ask. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Remote } from '../support/remote.ts';
import { startServer } from '../support/server.ts';
import type { Seen } from '../support/stats-reader.ts';
import { ALL_SUBJECTS, ALONE } from '../support/subjects.ts';

const READER = fileURLToPath(new URL('../support/stats-reader.ts', import.meta.url));

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`stats of ${name}, read by a program beside it`, () => {
    test('are those that stats() tells, from memory that it cannot write', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: subject === ALONE ? 0 : 1, start_session_id: 100 },
        setup: ({ server, control }) => {
          server.on('receive', () => {});
          server.on('task', (_server, _taskId, _sourceId, data) => data);
          control();
        },
      });
      const remotes = await Remote.connectToAll(server, workerNum);
      if (subject !== ALONE) await remotes[0].run(({ server }) => server.taskwait('x', 10));
      for (const remote of remotes) {
        const { worker } = remote;
        // While the worker waits for the program, nothing happens in the server.
        const [before, seen, after] = await remote.run(
          ({ server }, reader, pid, worker) => {
            const { execFileSync } = process.getBuiltinModule('node:child_process');
            const read = (): Seen =>
              JSON.parse(execFileSync(process.execPath, [reader, String(pid), String(worker)], { encoding: 'utf8' }));
            for (let tries = 0; ; tries++) {
              const before = server.stats();
              const seen = read();
              const after = server.stats();
              if (JSON.stringify(before) === JSON.stringify(after) || tries === 5)
                return [before, seen, after] as const;
            }
          },
          READER,
          server.pid,
          worker,
        );
        assert.ok(before !== false);
        assert.deepEqual(after, before, 'the server was not quiet');
        assert.deepEqual(seen.stats, before);
        assert.deepEqual([seen.mode, seen.workerPid], [mode, await remote.run(() => process.pid)]);
        assert.ok(seen.stats.worker_request_count > 0 && seen.stats.connection_num >= workerNum);
        assert.equal(seen.stats.task_count, subject === ALONE ? 0 : 1);
        assert.ok(seen.maps.length > 0);
        for (const line of seen.maps) assert.match(line, /^\S+ r--s /);
      }
      for (const remote of remotes) remote.close();
    });
  });
}
