import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Server, ServerSettings } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import type { Fixture } from '../support/fixture.ts';
import { isAlive } from '../support/process-info.ts';
import { type Event, startServer, type TestServer } from '../support/server.ts';
import { BASE, PROCESS } from '../support/subjects.ts';

const WORKERS = 3;

/** Echoes, and reports everything with the worker it came to. */
const echo = ({ server, report }: Fixture<unknown>): void => {
  server.on('connect', (server, fd) => report('connect', { fd, worker: server.worker_id }));
  server.on('receive', (server, fd, _reactorId, data) => {
    const info = server.getClientInfo(fd);
    report('receive', { fd, worker: server.worker_id, data: data.toString(), info });
    server.send(fd, data);
  });
  server.on('close', (server, fd, reactorId) => report('close', { fd, reactorId, worker: server.worker_id }));
};

function startEcho(settings: ServerSettings, mode = PROCESS.mode): Promise<TestServer> {
  return startServer({ mode, settings: { worker_num: WORKERS, ...settings }, setup: echo });
}

/** Opens connections one after another and sends each so many messages; all stay open until the end. */
async function talk(server: TestServer, connections: number, messages: number): Promise<Client[]> {
  const clients: Client[] = [];
  for (let i = 0; i < connections; i++) clients.push(await Client.connect(server.port));
  for (let round = 0; round < messages; round++)
    for (const [index, client] of clients.entries())
      assert.equal(await client.echo(`${index}.${round}`), `${index}.${round}`);
  return clients;
}

async function leave(server: TestServer, clients: Client[]): Promise<void> {
  for (const client of clients) {
    client.end();
    await client.readAll();
    client.destroy();
  }
  // Whatever the workers had to tell is told when they have ended.
  await server.stop();
}

function byConnection(server: TestServer): Map<number, Event[]> {
  return Map.groupBy(server.events('receive'), (event) => event.fd as number);
}

describe('dispatch_mode in SWOOLE_PROCESS', () => {
  for (const mode of [2, 4, 8, 5]) {
    test(`${mode} keeps a connection at one worker, with connect and close`, async () => {
      const server = await startEcho({ dispatch_mode: mode });
      await leave(server, await talk(server, 6, 4));
      const connections = byConnection(server);
      assert.equal(connections.size, 6);
      for (const [fd, received] of connections) {
        const all = [...server.events('connect'), ...received, ...server.events('close')].filter(
          (event) => event.fd === fd,
        );
        assert.equal(all.length, 6, `connection ${fd}`);
        assert.equal(new Set(all.map((event) => event.worker)).size, 1, `connection ${fd}`);
        const { worker, info } = received[0];
        if (mode === 2 || mode === 5) assert.equal(worker, info.socket_fd % WORKERS);
        // 127.0.0.1 as a number.
        if (mode === 4) assert.equal(worker, 0x7f000001 % WORKERS);
        if (mode === 8) assert.equal(info.worker_id, worker);
        if (mode === 5) assert.equal(info.uid, 0);
      }
      const workers = new Set(server.events('receive').map((event) => event.worker));
      assert.equal(workers.size, mode === 4 ? 1 : WORKERS);
    });
  }

  for (const mode of [1, 3, 7, 9, 10]) {
    test(`${mode} spreads the packages of one connection, without connect and close`, async () => {
      const server = await startEcho({ dispatch_mode: mode, reactor_num: 1 });
      await leave(server, await talk(server, 1, 30));
      const received = server.events('receive');
      assert.equal(received.length, 30);
      const counts = Object.values(Object.groupBy(received, (event) => `${event.worker}`)).map((each) => each!.length);
      if (mode === 1) assert.deepEqual(counts, [10, 10, 10]);
      else assert.ok(counts.length === WORKERS, `${counts}`);
      assert.deepEqual([server.events('connect'), server.events('close')], [[], []]);
      if (mode === 7) assert.match(server.output, /WARNING\t.*dispatch_mode 7/);
    });
  }

  for (const unsafe of [false, true]) {
    test(`1 ${unsafe ? 'with' : 'without'} enable_unsafe_event: what close() does to its callback`, async () => {
      await using server = await startServer({
        mode: PROCESS.mode,
        settings: { worker_num: WORKERS, dispatch_mode: 1, enable_unsafe_event: unsafe },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd) => {
            server.send(fd, 'bye');
            report('closed', { result: server.close(fd), exists: server.exists(fd) });
          });
          server.on('close', (_server, fd, reactorId) => report('close', { fd, reactorId }));
        },
      });
      for (let i = 0; i < WORKERS; i++) {
        using client = await Client.connect(server.port);
        await client.write('x');
        assert.equal((await client.readAll()).toString(), 'bye');
      }
      for (const { result, exists } of server.events('closed')) assert.deepEqual([result, exists], [true, false]);
      assert.equal(server.events('closed').length, WORKERS);
      const closes = server.events('close').map(({ reactorId }) => reactorId);
      assert.deepEqual(closes, unsafe ? [-1, -1, -1] : []);
    });
  }

  for (const mode of [1, 3]) {
    test(`${mode} with enable_unsafe_event has connect and close`, async () => {
      const server = await startEcho({ dispatch_mode: mode, enable_unsafe_event: true });
      await leave(server, await talk(server, 4, 2));
      for (const event of ['connect', 'close']) {
        const fds = server.events(event).map((each) => each.fd);
        assert.deepEqual([...fds].sort(), [1, 2, 3, 4], event);
      }
    });
  }

  test('3 avoids busy workers', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: WORKERS, dispatch_mode: 3, reactor_num: 1 },
      setup: ({ server, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          const text = data.toString();
          report('receive', { worker: server.worker_id, text });
          if (text === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
          server.send(fd, data);
        });
      },
    });
    using blocked = await Client.connect(server.port);
    await blocked.write('block');
    const { worker: busy } = await server.waitFor('receive');
    using client = await Client.connect(server.port);
    for (let i = 0; i < 12; i++) await client.echo('x');
    const others = server
      .events('receive')
      .filter((event) => event.text === 'x')
      .map((event) => event.worker);
    // Unless this machine was so slow that the busy worker had become idle.
    if (blocked.available === 0) assert.ok(!others.includes(busy), `worker ${busy} is busy, used: ${others}`);
    assert.equal((await blocked.read(5)).toString(), 'block');
  });

  test('3 does not call workers busy that are still starting', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, dispatch_mode: 3, reactor_num: 1 },
      setup: ({ server, report }) => {
        const { existsSync } = process.getBuiltinModule('node:fs');
        server.on('workerStart', (server) => {
          report('workerStart');
          const received = (): number => (server.stats() as { total_recv_bytes: number }).total_recv_bytes;
          const pause = new Int32Array(new SharedArrayBuffer(4));
          while (existsSync('hold') && received() === 0) Atomics.wait(pause, 0, 0, 5);
        });
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    writeFileSync(`${server.directory}/hold`, '');
    process.kill(server.events('workerStart')[0].pid, 'SIGKILL');
    await server.waitForCount('workerStart', 2);
    using client = await Client.connect(server.port);
    assert.equal(await client.echo('hello'), 'hello');
    assert.doesNotMatch(server.output, /no idle worker/);
  });

  test('3 without an idle worker: a warning, and a code in the master', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, dispatch_mode: 3 },
      setup: ({ server, swoole, report }) => {
        const { SWOOLE_SERVER_COMMAND_MASTER } = swoole;
        server.addCommand('code', SWOOLE_SERVER_COMMAND_MASTER, () => String(server.getLastError()));
        server.on('receive', async (server, _fd, _reactorId, data) => {
          if (data.toString() === 'block') {
            report('blocks');
            Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
          } else report('code', { code: await server.command('code', 0, SWOOLE_SERVER_COMMAND_MASTER, '') });
        });
      },
    });
    using blocker = await Client.connect(server.port);
    await blocker.write('block');
    await server.waitFor('blocks');
    using client = await Client.connect(server.port);
    await client.write('waits');
    assert.equal((await server.waitFor('code')).code, 9007);
    await server.waitForOutput(/WARNING\t\(error 9007\): no idle worker is available/);
  });

  test('3 gives nothing to a worker that is still starting', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, dispatch_mode: 3, reactor_num: 1 },
      setup: ({ server, report }) => {
        const { existsSync } = process.getBuiltinModule('node:fs');
        server.on('workerStart', ({ worker_id, worker_pid }) => {
          report('workerStart', { id: worker_id, pid: worker_pid });
          const pause = new Int32Array(new SharedArrayBuffer(4));
          while (existsSync('hold')) Atomics.wait(pause, 0, 0, 20);
        });
        server.on('receive', (server, fd) => {
          server.send(fd, `${server.worker_id}`);
        });
      },
    });
    const hold = `${server.directory}/hold`;
    writeFileSync(hold, '');
    process.kill(server.events('workerStart').find(({ id }) => id === 1)?.pid as number, 'SIGKILL');
    await server.waitForCount('workerStart', 3);
    using client = await Client.connect(server.port);
    for (let i = 0; i < 12; i++) assert.equal(await client.echo('?'), '0');
    rmSync(hold);
    await server.until(async () => (await client.echo('?')) === '1', 'an answer of the new worker');
  });

  test('9 prefers workers with few unfinished callbacks', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: WORKERS, dispatch_mode: 9, reactor_num: 1 },
      setup: ({ server, report }) => {
        server.on('receive', async (server, fd, _reactorId, data) => {
          report('receive', { worker: server.worker_id, text: data.toString() });
          if (data.toString() === 'wait') await new Promise((resolve) => setTimeout(resolve, 1500));
          server.send(fd, data);
        });
      },
    });
    using waiting = await Client.connect(server.port);
    await waiting.write('wait');
    const { worker: busy } = await server.waitFor('receive');
    using client = await Client.connect(server.port);
    for (let i = 0; i < 12; i++) await client.echo('x');
    const others = server
      .events('receive')
      .filter((event) => event.text === 'x')
      .map((event) => event.worker);
    // An answer can overtake the end of its own callback, so that for a moment all have one: a fair share would be 4.
    const shared = others.filter((worker) => worker === busy).length;
    if (waiting.available === 0) assert.ok(shared <= 2, `worker ${busy} has one, used: ${others}`);
    assert.equal((await waiting.read(4)).toString(), 'wait');
  });

  test('9 does not take a new worker for as busy as the one that it replaces', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, dispatch_mode: 9, reactor_num: 1, max_wait_time: 2 },
      setup: ({ server, report }) => {
        let release: () => void = () => {};
        server.on('receive', (server, fd, _reactorId, data) => {
          const text = data.toString();
          report('receive', { worker: server.worker_id, text });
          if (text === 'for ever') return new Promise(() => {});
          if (text === 'until told') {
            return new Promise<void>((resolve) => {
              release = resolve;
            });
          }
          server.send(fd, data);
        });
        // Keeps the loop, so that the worker is there until max_wait_time has passed.
        server.on('workerStart', () => {
          setInterval(() => {}, 1000);
        });
        server.on('workerExit', () => {
          // Of the other one, nothing changes once the next has begun.
          if (server.worker_id !== 0 || server.getWorkerPid(0) === process.pid) return;
          release();
          report('released');
        });
      },
    });
    const clients: Client[] = [];
    for (const text of ['for ever', 'for ever', 'for ever', 'for ever', 'until told', 'until told']) {
      const client = await Client.connect(server.port);
      clients.push(client);
      await client.write(text);
      await server.waitForCount('receive', clients.length);
    }
    process.kill(server.pid, 'SIGUSR1');
    const { pid } = await server.waitFor('released');
    await server.until(() => !isAlive(pid), 'its end');
    using client = await Client.connect(server.port);
    for (let i = 0; i < 6; i++) await client.echo('x');
    const workers = server.events('receive').filter(({ text }) => text === 'x');
    assert.equal(new Set(workers.map(({ worker }) => worker)).size, 2);
    for (const each of clients) each.destroy();
  });

  test('5 goes by the uid once it is bound, also for the next connection of the user', async () => {
    const server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: WORKERS, dispatch_mode: 5 },
      setup: ({ server, report }) => {
        server.on('connect', (server, fd) => report('connect', { fd, worker: server.worker_id }));
        server.on('receive', (server, fd, _reactorId, data) => {
          const text = data.toString();
          report('receive', { fd, worker: server.worker_id, text });
          if (text.startsWith('bind')) server.bind(fd, Number(text.slice(4)));
          server.send(fd, data);
        });
        server.on('close', (server, fd) => report('close', { fd, worker: server.worker_id }));
      },
    });
    for (const uid of [3, 4, 5, 4294967295]) {
      const client = await Client.connect(server.port);
      await client.echo(`bind${uid}`);
      for (let i = 0; i < 3; i++) await client.echo(`user${uid}`);
      client.end();
      await client.readAll();
      client.destroy();
      const used = server.events('receive').filter((event) => event.text === `user${uid}`);
      assert.deepEqual(
        used.map((event) => event.worker),
        new Array(3).fill(uid % WORKERS),
        `uid ${uid}`,
      );
      const close = await server.waitFor('close', (event) => event.fd === used[0].fd);
      assert.equal(close.worker, uid % WORKERS);
    }
    await server.stop();
  });

  test('a mode that does not exist works as 3, and is told', async () => {
    const server = await startEcho({ dispatch_mode: 77 });
    await leave(server, await talk(server, 1, 6));
    assert.ok(new Set(server.events('receive').map((event) => event.worker)).size > 1);
    assert.match(server.output, /WARNING\t.*dispatch_mode 77/);
  });

  test('in modes without close a connection that ended is forgotten at once', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, dispatch_mode: 1 },
      setup: ({ server, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          if (data.toString() === 'x') report('receive', { fd });
          else report('asked', { info: server.getClientInfo(Number(data.toString())), stats: server.stats() });
          server.send(fd, '.');
        });
      },
    });
    const client = await Client.connect(server.port);
    await client.write('x');
    await client.read(1);
    client.end();
    await client.readAll();
    client.destroy();
    using other = await Client.connect(server.port);
    await server.until(async () => {
      await other.write('1');
      await other.read(1);
      return server.events('asked').at(-1)?.info === false;
    }, 'the connection to be forgotten');
    assert.equal(server.events('asked').at(-1)?.stats.close_count, 1);
  });

  test('close from any worker works in a mode without close events', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, dispatch_mode: 1, reactor_num: 1 },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          if (data.toString() === 'close') server.close(fd);
          else server.send(fd, data);
        });
      },
    });
    for (let i = 0; i < 4; i++) {
      using client = await Client.connect(server.port);
      for (let round = 0; round < i; round++) await client.echo('x');
      await client.write('close');
      assert.equal((await client.readAll()).length, 0);
    }
  });

  for (const discard of [false, true]) {
    test(`discard_timeout_request ${discard}: data of a connection that has gone is ${discard ? 'dropped' : 'delivered'}`, async () => {
      await using server = await startServer({
        mode: PROCESS.mode,
        settings: { worker_num: 1, dispatch_mode: 3, discard_timeout_request: discard },
        setup: ({ server, report }) => {
          server.on('receive', (_server, fd, _reactorId, data) => {
            report('receive', { fd, data: data.toString(), code: server.getLastError() });
            if (data.toString() === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
          });
        },
      });
      const first = await Client.connect(server.port);
      await first.write('block');
      await server.waitFor('receive');
      const second = await Client.connect(server.port);
      await second.write('late');
      second.end();
      // The reactor has taken the data and given the connection up, while the worker is busy.
      await second.readAll();
      second.destroy();
      if (discard) await server.waitForOutput(/WARNING\t\(error 1007\): data of connection 2,/);
      else await server.waitFor('receive', (event) => event.data === 'late');
      assert.equal(server.events('receive').length, discard ? 1 : 2);
      await first.write('after');
      const { code } = await server.waitFor('receive', (event) => event.data === 'after');
      assert.equal(code, discard ? 1007 : 0);
      first.destroy();
    });
  }

  test('what a peer sent before its end is delivered, although its connection closes while output waits', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, dispatch_mode: 3, kernel_socket_send_buffer_size: 65536 },
      setup: ({ server, swoole, report }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          const text = data.toString();
          report('receive', { text, exists: server.exists(fd) });
          if (text === 'fill') for (let i = 0; i < 6; i++) server.send(fd, Buffer.alloc(1 << 20));
          // The reactor has what was sent, and the kernel does not take it.
          if (text === 'fill') swoole.Timer.after(200, () => report('filled'));
          if (text === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
        });
      },
    });
    const client = await Client.connect(server.port);
    client.stopReading();
    await client.write('fill');
    await server.waitFor('filled');
    await client.write('block');
    await server.waitFor('receive', (event) => event.text === 'block');
    await client.write('late');
    client.end();
    const late = await server.waitFor('receive', (event) => event.text === 'late');
    assert.equal(late.exists, false);
    client.destroy();
  });

  test('callbacks that a mode does not call are told at start, with enable_unsafe_event nothing is', async () => {
    for (const enable_unsafe_event of [false, true]) {
      const server = await startServer({
        mode: PROCESS.mode,
        settings: { worker_num: 1, dispatch_mode: 3, enable_unsafe_event },
        setup: ({ server }) => {
          server.on('connect', () => {});
          server.on('receive', () => {});
          server.listen('127.0.0.1', 0, 1);
          const port = server.ports[1];
          port.on('close', () => {});
        },
      });
      await server.stop();
      const told = server.output.match(/WARNING\t.*/g) ?? [];
      if (enable_unsafe_event) assert.deepEqual(told, []);
      else {
        assert.equal(told.length, 1, server.output);
        assert.match(told[0], /\(error 9015\): .*connect and close.*dispatch_mode 3.*enable_unsafe_event/);
      }
    }
  });
});

describe('dispatch_func in SWOOLE_PROCESS', () => {
  test('chooses the worker; -1 drops, -2 closes, -3 falls back, anything else is told and dropped', async () => {
    const server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: WORKERS },
      setup: ({ server, report }) => {
        server.set({
          dispatch_func: (server: Server, fd: number, type: number, data?: Buffer) => {
            report('dispatch', {
              fd,
              type,
              data: data?.toString(),
              master: server.getMasterPid(),
              id: server.worker_id,
            });
            if (type !== 0) return fd % 3;
            const text = data!.toString();
            if (text === 'throw') throw new Error('thrown in dispatch_func');
            if (text === 'throw null') throw null;
            if (text === 'promise') return Promise.reject(new Error('too late')) as unknown as number;
            const strange = new Map<string, unknown>([
              ['symbol', Symbol('worker')],
              ['object', Object.create(null)],
              ['text', '0'],
            ]);
            return (strange.get(text) ?? Number(text)) as number;
          },
        });
        server.on('connect', (server, fd) => report('connect', { fd, worker: server.worker_id }));
        server.on('receive', (server, fd, _reactorId, data) => {
          report('receive', { fd, worker: server.worker_id, text: data.toString() });
          server.send(fd, data);
        });
        server.on('close', (server, fd, reactorId) => report('close', { fd, worker: server.worker_id, reactorId }));
      },
    });
    const client = await Client.connect(server.port);
    for (const worker of [0, 1, 2, 1]) {
      assert.equal(await client.echo(String(worker)), String(worker));
      assert.equal(server.events('receive').at(-1)?.worker, worker);
    }
    for (const dropped of ['-1', '3', '1.5', 'throw', 'throw null', 'symbol', 'object', 'text', 'promise']) {
      const before = server.events('dispatch').length;
      await client.write(dropped);
      await server.waitForCount('dispatch', before + 1);
    }
    // Falls back to dispatch_mode 2.
    assert.equal((await client.echo('-3')).length, 2);
    assert.deepEqual(
      server.events('receive').map((event) => event.text),
      ['0', '1', '2', '1', '-3'],
    );
    await client.write('-2');
    assert.equal((await client.readAll()).length, 0);
    client.destroy();
    await server.waitFor('close');
    await server.stop();
    assert.deepEqual(
      server.events('connect').map(({ fd, worker }) => [fd, worker]),
      [[1, 1]],
    );
    assert.deepEqual(
      server.events('close').map(({ fd, worker }) => [fd, worker]),
      [[1, 1]],
    );
    const dispatched = server.events('dispatch');
    assert.equal(dispatched[0].type, 5);
    assert.equal(dispatched.at(-1)?.type, 4);
    // It runs in the master, beside the sockets.
    assert.deepEqual(new Set(dispatched.map((event) => event.pid)), new Set([server.pid]));
    assert.match(server.output, /WARNING\t.*dispatch_func answered 3/);
    assert.match(server.output, /ERROR\t.*thrown in dispatch_func/);
    assert.match(server.output, /WARNING\t.*dispatch_func must answer the id of a worker, got a symbol/);
    assert.match(server.output, /WARNING\t.*dispatch_func .*got a Promise; it cannot be async/);
  });

  test('sees whole packages, of which at most 8152 bytes', async () => {
    const server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 2, open_length_check: true },
      setup: ({ server, report }) => {
        server.set({
          dispatch_func: (_server, _fd, type, data) => {
            if (type === 0) report('dispatch', { length: data!.length });
            return 1;
          },
        });
        server.on('receive', (server, fd, _reactorId, data) => {
          report('receive', { length: data.length, worker: server.worker_id });
          server.send(fd, '.');
        });
      },
    });
    const client = await Client.connect(server.port);
    for (const size of [10, 100_000]) {
      const header = Buffer.alloc(4);
      header.writeUInt32BE(size);
      await client.write(Buffer.concat([header, Buffer.alloc(size)]));
      await client.read(1);
    }
    client.destroy();
    await server.stop();
    assert.deepEqual(
      server.events('dispatch').map((event) => event.length),
      [14, 8152],
    );
    assert.deepEqual(
      server.events('receive').map(({ length, worker }) => [length, worker]),
      [
        [14, 1],
        [100_004, 1],
      ],
    );
  });

  test('what a script has set wrongly is told once, although the reactor runs the script too; answers are told in short', async () => {
    await using server = await startServer({
      mode: PROCESS.mode,
      settings: { worker_num: 1, dispatch_mode: 1, trace_flags: 0 },
      setup: ({ server }) => {
        server.set({ dispatch_func: () => 'x'.repeat(10_000) as unknown as number });
        const port = server.listen('127.0.0.1', 0, 1);
        if (port !== false)
          (port.on as (event: string, callback: () => void) => boolean).call(port, 'unheard-of', () => {});
        server.on('connect', () => {});
        server.on('receive', () => {});
      },
    });
    const client = await Client.connect(server.port);
    await client.write('x');
    await server.waitForOutput(/dispatch_func must answer the id of a worker, got the string "xx/);
    client.destroy();
    await server.stop();
    assert.ok(server.output.length < 2000, server.output);
    for (const once of [/trace_flags/g, /unheard-of/g, /9015/g]) assert.equal(server.output.match(once)?.length, 1);
  });
});

describe('dispatch_mode in SWOOLE_BASE', () => {
  for (const mode of [1, 3, 7]) {
    test(`${mode} plays no part: a connection stays with its worker and has connect and close`, async () => {
      const server = await startEcho({ dispatch_mode: mode }, BASE.mode);
      await leave(server, await talk(server, 4, 4));
      for (const [fd, received] of byConnection(server)) {
        const all = [...server.events('connect'), ...received, ...server.events('close')].filter(
          (event) => event.fd === fd,
        );
        assert.equal(all.length, 6);
        assert.equal(new Set(all.map((event) => event.worker)).size, 1);
      }
    });
  }
});
