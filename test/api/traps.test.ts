/** What new users trip over: each is told in one sentence that says what to do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runScript } from '../support/server.ts';

describe('start()', () => {
  test('a second time says that the server runs, or has ended', async () => {
    const run = await runScript(async ({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      server.on('receive', () => {});
      server.on('workerStart', async (server) => {
        const again = await server.start();
        report('again', { again, code: server.getLastError() });
        server.shutdown();
      });
      const first = await server.start();
      report('after', { answers: [first, await server.start()] });
    });
    assert.deepEqual([run.events('again')[0].again, run.events('again')[0].code], [false, 509]);
    assert.deepEqual(run.events('after')[0].answers, [true, false]);
    assert.match(run.output, /WARNING\tstart\(\): the server runs already\n/);
    assert.match(run.output, /WARNING\tstart\(\): the server has ended: make a new one\n/);
  });

  for (const [settings, says] of [
    [{ worker_num: 5000 }, /^worker_num 5000 is too much: .*at most 1023 workers, and these are 5000$/],
    [{ worker_num: 600, task_worker_num: 700 }, /^task_worker_num 700 is too much: .*, and these are 1300$/],
  ] as const)
    test(`has one rule for the largest number of workers: ${JSON.stringify(settings)}`, async () => {
      const run = await runScript(async ({ swoole, report, args }) => {
        const server = new swoole.Server('127.0.0.1');
        server.set(args);
        server.on('receive', () => {});
        server.on('task', () => {});
        await server
          .start()
          .catch((error: { code: string; message: string }) =>
            report('thrown', { code: error.code, text: error.message }),
          );
      }, settings);
      const [{ code, text }] = run.events('thrown');
      assert.equal(code, 'ERR_SETTING_VALUE');
      assert.match(text, says);
      assert.doesNotMatch(run.output, /WARNING/);
    });
});
