import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TswooleError } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { isAlive } from '../support/process-info.ts';
import { runScript, startServer } from '../support/server.ts';
import { ALL_SUBJECTS, SUBJECTS } from '../support/subjects.ts';

async function occupied(): Promise<{ port: number; server: NetServer }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as { port: number }).port };
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`start in ${name}`, () => {
    test('resolves false when the port is busy, names address and reason, and leaves nothing running', async () => {
      const { server: other, port } = await occupied();
      try {
        await using server = await startServer({
          ...{ mode, port, settings: { worker_num: workerNum }, waitUntilReady: false },
          setup: ({ server, report }) => {
            report('made', { port: server.port });
            server.on('receive', () => {});
            server.on('start', () => report('started'));
            server.on('workerStart', () => report('started'));
          },
        });
        assert.deepEqual(await server.exited(), { code: 1, signal: null });
        const end = server.events('$end')[0];
        assert.deepEqual([end.result, end.error], [false, 98]);
        assert.deepEqual(server.events('started'), []);
        assert.match(server.output, new RegExp(`ERROR\\t.*127\\.0\\.0\\.1:${port}: address already in use`));
        await server.assertGone();
      } finally {
        other.close();
      }
    });

    test('does nothing any more once the server has ended, and says so', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: workerNum, task_worker_num: workerNum === 1 ? 0 : 1 } },
        setup: ({ server, swoole, report }) => {
          const packets = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          if (packets !== false) packets.on('packet', () => {});
          server.on('receive', () => {});
          server.on('task', () => {});
          server.on('pipeMessage', () => {});
          server.addCommand('hello', swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, () => 'null');
          const { start } = server;
          server.start = async () => {
            const result = await start.call(server);
            let waited = false;
            setImmediate(() => {
              waited = true;
            });
            report('after', {
              answers: [
                server.send(1, 'x'),
                server.sendto('127.0.0.1', 9, 'x'),
                server.sendfile(1, process.execPath),
                await server.sendwait(1, 'x'),
                server.close(1),
                server.task('x'),
                await server.taskwait('x', 0.01),
                server.sendMessage('x', 0),
                await server.command('hello', 0, swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, null),
                server.reload(),
                server.shutdown(),
              ],
              sockets: server.ports.map((port) => port.sock),
              counted: typeof server.stats() === 'object',
              waited,
            });
            return result;
          };
        },
      });
      process.kill(server.pid, 'SIGTERM');
      await server.exited();
      const { answers, sockets, counted, waited } = server.events('after')[0];
      assert.deepEqual(answers, new Array(11).fill(false));
      assert.deepEqual(sockets, [-1, -1]);
      assert.equal(counted, true, 'what was counted can still be read');
      assert.equal(waited, false, 'an answer waits for something');
      for (const method of ['send', 'sendto', 'sendfile', 'sendwait', 'close', 'task', 'sendMessage', 'command'])
        assert.match(server.output, new RegExp(`WARNING\\t${method}\\(\\): the server is not running`));
    });

    test('listens on IPv6, where the client has an IPv6 address', async (t) => {
      const probe = await new Promise<boolean>((resolve) => {
        const server = createServer();
        server.once('error', () => resolve(false));
        server.listen(0, '::1', () => server.close(() => resolve(true)));
      });
      if (!probe) return t.skip('this machine has no IPv6');
      await using server = await startServer({
        ...{ mode, host: '::1', type: 3, settings: { worker_num: workerNum } },
        setup: ({ server, report }) => {
          report('made', { port: server.port, type: server.type, host: server.host });
          server.on('receive', (server, fd, _reactorId, data) => {
            const info = server.getClientInfo(fd);
            if (info !== false) report('info', { ip: info.remote_ip, type: info.socket_type, port: info.remote_port });
            server.send(fd, data);
          });
        },
      });
      const { type, host } = server.events('made')[0];
      assert.deepEqual([type, host], [3, '::1']);
      using client = await Client.connect(server.port, { host: '::1' });
      assert.equal(await client.echo('six'), 'six');
      const { ip, type: socketType, port } = await server.waitFor('info');
      assert.deepEqual([ip, socketType, port], ['::1', 3, client.localPort]);
    });

    test('a second start answers false and disturbs nothing', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: workerNum } },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
          server.on('start', async (server) => {
            report('second', { result: await server.start() });
          });
        },
      });
      assert.equal((await server.waitFor('second')).result, false);
      assert.match(server.output, /WARNING\t.*start/);
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('still here'), 'still here');
    });

    test('resolves true after shutdown(), and cannot be repeated', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: workerNum } },
        setup: ({ server, report }) => {
          server.on('receive', (server, _fd) => {
            report('asked', { results: [server.shutdown(), server.shutdown()] });
          });
          server.on('shutdown', (server) => {
            report('shutdown', { again: server.shutdown(), error: server.getLastError() });
          });
        },
      });
      using client = await Client.connect(server.port);
      await client.write('end');
      assert.deepEqual(await server.exited(), { code: 0, signal: null });
      assert.deepEqual(server.events('asked')[0].results, [true, true]);
      assert.equal(server.events('$end')[0].result, true);
      await server.assertGone();
    });

    test('has an end: a server that was shut down cannot start again, but another one can be made', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          server.set({ worker_num: args.workerNum });
          server.on('receive', () => {});
          server.on('start', () => {
            server.shutdown();
          });
          report('first', { result: await server.start() });
          report('again', { result: await server.start() });
          const other = new swoole.Server('127.0.0.1', 0, args.mode);
          report('other', { port: other.port });
        },
        { mode, workerNum },
      );
      assert.equal(run.events('first').at(-1)?.result, true);
      assert.equal(run.events('again')[0].result, false);
      assert.ok(run.events('other')[0].port > 0);
      assert.deepEqual(run.exit, { code: 0, signal: null });
    });

    test('servers one after the other each run their own callbacks, in every process', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const { connect, createServer } = await import('node:net');
          const answers: boolean[] = [];
          const serve = (name: string, port = 0, workerNum = args.workerNum): Promise<boolean> => {
            const server = new swoole.Server('127.0.0.1', port, args.mode);
            server.set({ worker_num: workerNum });
            const further = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
            server.on('receive', (server, fd, _reactorId, data) => {
              report('receive', { name, data: data.toString(), answers });
              server.send(fd, 'taken');
            });
            server.on('start', () => {
              if (further === false) throw new Error('no port');
              connect(further.port, '127.0.0.1')
                .end('hello')
                .once('data', () => server.shutdown());
            });
            return server.start();
          };
          // Taken in the first process only, so that the first attempt fails there.
          const taken = createServer().listen(0, '127.0.0.1');
          await new Promise((resolve) => taken.once('listening', resolve));
          answers.push(await serve('fails', (taken.address() as { port: number }).port));
          taken.close();
          answers.push(await serve('first'));
          answers.push(await serve('second', 0, args.workerNum + 1));
          report('end', { answers });
        },
        { mode, workerNum },
      );
      assert.deepEqual(
        run.events('receive').map(({ name, data, answers }) => [name, data, answers]),
        [
          ['first', 'hello', [false]],
          ['second', 'hello', [false, true]],
        ],
        run.output,
      );
      assert.deepEqual(run.events('end')[0].answers, [false, true, true]);
      assert.equal(run.events('end').length, 1);
      assert.deepEqual(run.exit, { code: 0, signal: null });
    });

    test('start() of the server before a daemon answers in every process of the daemon what it has answered', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          for (const name of ['first', 'second']) {
            const server = new swoole.Server('127.0.0.1', 0, args.mode);
            server.set({ worker_num: args.workerNum, daemonize: name === 'second' });
            server.on('receive', () => {});
            let ready = 0;
            server.on('pipeMessage', () => {
              if (++ready === args.workerNum) server.shutdown();
            });
            server.on('workerStart', (server, id) => {
              report('worker', { name });
              if (id !== 0) server.sendMessage('ready', 0);
              else if (++ready === args.workerNum) setImmediate(() => server.shutdown());
            });
            report('answer', { name, result: await server.start() });
          }
        },
        { mode, workerNum },
      );
      assert.equal(run.events('worker').filter(({ name }) => name === 'second').length, workerNum);
      const answers = run.events('answer').filter(({ name }) => name === 'first');
      // Where the daemon is one process: from the one that was started, and from the daemon.
      assert.ok(answers.length >= 2, `${answers.length}`);
      assert.ok(
        answers.every(({ result }) => result === true),
        JSON.stringify(answers),
      );
      assert.equal(run.events('answer').at(-1)!.name, 'second');
    });

    test('servers one after the other each have user processes of their own', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          for (const name of ['first', 'second']) {
            const server = new swoole.Server('127.0.0.1', 0, args.mode);
            server.set({ worker_num: args.workerNum });
            server.on('receive', () => {});
            server.on('pipeMessage', () => {});
            server.addProcess(
              new swoole.Process(() => {
                report('user', { name });
                server.shutdown();
                return new Promise((resolve) => setTimeout(resolve, 2 ** 30));
              }),
            );
            report('end', { name, result: await server.start() });
          }
        },
        { mode, workerNum },
      );
      const users = run.events('user').map(({ name }) => name);
      assert.deepEqual(users, ['first', 'second'], run.output);
      const { name, result } = run.events('end').at(-1)!;
      assert.deepEqual([name, result], ['second', true]);
    });

    test('on "::" clients of IPv4 are served too', async (t) => {
      await using server = await startServer({
        ...{ mode, host: '::', type: 3, settings: { worker_num: workerNum }, waitUntilReady: false },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd) => {
            const info = server.getClientInfo(fd);
            report('info', { ip: info === false ? '' : info.remote_ip });
            server.send(fd, 'served');
          });
        },
      });
      if (
        await server.until(() => server.events('$end').length > 0 || server.events('$start').length > 0, 'a result')
      ) {
        if (server.events('$end')[0]?.result === false) return t.skip('this machine has no IPv6');
      }
      await server.ready();
      using client = await Client.connect(server.port, { host: '127.0.0.1' });
      await client.write('x');
      assert.equal((await client.read(6)).toString(), 'served');
      assert.match((await server.waitFor('info')).ip, /127\.0\.0\.1$/);
    });

    test('set, on and listen do nothing any more once it runs', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: workerNum } },
        setup: ({ server, report, swoole }) => {
          const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          server.on('receive', (server) => {
            if (port === false) return;
            report('late', {
              set: server.set({ worker_num: 5 }),
              on: server.on('receive', () => {}),
              listen: server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP),
              listenError: server.getLastError(),
              portSet: port.set({ backlog: 5 }),
              portOn: port.on('receive', () => {}),
              count: server.ports.length,
              workers: server.setting.worker_num,
            });
          });
        },
      });
      using client = await Client.connect(server.port);
      await client.write('x');
      const { pid: _, event: _event, ...late } = await server.waitFor('late');
      assert.deepEqual(late, {
        ...{ set: false, on: false, listen: false, listenError: 509, portSet: false, portOn: false },
        ...{ count: 2, workers: workerNum },
      });
      assert.match(server.output, /WARNING\tset\(\) has no effect after start/);
    });

    test('tells once of each setting that has no effect, however many processes there are', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, hook_flags: 1, http_compression: true, http_parse_post: false },
        setup: ({ server, swoole }) => {
          server.on('receive', (server, fd, _reactor, data) => server.send(fd, data));
          const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          if (port !== false) port.set({ open_http_protocol: true });
        },
      });
      using client = await Client.connect(server.port);
      await client.write('x');
      await client.read(1);
      const told = [...server.output.matchAll(/NOTICE\tThe setting "(\w+)" has no effect: /g)].map(([, key]) => key);
      assert.deepEqual(told.sort(), ['hook_flags', 'http_compression', 'open_http_protocol']);
    });
  });
}

for (const { name, mode } of SUBJECTS) {
  describe(`start in ${name}: mistakes`, () => {
    test('rejects without a receive callback, and can be tried again', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          server.set({ worker_num: 2 });
          try {
            await server.start();
          } catch (error) {
            report('threw', { code: (error as TswooleError).code, message: (error as Error).message });
          }
          report('on', { result: server.on('connect', () => {}) });
        },
        { mode },
      );
      assert.equal(run.events('threw')[0].code, 'ERR_CALLBACK_MISSING');
      assert.match(run.events('threw')[0].message, /server\.on\("receive"/);
      assert.equal(run.events('on')[0].result, true);
    });

    test('rejects without a receive callback for a further port, unless the server has one', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          server.set({ worker_num: 2 });
          server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          server.ports[1].on('receive', () => {});
          try {
            await server.start();
          } catch (error) {
            report('threw', { code: (error as TswooleError).code, message: (error as Error).message });
          }
        },
        { mode },
      );
      assert.equal(run.events('threw')[0].code, 'ERR_CALLBACK_MISSING');
    });

    test('rejects combinations of settings that cannot work', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          server.on('receive', () => {});
          server.set({ task_ipc_mode: 2, task_enable_coroutine: true });
          try {
            await server.start();
          } catch (error) {
            report('threw', { code: (error as TswooleError).code });
          }
        },
        { mode },
      );
      assert.equal(run.events('threw')[0].code, 'ERR_SETTING_VALUE');
    });

    test('a privileged port is refused to an ordinary user with EACCES and a hint', async (t) => {
      if (process.getuid?.() !== 0) return t.skip('only root can become an ordinary user');
      const run = await runScript(
        async ({ swoole, report, args }) => {
          process.setgid?.(65534);
          process.setuid?.(65534);
          const server = new swoole.Server('127.0.0.1', 81, args.mode);
          server.on('receive', () => {});
          report('end', { result: await server.start(), error: server.getLastError() });
        },
        { mode },
      );
      const { result, error } = run.events('end')[0];
      assert.deepEqual([result, error], [false, 13]);
      assert.match(run.output, /127\.0\.0\.1:81: permission denied.*CAP_NET_BIND_SERVICE/);
    });

    test('an address that no interface has makes start answer false', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('203.0.113.1', 0, args.mode);
          server.on('receive', () => {});
          report('end', { result: await server.start(), error: server.getLastError() });
        },
        { mode },
      );
      assert.deepEqual([run.events('end')[0].result, run.events('end')[0].error], [false, 99]);
      assert.match(run.output, /203\.0\.113\.1/);
    });

    test('a host that is no address is told as such', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          try {
            const server = new swoole.Server('not an address', 0, args.mode);
            server.on('receive', () => {});
            report('end', { result: await server.start(), error: server.getLastError() });
          } catch (error) {
            report('threw', { code: (error as TswooleError).code });
          }
        },
        { mode },
      );
      const told = run.events('threw')[0]?.code === 'ERR_ARGUMENT' || run.events('end')[0]?.result === false;
      assert.ok(told, JSON.stringify(run.events()));
      assert.deepEqual(run.exit, { code: run.events('end').length, signal: null });
    });

    test('the port is bound at once: nobody else gets it before start', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          report('made', { port: server.port, sock: server.ports[0].sock });
        },
        { mode },
      );
      assert.ok(run.events('made')[0].port > 0);
      // And nobody is connected before start, because nothing listens yet.
      const refused = await new Promise<boolean>((resolve) => {
        const socket = connect(run.events('made')[0].port, '127.0.0.1');
        socket.once('connect', () => resolve(false));
        socket.once('error', () => resolve(true));
      });
      assert.equal(refused, true);
    });
  });
}

for (const { name, mode } of SUBJECTS) {
  describe(`start in ${name} that never succeeds`, () => {
    test('gives up after a few attempts: start() is false, told once, and the program has failed', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: 2, task_worker_num: 1 }, waitUntilReady: false },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('task', () => null);
          server.on('workerStart', (server) => {
            if (server.taskworker) return;
            report('attempt');
            process.exit(3);
          });
        },
      });
      assert.deepEqual(await server.exited(), { code: 1, signal: null }, server.output);
      await server.assertGone();
      assert.deepEqual(
        server.events('$end').map(({ result, error }) => [result, error]),
        [[false, 9003]],
      );
      const errors = server.output.match(
        /ERROR\tthe server does not start: worker [01] has failed 5 times in a row.*/g,
      );
      assert.equal(errors?.length, 1, server.output);
      assert.ok(server.events('attempt').length <= 10, `${server.events('attempt').length} attempts`);
    });

    test('gives up when children do not come to start(), unless the program says how it ends', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const { existsSync, writeFileSync } = await import('node:fs');
          if (existsSync('begun')) throw new Error('a child that fails');
          writeFileSync('begun', '');
          const server = new swoole.Server('127.0.0.1', 0, args.mode);
          server.set({ worker_num: 2 });
          server.on('receive', () => {});
          report('end', { result: await server.start(), before: process.exitCode });
          process.exitCode = 7;
        },
        { mode },
      );
      const { result, before } = run.events('end')[0];
      assert.deepEqual([result, before, run.exit], [false, 1, { code: 7, signal: null }], run.output);
      assert.match(run.output, /ERROR\tthe server does not start: (the manager|worker \d) has failed 5 times/);
    });

    test('keeps the code that the program has set before', async () => {
      const { server: other, port } = await occupied();
      const run = await runScript(
        async ({ swoole, report, args }) => {
          process.exitCode = 0;
          const server = new swoole.Server('127.0.0.1', args.port, args.mode);
          server.on('receive', () => {});
          report('end', { result: await server.start() });
        },
        { mode, port },
      );
      other.close();
      assert.deepEqual([run.events('end')[0].result, run.exit], [false, { code: 0, signal: null }]);
    });

    test('is another matter once a worker has served: the pauses stay', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: 2 } },
        setup: async ({ server, report }) => {
          const { existsSync } = await import('node:fs');
          server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
          server.on('workerStart', (_, id) => {
            report('began', { id });
            if (existsSync('broken')) process.exit(1);
          });
        },
      });
      {
        using client = await Client.connect(server.port);
        assert.equal(await client.echo('served'), 'served');
      }
      const pids = server.events('began').map(({ pid }) => pid as number);
      writeFileSync(join(server.directory, 'broken'), '');
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await server.waitForOutput(/worker \d ended as soon as it had begun \(6 times in a row\)/);
      assert.doesNotMatch(server.output, /does not start/);
      rmSync(join(server.directory, 'broken'));
      await server.until(() => server.events('began').filter(({ pid }) => isAlive(pid)).length === 2, 'two workers');
    });
  });
}
