/** How user processes end and come back, and what that costs everybody else: nothing. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { ServerSettings } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Orders } from '../support/orders.ts';
import { descriptorCount, isAlive } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { type Event, runScript, startServer, type TestServer } from '../support/server.ts';
import { PROCESS, SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { userPid } from '../support/users.ts';

const SIGKILL = 9;

interface StartOptions {
  settings?: ServerSettings;
  /** What each user process does, as the setup knows it by name. */
  behaviours: string[];
  argv?: string[];
  waitUntilReady?: boolean;
}

/** A worker (id 0), a task worker (id 1), and user processes from id 2. */
function startUsers(mode: number, { settings, behaviours, ...rest }: StartOptions): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: 1, task_worker_num: 1, ...settings },
    args: { behaviours },
    ...rest,
    setup: ({ server, swoole, report, args, control, takeOrders }) => {
      const known: Record<string, () => unknown> = {
        idle: () => {
          setInterval(() => {}, 60_000);
        },
        waits: () => new Promise((resolve) => setTimeout(resolve, 60_000)),
        returns: () => {},
        resolves: async () => {
          await new Promise((resolve) => setTimeout(resolve, 1));
        },
        exits3: () => process.exit(3),
        throws: () => {
          throw new Error('thrown on purpose');
        },
        rejects: async () => {
          await null;
          throw new Error('rejected on purpose');
        },
        throwsLater: () => {
          setTimeout(() => {
            throw new Error('thrown later on purpose');
          }, 1);
        },
        handlesTerm: () => {
          const timer = setInterval(() => {}, 60_000);
          process.on('SIGTERM', async () => {
            report('term');
            await new Promise((resolve) => setTimeout(resolve, 300));
            report('done');
            clearInterval(timer);
          });
        },
        ignoresTerm: () => {
          setInterval(() => {}, 60_000);
          process.on('SIGTERM', () => report('ignored'));
        },
      };
      const processes = args.behaviours.map(
        (name) =>
          new swoole.Process((self) => {
            report('user', { id: self.id });
            return known[name]();
          }),
      );
      for (const each of processes) server.addProcess(each);
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      server.on('task', (_server, _id, _from, data) => data);
      server.on('finish', () => {});
      server.on('workerError', (_, id, pid, code, signal) =>
        report('workerError', { id, workerPid: pid, code, signal }),
      );
      server.on('managerStart', () => report('managerStart'));
      server.on('afterReload', () => report('afterReload'));
      control();
      takeOrders(...processes);
    },
  });
}

for (const { name, mode } of SUBJECTS) {
  describe(`the life of a user process in ${name}`, { concurrency: false }, () => {
    it('begins again whenever it ends, later each time, and is an error only when it fails', async () => {
      const behaviours = ['returns', 'resolves', 'exits3', 'throws', 'rejects', 'throwsLater'];
      await using server = await startUsers(mode, { behaviours });
      const codes = [0, 0, 3, 255, 255, 1];
      for (const [index, code] of codes.entries()) {
        const id = index + 2;
        const starts = await server.until(() => {
          const found = server.events('user').filter((event) => event.id === id);
          return found.length >= 3 && found;
        }, `three lives of ${behaviours[index]}`);
        const errors = (): Event[] => server.events('workerError').filter((event) => event.id === id);
        if (code === 0) assert.deepEqual(errors(), [], behaviours[index]);
        else {
          await server.until(() => errors().length >= 2, `errors of ${behaviours[index]}`);
          for (const [n, error] of errors().slice(0, 2).entries())
            assert.deepEqual([error.workerPid, error.code, error.signal], [starts[n].pid, code, 0], behaviours[index]);
        }
        for (const [times, ms] of [
          [1, 100],
          [2, 200],
          [3, 400],
        ])
          await server.waitForOutput(
            new RegExp(`user process ${id} ended as soon.*\\(${times} times in a row\\).* in ${ms} ms`),
          );
      }
      for (const text of ['thrown', 'rejected', 'thrown later'])
        assert.match(server.output, new RegExp(`Error: ${text} on purpose`));
      assert.doesNotMatch(server.output, /unsettled|exit code 13/);
    });

    it('costs nobody a descriptor, however often it is killed', async () => {
      const USERS = 6;
      const ROUNDS = 5;
      await using server = await startUsers(mode, { behaviours: new Array(USERS).fill('idle') });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const ids = Array.from({ length: USERS }, (_, n) => n + 2);
      const pids = await Promise.all(ids.map((id) => userPid(server, id)));
      // Everybody has used the pipes, and knows all others.
      const use = async (): Promise<void> => {
        for (const id of [0, 1])
          await orders.run(id, ({ processes }) =>
            processes.map((each) => Number(each.exportSocket() !== false && each.pid)),
          );
        for (const id of ids) await orders.run(id, ({ server }) => server.sendMessage('hello', 0));
      };
      await use();
      const manager = await remote.run(({ server }) => server.getManagerPid());
      const watched = [
        ...new Set([
          server.pid,
          manager,
          await orders.run(0, () => process.pid),
          await orders.run(1, () => process.pid),
        ]),
      ];
      const before = watched.map(descriptorCount);
      for (let round = 0; round < ROUNDS; round++) {
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        await Promise.all(ids.map(async (id, n) => (pids[n] = await userPid(server, id, pids[n]))));
      }
      await use();
      await server.waitForCount('workerError', USERS * ROUNDS);
      assert.equal(server.events('workerError').filter(({ signal }) => signal !== SIGKILL).length, 0);
      await server.until(
        () => watched.every((pid, n) => descriptorCount(pid) <= before[n]),
        `as few descriptors as before: ${before} → ${watched.map(descriptorCount)}`,
      );
      const fresh = descriptorCount(pids[0]);
      assert.ok(fresh <= before[before.length - 1] + 4, `${fresh} in a new one, ${before} in others`);
    });

    it('is not touched by reloads under load, and ends at once with the server', async () => {
      await using server = await startUsers(mode, { behaviours: ['idle', 'waits'] });
      const pids = [await userPid(server, 2), await userPid(server, 3)];
      await server.waitForCount('$worker', 2);
      const client = await Client.connect(server.port);
      for (let round = 1; round <= 3; round++) {
        process.kill(server.pid, 'SIGUSR1');
        if (mode === PROCESS.mode) for (let n = 0; n < 50; n++) assert.equal(await client.echo(`${n}\n`), `${n}\n`);
        await server.waitForCount('afterReload', round);
        await server.waitForCount('$worker', 2 * (round + 1));
      }
      client.destroy();
      assert.ok(pids.every(isAlive));
      assert.equal(server.events('user').length, 2);
      await server.stop();
      assert.equal(server.events('workerError').length, 0, 'the end by SIGTERM at shutdown is no failure');
      assert.equal(server.events('user').length, 2);
    });

    it('gets time when it handles SIGTERM, and is killed when it never ends', async () => {
      await using server = await startUsers(mode, {
        behaviours: ['handlesTerm', 'ignoresTerm'],
        settings: { max_wait_time: 1 },
      });
      const pids = [await userPid(server, 2), await userPid(server, 3)];
      process.kill(server.pid, 'SIGTERM');
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.deepEqual(
        ['term', 'done', 'ignored'].map((event) => server.events(event).map(({ pid }) => pid)),
        [[pids[0]], [pids[0]], [pids[1]]],
      );
      assert.ok(!pids.some(isAlive));
      const [error, ...more] = server.events('workerError');
      assert.deepEqual([error?.id, error?.signal, more.length], [3, SIGKILL, 0]);
    });

    it('does not outlive a server that is killed', async () => {
      await using server = await startUsers(mode, { behaviours: ['idle', 'ignoresTerm'] });
      const pids = [await userPid(server, 2), await userPid(server, 3)];
      process.kill(server.pid, 'SIGKILL');
      await server.exited();
      await until(() => !pids.some(isAlive), 'the end of the user processes');
    });

    it('keeps no server alive that has ended', async () => {
      const run = await runScript(
        async ({ swoole: { Process, Server }, report, args }) => {
          const server = new Server('127.0.0.1', 0, args.mode);
          server.set({ worker_num: 1, log_level: 5 });
          let starts = 0;
          server.addProcess(new Process(() => report('user')));
          server.on('receive', () => {});
          server.on('workerStart', () => {
            setInterval(() => ++starts > 40 && server.shutdown(), 10);
          });
          await server.start();
          report('left', { value: process.getActiveResourcesInfo().filter((each) => each === 'Timeout') });
        },
        { mode },
      );
      assert.ok(run.events('user').length > 1);
      assert.deepEqual(run.events('left')[0].value, []);
    });

    it('survives a parent that closes its end, or writes before anybody reads', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, task_worker_num: 1 },
        setup: ({ server, swoole, report, control, takeOrders }) => {
          const users = [0, 1].map(
            () =>
              new swoole.Process(async (self) => {
                report('user', { id: self.id });
                for (;;) report('got', { id: self.id, text: String(await self.read()) });
              }),
          );
          for (const each of users) server.addProcess(each);
          server.on('managerStart', () => {
            const wrote = users[0].write('from the manager');
            report('closed', { value: [wrote, ...users.map((each) => each.close()), users[0].write('x')] });
          });
          server.on('start', () => {
            // In SWOOLE_BASE a worker, which has a descriptor of its own anyway.
            users[1].write('from the start');
            report('closed in start', { value: users[0].close() });
          });
          server.on('receive', () => {});
          server.on('task', () => {});
          control();
          takeOrders(...users);
        },
      });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      const [closed] = await server.waitForCount('closed', 1);
      assert.deepEqual(closed.value, [16, true, true, false]);
      for (const id of [2, 3]) {
        const pid = await userPid(server, id);
        process.kill(pid, 'SIGKILL');
        await userPid(server, id, pid);
      }
      // A new task worker, with descriptors from the manager.
      const task = await orders.run(1, () => process.pid);
      process.kill(task, 'SIGKILL');
      await server.until(
        () => server.events('$worker').some(({ id, pid }) => id === 1 && pid !== task),
        'a task worker',
      );
      await orders.run(1, ({ processes }) => processes.map((each, n) => each.write(`from a task worker to ${n}`)));
      for (const [id, text] of [
        [2, 'from the manager'],
        [3, 'from the start'],
        [2, 'from a task worker to 0'],
        [3, 'from a task worker to 1'],
      ])
        await server.waitFor('got', (event) => event.id === id && event.text === text);
    });

    it('is the same in every process, or the script is told so', async () => {
      for (const [kind, expected] of [
        ['missing', /ERROR\tthe number of user processes is 1 in this process, the server has 2: the script must/],
        ['added', /ERROR\tthe number of user processes is 3 in this process, the server has 2: the script must/],
        ['swapped', /ERROR\tuser process 0 is another one in this process, the server has that of its start; user p/],
      ] as const) {
        await using server = await startServer({
          mode,
          settings: { worker_num: 1 },
          args: { kind },
          waitUntilReady: false,
          setup: ({ server, swoole, report, args }) => {
            const one = new swoole.Process(() => report('one'));
            const two = new swoole.Process(() => report('two'), false, 1);
            const isChild = process.env.TEST_IS_CHILD !== undefined;
            process.env.TEST_IS_CHILD = 'yes';
            const added = { missing: [one], added: [one, two, new swoole.Process(() => {})], swapped: [two, one] };
            for (const each of isChild ? added[args.kind] : [one, two]) server.addProcess(each);
            server.on('receive', () => {});
          },
        });
        await server.waitForOutput(expected);
        await server.exited();
        assert.equal(server.events('one').length + server.events('two').length, 0);
        assert.equal(server.events('$end')[0]?.result, false, 'it gives up');
      }
    });

    it('lives in a daemon beside task workers, with a port for each worker', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'tswoole-daemon-'));
      const pidFile = join(directory, 'pid');
      let daemon = 0;
      try {
        const server = await startUsers(mode, {
          behaviours: ['idle', 'waits'],
          settings: { daemonize: true, pid_file: pidFile, log_file: join(directory, 'log'), enable_reuse_port: true },
          waitUntilReady: false,
        });
        assert.deepEqual(await server.exited(), { code: 0, signal: null });
        await server.waitForCount('$worker', 2);
        daemon = Number(readFileSync(pidFile, 'utf8'));
        {
          using remote = await Remote.connect(server);
          const orders = new Orders(server, remote);
          for (const id of [2, 3]) await userPid(server, id);
          assert.deepEqual(await orders.run(2, ({ processes }) => processes.map((each) => each.write('x'))), [1, 1]);
          const first = await userPid(server, 2);
          process.kill(first, 'SIGKILL');
          const second = await userPid(server, 2, first);
          assert.equal(await orders.run(1, ({ processes: [user] }) => user.pid), second);
          assert.equal(await orders.run(2, ({ server }) => server.task('x')), 0);
        }
        process.kill(daemon, 'SIGTERM');
        await until(() => !isAlive(daemon), 'the end of the daemon');
        await server.assertGone();
      } finally {
        if (daemon !== 0 && isAlive(daemon)) process.kill(daemon, 'SIGKILL');
        rmSync(directory, { recursive: true });
      }
    });

    const skip = process.getuid?.() === 0 ? false : 'needs root';
    it('reaches workers of another user, whose tasks wait in a message queue', { skip }, async () => {
      await using server = await startUsers(mode, {
        behaviours: ['idle'],
        settings: { user: 'nobody', task_ipc_mode: 2, worker_num: 2 },
      });
      using remote = await Remote.connect(server);
      const orders = new Orders(server, remote);
      await userPid(server, 3);
      assert.notEqual(await remote.run(() => process.getuid!()), 0);
      const answers = await remote.run(async ({ server }) => [await server.taskwait('x', 10), server.task('y')]);
      assert.deepEqual(answers, ['x', 1], server.output);
      for (const id of [remote.worker, 2])
        assert.equal(await orders.run(id, ({ processes: [user] }) => user.write('x')), 1);
      const texts = orders.run(3, async ({ processes: [user] }) => [
        String(await user.read()),
        String(await user.read()),
      ]);
      assert.deepEqual(await texts, ['x', 'x']);
      assert.equal(await orders.run(3, ({ processes: [user] }) => user.write('back')), 4);
      assert.equal(await orders.run(2, async ({ processes: [user] }) => String(await user.read())), 'back');
    });
  });
}

describe('a manager that is killed in SWOOLE_PROCESS', () => {
  it('takes user processes along, and the next one starts them again', async () => {
    await using server = await startUsers(PROCESS.mode, { behaviours: ['idle', 'ignoresTerm'] });
    const client = await Client.connect(server.port);
    assert.equal(await client.echo('before'), 'before');
    const pids = [await userPid(server, 2), await userPid(server, 3)];
    process.kill((await server.waitFor('managerStart')).pid, 'SIGKILL');
    const next = [await userPid(server, 2, pids[0]), await userPid(server, 3, pids[1])];
    assert.ok(!pids.some(isAlive));
    assert.equal(await client.echo('after'), 'after');
    using remote = await Remote.connect(server);
    const orders = new Orders(server, remote);
    assert.deepEqual(
      await orders.run(2, ({ server, processes }) => [
        [...server.connections].length,
        ...processes.map((each) => each.pid),
      ]),
      [2, ...next],
    );
    client.destroy();
  });
});

describe('a broadcast in SWOOLE_PROCESS', () => {
  it('loses no connection when its user process is killed again and again', async () => {
    const CLIENTS = 40;
    const KILLS = 5;
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, open_eof_split: true, package_eof: '\n' },
      setup: ({ server, swoole, report }) => {
        const user = new swoole.Process(async (self) => {
          report('user', { id: self.id });
          const socket = self.exportSocket();
          for (let n = 1; socket !== false; n++) {
            const message = await socket.recv();
            if (message === false) return;
            for (const fd of server.connections) server.send(fd, message);
            if (n % 20 === 0) report('broadcast', { n });
          }
        });
        server.addProcess(user);
        server.on('receive', (_server, _fd, _reactorId, data) => {
          const socket = user.exportSocket();
          // The pipe is full while nobody reads it: what comes then is not for this test.
          if (socket !== false) void socket.send(data, 0.2);
        });
        server.on('close', (_, fd) => report('close', { fd }));
        server.on('workerError', (_, id, pid, code, signal) =>
          report('workerError', { id, workerPid: pid, code, signal }),
        );
      },
    });
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => Client.connect(server.port)));
    let speaking = true;
    const speakers = clients.slice(0, 4).map(async (client, speaker) => {
      for (let n = 0; speaking; n++) {
        await client.write(`${speaker}:${n}:\n`);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    const heard = clients.map(async (client) => {
      const last = new Map<string, number>();
      for (;;) {
        const line = await client.readLine();
        if (line === 'end') return last;
        const [speaker, number] = line.split(':');
        assert.match(line, /^\d:\d+:$/, 'whole lines only');
        assert.ok(Number(number) > (last.get(speaker) ?? -1), 'in order, each once');
        last.set(speaker, Number(number));
      }
    });
    let pid = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      pid = await userPid(server, 2, pid);
      const own = pid;
      await server.waitFor('broadcast', (event) => event.pid === own);
      process.kill(pid, 'SIGKILL');
    }
    await userPid(server, 2, pid);
    await server.waitForCount('workerError', KILLS);
    speaking = false;
    await Promise.all(speakers);
    await clients[0].write('end\n');
    for (const last of await Promise.all(heard)) assert.equal(last.size, 4);
    assert.equal(server.events('close').length, 0);
    assert.equal(server.events('workerError').filter(({ signal }) => signal !== SIGKILL).length, 0);
    for (const client of clients) {
      assert.ok(!client.socket.destroyed);
      client.destroy();
    }
  });
});

describe('a worker with slow callbacks and much to do', () => {
  it('hears signals and timers between few of them', async () => {
    const PACKAGES = 300;
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, open_eof_split: true, package_eof: '\n' },
      setup: ({ server, report }) => {
        let received = 0;
        let atTimer = 0;
        let longest = 0;
        setInterval(() => {
          longest = Math.max(longest, received - atTimer);
          atTimer = received;
        }, 1).unref();
        server.on('receive', (_server, _fd, _reactorId, data) => {
          received++;
          report('receive', { number: Number(data), longest });
          if (Number(data) === 50) process.kill(process.pid, 'SIGTERM');
          const end = performance.now() + 5;
          while (performance.now() < end);
        });
      },
    });
    const client = await Client.connect(server.port);
    await client.write(Array.from({ length: PACKAGES }, (_, n) => `${n}\n`).join(''));
    const all = await server.waitForCount('receive', PACKAGES);
    assert.deepEqual(
      all.map(({ number }) => number),
      Array.from({ length: PACKAGES }, (_, n) => n),
    );
    const first = all.filter(({ pid }) => pid === all[0].pid);
    assert.ok(first.length > 50 && first.length <= 50 + 16, `the first worker took ${first.length} packages`);
    assert.ok(all[PACKAGES - 1].longest <= 16, `${all[PACKAGES - 1].longest} packages between two timers`);
    client.destroy();
  });
});
