/** A reload, a recycled worker and a stopped one cost no client its connection, and no byte. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Load, type LoadOptions } from '../support/load.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { pidOf, replaced } from '../support/tasks.ts';
import { until } from '../support/until.ts';

const LONG = process.env.TSWOOLE_LONG === '1';
const SECONDS = LONG ? 20 : 6;
const CONNECTIONS = 200;
const WORKERS = 2;
const FRAMED = { open_length_check: true, package_max_length: '8M' } as const;

/** An echo server; with `delayMs` the answer comes after a random time up to that, `startMs` is what a worker's start takes. */
function startEcho(settings: ServerSettings, delayMs = 0, startMs = 0): Promise<TestServer> {
  return startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: WORKERS, ...FRAMED, ...settings },
    args: { delayMs, startMs },
    setup: ({ server, report, args, control }) => {
      if (args.startMs > 0) server.on('workerStart', () => new Promise((resolve) => setTimeout(resolve, args.startMs)));
      server.on('receive', async (server, fd, _reactorId, data) => {
        if (args.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * args.delayMs));
        if (!server.send(fd, data)) report('refused', { fd, error: server.getLastError() });
      });
      server.on('close', (_, fd) => report('close', { fd }));
      server.on('beforeReload', () => report('beforeReload'));
      server.on('afterReload', () => report('afterReload'));
      server.on('workerError', (_server, id, pid, code, signal) =>
        report('workerError', { id, workerPid: pid, code, signal }),
      );
      control();
    },
  });
}

/** Runs the load, does something again and again, so many times at least, and asserts that no client has noticed. */
async function underLoad(
  server: TestServer,
  options: Partial<LoadOptions>,
  seconds: number,
  everyMs: number,
  action: (turn: number) => unknown,
  turns = 0,
): Promise<void> {
  using load = await Load.connect({ port: server.port, connections: CONNECTIONS, ...options });
  load.start();
  await load.progress(load.options.connections);
  const end = Date.now() + seconds * 1000;
  for (let turn = 0; turn < turns || Date.now() < end; turn++) {
    await action(turn);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  await load.pause();
  load.assertPerfect();
  assert.deepEqual(server.events('refused'), []);
  assert.deepEqual(server.events('close'), []);
  assert.deepEqual(server.events('workerError'), []);
}

/** Reloads, and waits for the end of it: how long the new workers take to start is up to the machine. */
function reload(server: TestServer): (turn: number) => Promise<unknown> {
  return (turn) => {
    server.kill('SIGUSR1');
    return server.waitForCount('afterReload', turn + 1);
  };
}

function workersStarted(server: TestServer): number {
  return new Set(server.events('$worker').map((event) => event.pid)).size;
}

/** Waits for the end of the reload that runs, then asserts that there were so many and that they replaced all workers. */
async function assertReloads(server: TestServer, atLeast: number): Promise<void> {
  await server.until(() => {
    const begun = server.events('beforeReload').length;
    return begun >= atLeast && server.events('afterReload').length === begun;
  }, `${atLeast} whole reloads`);
  // On a busy machine the next reload may end a worker that has not started yet, so not every one is heard of.
  await server.until(() => workersStarted(server) >= 2 * WORKERS, 'new workers');
  assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
}

describe('SWOOLE_PROCESS under load', { concurrency: false }, () => {
  test('SIGUSR1 to the master, again and again, loses nothing', async () => {
    await using server = await startEcho({});
    await underLoad(server, {}, SECONDS, 500, reload(server), 3);
    await assertReloads(server, 3);
  });

  for (const startMs of [300, 2000]) {
    test(`the same with workers that need ${startMs} ms to start`, async () => {
      await using server = await startEcho({}, 0, startMs);
      await underLoad(server, {}, SECONDS, 1000, reload(server), 2);
      await assertReloads(server, 2);
    });
  }

  test('the same with answers that come later', async () => {
    await using server = await startEcho({}, 30);
    await underLoad(server, {}, SECONDS, 500, reload(server), 3);
    await assertReloads(server, 3);
  });

  test('the same with messages that travel in pieces', async () => {
    await using server = await startEcho({ buffer_output_size: '8M', socket_buffer_size: '64M' });
    const length = (connection: number, sequence: number): number => 300_000 + ((connection + sequence) % 7) * 400_000;
    await underLoad(server, { connections: 24, length }, SECONDS, 500, reload(server), 3);
    await assertReloads(server, 3);
  });

  test('the same with reload_async off', async () => {
    await using server = await startEcho({ enable_coroutine: false, reload_async: false });
    await underLoad(server, {}, 3, 500, reload(server), 2);
    await assertReloads(server, 2);
  });

  test('reload_async off, with messages that travel in pieces', async () => {
    await using server = await startEcho({
      enable_coroutine: false,
      reload_async: false,
      buffer_output_size: '8M',
      socket_buffer_size: '64M',
    });
    const length = (connection: number, sequence: number): number => 300_000 + ((connection + sequence) % 7) * 400_000;
    await underLoad(server, { connections: 24, length }, 3, 500, reload(server), 2);
    await assertReloads(server, 2);
  });

  test('unframed data with many messages under way loses nothing', async () => {
    await using server = await startEcho({ open_length_check: false });
    await underLoad(server, { depth: 8 }, 3, 500, reload(server), 2);
    await assertReloads(server, 2);
  });

  test('SIGUSR1 to the manager', async () => {
    await using server = await startEcho({});
    using remote = await Remote.connect(server);
    const manager = await remote.run(({ server }) => server.getManagerPid());
    const reload = (turn: number): Promise<unknown> => {
      process.kill(manager, 'SIGUSR1');
      return server.waitForCount('afterReload', turn + 1);
    };
    await underLoad(server, {}, 3, 500, reload, 2);
    await assertReloads(server, 2);
  });

  test('server.reload() in a worker', async () => {
    await using server = await startEcho({});
    using remote = await Remote.connect(server);
    const reload = async (turn: number): Promise<void> => {
      assert.equal(await remote.run(({ server }) => server.reload()), true);
      await server.waitForCount('afterReload', turn + 1);
    };
    await underLoad(server, {}, 3, 500, reload, 2);
    await assertReloads(server, 2);
  });

  // Its workers are still starting when the next reload comes: to end then is no failure.
  test('a reload as soon as the last one is complete', async () => {
    await using server = await startEcho({});
    await underLoad(server, { connections: 50 }, 2, 0, async (turn) => {
      server.kill('SIGUSR1');
      await server.waitForCount('afterReload', turn + 1);
    });
    assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
  });

  test('max_request recycles workers', async () => {
    await using server = await startEcho({ max_request: 2000, max_request_grace: 500 });
    await underLoad(server, {}, 4, 500, () => {});
    assert.ok(workersStarted(server) >= 2 * WORKERS, 'workers were recycled');
    assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
  });

  test('max_request recycles workers whose answers come later', async () => {
    await using server = await startEcho({ max_request: 1000, max_request_grace: 500 }, 30);
    await underLoad(server, {}, 4, 500, () => {});
    assert.ok(workersStarted(server) >= 2 * WORKERS, 'workers were recycled');
    assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
  });

  test('server.stop(id) of each worker in turn', async () => {
    await using server = await startEcho({});
    using remote = await Remote.connect(server);
    await underLoad(server, {}, 3, 400, async (turn) => {
      const before = workersStarted(server);
      const wait = turn % 4 < 2;
      assert.equal(await remote.run(({ server }, id, wait) => server.stop(id, wait), turn % WORKERS, wait), true);
      await until(() => workersStarted(server) > before, 'the replacement');
    });
    assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
  });

  // The rings of two processes have no order: what the old one has answered must be with the reactor before the new one answers.
  for (const { what, answerBytes, before } of [
    { what: 'answers', answerBytes: 100, before: 10 },
    { what: 'answers that found no room', answerBytes: 200_000, before: 30 },
  ]) {
    test(`${what} to one connection keep their order while the reactor is behind`, async () => {
      await using server = await startServer({
        mode: SWOOLE_PROCESS,
        settings: { worker_num: 1, open_eof_split: true, package_eof: '\n', socket_buffer_size: '64M' },
        args: { answerBytes },
        setup: ({ server, report, args }) => {
          server.on('receive', (server, fd, _reactorId, line) => {
            // Slow, so that the reload comes while lines wait.
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
            server.send(fd, `${line.toString().trim()}\n`.padStart(args.answerBytes, ' '));
            report('line');
          });
          server.on('managerStart', () => report('managerStart'));
        },
      });
      const manager = await server.waitFor('managerStart');
      const numbers = Array.from({ length: 60 }, (_, i) => i);
      const client = await Client.connect(server.port);
      await client.write(numbers.map((number) => `${number}\n`).join(''));
      await server.waitForCount('line', 1);
      process.kill(server.pid, 'SIGSTOP');
      await server.waitForCount('line', before);
      process.kill(manager.pid, 'SIGUSR1');
      // The next worker does not answer as long as the reactor sleeps: that is given some time to show.
      const old = server.events('line')[0].pid;
      const ofNext = (): number => server.events('line').filter(({ pid }) => pid !== old).length;
      await until(() => ofNext() >= 20, 'answers of the next worker', 1500).catch(() => {});
      process.kill(server.pid, 'SIGCONT');
      const answers = (await client.read(numbers.length * answerBytes)).toString().trim().split(/\s+/);
      assert.deepEqual(answers.map(Number), numbers);
      assert.ok(workersStarted(server) === 2, 'both workers have answered');
    });
  }

  test('a close callback that a new worker runs for long costs no output', async () => {
    const length = 10 * 1024 * 1024;
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: {
        worker_num: 1,
        open_eof_split: true,
        package_eof: '\n',
        buffer_output_size: '32M',
        socket_buffer_size: '64M',
      },
      args: { length },
      setup: ({ server, report, args }) => {
        const block = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
        server.on('receive', (server, fd, _reactorId, line) => {
          if (line.toString() === 'much\n') server.send(fd, Buffer.alloc(args.length, 'much'));
          else block(50);
          report('line', { line: line.toString() });
        });
        server.on('close', (_server, fd) => {
          if (fd !== 1) return;
          report('closing');
          block(3000);
        });
      },
    });
    const reader = await Client.connect(server.port);
    reader.stopReading();
    await reader.write('much\n');
    await server.waitFor('line');
    using other = await Client.connect(server.port);
    await other.write('wait\n'.repeat(20));
    await server.waitFor('line', ({ line }) => line === 'wait\n');
    reader.end();
    server.kill('SIGUSR1');
    const closing = await server.waitFor('closing');
    assert.notEqual(closing.pid, server.events('line')[0].pid, 'a new worker runs it');
    reader.startReading();
    assert.equal((await reader.readAll()).length, length);
  });

  test('a worker that hangs when it has been replaced is killed', async () => {
    await using server = await startEcho({ max_wait_time: 1 });
    // As many as there are lanes for one worker id.
    for (let round = 0; round < 4; round++) {
      const pid = pidOf(server, 0);
      using remote = (await Remote.connectToAll(server, WORKERS))[0];
      await remote.run(({ server }) => {
        server.stop(-1, true);
        setTimeout(() => {
          for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
        }, 50);
      });
      await replaced(server, 0, pid);
    }
    await server.until(() => server.processes().length === 2 + WORKERS, 'the end of those that hang');
    assert.match(server.output, /worker 0 did not end within max_wait_time and is killed/);
    await server.stop();
  });

  test('a worker that hangs at its start is killed by a reload, and replaced at once', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-reload-'));
    t.after(() => rmSync(directory, { recursive: true }));
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 2, max_wait_time: 1 },
      args: { mark: join(directory, 'mark') },
      waitUntilReady: false,
      setup: async ({ server, report, args }) => {
        const { existsSync, writeFileSync } = await import('node:fs');
        server.on('receive', () => {});
        server.on('workerStart', (server, id) => {
          if (existsSync(args.mark)) return;
          if (id === 0) for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
          server.after(300, () => {
            writeFileSync(args.mark, '');
            server.reload();
          });
        });
        server.on('afterReload', () => report('afterReload'));
        server.on('workerError', (_server, id, _pid, _code, signal) => report('workerError', { id, signal }));
      },
    });
    await server.waitFor('afterReload');
    await server.waitFor('$worker', ({ id }) => id === 0);
    assert.deepEqual(
      server.events('workerError').map(({ id, signal }) => ({ id, signal })),
      [{ id: 0, signal: 9 }],
    );
    assert.match(server.output, /INFO\treloading all workers/);
    assert.match(server.output, /worker 0 did not end within max_wait_time and is killed/);
    assert.doesNotMatch(server.output, /as soon as it had begun/);
  });
});
