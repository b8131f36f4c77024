import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ConnectionEvent, Task } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, BASE, PROCESS, SUBJECTS } from '../support/subjects.ts';

function names(server: TestServer, pid?: number): string[] {
  return server
    .events()
    .filter((event) => !event.event.startsWith('$') && (pid === undefined || event.pid === pid))
    .map((event) => event.event);
}

for (const subject of ALL_SUBJECTS) {
  const { name, mode, workerNum } = subject;
  describe(`events in ${name}`, () => {
    test('come in order: of the server, of each worker, of a connection', async () => {
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report }) => {
          server.on('start', () => report('start'));
          server.on('beforeShutdown', () => report('beforeShutdown'));
          server.on('shutdown', () => report('shutdown'));
          server.on('managerStart', () => report('managerStart'));
          server.on('managerStop', () => report('managerStop'));
          server.on('workerStart', (_server, id) => report('workerStart', { id }));
          server.on('workerStop', (_server, id) => report('workerStop', { id }));
          server.on('workerExit', (_server, id) => report('workerExit', { id }));
          server.on('workerError', (_server, id) => report('workerError', { id }));
          server.on('beforeReload', () => report('beforeReload'));
          server.on('afterReload', () => report('afterReload'));
          server.on('connect', (server, fd) => report('connect', { fd, id: server.worker_id }));
          server.on('receive', (server, fd, _reactorId, data) => {
            report('receive', { fd, id: server.worker_id, text: data.toString() });
            server.send(fd, data);
          });
          server.on('close', (server, fd) => report('close', { fd, id: server.worker_id }));
        },
      });
      const client = await Client.connect(server.port);
      await client.echo('one');
      await client.echo('two');
      client.end();
      await server.waitFor('close');
      client.destroy();
      await server.stop();

      const connection = server.events().filter((event) => event.fd === 1);
      assert.deepEqual(
        connection.map((event) => event.event),
        ['connect', 'receive', 'receive', 'close'],
      );
      assert.equal(new Set(connection.map((event) => event.pid)).size, 1);

      const all = names(server);
      const count = (event: string): number => all.filter((each) => each === event).length;
      for (const once of ['start', 'beforeShutdown', 'shutdown']) assert.equal(count(once), 1, once);
      for (const each of ['managerStart', 'managerStop']) assert.equal(count(each), subject === ALONE ? 0 : 1, each);
      for (const each of ['workerStart', 'workerStop']) {
        const ids = server.events(each).map((event) => event.id);
        assert.deepEqual(
          ids.sort(),
          Array.from({ length: workerNum }, (_, id) => id),
          each,
        );
      }
      for (const never of ['workerError', 'beforeReload', 'afterReload']) assert.equal(count(never), 0, never);
      assert.equal(all.at(-1), 'shutdown');
      assert.ok(all.lastIndexOf('workerStop') < all.indexOf('shutdown'));
      // In SWOOLE_BASE it comes from worker 0, while others may have ended already.
      if (subject !== BASE) assert.ok(all.indexOf('beforeShutdown') < all.indexOf('workerStop'));
      if (subject !== ALONE) assert.ok(all.lastIndexOf('workerStop') < all.indexOf('managerStop'));

      const where = (event: string): number => server.events(event)[0].pid;
      const worker0 = server.events('workerStart').find((event) => event.id === 0)!.pid;
      assert.equal(where('shutdown'), server.pid);
      if (subject === PROCESS) {
        assert.deepEqual([where('start'), where('beforeShutdown')], [server.pid, server.pid]);
        assert.notEqual(where('managerStart'), server.pid);
      } else {
        assert.deepEqual([where('start'), where('beforeShutdown')], [worker0, worker0]);
        // Of worker 0, start comes before workerStart.
        assert.deepEqual(
          names(server, worker0)
            .filter((each) => /tart$/.test(each))
            .slice(0, 2),
          ['start', 'workerStart'],
        );
      }
      for (const { pid } of server.events('workerStart')) {
        const own = names(server, pid).filter((each) => /^(worker|connect|receive|close)/.test(each));
        assert.deepEqual([own[0], own.at(-1)], ['workerStart', 'workerStop']);
      }
    });

    test('workerExit comes while something keeps the loop of a stopping worker alive, and never where nothing does', async () => {
      for (const busy of [true, false]) {
        const server = await startServer({
          mode,
          settings: { worker_num: workerNum },
          args: { busy },
          setup: ({ server, report, args }) => {
            let timer: NodeJS.Timeout | undefined;
            let exits = 0;
            server.on('workerStart', () => {
              if (args.busy) timer = setInterval(() => {}, 10_000);
            });
            server.on('workerExit', (_server, id) => {
              report('workerExit', { id, status: server.getWorkerStatus(), ownStatus: server.getWorkerStatus(id) });
              if (++exits === 2) clearInterval(timer);
            });
            server.on('workerStop', (_server, id) =>
              report('workerStop', { id, exits, status: server.getWorkerStatus() }),
            );
            server.on('receive', () => {});
          },
        });
        await server.stop();
        const stops = server.events('workerStop');
        assert.deepEqual(
          stops.map((event) => [event.exits, event.status]),
          new Array(workerNum).fill([busy ? 2 : 0, 3]),
        );
        for (const { status, ownStatus } of server.events('workerExit')) assert.deepEqual([status, ownStatus], [3, 3]);
      }
    });

    test('an async callback that rejects is logged with its stack; the worker lives; a failing receive costs its connection', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report }) => {
          server.on('workerStart', async (_server, id) => {
            await null;
            throw new Error(`from workerStart ${id}`);
          });
          server.on('connect', async () => {
            await null;
            throw new Error('from connect');
          });
          server.on('receive', async (server, fd, _reactorId, data) => {
            report('receive', { pid: process.pid });
            if (data.toString() === 'fail') {
              await new Promise((resolve) => setTimeout(resolve, 1));
              throw new Error('from receive');
            }
            server.send(fd, data);
          });
          server.on('close', async (_server, fd, reactorId) => {
            report('close', { fd, reactorId });
            await null;
            throw new TypeError('from close');
          });
        },
      });
      using first = await Client.connect(server.port);
      assert.equal(await first.echo('fine'), 'fine');
      using second = await Client.connect(server.port);
      await second.write('fail');
      assert.equal((await second.readAll()).length, 0);
      const close = await server.waitFor('close');
      assert.equal(close.reactorId, -1);
      await server.waitForOutput(/from close/);
      for (const text of [
        /ERROR\t.*workerStart.*Error: from workerStart 0\n\s+at /,
        /ERROR\t.*connect.*Error: from connect\n\s+at /,
      ]) {
        // Another worker than the one that closes may be slow to start.
        await server.waitForOutput(text);
      }
      assert.match(server.output, /ERROR\t.*receive.*connection \d+.*Error: from receive\n\s+at /);
      assert.match(server.output, /ERROR\t.*close.*TypeError: from close\n\s+at /);
      assert.equal(await first.echo('still fine'), 'still fine');
      assert.equal(server.events('$worker').length, workerNum);
    });

    test('a sync callback that throws is logged with its stack; the worker lives; a failing receive costs its connection', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report }) => {
          server.on('start', () => {
            // The harness must hear of the start.
            setImmediate(() => {});
          });
          server.on('connect', () => {
            throw new Error('from connect');
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            if (data.toString() === 'fail') throw 'a text that is no Error';
            server.send(fd, data);
          });
          server.on('close', (_server, fd, reactorId) => {
            report('close', { fd, reactorId });
            throw new Error('from close');
          });
          server.on('workerStop', () => {
            throw new Error('from workerStop');
          });
          server.on('shutdown', () => {
            throw new Error('from shutdown');
          });
        },
      });
      const first = await Client.connect(server.port);
      assert.equal(await first.echo('fine'), 'fine');
      const second = await Client.connect(server.port);
      await second.write('fail');
      assert.equal((await second.readAll()).length, 0);
      assert.equal((await server.waitFor('close')).reactorId, -1);
      assert.match(server.output, /ERROR\t.*receive.*a text that is no Error/);
      assert.match(server.output, /ERROR\t.*connect.*Error: from connect\n\s+at /);
      await server.waitForOutput(/ERROR\t.*close.*Error: from close\n\s+at /);
      assert.equal(await first.echo('still fine'), 'still fine');
      first.destroy();
      second.destroy();
      await server.stop();
      assert.match(server.output, /Error: from workerStop\n\s+at /);
      assert.match(server.output, /Error: from shutdown\n\s+at /);
    });

    test('promises in callbacks go on at once, whatever else happens', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1 },
        setup: ({ server }) => {
          server.on('receive', async (server, fd, _reactorId, data) => {
            // No timer, no file, nothing but promises.
            for (let i = 0; i < 3; i++) await null;
            await new Promise<void>((resolve) => process.nextTick(resolve));
            server.send(fd, data);
          });
        },
      });
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('async'), 'async');
    });

    test('what only looks like a promise is counted once, also where it throws or calls back twice', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1 },
        setup: ({ server }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${server.stats().coroutine_num}\n`);
            if (data.toString() === 'twice') {
              return {
                // biome-ignore lint/suspicious/noThenProperty: that is what is tested
                then: (resolve: () => void) => {
                  resolve();
                  resolve();
                },
              };
            }
            if (data.toString() === 'throws') {
              return {
                // biome-ignore lint/suspicious/noThenProperty: that is what is tested
                then: () => {
                  throw new Error('told: then threw');
                },
              };
            }
          });
        },
      });
      using other = await Client.connect(server.port);
      const noneGoesOn = async (): Promise<boolean> => {
        await other.write('count');
        return (await other.readLine()) === '0';
      };
      using client = await Client.connect(server.port);
      await client.write('twice');
      assert.equal(await client.readLine(), '0');
      await server.until(noneGoesOn, 'the end of the first');
      await client.write('throws');
      assert.equal(await client.readLine(), '0');
      // It has failed, so its connection is closed.
      assert.equal((await client.readAll()).length, 0);
      await server.until(noneGoesOn, 'the end of the second');
      assert.match(server.output, /told: then threw/);
    });

    test('beforeReload may call back into the server: another reload is refused, and the end is one', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1 },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('task', () => {});
          let reloads = 0;
          server.on('beforeReload', (server) => {
            report('beforeReload', { again: server.reload() });
            if (++reloads === 2) server.shutdown();
          });
          server.on('afterReload', () => report('afterReload'));
        },
      });
      process.kill(server.pid, 'SIGUSR1');
      await server.waitFor('afterReload');
      process.kill(server.pid, 'SIGUSR1');
      assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
      assert.deepEqual(
        server.events('beforeReload').map(({ again }) => again),
        [false, false],
      );
      assert.equal(server.events('$end')[0].result, true);
      await server.assertGone();
    });

    test('timers, files and other sockets of Node work beside the server', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server }) => {
          server.on('receive', async (server, fd, _reactorId, data) => {
            const { readFile } = await import('node:fs/promises');
            const { createServer, connect } = await import('node:net');
            await new Promise((resolve) => setTimeout(resolve, 1));
            const text = await readFile('/proc/self/comm', 'utf8');
            const other = createServer((socket) => socket.pipe(socket));
            await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
            const socket = connect((other.address() as { port: number }).port, '127.0.0.1');
            socket.write(data);
            const [answer] = await new Promise<[Buffer]>((resolve) =>
              socket.once('data', (answer) => resolve([answer as Buffer])),
            );
            socket.destroy();
            other.close();
            server.send(fd, text.length > 0 ? answer : 'nothing');
          });
        },
      });
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('through another server'), 'through another server');
    });

    test('event_object gives objects', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, event_object: true },
        setup: ({ server, report }) => {
          const on = server.on.bind(server) as (event: string, callback: (...args: unknown[]) => void) => boolean;
          for (const event of ['connect', 'receive', 'close'])
            on(event, (...args) => {
              const [given, object] = args as [unknown, { data: Buffer | null; constructor: { name: string } }];
              const { data, ...rest } = object;
              const text = data === null ? null : Buffer.isBuffer(data) ? data.toString() : 'no Buffer';
              report(event, { count: args.length, same: given === server, text, rest, type: object.constructor.name });
            });
        },
      });
      const before = Date.now() / 1000;
      using client = await Client.connect(server.port);
      await client.write('hello');
      const receive = await server.waitFor('receive');
      client.end();
      const close = await server.waitFor('close');
      const connect = await server.waitFor('connect');
      for (const event of [connect, receive, close]) {
        assert.deepEqual([event.count, event.same, event.type, event.rest.fd], [2, true, 'Event', 1]);
        assert.ok(event.rest.reactor_id >= 0);
      }
      assert.deepEqual([connect.text, receive.text, close.text], [null, 'hello', null]);
      assert.ok(Math.abs(receive.rest.dispatch_time - before) < 60);
    });

    test('event_object has a type: data is a Buffer in receive and null elsewhere', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, event_object: true },
        setup: ({ server, report, swoole }) => {
          const told = (event: ConnectionEvent): void =>
            report('told', { fd: event.fd, isOne: event instanceof swoole.ConnectionEvent });
          server.on('connect', (_server, event: ConnectionEvent) => told(event));
          server.on('receive', (server, event: ConnectionEvent<Buffer>) => {
            told(event);
            return server.send(event.fd, event.data.subarray(1));
          });
          server.on('close', (_server, event: ConnectionEvent<null>) => told(event));
        },
      });
      using client = await Client.connect(server.port);
      await client.write('hello');
      assert.equal((await client.read(4)).toString(), 'ello');
      client.end();
      await server.until(() => server.events('told').length === 3, 'three events');
      for (const { fd, isOne } of server.events('told')) assert.deepEqual([fd, isOne], [1, true]);
    });

    test('one callback is enough: connect and close may be missing', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
        },
      });
      for (let i = 0; i < 5; i++) {
        using client = await Client.connect(server.port);
        assert.equal(await client.echo('x'), 'x');
        client.end();
        assert.equal((await client.readAll()).length, 0);
      }
    });
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`workers that are stopped in ${name}`, () => {
    test('stop() of another worker: that one reads SWOOLE_WORKER_EXIT, though its successor may run already', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report }) => {
          let timer: NodeJS.Timeout | undefined;
          let exits = 0;
          server.on('workerStart', (server, id) => {
            if (id === 1) timer = setInterval(() => {}, 10_000);
            else setTimeout(() => server.stop(1, true), 500).unref();
          });
          server.on('workerExit', (server, id) => {
            report('exit', { id, status: server.getWorkerStatus(), byId: server.getWorkerStatus(id) });
            if (++exits === 8) clearInterval(timer);
          });
          server.on('receive', () => {});
        },
      });
      await server.until(() => server.events('exit').length >= 8, 'notices');
      for (const { id, status, byId } of server.events('exit').slice(0, 8))
        assert.deepEqual([id, status, byId], [1, 3, 3]);
    });

    test('stop() without waitEvent ends a worker at once, whatever goes on; with it the loop is waited for', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, task_enable_coroutine: true },
        setup: ({ server, report }) => {
          let exits = 0;
          let timer: NodeJS.Timeout | undefined;
          const pid = process.pid;
          server.on('workerStart', (_server, id) => {
            timer = setInterval(() => {}, 10_000);
            report('started', { id, pid });
          });
          server.on('workerExit', () => {
            if (++exits === 3) clearInterval(timer);
          });
          server.on('workerStop', (_server, id) => report('stopped', { id, pid, exits }));
          server.on('task', async (server, task) => {
            server.stop(-1, (task as unknown as Task).data === true);
            await new Promise((resolve) => setTimeout(resolve, 100));
            report('went on', { pid });
          });
          server.on('receive', async (server, _fd, _reactorId, data) => {
            const { how, wait } = JSON.parse(data.toString());
            if (how === 'task') server.task(wait);
            else if (how === 'other') server.stop(1 - server.worker_id, wait);
            else {
              server.stop(-1, wait);
              await new Promise((resolve) => setTimeout(resolve, 100));
              report('went on', { pid });
            }
          });
        },
      });
      for (const how of ['self', 'other', 'task'])
        for (const wait of [false, true]) {
          const before = server.events('stopped').length;
          await server.waitForCount('started', before + workerNum + 1);
          using client = await Client.connect(server.port);
          await client.write(JSON.stringify({ how, wait }));
          await server.waitForCount('stopped', before + 1);
          const { pid, exits } = server.events('stopped')[before];
          assert.equal(exits, wait ? 3 : 0, `${how}, ${wait}`);
          const wentOn = server.events('went on').some((event) => event.pid === pid);
          assert.equal(wentOn, wait && how !== 'other', `${how}, ${wait}`);
        }
      assert.doesNotMatch(server.output, /ended abnormally|did not end|ended before/);
    });

    test('what waits for a worker that starts may catch what rejects a moment earlier', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: async ({ server, report }) => {
          const { existsSync, writeFileSync } = await import('node:fs');
          server.on('managerStart', (server) => {
            server.sendMessage('early', 0);
            server.sendMessage('early', 0);
            writeFileSync('sent', '');
          });
          server.on('workerStart', (_server, id) => {
            const cell = new Int32Array(new SharedArrayBuffer(4));
            while (id === 0 && !existsSync('sent')) Atomics.wait(cell, 0, 0, 5);
          });
          server.on('pipeMessage', async () => {
            const fail = async (): Promise<never> => {
              throw new Error('caught');
            };
            // That somebody waits for this is known a microtask after it has failed.
            const pass = async (): Promise<never> => fail();
            await pass().catch(() => {});
            report('caught');
          });
          server.on('workerError', (_server, id) => report('died', { id }));
          server.on('receive', () => {});
        },
      });
      await server.waitForCount('caught', 2);
      assert.deepEqual(server.events('died'), []);
    });

    test('a worker that is told to stop while it starts ends without waiting for anything', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum },
        setup: ({ server, report }) => {
          server.on('managerStart', (server) => report('asked', { result: server.stop(1) }));
          server.on('workerStart', (_server, id) => {
            // Until the manager has asked.
            if (id === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
            report('started', { id });
          });
          server.on('workerExit', (_server, id) => report('exit', { id }));
          server.on('receive', () => {});
        },
      });
      assert.equal((await server.waitFor('asked')).result, true);
      const started = (): number => server.events('started').filter(({ id }) => id === 1).length;
      await server.until(() => started() === 2, 'the successor');
      assert.deepEqual(server.events('exit'), []);
    });
  });

  describe(`workers that fail in ${name}`, () => {
    for (const eventObject of [false, true]) {
      test(`workerError tells id, pid, exit code and signal${eventObject ? ' in an object' : ''}`, async () => {
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, event_object: eventObject },
          setup: ({ server, report }) => {
            const on = server.on.bind(server) as (event: string, callback: (...args: unknown[]) => void) => boolean;
            on('receive', (...args) => {
              const [, fd, , data] = args as [unknown, unknown, unknown, Buffer];
              const text = (Buffer.isBuffer(data) ? data : (fd as { data: Buffer }).data).toString();
              if (text === 'exit') process.exit(7);
              process.kill(process.pid, 'SIGKILL');
            });
            on('workerError', (_server, ...args) => report('workerError', { args, own: process.pid }));
          },
        });
        const before = server.events('$worker').map((event) => event.pid);
        for (const [index, text] of ['exit', 'kill'].entries()) {
          using client = await Client.connect(server.port);
          await client.write(text);
          const error = (await server.waitForCount('workerError', index + 1))[index];
          const info = error.args[0];
          const [id, pid, code, signal] = eventObject
            ? [info.worker_id, info.worker_pid, info.exit_code, info.signal]
            : error.args;
          assert.deepEqual([code, signal], text === 'exit' ? [7, 0] : [0, 9]);
          if (eventObject) assert.equal(info.status, text === 'exit' ? 7 << 8 : 9);
          assert.ok(id >= 0 && id < workerNum);
          assert.ok(server.events('$worker').some((event) => event.id === id && event.pid === pid));
          await server.waitForCount('$worker', before.length + index + 1);
        }
        assert.match(server.output, /WARNING\t.*exit code 7/);
      });
    }
  });
}

test('SWOOLE_BASE: start comes once, also where worker 0 dies before it, and where it is replaced', async () => {
  await using server = await startServer({
    mode: BASE.mode,
    settings: { worker_num: 2 },
    setup: ({ server, report }) => {
      server.on('receive', () => {});
      server.on('start', () => report('start', { worker: server.worker_id }));
      server.on('workerStart', (_server, id) => report('workerStart', { id }));
      // It has only just been started, and has not come so far.
      server.on('managerStart', () => {
        process.kill(Number(server.getWorkerPid(0)), 'SIGKILL');
      });
    },
  });
  const before = server.events('workerStart').length;
  process.kill(server.pid, 'SIGUSR1');
  await server.waitForCount('workerStart', before + 2);
  assert.equal(server.events('start').length, 1);
});

test('SWOOLE_PROCESS: a managerStart that takes long does not keep the master from its start', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 1 },
    setup: ({ server, report }) => {
      server.on('start', () => report('start'));
      server.on('managerStart', () => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
        report('managerStart');
      });
      server.on('receive', () => {});
    },
  });
  await server.waitFor('managerStart');
  const order = server.events().filter(({ event }) => event === 'start' || event === 'managerStart');
  assert.deepEqual(
    order.map(({ event }) => event),
    ['start', 'managerStart'],
  );
});

for (const waits of [false, true])
  test(`stop(-1, ${waits}) of a server of one process ends it ${waits ? 'behind what goes on' : 'at once'}`, async () => {
    await using server = await startServer({
      mode: ALONE.mode,
      settings: { worker_num: 1 },
      args: waits,
      setup: ({ server, report, args }) => {
        server.on('receive', (server) => {
          setTimeout(() => report('timer'), 500);
          server.stop(-1, args);
        });
        server.on('workerStop', () => report('workerStop'));
      },
    });
    using client = await Client.connect(server.port);
    await client.write('stop');
    assert.deepEqual(await server.exited(), { code: 0, signal: null });
    const order = ['workerStop', '$end', 'timer'];
    const events = server.events().map(({ event }) => event);
    assert.deepEqual(
      events.filter((event) => order.includes(event)),
      waits ? ['timer', 'workerStop', '$end'] : order,
    );
  });
