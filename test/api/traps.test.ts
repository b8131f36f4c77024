/** What new users trip over: each is told in one sentence that says what to do. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { runScript, startServer } from '../support/server.ts';
import { BASE, SUBJECTS } from '../support/subjects.ts';
import { makePair, settingsOf } from '../tls/certificates.ts';

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

test('certificates that no port uses are an error, not plain text', async () => {
  const run = await runScript(
    async ({ swoole, report, args }) => {
      const attempt = async (what: string, start: () => Promise<boolean>): Promise<void> => {
        await start().then(
          () => report(what, {}),
          (error: { code: string; message: string }) => report(what, { code: error.code, text: error.message }),
        );
      };
      const server = new swoole.Server('127.0.0.1');
      server.on('receive', () => {});
      server.set(args);
      await attempt('plain', () => server.start());
      // It may be put right.
      server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
      server.on('start', (server) => void server.shutdown());
      await attempt('with a TLS port', () => server.start());
    },
    settingsOf(makePair('localhost')),
  );
  const [{ code, text }] = run.events('plain');
  assert.equal(code, 'ERR_SETTING_VALUE');
  assert.match(text, /^ssl_cert_file is set, but no port speaks TLS: add SWOOLE_SSL to the socket type/);
  assert.equal(run.events('with a TLS port')[0].code, undefined);
});

test('settings of a framing that is not open are told once, after the last set()', async () => {
  await using server = await startServer({
    mode: BASE.mode,
    settings: { worker_num: 2, package_length_type: 'n', package_body_offset: 2 },
    setup: ({ server }) => {
      const port = server.listen('127.0.0.1', 0);
      if (port !== false) port.set({ package_eof: '\n' });
      const right = server.listen('127.0.0.1', 0);
      if (right !== false) {
        right.set({ package_eof: '\n' });
        right.set({ open_eof_split: true });
      }
      server.on('receive', () => {});
    },
  });
  const told = server.output.split('\n').filter((line) => line.includes('has no effect'));
  assert.deepEqual(
    told.map((line) => /NOTICE\t(.*)/.exec(line)?.[1]),
    [
      'The setting "package_length_type" has no effect without open_length_check.',
      'The setting "package_body_offset" has no effect without open_length_check.',
      'The setting "package_eof" has no effect without open_eof_split or open_eof_check.',
    ],
  );
});

for (const { name, mode } of SUBJECTS)
  test(`a task callback that returns nothing while somebody waits is told once, in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, task_worker_num: 1 },
      setup: ({ server }) => {
        server.on('task', (server, _id, _from, data: string) => {
          if (data === 'later') setTimeout(() => server.finish('late'), 50);
          if (data === 'async') return Promise.resolve(undefined);
          return data === 'answered' ? data : undefined;
        });
        server.on('receive', async (server, fd, _reactorId, data) => {
          const what = data.toString();
          if (what === 'nobody') server.task(what);
          const answer = what === 'nobody' ? what : await server.taskwait(what, 0.6);
          server.send(fd, `${answer}\n`);
        });
      },
    });
    using client = await Client.connect(server.port);
    const ask = async (what: string): Promise<string> => {
      await client.write(what);
      return client.readLine();
    };
    for (const what of ['answered', 'nobody']) assert.equal(await ask(what), what);
    assert.equal(await ask('later'), 'late');
    assert.equal(await ask('answered'), 'answered');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.doesNotMatch(server.output, /has returned nothing/);
    assert.equal(await ask('async'), 'false');
    assert.equal(await ask('nothing'), 'false');
    const told = server.output.match(/NOTICE\tthe task callback has returned nothing, and finish\(\) was not called/g);
    assert.equal(told?.length, 1);
  });

test('what keeps the process of a server that has ended is named', async () => {
  const run = await runScript(async ({ swoole, report }) => {
    const server = new swoole.Server('127.0.0.1');
    server.on('receive', () => {});
    server.on('start', (server) => void server.shutdown());
    report('ended', { answer: await server.start(), at: Date.now() });
    const watcher = process.getBuiltinModule('node:fs').watch('.');
    setTimeout(() => watcher.close(), 3600);
  });
  assert.equal(run.events('ended')[0].answer, true);
  assert.match(
    run.output,
    /NOTICE\tthe server has ended, and this process goes on: .*FSEventWrap.* \(process\.getActiveResourcesInfo\(\)\); close it, unref\(\) it, or call process\.exit\(\)\n/,
  );
});
