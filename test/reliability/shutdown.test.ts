/** The end of a server, and a start that fails: nothing is left behind, and what was answered arrives. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Load } from '../support/load.ts';
import { isListening, isSegmentHeld, segmentOf } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { runScript, startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, PROCESS, SUBJECTS } from '../support/subjects.ts';

const PID_FILE = 'server.pid';
const EADDRINUSE = 98;
const EACCES = 13;
const FIRST_FREE_PORT = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));

function start(mode: number, workerNum: number): Promise<TestServer> {
  return startServer({
    mode,
    settings: {
      worker_num: workerNum,
      open_length_check: true,
      pid_file: PID_FILE,
      // Nobody may wait for a period of it.
      heartbeat_check_interval: 30,
      heartbeat_idle_time: 60,
    },
    setup: ({ server, report, control }) => {
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      server.on('workerStop', (_, id) => report('workerStop', { id }));
      server.on('managerStart', () => report('managerStart'));
      server.on('managerStop', () => report('managerStop'));
      server.on('beforeShutdown', () => report('beforeShutdown'));
      server.on('shutdown', () => {
        report('shutdown', { requests: server.stats().request_count });
      });
      control();
    },
  });
}

const WAYS: { name: string; end(server: TestServer): Promise<void> }[] = [
  {
    name: 'SIGTERM to the first process',
    end: async (server) => server.kill('SIGTERM'),
  },
  {
    name: 'SIGTERM to the manager',
    end: async (server) => {
      process.kill(server.events('managerStart')[0]?.pid ?? server.pid, 'SIGTERM');
    },
  },
  {
    name: 'shutdown() in a worker',
    end: async (server) => {
      const remote = await Remote.connect(server);
      void remote.run(({ server }) => server.shutdown()).catch(() => {});
    },
  },
];

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(name, { concurrency: false }, () => {
    for (const way of WAYS) {
      test(`${way.name} under load leaves nothing`, async (t) => {
        const sharedBefore = readdirSync('/dev/shm');
        await using server = await start(mode, workerNum);
        const { directory, port } = server;
        const segment = segmentOf(server.pid)!;
        assert.ok(isListening(port) && isSegmentHeld(segment));
        assert.equal(readFileSync(join(directory, PID_FILE), 'utf8').trim(), `${server.pid}`);
        using idle = await Client.connect(port);
        using load = await Load.connect({ port, connections: 50, depth: 4 });
        load.start();
        await load.progress(500);
        const begun = performance.now();
        await way.end(server);
        assert.deepEqual(await server.exited(), { code: 0, signal: null });
        t.diagnostic(`ended after ${(performance.now() - begun).toFixed(0)} ms`);
        await idle.readAll();
        await server.until(() => load.asking.every((each) => each.over), 'the end of all connections');
        assert.deepEqual(
          load.wrongs.filter((wrong) => !/was ended|was closed|ECONNRESET|EPIPE/.test(wrong)),
          [],
        );
        assert.equal(existsSync(join(directory, PID_FILE)), false);
        await server.assertGone();
        assert.equal(isListening(port), false);
        assert.equal(isSegmentHeld(segment), false);
        assert.deepEqual(readdirSync('/dev/shm'), sharedBefore);
        assert.equal(server.events('$end')[0].result, true);
        assert.equal(server.events('beforeShutdown').length, 1);
        assert.equal(server.events('shutdown').length, 1);
        assert.equal(server.events('workerStop').length, workerNum);
        assert.doesNotMatch(server.output, /ended abnormally|ended before|did not end/);
      });
    }

    test('every request that was handled is answered before the end', async () => {
      await using server = await start(mode, workerNum);
      using load = await Load.connect({ port: server.port, connections: 40, depth: 64, length: () => 40 });
      load.start();
      await load.progress(2000);
      load.running = false;
      server.kill('SIGTERM');
      await server.until(() => load.asking.every((each) => each.over), 'the end of all connections');
      await server.exited();
      assert.equal(load.answered, server.events('shutdown')[0].requests);
    });

    test('what was received before the end is served', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, open_eof_split: true, package_eof: '\n' },
        setup: ({ server }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            for (const end = performance.now() + 5; performance.now() < end; );
            server.send(fd, data);
          });
        },
      });
      using client = await Client.connect(server.port);
      const lines = Array.from({ length: 100 }, (_, i) => `line ${i}\n`).join('');
      await client.write(lines);
      const first = await client.readUntil('\n');
      server.kill('SIGTERM');
      assert.equal(`${first}${await client.readAll()}`, lines);
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.doesNotMatch(server.output, /WARNING|ERROR/);
    });

    test('a port in use makes start() resolve false and leaves nothing', async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => other.once('listening', resolve));
      const { port } = other.address() as { port: number };
      await using server = await startServer({
        mode,
        port,
        settings: { worker_num: workerNum },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
        waitUntilReady: false,
      });
      await server.exited();
      other.close();
      const [end] = server.events('$end');
      assert.deepEqual([end.result, end.error], [false, EADDRINUSE]);
      assert.match(server.output, new RegExp(`127\\.0\\.0\\.1:${port}.*${EADDRINUSE}`));
      await server.assertGone();
    });

    const reason = FIRST_FREE_PORT > 1 ? false : 'no port of this machine is privileged';
    test('a privileged port makes start() resolve false and leaves nothing', { skip: reason }, async () => {
      const server = await runScript(
        async ({ swoole, report, args }) => {
          if (process.getuid?.() === 0) {
            process.setgroups?.([65534]);
            process.setgid?.(65534);
            process.setuid?.(65534);
          }
          const server = new swoole.Server('127.0.0.1', 1, args.mode);
          server.set({ worker_num: args.workerNum });
          server.on('receive', () => {});
          report('end', { result: await server.start(), error: server.getLastError() });
        },
        { mode, workerNum },
      );
      const [end] = server.events('end');
      assert.deepEqual([end.result, end.error], [false, EACCES]);
      assert.match(server.output, /127\.0\.0\.1:1.*13/);
    });
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  test(`messages that nobody takes any more do not keep the first process in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: workerNum },
      setup: ({ server }) => {
        server.on('receive', () => {});
        server.on('pipeMessage', () => {});
        server.on('shutdown', (server) => {
          const message = Buffer.alloc(1024 * 1024);
          // More than a ring holds.
          for (let i = 0; i < 16; i++) server.sendMessage(message, 0);
        });
      },
    });
    await server.stop();
  });
}

test('a process that was the whole server is not kept by its workerStop', async () => {
  const run = await runScript(async ({ swoole: { Server }, report }) => {
    const server = new Server('127.0.0.1', 0);
    server.set({ max_wait_time: 3600 });
    server.on('receive', () => {});
    server.on('workerStop', async () => {
      await new Promise((resolve) => setImmediate(resolve));
      report('stopped');
    });
    server.on('start', () => {
      server.shutdown();
    });
    await server.start();
    report('ended', { timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout') });
    process.exit();
  });
  assert.equal(run.events('stopped').length, 1);
  assert.deepEqual(run.events('ended')[0]?.timers, []);
});

test('a manager that hangs does not keep the server from its end', async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 2, max_wait_time: 1 },
    setup: ({ server, report }) => {
      server.on('receive', () => {});
      server.on('managerStart', () => {
        report('hangs');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });
    },
  });
  await server.waitFor('hangs');
  process.kill(server.pid, 'SIGTERM');
  assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
  assert.match(server.output, /the manager did not end/);
  await server.assertGone();
});

test('a server that ends before its manager could be started again leaves the descriptors of others alone', async () => {
  const run = await runScript(async ({ swoole: { Server, SWOOLE_PROCESS }, report }) => {
    const { openSync, readFileSync } = await import('node:fs');
    const { setTimeout: delay } = await import('node:timers/promises');
    const server = new Server('127.0.0.1', 0, SWOOLE_PROCESS);
    server.set({ worker_num: 2, log_file: 'log' });
    server.on('receive', () => {});
    server.on('start', async (server) => {
      process.execPath = '/nothing';
      process.kill(server.getManagerPid(), 'SIGKILL');
      while (!readFileSync('log', 'utf8').includes('cannot start the manager')) await delay(1);
      server.shutdown();
    });
    await server.start();
    const names = Array.from({ length: 50 }, (_, i) => `file ${i}`);
    for (const name of names) openSync(name, 'w');
    // Longer than the pause before the next start.
    await delay(1000);
    report('written', { files: names.filter((name) => readFileSync(name).length > 0) });
    process.exit();
  });
  assert.deepEqual(run.events('written')[0]?.files, []);
});

test('shutdown() in workerError of the last worker in SWOOLE_BASE ends the server once', async () => {
  await using server = await startServer({
    mode: SWOOLE_BASE,
    settings: { worker_num: 1, max_request: 1000 },
    setup: ({ server, report }) => {
      server.on('receive', () => {});
      server.on('workerError', (server) => {
        server.shutdown();
      });
      server.on('managerStop', () => report('managerStop'));
    },
  });
  process.kill(server.events('$worker')[0].pid, 'SIGKILL');
  assert.deepEqual(await server.exited(), { code: 0, signal: null });
  assert.equal(server.events('managerStop').length, 1);
  assert.equal(server.events('$end')[0].result, true);
});

test('a second process that is started while one runs does not disturb it', async () => {
  await using first = await start(PROCESS.mode, PROCESS.workerNum);
  using client = await Client.connect(first.port);
  for (const mode of [SWOOLE_PROCESS, SWOOLE_BASE]) {
    await using second = await startServer({
      mode,
      port: first.port,
      settings: { worker_num: 2 },
      setup: ({ server }) => {
        server.on('receive', () => {});
      },
      waitUntilReady: false,
    });
    await second.exited();
    assert.equal(second.events('$end')[0].result, false);
  }
  const bytes = Buffer.from([0, 0, 0, 1, 9]);
  await client.write(bytes);
  assert.deepEqual(await client.read(5), bytes);
});

test('a process that was the whole server lives on after an end in the middle of files', async () => {
  const server = await startServer({
    mode: ALONE.mode,
    settings: { worker_num: 1, max_wait_time: 1, reload_async: false, enable_coroutine: false },
    setup: async ({ server, report, args }) => {
      const { truncateSync, writeFileSync } = await import('node:fs');
      writeFileSync('file', '');
      truncateSync('file', 2 ** 30);
      server.on('receive', () => {});
      const fds: number[] = [];
      server.on('connect', (server, fd) => {
        // More than all of them get in one turn.
        if (fds.push(fd) < args) return;
        for (const each of fds) server.sendfile(each, 'file');
        server.shutdown();
      });
      process.on('exit', () => report('exit'));
    },
    args: 32,
  });
  const clients: Client[] = [];
  for (let i = 0; i < 32; i++) {
    const client = await Client.connect(server.port);
    client.stopReading();
    clients.push(client);
  }
  const exit = await server.exited();
  for (const client of clients) client.destroy();
  assert.deepEqual(exit, { code: 0, signal: null }, server.output);
  assert.deepEqual([server.events('$end')[0]?.result, server.events('exit').length], [true, 1]);
  await server.assertGone();
});
