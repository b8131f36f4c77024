/** What the server does with a `Process` that was added to it, by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runScript, type TestServer } from '../support/server.ts';

const OK = { code: 0, signal: null };
const URL_OF_SOURCE = new URL('../../src/child/process.ts', import.meta.url).href;
const URL_OF_PART = new URL('../../src/child/server-part.ts', import.meta.url).href;

function valuesOf(run: TestServer, name: string): unknown[] {
  return run.events(name).map(({ value }) => value);
}

describe('a process of a server', () => {
  for (const redirect of [false, true]) {
    it(`talks over ends that were made for it${redirect ? ', with its output too' : ''}`, async () => {
      const run = await runScript(
        async ({ swoole: { Process }, report, args }) => {
          const { serverSideOf } = await import(args.url);
          const { spawn } = await import('node:child_process');
          const first = new Process(() => {});
          const added = new Process(async (self) => {
            report('child', { value: [self.id, self.pid === process.pid, self === added, first.pid] });
            if (args.redirect) console.log('printed');
            const socket = self.exportSocket();
            if (socket !== false) await socket.send(`got ${await socket.recv()}`);
          }, args.redirect);
          const internals = serverSideOf(added);
          internals.add();
          report('start', { value: added.start() });
          if (process.env.TEST_CHILD !== undefined) {
            await internals.runAsChild(3, 7);
            process.exit(4);
          }
          const pipe = internals.createPipe();
          internals.attach(pipe.parent, 7);
          for (const life of [1, 2]) {
            const child = spawn(process.execPath, [process.argv[1]], {
              stdio: ['ignore', 'inherit', 'inherit', pipe.child],
              env: { ...process.env, TEST_CHILD: '1' },
            });
            internals.followPid(() => child.pid);
            added.write(`life ${life}`);
            let text = '';
            while (!text.includes('life')) text += await added.read();
            report('answer', { value: [text, added.id, added.pid === child.pid] });
            const code = await new Promise((resolve) => child.once('exit', resolve));
            report('code', { value: code });
          }
          added.close();
        },
        { url: URL_OF_SOURCE, redirect },
      );
      assert.deepEqual(run.exit, OK, run.output);
      assert.deepEqual(valuesOf(run, 'start'), [false, false, false]);
      assert.deepEqual(valuesOf(run, 'child'), [
        [7, true, true, 0],
        [7, true, true, 0],
      ]);
      const printed = redirect ? 'printed\n' : '';
      assert.deepEqual(valuesOf(run, 'answer'), [
        [`${printed}got life 1`, 7, true],
        [`${printed}got life 2`, 7, true],
      ]);
      assert.deepEqual(valuesOf(run, 'code'), [4, 4]);
    });
  }

  it('that was started before the server is not started again in every worker', async () => {
    const run = await runScript(async ({ swoole: { Process, Server, SWOOLE_PROCESS }, report }) => {
      const child = new Process(async (self) => {
        report('child', { value: String(await self.read()) });
      });
      child.write('hello');
      report('start', { value: child.start() !== false });
      const server = new Server('127.0.0.1', 0, SWOOLE_PROCESS);
      server.set({ worker_num: 2, log_level: 6 });
      server.on('receive', () => {});
      server.on('workerStart', (_server, id) => report('worker', { value: id }));
      server.on('start', async () => {
        report('status', { value: ((await Process.wait()) || { code: -1 }).code });
        server.shutdown();
      });
      await server.start();
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'status'), [0]);
    assert.deepEqual(valuesOf(run, 'child'), ['hello']);
    assert.equal(run.events('start').filter(({ value }) => value).length, 1);
    assert.ok(run.events('start').length > 1, 'others came by');
  });

  it('fails with its callback, and starts no process and no daemon itself', async () => {
    const run = await runScript(
      async ({ swoole: { Process }, report, args }) => {
        const { serverSideOf } = await import(args.url);
        const { joinServer } = await import(args.part);
        const failing = new Process(
          async () => {
            throw new Error('in the callback');
          },
          false,
          0,
        );
        const other = new Process(() => {});
        joinServer({ isMaster: false, signals: ['SIGTERM'] });
        report('values', {
          value: [
            other.start(),
            Process.daemon(),
            Process.signal('SIGTERM', () => {}),
            serverSideOf(failing).createPipe(),
            await serverSideOf(failing)
              .runAsChild(-1, 3)
              .catch((error: Error) => error.message),
          ],
        });
        joinServer({ isMaster: true, signals: [] });
        try {
          new Process(() => {});
        } catch (error) {
          report('thrown', { value: (error as { code: string }).code });
        }
      },
      { url: URL_OF_SOURCE, part: URL_OF_PART },
    );
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'values'), [[false, false, false, null, 'in the callback']]);
    assert.deepEqual(valuesOf(run, 'thrown'), ['ERR_STATE']);
  });

  it('gives the signals back when the server has ended', async () => {
    const run = await runScript(async ({ swoole: { Process, Server }, report }) => {
      const server = new Server('127.0.0.1', 0);
      server.on('receive', () => {});
      server.on('start', () => {
        report('listens', { value: Process.signal('SIGTERM', () => {}) });
        server.shutdown();
      });
      await server.start();
      const timer = setInterval(() => {}, 1000);
      report('listens', {
        value: Process.signal('SIGTERM', (signal) => {
          report('signal', { value: signal });
          clearInterval(timer);
        }),
      });
      process.kill(process.pid, 'SIGTERM');
    });
    assert.deepEqual(run.exit, OK, run.output);
    assert.deepEqual(valuesOf(run, 'listens'), [false, true]);
    assert.deepEqual(valuesOf(run, 'signal'), [15]);
  });
});
