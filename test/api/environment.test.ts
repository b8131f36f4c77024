import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { runScript, startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, BASE, PROCESS } from '../support/subjects.ts';

function statusOf(pid: number, field: string): string {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${field}:`));
  return line!.slice(field.length + 1).trim();
}

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`the process and its surroundings in ${name}`, () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'tswoole-environment-'));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    test('timers of the script itself run in the first process only, as after a fork', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, swoole, report }) => {
          server.on('receive', () => {});
          swoole.Timer.after(10, () => report('fired'));
          swoole.Timer.after(50, () => report('fired'));
          server.on('workerStart', () => {
            swoole.Timer.after(100, () => report('late'));
          });
        },
      });
      await server.waitForCount('late', workerNum);
      const pids = new Set(server.events('fired').map(({ pid }) => pid));
      assert.deepEqual([...pids], [server.pid]);
    });

    test('pid_file holds the id of the first process, and is removed at the end', async () => {
      const file = join(folder, 'server.pid');
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum, pid_file: file },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('shutdown', async () => {
            const { existsSync } = await import('node:fs');
            report('shutdown', { exists: existsSync(server.setting.pid_file!) });
          });
        },
      });
      assert.equal(Number(readFileSync(file, 'utf8')), server.pid);
      await server.stop();
      assert.equal(server.events('shutdown')[0].exists, true);
      assert.equal(existsSync(file), false);
    });

    test('whoever finds the pid_file can end the server with a signal', async () => {
      const file = join(folder, 'server.pid');
      await using server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: { worker_num: workerNum, pid_file: file },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      // Without a pause between two looks.
      while (server.exit === null && !(existsSync(file) && readFileSync(file, 'utf8') !== ''))
        await new Promise((resolve) => setImmediate(resolve));
      process.kill(server.pid, 'SIGTERM');
      assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
      assert.equal(server.events('$end')[0].result, true);
      assert.equal(existsSync(file), false);
    });

    test('a pid_file that another server has written meanwhile is left alone', async () => {
      const file = join(folder, 'server.pid');
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum, pid_file: file },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      writeFileSync(file, '1');
      await server.stop();
      assert.equal(readFileSync(file, 'utf8'), '1');
    });

    test('stats_file holds what stats() tells, as lines or as JSON', async () => {
      for (const ending of ['', '.json']) {
        const file = join(folder, `stats${ending}`);
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, stats_file: file, stats_timer_interval: 10 },
          setup: ({ server }) => {
            server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
          },
        });
        using client = await Client.connect(server.port);
        await client.echo('x');
        const told = ending === '' ? /^request_count: 1$/m : /"request_count":1,/;
        await server.until(() => existsSync(file) && told.test(readFileSync(file, 'utf8')), 'the request in the file');
      }
    });

    test('a pid_file that cannot be written is told and does no harm', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, pid_file: join(folder, 'no', 'server.pid') },
        setup: ({ server }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
        },
      });
      assert.match(server.output, /WARNING\t.*pid_file/);
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('fine'), 'fine');
    });

    test('daemonize goes to the background, in a session of its own, with the same port', async () => {
      const pidFile = join(folder, 'server.pid');
      const logFile = join(folder, 'server.log');
      const server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: { worker_num: workerNum, daemonize: true, pid_file: pidFile, log_file: logFile },
        setup: ({ server, report }) => {
          report('made', { port: server.port });
          server.on('start', (server) => {
            console.log('printed by the daemon');
            report('start', { port: server.port, master: server.master_pid, cwd: process.cwd() });
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
        },
      });
      // The process that was started is done.
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      const start = await server.waitFor('start');
      const pid = Number(readFileSync(pidFile, 'utf8'));
      assert.notEqual(pid, server.pid);
      assert.equal(start.port, server.events('made')[0].port);
      assert.equal(start.cwd, '/');
      assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
      assert.equal(readlinkSync(`/proc/${pid}/fd/1`), logFile);
      // A leader of its own session: field 6 behind the name.
      const session = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[3];
      assert.equal(Number(session), pid);
      if (subject === PROCESS) assert.equal(start.master, pid);
      const client = await Client.connect(start.port);
      assert.equal(await client.echo('hello daemon'), 'hello daemon');
      client.destroy();
      process.kill(pid, 'SIGTERM');
      await server.waitFor('$end');
      await server.assertGone();
      assert.equal(existsSync(pidFile), false);
      assert.match(readFileSync(logFile, 'utf8'), /printed by the daemon/);
    });

    test('relative paths of a daemon mean where it was started', async () => {
      const server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: {
          worker_num: workerNum,
          daemonize: true,
          pid_file: 'own.pid',
          log_file: 'own.log',
          stats_file: 'own.json',
        },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('workerStart', () => report('worker'));
        },
      });
      await server.exited();
      await server.waitForCount('worker', workerNum);
      const all = ['own.json', 'own.log', 'own.pid'];
      await server.until(() => all.every((name) => existsSync(join(server.directory, name))), 'the files');
      process.kill(Number(readFileSync(join(server.directory, 'own.pid'), 'utf8')), 'SIGTERM');
      await server.waitFor('$end');
      assert.equal(existsSync(join(server.directory, 'own.pid')), false);
      await server.assertGone();
    });

    test('a daemon and its workers run the script where it was started, and are elsewhere afterwards', async () => {
      const server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: { worker_num: workerNum, daemonize: true, log_file: 'own.log', log_rotation: 2 },
        setup: ({ server, report }) => {
          report('script', { cwd: process.cwd() });
          server.on('receive', () => {});
          server.on('workerStart', (server, id) => {
            report('worker', { id, cwd: process.cwd(), master: server.master_pid, manager: server.manager_pid });
            console.log(`printed by worker ${id}`);
            throw new Error(`logged by worker ${id}`);
          });
        },
      });
      await server.exited();
      const workers = await server.waitForCount('worker', workerNum);
      const { master, manager } = workers[0];
      process.kill(subject === BASE ? manager : master, 'SIGTERM');
      await server.waitFor('$end');
      const logs = readdirSync(server.directory).filter((name) => name.startsWith('own.log'));
      assert.match(logs.join(), /^own\.log\.\d{8}$/);
      const log = readFileSync(join(server.directory, logs[0]), 'utf8');
      for (const { id } of workers) {
        assert.match(log, new RegExp(`^printed by worker ${id}$`, 'm'));
        assert.match(log, new RegExp(`ERROR\t.*logged by worker ${id}`));
      }
      for (const { cwd } of server.events('script')) assert.equal(cwd, server.directory);
      for (const { cwd } of workers) assert.equal(cwd, '/');
      await server.assertGone();
    });

    if (subject === PROCESS)
      test('a thread of a daemon that runs the script does so where it was started', async () => {
        const server = await startServer({
          ...{ mode, waitUntilReady: false },
          settings: { worker_num: workerNum, daemonize: true, log_file: 'own.log' },
          setup: ({ server, report }) => {
            const { isMainThread } = process.getBuiltinModule('node:worker_threads');
            report('script', { cwd: process.cwd(), thread: !isMainThread });
            server.set({ dispatch_func: () => (process.cwd() === '/' ? 0 : 99) });
            server.on('receive', (server, fd, _reactorId, data) => {
              server.send(fd, data);
            });
            server.on('start', (server) =>
              report('start', { cwd: process.cwd(), port: server.port, master: server.master_pid }),
            );
            server.on('managerStart', () => report('manager', { cwd: process.cwd() }));
          },
        });
        await server.exited();
        const { cwd, port, master } = await server.waitFor('start');
        const manager = await server.waitFor('manager');
        assert.deepEqual([cwd, manager.cwd], ['/', '/']);
        using client = await Client.connect(port);
        assert.equal(await client.echo('hello'), 'hello');
        const scripts = server.events('script');
        assert.ok(scripts.some(({ thread }) => thread));
        for (const script of scripts) assert.equal(script.cwd, server.directory);
        process.kill(master, 'SIGTERM');
        await server.waitFor('$end');
        await server.assertGone();
      });

    test('what a daemon prints follows its log when that is opened anew', async () => {
      const logFile = join(folder, 'server.log');
      const server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: { worker_num: workerNum, daemonize: true, pid_file: join(folder, 'server.pid'), log_file: logFile },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd) => {
            console.log('printed');
            server.send(fd, '.');
          });
          server.on('start', (server) => report('start', { port: server.port }));
        },
      });
      await server.exited();
      const { port } = await server.waitFor('start');
      await server.waitForCount('$worker', workerNum);
      renameSync(logFile, `${logFile}.1`);
      const pid = Number(readFileSync(join(folder, 'server.pid'), 'utf8'));
      process.kill(pid, 'SIGWINCH');
      await server.until(() => existsSync(logFile), 'the new log');
      const isNew = (): boolean => existsSync(logFile) && readFileSync(logFile, 'utf8').includes('printed');
      await server.until(async () => {
        using client = await Client.connect(port);
        await client.write('?');
        await client.read(1);
        return isNew();
      }, 'output in the new log');
      assert.equal(readlinkSync(`/proc/${pid}/fd/2`), logFile);
      process.kill(pid, 'SIGTERM');
      await server.waitFor('$end');
      await server.assertGone();
    });

    test('daemonize with a log file that cannot be opened is told, and runs without', async () => {
      const pidFile = join(folder, 'server.pid');
      const server = await startServer({
        ...{ mode, waitUntilReady: false },
        settings: { worker_num: workerNum, daemonize: true, pid_file: pidFile, log_file: join(folder, 'no', 'log') },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('workerStart', () => report('worker'));
        },
      });
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.match(server.output, /WARNING\t.*ENOENT/);
      await server.waitForCount('worker', workerNum);
      process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGTERM');
      await server.waitFor('$end');
      await server.assertGone();
    });

    test('daemonize with a busy port tells it before it leaves the terminal', async () => {
      await using other = await startServer({
        mode: BASE.mode,
        settings: { worker_num: 1 },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      const server = await startServer({
        ...{ mode, port: other.port, waitUntilReady: false },
        settings: { worker_num: workerNum, daemonize: true },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      await server.exited();
      await server.assertGone();
      assert.deepEqual(
        server.events('$end').map((event) => [event.result, event.error]),
        [[false, 98]],
      );
      assert.match(server.output, /address already in use/);
    });

    test('arguments and environment of the script are the same in every process', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        argv: ['--name', 'a value'],
        env: { OWN_VARIABLE: 'kept' },
        setup: ({ server, report }) => {
          report('script', { argv: process.argv.slice(2), variable: process.env.OWN_VARIABLE });
          server.on('receive', () => {});
        },
      });
      const runs = server.events('script');
      const count = subject === ALONE ? 1 : subject === BASE ? workerNum + 1 : workerNum + 2;
      assert.equal(runs.length, count);
      for (const { argv, variable } of runs) assert.deepEqual([argv, variable], [['--name', 'a value'], 'kept']);
    });

    test('open_cpu_affinity binds workers to processors', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, open_cpu_affinity: true },
        setup: ({ server }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
        },
      });
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('bound'), 'bound');
      for (const { pid } of server.events('$worker')) {
        if (subject !== ALONE) assert.match(statusOf(pid, 'Cpus_allowed_list'), /^\d+$/);
      }
    });
  });
}

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`user, group and processes in ${name}`, () => {
    const isRoot = process.getuid?.() === 0;

    async function ask(server: TestServer): Promise<string> {
      using client = await Client.connect(server.port);
      await client.write('?');
      return await client.readLine();
    }

    test('user and group apply to the workers, which still serve', { skip: !isRoot && 'needs root' }, async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, user: 'nobody', group: 'daemon' },
        setup: ({ server, report }) => {
          const who = (): object => ({
            uid: process.getuid?.(),
            gid: process.getgid?.(),
            groups: process.getgroups?.(),
          });
          server.on('start', () => report('who', { where: 'start', ...who() }));
          server.on('workerStart', (_server, id) => report('who', { where: `worker${id}`, ...who() }));
          server.on('receive', (server, fd) => {
            server.send(fd, 'served\n');
          });
        },
      });
      const nobody = Number(readFileSync('/etc/passwd', 'utf8').match(/^nobody:[^:]*:(\d+)/m)![1]);
      const daemon = Number(readFileSync('/etc/group', 'utf8').match(/^daemon:[^:]*:(\d+)/m)![1]);
      for (let id = 0; id < workerNum; id++) {
        const { uid, gid, groups } = await server.waitFor('who', (event) => event.where === `worker${id}`);
        assert.deepEqual([uid, gid, groups], [nobody, daemon, [daemon]]);
      }
      if (subject === PROCESS) assert.equal((await server.waitFor('who', (event) => event.where === 'start')).uid, 0);
      // One process alone is a worker; where there are more, the first is none.
      assert.equal(statusOf(server.pid, 'Uid').split('\t')[0], subject === ALONE ? String(nobody) : '0');
      assert.equal(await ask(server), 'served');
    });

    test('a pid_file that may not be removed at the end does no harm', { skip: !isRoot && 'needs root' }, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tswoole-pid-'));
      try {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, user: 'nobody', pid_file: join(folder, 'server.pid') },
          setup: ({ server }) => {
            server.on('receive', () => {});
          },
        });
        assert.equal(Number(readFileSync(join(folder, 'server.pid'), 'utf8')), server.pid);
        await server.stop();
        assert.equal(server.events('$end')[0].result, true);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });

    test('a user that does not exist is told and changes nothing', { skip: !isRoot && 'needs root' }, async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, user: 'nobody-of-this-name', group: 'nor-this' },
        setup: ({ server }) => {
          server.on('receive', (server, fd) => {
            server.send(fd, `${process.getuid?.()}\n`);
          });
        },
      });
      assert.equal(await ask(server), '0');
      assert.match(server.output, /WARNING\t.*nobody-of-this-name/);
      assert.match(server.output, /WARNING\t.*nor-this/);
    });

    test('a worker without privileges can still end the server', { skip: !isRoot && 'needs root' }, async () => {
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum, user: 'nobody' },
        setup: ({ server, report }) => {
          server.on('receive', (server) => report('shutdown', { result: server.shutdown() }));
        },
      });
      const client = await Client.connect(server.port);
      await client.write('end');
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.equal(server.events('shutdown')[0].result, true);
      await server.assertGone();
      client.destroy();
    });

    test('chroot changes the root of the workers', { skip: !isRoot && 'needs root' }, async () => {
      const root = mkdtempSync(join(tmpdir(), 'tswoole-root-'));
      try {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, chroot: root },
          setup: ({ server }) => {
            server.on('receive', (server, fd) => {
              server.send(fd, `${process.cwd()}\n`);
            });
          },
        });
        assert.equal(await ask(server), '/');
        const { pid } = server.events('$worker')[0];
        assert.equal(statSync(`/proc/${pid}/root`).ino, statSync(root).ino);
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
    });
  });
}

describe('enable_reuse_port in SWOOLE_BASE', () => {
  test('each worker listens for itself, and all of them serve', async () => {
    await using server = await startServer({
      mode: BASE.mode,
      settings: { worker_num: 3, enable_reuse_port: true },
      setup: ({ server, report }) => {
        server.on('connect', (server, fd) => report('connect', { worker: server.worker_id, fd }));
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    const clients: Client[] = [];
    await server.until(async () => {
      const client = await Client.connect(server.port);
      assert.equal(await client.echo('x'), 'x');
      clients.push(client);
      return new Set(server.events('connect').map((event) => event.worker)).size === 3;
    }, 'a connection at every worker');
    assert.ok(clients.length < 200, `${clients.length} connections`);
    for (const client of clients) client.destroy();
  });

  test('the port stays held when nobody but the manager has it', async () => {
    await using server = await startServer({
      mode: BASE.mode,
      settings: { worker_num: 2, enable_reuse_port: true },
      setup: ({ server }) => {
        server.on('receive', (server, fd) => {
          server.send(fd, '.');
          process.exit(3);
        });
      },
    });
    for (let i = 0; i < 3; i++) {
      using client = await Client.connect(server.port);
      await client.write('x');
      assert.equal((await client.readAll()).length <= 1, true);
      await server.waitForCount('$worker', 3 + i);
    }
  });
});

test('servers that cannot start leave no descriptor behind', async () => {
  const run = await runScript(async ({ swoole, report }) => {
    const { readdirSync } = await import('node:fs');
    const { createServer } = await import('node:net');
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const counts: number[] = [];
    for (let i = 0; i < 4; i++) {
      const server = new swoole.Server('127.0.0.1', (taken.address() as { port: number }).port);
      server.set({ log_file: 'log' });
      server.on('receive', () => {});
      if (await server.start()) throw new Error('it must not start');
      counts.push(readdirSync('/proc/self/fd').length);
    }
    taken.close();
    report('descriptors', { counts });
  });
  const [{ counts }] = run.events('descriptors');
  // What is made once is there after the first one.
  assert.equal(counts[3], counts[0], `${counts}`);
});

test('a process that was the whole server writes no stats_file any more', async () => {
  const run = await runScript(async ({ swoole: { Server, SWOOLE_BASE }, report }) => {
    const { existsSync, rmSync } = await import('node:fs');
    const server = new Server('127.0.0.1', 0, SWOOLE_BASE);
    server.set({ stats_file: 'stats', stats_timer_interval: 10 });
    server.on('receive', () => {});
    server.on('workerStart', () => setTimeout(() => server.shutdown(), 20));
    const result = await server.start();
    rmSync('stats');
    await new Promise((resolve) => setTimeout(resolve, 200));
    report('end', { result, again: existsSync('stats') });
  });
  assert.deepEqual(
    run.events('end').map(({ result, again }) => [result, again]),
    [[true, false]],
    run.output,
  );
});
