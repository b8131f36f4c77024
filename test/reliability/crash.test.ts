/** What a killed process costs: the requests that it was handling, and nothing else. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Load } from '../support/load.ts';
import { descriptorCount, isAlive } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

const CONNECTIONS = 200;
const WORKERS = 2;
const PATIENCE_MS = 1500;
/** What workerStart may take: an empty one, a cache that is read, a database that is slow. */
const STARTS_MS = [0, 300, 2000];
const SIGKILL = 9;

function startEcho(mode: number, settings: ServerSettings = {}, delayMs = 0, startMs = 0): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: WORKERS, open_length_check: true, package_max_length: '8M', ...settings },
    args: { delayMs, startMs },
    setup: ({ server, report, args, control }) => {
      if (args.startMs > 0) server.on('workerStart', () => new Promise((resolve) => setTimeout(resolve, args.startMs)));
      server.on('receive', async (server, fd, _reactorId, data) => {
        if (args.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * args.delayMs));
        server.send(fd, data);
      });
      server.on('close', (_, fd) => report('close', { fd }));
      server.on('workerError', (_server, id, workerPid, code, signal) =>
        report('workerError', { id, workerPid, code, signal }),
      );
      server.on('managerStart', () => report('managerStart'));
      control();
    },
  });
}

/** The process that has a worker id now. */
function workerPid(server: TestServer, id: number): number {
  return server.events('$worker').findLast((event) => event.id === id)!.pid;
}

/** Also those that have ended and were not waited for. */
function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
}

/** From now on the process cannot open anything with a number above. */
function limitDescriptors(pid: number, limit: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);
}

/** Kills the manager while the master can start none. */
async function startNoManager(server: TestServer): Promise<void> {
  limitDescriptors(server.pid, 3);
  kill(server.events('managerStart').at(-1)!.pid);
  await server.until(() => server.output.split('cannot start the manager').length > 3, 'three attempts');
}

function kill(pid: number): number {
  process.kill(pid, 'SIGKILL');
  return performance.now();
}

/** How long until another process serves under this worker id. */
async function servedAgain(server: TestServer, id: number, killed: number, killedAt: number): Promise<number> {
  await server.until(() => workerPid(server, id) !== killed, `a new worker ${id}`, 10_000);
  return performance.now() - killedAt;
}

describe('kill -9', { concurrency: false }, () => {
  for (const startMs of STARTS_MS) {
    test(`of a worker costs at most the one request that it was handling, where a start takes ${startMs} ms`, async (t) => {
      await using server = await startEcho(SWOOLE_PROCESS, {}, 0, startMs);
      using load = await Load.connect({
        port: server.port,
        connections: CONNECTIONS,
        patienceMs: PATIENCE_MS + 2 * startMs,
      });
      load.start();
      const kills = startMs < 1000 ? 6 : 3;
      let slowest = 0;
      for (let i = 0; i < kills; i++) {
        await load.progress(5 * CONNECTIONS);
        const id = i % WORKERS;
        const pid = workerPid(server, id);
        const ms = await servedAgain(server, id, pid, kill(pid));
        slowest = Math.max(slowest, ms);
        const error = await server.waitFor('workerError', (event) => event.workerPid === pid);
        assert.deepEqual([error.id, error.code, error.signal], [id, 0, SIGKILL]);
      }
      await load.progress(5 * CONNECTIONS);
      await load.pause();
      assert.deepEqual(load.wrongs, []);
      assert.ok(load.lost <= kills, `${kills} kills: ${load.summary()}`);
      assert.equal(server.events('workerError').length, kills);
      assert.deepEqual(server.events('close'), []);
      t.diagnostic(`a new worker served after at most ${slowest.toFixed(0)} ms; ${load.summary()}`);
    });
  }

  test('of a worker whose answers come later costs at most those', async () => {
    await using server = await startEcho(SWOOLE_PROCESS, {}, 30);
    using load = await Load.connect({ port: server.port, connections: CONNECTIONS, patienceMs: PATIENCE_MS });
    load.start();
    for (let i = 0; i < 4; i++) {
      await load.progress(5 * CONNECTIONS);
      const pid = workerPid(server, i % WORKERS);
      await servedAgain(server, i % WORKERS, pid, kill(pid));
    }
    await load.progress(5 * CONNECTIONS);
    await load.pause();
    assert.deepEqual(load.wrongs, []);
    // One message of each connection can be under way.
    assert.ok(load.lost <= 4 * CONNECTIONS, load.summary());
  });

  test('of a worker in the middle of messages that travel in pieces loses whole messages only', async () => {
    await using server = await startEcho(SWOOLE_PROCESS, { buffer_output_size: '8M', socket_buffer_size: '64M' });
    const connections = 12;
    const length = (connection: number, sequence: number): number => 300_000 + ((connection + sequence) % 7) * 400_000;
    using load = await Load.connect({ port: server.port, connections, length, patienceMs: 4000 });
    load.start();
    for (let i = 0; i < 4; i++) {
      await load.progress(2 * connections);
      const pid = workerPid(server, i % WORKERS);
      await servedAgain(server, i % WORKERS, pid, kill(pid));
    }
    await load.progress(3 * connections, 30_000);
    await load.pause();
    assert.deepEqual(load.wrongs, []);
    // From each reactor one message may have begun to arrive, one was handled, and answers in pieces may have begun to leave.
    assert.ok(load.lost <= 4 * connections, load.summary());
  });

  test('of a worker in the middle of a message in pieces does not count it against max_queued_bytes for ever', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 1, open_length_check: true, package_max_length: '16M', max_queued_bytes: '64K' },
      setup: ({ server, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          if (data.toString().endsWith('block')) {
            report('blocks');
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
            report('goes on');
          }
          server.send(fd, data);
        });
      },
    });
    const framed = (body: Buffer): Buffer => {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(body.length);
      return Buffer.concat([header, body]);
    };
    const pid = workerPid(server, 0);
    using client = await Client.connect(server.port);
    using other = await Client.connect(server.port);
    await other.write(framed(Buffer.from('block')));
    await server.waitFor('blocks');
    // More than the ring takes: some of it waits in the reactor, which has time to get so far.
    await client.write(framed(Buffer.alloc(8 * 1024 * 1024)));
    await new Promise((resolve) => setTimeout(resolve, 300));
    process.kill(server.pid, 'SIGSTOP');
    await server.waitFor('goes on');
    await new Promise((resolve) => setTimeout(resolve, 300));
    kill(pid);
    process.kill(server.pid, 'SIGCONT');
    await server.until(() => workerPid(server, 0) !== pid, 'a new worker', 10_000);
    await client.write(framed(Buffer.from('still here')));
    assert.equal((await client.readUntil('still here')).toString('latin1', 4), 'still here');
  });

  test('of all workers again and again', async () => {
    await using server = await startEcho(SWOOLE_PROCESS);
    using load = await Load.connect({ port: server.port, connections: 50, patienceMs: PATIENCE_MS });
    load.start();
    for (let i = 0; i < 5; i++) {
      const pids = [workerPid(server, 0), workerPid(server, 1)];
      for (const pid of pids) kill(pid);
      await server.until(() => pids.every((pid, id) => workerPid(server, id) !== pid), 'two new workers', 10_000);
    }
    await load.progress(200);
    await load.pause();
    assert.deepEqual(load.wrongs, []);
    assert.ok(load.lost <= 10, load.summary());
    assert.deepEqual(server.events('close'), []);
  });

  test('of a stopping worker that still has work to do', async () => {
    await using server = await startEcho(SWOOLE_PROCESS, { max_wait_time: 10 }, 500);
    using load = await Load.connect({ port: server.port, connections: CONNECTIONS, patienceMs: PATIENCE_MS });
    load.start();
    await load.progress(CONNECTIONS);
    for (let i = 0; i < 3; i++) {
      const pids = [workerPid(server, 0), workerPid(server, 1)];
      server.kill('SIGUSR1');
      await server.until(() => pids.every((pid, id) => workerPid(server, id) !== pid), 'the replacements', 10_000);
      for (const pid of pids) if (isAlive(pid)) kill(pid);
      await load.progress(CONNECTIONS);
    }
    await load.pause();
    assert.deepEqual(load.wrongs, []);
    assert.deepEqual(server.events('close'), []);
  });

  test('of a worker in SWOOLE_BASE closes its own connections only, and frees their slots', async () => {
    await using server = await startEcho(SWOOLE_BASE);
    const remotes = await Remote.connectToAll(server, WORKERS);
    using load = await Load.connect({ port: server.port, connections: 50, patienceMs: PATIENCE_MS });
    load.start();
    await load.progress(500);
    const pid = workerPid(server, 0);
    await servedAgain(server, 0, pid, kill(pid));
    const error = await server.waitFor('workerError', (event) => event.workerPid === pid);
    assert.deepEqual([error.id, error.signal], [0, SIGKILL]);
    await load.progress(500);
    await load.pause();
    const left = load.asking.filter((each) => !each.over).length;
    const count = (): Promise<number> => remotes[1].run(({ server }) => server.stats().connection_num);
    await until(async () => (await count()) === left + 1, `${left + 1} connections`);
    for (const remote of remotes) remote.close();
  });

  // Between a connection and its count there are microseconds: here the worker itself sees to it that it dies in them.
  for (const { when, method } of [
    { when: 'accepts', method: 'nextSession' },
    { when: 'frees', method: 'closeSession' },
  ]) {
    test(`of a worker in SWOOLE_BASE while it ${when} a connection leaves the count of connections right`, async () => {
      await using server = await startServer({
        mode: SWOOLE_BASE,
        settings: { worker_num: WORKERS, max_connection: 20 },
        args: {
          method,
          segment: import.meta.resolve('../../src/shm/segment.ts'),
          table: import.meta.resolve('../../src/shm/connections.ts'),
        },
        setup: async ({ server, report, args, control }) => {
          const { Segment } = await import(args.segment);
          const { ConnectionTable } = await import(args.table);
          const { prototype } = args.method === 'nextSession' ? Segment : ConnectionTable;
          const original = prototype[args.method];
          server.on('receive', (server, fd, _reactorId, data) => {
            if (data.toString() === 'die') prototype[args.method] = () => process.kill(process.pid, 'SIGKILL');
            server.send(fd, data);
          });
          server.on('workerStart', () => {
            prototype[args.method] = original;
          });
          server.on('workerError', (_server, id) => report('workerError', { id }));
          control();
        },
      });
      for (let deaths = 1; deaths <= 3; deaths++) {
        using client = await Client.connect(server.port);
        assert.equal(await client.echo('die'), 'die');
        client.destroy();
        await server.until(async () => {
          using _newcomer = await Client.connect(server.port);
          return server.events('workerError').length === deaths;
        }, `${deaths} dead workers`);
      }
      await server.until(async () => {
        using remote = await Remote.connect(server);
        return (await remote.run(({ server }) => server.connections.count())) === 1;
      }, 'no connection but that which asks');
    });
  }

  for (const startMs of STARTS_MS) {
    test(`of the manager: the master starts a new one, and connections stay, where a start takes ${startMs} ms`, async (t) => {
      await using server = await startEcho(SWOOLE_PROCESS, {}, 0, startMs);
      using load = await Load.connect({
        port: server.port,
        connections: CONNECTIONS,
        patienceMs: PATIENCE_MS + 2 * startMs,
      });
      load.start();
      let slowest = 0;
      for (let i = 0; i < 3; i++) {
        await load.progress(5 * CONNECTIONS);
        const manager = server.events('managerStart').at(-1)!.pid;
        const workers = [workerPid(server, 0), workerPid(server, 1)];
        const at = kill(manager);
        await server.waitFor(
          'managerStart',
          (event) => event.pid !== manager && server.events('managerStart').length > i + 1,
        );
        for (const [id, pid] of workers.entries()) slowest = Math.max(slowest, await servedAgain(server, id, pid, at));
        assert.deepEqual(workers.filter(isAlive), [], 'the workers of the dead manager are gone');
      }
      await load.progress(5 * CONNECTIONS);
      await load.pause();
      assert.deepEqual(load.wrongs, []);
      assert.ok(load.lost <= 3 * WORKERS, load.summary());
      assert.deepEqual(server.events('close'), []);
      t.diagnostic(`workers served again after at most ${slowest.toFixed(0)} ms; ${load.summary()}`);
      server.kill('SIGUSR1');
      const before = workerPid(server, 0);
      await server.until(() => workerPid(server, 0) !== before, 'the new manager to reload');
    });
  }

  test('of the manager in the middle of a reload', async () => {
    await using server = await startEcho(SWOOLE_PROCESS, {}, 30);
    using load = await Load.connect({ port: server.port, connections: 50, patienceMs: PATIENCE_MS });
    load.start();
    for (let i = 0; i < 5; i++) {
      await load.progress(100);
      const manager = server.events('managerStart').at(-1)!.pid;
      server.kill('SIGUSR1');
      await new Promise((resolve) => setTimeout(resolve, i * 15));
      kill(manager);
      await server.until(() => server.events('managerStart').length > i + 1, 'a new manager');
    }
    await load.progress(500);
    await load.pause();
    assert.deepEqual(load.wrongs, []);
  });

  test('of the manager of a master that inherits orphans, as process 1 does, leaves no zombies', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: WORKERS, task_worker_num: 1 },
      args: { libc: new URL('../../src/sys/libc.ts', import.meta.url).href },
      setup: async ({ server, report, args }) => {
        const { prctl } = await import(args.libc);
        server.on('start', () => report('orphans', { result: prctl(36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0) }));
        server.on('managerStart', () => report('managerStart'));
        server.on('receive', () => {});
        server.on('task', () => {});
      },
    });
    assert.equal((await server.waitFor('orphans')).result, 0);
    for (let i = 1; i <= 3; i++) {
      kill(server.events('managerStart').at(-1)!.pid);
      await server.waitForCount('managerStart', i + 1);
      await server.waitForCount('$worker', (i + 1) * (WORKERS + 1));
    }
    // The children of the master: the manager.
    await server.until(() => childrenOf(server.pid).length === 1, 'the ends to be taken');
  });

  test('of the manager, and no other can start for a while: one comes back, and only one', async () => {
    await using server = await startEcho(SWOOLE_PROCESS);
    await startNoManager(server);
    limitDescriptors(server.pid, 4096);
    await server.waitForCount('managerStart', 2);
    await server.until(() => server.events('$worker').length >= 2 * WORKERS, 'new workers');
    using client = await Client.connect(server.port);
    const bytes = Buffer.from([0, 0, 0, 2, 7, 7]);
    await client.write(bytes);
    assert.deepEqual(await client.read(6), bytes);
    await server.stop();
    assert.equal(server.events('managerStart').length, 2);
    assert.equal(server.events('$worker').length, 2 * WORKERS);
    // One attempt is followed by one: the first line of these is of the kill.
    const count = (text: string): number => server.output.split(text).length - 1;
    assert.equal(count('the manager ended'), count('cannot start the manager') + 1);
  });

  test('of the manager, and no other can start: the server still ends', async () => {
    await using server = await startEcho(SWOOLE_PROCESS);
    await startNoManager(server);
    assert.match(server.output, /ERROR\tcannot start the manager: .*ulimit/);
    await server.stop();
  });

  test('of the manager in its own managerStart, again and again: the next ones come after pauses', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 1 },
      waitUntilReady: false,
      setup: ({ server }) => {
        server.on('receive', () => {});
        server.on('managerStart', () => process.exit(1));
      },
    });
    for (const ms of [200, 400, 800]) await server.waitForOutput(new RegExp(`it is started again in ${ms} ms`));
    await server.stop();
  });

  test('SIGUSR1 to the master while a new manager starts is a reload, not a debugger', async () => {
    await using server = await startEcho(SWOOLE_PROCESS);
    const manager = server.events('managerStart').at(-1)!.pid;
    kill(manager);
    for (let i = 0; i < 20; i++) {
      server.kill('SIGUSR1');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await server.until(() => server.events('managerStart').length > 1, 'a new manager');
    using client = await Client.connect(server.port);
    const bytes = Buffer.from([0, 0, 0, 2, 7, 7]);
    await client.write(bytes);
    assert.deepEqual(await client.read(6), bytes);
    assert.doesNotMatch(server.output, /Debugger|inspector/i);
  });

  for (const [name, mode] of [
    ['SWOOLE_PROCESS', SWOOLE_PROCESS],
    ['SWOOLE_BASE', SWOOLE_BASE],
  ] as const) {
    test(`of the first process in ${name} takes everybody with it`, async (t) => {
      await using server = await startEcho(mode);
      using load = await Load.connect({ port: server.port, connections: 50, patienceMs: PATIENCE_MS });
      load.start();
      await load.progress(500);
      const all = server.processes();
      const at = kill(server.pid);
      await until(() => all.every((pid) => !isAlive(pid)), 'the end of all processes', 10_000);
      await server.exited();
      t.diagnostic(`${all.length} processes were gone after ${(performance.now() - at).toFixed(0)} ms`);
    });
  }

  for (const [name, mode] of [
    ['SWOOLE_PROCESS', SWOOLE_PROCESS],
    ['SWOOLE_BASE', SWOOLE_BASE],
  ] as const) {
    test(`of the first process in ${name} takes those along that have not come to start() yet`, async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        waitUntilReady: false,
        setup: async ({ server, report }) => {
          const { existsSync, writeFileSync } = await import('node:fs');
          server.on('receive', () => {});
          const child = existsSync('begun');
          writeFileSync('begun', '');
          report('setup', { child });
          // As a script that first connects to a database does.
          if (child) await new Promise((resolve) => setTimeout(resolve, 60_000));
        },
      });
      await server.waitFor('setup', ({ child }) => child);
      server.kill('SIGKILL');
      await server.exited();
    });
  }

  test('of a worker leaks no descriptor and no map in the master', async () => {
    await using server = await startEcho(SWOOLE_PROCESS);
    const serve = async (): Promise<void> => {
      using load = await Load.connect({ port: server.port, connections: 20, patienceMs: PATIENCE_MS });
      load.start();
      await load.progress(100);
      await load.pause();
    };
    await serve();
    const before = descriptorCount(server.pid);
    for (let i = 0; i < 6; i++) {
      const pid = workerPid(server, i % WORKERS);
      await servedAgain(server, i % WORKERS, pid, kill(pid));
      await serve();
    }
    await server.until(() => descriptorCount(server.pid) <= before, `${before} descriptors`);
  });
});

for (const [name, mode] of Object.entries({ SWOOLE_PROCESS, SWOOLE_BASE })) {
  test(`a worker in ${name} that ends before it can serve, with or without an error, is not started again at once`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 3 },
      waitUntilReady: false,
      setup: ({ server }) => {
        server.on('receive', () => {});
        server.on('workerStart', (_, id) => {
          if (id > 0) process.exit(id - 1);
        });
      },
    });
    for (const id of [1, 2]) {
      const line = await server.waitForOutput(
        new RegExp(`worker ${id} ended as soon as it had begun \\(3 times in a row\\).* in (\\d+) ms`),
      );
      assert.equal(line[1], '400');
    }
    await server.stop();
  });
}
