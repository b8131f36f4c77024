import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TswooleError } from '../../src/index.ts';
import { runScript } from '../support/server.ts';

describe('constructor', () => {
  test('chooses SWOOLE_BASE, TCP over IPv4 and a free port where nothing else is said', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const { host, port, mode, type, ssl, worker_id, worker_pid, master_pid, manager_pid, taskworker, setting } =
        server;
      const ports = server.ports.map((each) => ({ port: each.port, host: each.host, type: each.type, ssl: each.ssl }));
      report('made', {
        ...{ host, port, mode, type, ssl, worker_id, worker_pid, master_pid, manager_pid, taskworker, setting, ports },
        sock: server.ports[0].sock,
        lastError: server.getLastError(),
      });
    });
    const { pid: _, event: _event, port, ports, sock, ...rest } = run.events('made')[0];
    assert.ok(port > 0 && port < 65536);
    assert.ok(sock > 2);
    assert.deepEqual(ports, [{ port, host: '127.0.0.1', type: 1, ssl: false }]);
    assert.deepEqual(rest, {
      host: '127.0.0.1',
      mode: 1,
      type: 1,
      ssl: false,
      worker_id: -1,
      worker_pid: 0,
      master_pid: 0,
      manager_pid: 0,
      taskworker: false,
      setting: {},
      lastError: 0,
    });
    // A server that was made and not started keeps nobody alive.
    assert.deepEqual(run.exit, { code: 0, signal: null });
  });

  const wrong: [string, string, unknown[]][] = [
    ['an unknown mode', 'ERR_ARGUMENT', ['127.0.0.1', 0, 9]],
    ['a mode of the wrong type', 'ERR_ARGUMENT', ['127.0.0.1', 0, 'base']],
    ['SWOOLE_THREAD', 'ERR_UNSUPPORTED', ['127.0.0.1', 0, 3]],
    ['an empty host', 'ERR_ARGUMENT', ['']],
    ['a host of the wrong type', 'ERR_ARGUMENT', [127]],
    ['a host of 108 characters', 'ERR_ARGUMENT', ['1'.repeat(108)]],
    ['port -1', 'ERR_ARGUMENT', ['127.0.0.1', -1]],
    ['port 65536', 'ERR_ARGUMENT', ['127.0.0.1', 65536]],
    ['port 80.5', 'ERR_ARGUMENT', ['127.0.0.1', 80.5]],
    ['a port of the wrong type', 'ERR_ARGUMENT', ['127.0.0.1', '9501']],
    ['an unknown socket type', 'ERR_UNSUPPORTED', ['127.0.0.1', 0, 1, 99]],
    ['a socket type of the wrong type', 'ERR_ARGUMENT', ['127.0.0.1', 0, 1, 'tcp']],
  ];
  test('throws on arguments that cannot be meant', async () => {
    const run = await runScript(
      ({ swoole, report, args }) => {
        for (const [what, , values] of args) {
          try {
            Reflect.construct(swoole.Server, values);
            report('made', { what });
          } catch (error) {
            const { code, message } = error as TswooleError;
            report('threw', { what, code, message, isError: error instanceof swoole.TswooleError });
          }
        }
      },
      wrong as [string, string, unknown[]][],
    );
    assert.deepEqual(
      run.events().map(({ what, code, isError }) => ({ what, code, isError })),
      wrong.map(([what, code]) => ({ what, code, isError: true })),
    );
  });

  test('a constructor that threw leaves room for one that does not; a second server is an error', async () => {
    const run = await runScript(({ swoole, report }) => {
      try {
        new swoole.Server('127.0.0.1', -1);
      } catch {}
      new swoole.Server('127.0.0.1');
      try {
        new swoole.Server('127.0.0.1');
      } catch (error) {
        report('threw', { code: (error as TswooleError).code, message: (error as Error).message });
      }
    });
    assert.equal(run.events('threw')[0]?.code, 'ERR_STATE');
    assert.match(run.events('threw')[0].message, /listen\(\)/);
  });
});

describe('set', () => {
  test('merges, later values win, and every name of a setting shows the value', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const results = [server.set({ worker_num: 2, max_conn: 500 }), server.set({ worker_num: 3, backlog: 7 })];
      report('set', { results, setting: server.setting, port: server.ports[0].setting });
    });
    const { results, setting, port } = run.events('set')[0];
    assert.deepEqual(results, [true, true]);
    assert.deepEqual(setting, { worker_num: 3, max_connection: 500, max_conn: 500, backlog: 7 });
    assert.deepEqual(port, setting);
  });

  test('throws on an unknown name, naming the nearest, and on a wrong type, naming the right one', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const attempts: object[] = [
        { workers_num: 2 },
        { workerNum: 2 },
        { worker_num: '4' },
        { worker_num: 2, daemonise: true },
        { open_length_check: 'yes' },
        { package_eof: '' },
        { package_length_type: 'x' },
        { package_max_length: '8X' },
        { dispatch_func: 'swoole_dispatch' },
      ];
      for (const settings of attempts) {
        try {
          server.set(settings);
          report('accepted', { settings });
        } catch (error) {
          const { code, key, message } = error as TswooleError;
          report('threw', { code, key, message });
        }
      }
      try {
        (server.set as (settings: unknown) => boolean)(5);
      } catch (error) {
        report('threw', { code: (error as TswooleError).code });
      }
      report('after', { setting: server.setting });
    });
    assert.deepEqual(run.events('accepted'), []);
    assert.deepEqual(
      run.events('threw').map(({ code, key }) => [code, key]),
      [
        ['ERR_SETTING_UNKNOWN', 'workers_num'],
        ['ERR_SETTING_UNKNOWN', 'workerNum'],
        ['ERR_SETTING_TYPE', 'worker_num'],
        ['ERR_SETTING_UNKNOWN', 'daemonise'],
        ['ERR_SETTING_TYPE', 'open_length_check'],
        ['ERR_SETTING_VALUE', 'package_eof'],
        ['ERR_SETTING_VALUE', 'package_length_type'],
        ['ERR_SETTING_VALUE', 'package_max_length'],
        ['ERR_SETTING_TYPE', 'dispatch_func'],
        ['ERR_ARGUMENT', undefined],
      ],
    );
    const messages = run.events('threw').map((event) => event.message as string);
    assert.match(messages[0], /"worker_num"/);
    assert.match(messages[1], /"worker_num"/);
    assert.match(messages[2], /whole number.*the string "4"/);
    assert.match(messages[3], /"daemonize"/);
    // A call that throws has changed nothing.
    assert.deepEqual(run.events('after')[0].setting, {});
  });

  test('tells once of a setting that means nothing here', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      report('set', { results: [server.set({ max_coroutine: 5 }), server.set({ max_coroutine: 6 })] });
    });
    assert.deepEqual(run.events('set')[0].results, [true, true]);
    assert.equal(run.output.match(/NOTICE\t.*max_coroutine/g)?.length, 1);
  });
});

describe('on and getCallback', () => {
  test('names are case-insensitive, the last registration wins, unknown events are refused', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const first = (): void => {};
      const second = (): void => {};
      const started = (): void => {};
      const names = ['Start', 'beforeShutdown', 'shutdown', 'managerStart', 'managerStop', 'WORKERSTART', 'workerStop'];
      names.push('workerExit', 'workerError', 'beforeReload', 'afterReload', 'connect', 'Receive', 'close');
      names.push('bufferFull', 'BufferEmpty');
      const on = server.on.bind(server) as (event: string, callback: unknown) => boolean;
      report('on', {
        known: names.map((name) => on(name, started)),
        first: on('receive', first),
        second: on('RECEIVE', second),
        unknown: on('received', first),
        withOn: on('onReceive', first),
      });
      report('get', {
        replaced: server.getCallback('Receive') === second,
        ofPort: server.ports[0].getCallback('rEceive') === second,
        server: server.getCallback('WorkerStart') === started,
        notOfPort: server.ports[0].getCallback('workerStart'),
        unknown: server.getCallback('nonsense'),
      });
      try {
        on('receive', 'strlen');
      } catch (error) {
        report('threw', { code: (error as TswooleError).code, message: (error as Error).message });
      }
      report('still', { second: server.getCallback('receive') === second });
    });
    const [on] = run.events('on');
    assert.deepEqual(on.known, new Array(16).fill(true));
    assert.deepEqual([on.first, on.second, on.unknown, on.withOn], [true, true, false, false]);
    const { replaced, ofPort, server, notOfPort, unknown } = run.events('get')[0];
    assert.deepEqual([replaced, ofPort, server, notOfPort, unknown], [true, true, true, null, null]);
    assert.equal(run.events('threw')[0].code, 'ERR_ARGUMENT');
    assert.match(run.events('threw')[0].message, /must be a function, got the string "strlen"/);
    assert.equal(run.events('still')[0].second, true);
    assert.match(run.output, /WARNING\tthere is no event "received"\n/);
    assert.match(run.output, /WARNING\tthere is no event "onReceive": leave "on" out\n/);
  });

  test('an event that nobody registered has the callback null', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      report('get', { receive: server.getCallback('receive'), start: server.getCallback('start') });
    });
    const { receive, start } = run.events('get')[0];
    assert.deepEqual([receive, start], [null, null]);
  });
});

describe('listen', () => {
  test('has three names, gives a Port, and port 0 becomes a real one', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const ports = [
        server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP),
        server.addListener('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP),
        server.addlistener('127.0.0.1', 0, swoole.SWOOLE_TCP),
      ];
      const seen = ports.map((port) =>
        port === false
          ? false
          : {
              isPort: port instanceof swoole.Port,
              port: port.port,
              host: port.host,
              type: port.type,
              ssl: port.ssl,
              setting: port.setting,
              count: port.connections.count(),
            },
      );
      report('ports', { seen, same: ports.map((port, index) => server.ports[index + 1] === port), own: server.port });
    });
    const { seen, same, own } = run.events('ports')[0];
    assert.deepEqual(same, [true, true, true]);
    assert.equal(new Set([own, ...seen.map((each: { port: number }) => each.port)]).size, 4);
    for (const { port, ...rest } of seen) {
      assert.ok(port > 0);
      assert.deepEqual(rest, { isPort: true, host: '127.0.0.1', type: 1, ssl: false, setting: {}, count: 0 });
    }
  });

  test('is false with the errno for a busy port, and with 9004 for an impossible one; the server can still start', async () => {
    const run = await runScript(async ({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      server.on('receive', () => {});
      const busy = server.listen('127.0.0.1', server.port, swoole.SWOOLE_SOCK_TCP);
      const busyError = server.getLastError();
      const impossible = server.listen('127.0.0.1', 65536, swoole.SWOOLE_SOCK_TCP);
      const impossibleError = server.getLastError();
      const noAddress = server.listen('203.0.113.1', 0, swoole.SWOOLE_SOCK_TCP);
      const noAddressError = server.getLastError();
      const name = server.listen('example.org', 0, swoole.SWOOLE_SOCK_TCP);
      const nameError = server.getLastError();
      report('listen', {
        busy,
        busyError,
        impossible,
        impossibleError,
        noAddress,
        noAddressError,
        name,
        nameError,
        count: server.ports.length,
      });
      server.on('start', () => {
        server.shutdown();
      });
      report('end', { result: await server.start() });
    });
    const { pid: _, event: _event, ...listen } = run.events('listen')[0];
    assert.deepEqual(listen, {
      ...{ busy: false, busyError: 98, impossible: false, impossibleError: 9004 },
      ...{ noAddress: false, noAddressError: 99, name: false, nameError: 22, count: 1 },
    });
    assert.match(run.output, /WARNING\t.*127\.0\.0\.1:\d+: address already in use.*another port of this server/);
    assert.match(run.output, /WARNING\t.*example\.org:0: .*names are not resolved/);
    assert.equal(run.events('end')[0].result, true);
    assert.deepEqual(run.exit, { code: 0, signal: null });
  });

  test('a port has its own set and on; unknown events and settings are told', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
      if (port === false) throw new Error('no port');
      const callback = (): void => {};
      const on = port.on.bind(port) as (event: string, callback: unknown) => boolean;
      report('on', {
        receive: on('Receive', callback),
        start: on('start', callback),
        nonsense: on('nonsense', callback),
      });
      report('get', { own: port.getCallback('receive') === callback, server: server.getCallback('receive') });
      port.set({ open_length_check: true });
      port.set({ package_length_type: 'n' });
      report('setting', { own: port.setting, server: server.setting });
      for (const settings of [{ open_lenght_check: true }, { package_length_type: 7 }]) {
        try {
          (port.set as (settings: object) => boolean)(settings);
        } catch (error) {
          report('threw', { code: (error as TswooleError).code });
        }
      }
      port.set({ worker_num: 3 } as object);
    });
    const { receive, start, nonsense } = run.events('on')[0];
    assert.deepEqual([receive, start, nonsense], [true, false, false]);
    assert.deepEqual([run.events('get')[0].own, run.events('get')[0].server], [true, null]);
    assert.deepEqual(run.events('setting')[0].own, { open_length_check: true, package_length_type: 'n' });
    assert.deepEqual(run.events('setting')[0].server, {});
    assert.deepEqual(
      run.events('threw').map((event) => event.code),
      ['ERR_SETTING_UNKNOWN', 'ERR_SETTING_TYPE'],
    );
    assert.match(run.output, /NOTICE\t.*worker_num/);
  });
});

describe('before start', () => {
  test('stats() has nothing to count, and throws', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      try {
        server.stats();
      } catch (error) {
        report('thrown', { code: (error as { code: string }).code, text: String(error) });
      }
    });
    const { code, text } = run.events('thrown')[0];
    assert.equal(code, 'ERR_STATE');
    assert.match(text, /stats\(\): the server is not running/);
  });

  test('methods of a running server answer false and say so', async () => {
    const run = await runScript(({ swoole, report }) => {
      const server = new swoole.Server('127.0.0.1');
      report('answers', {
        answers: [
          server.send(1, 'x'),
          server.close(1),
          server.exist(1),
          server.exists(1),
          server.pause(1),
          server.resume(1),
          server.confirm(1),
          server.protect(1),
          server.bind(1, 1),
          server.heartbeat(),
          server.getClientInfo(1),
          server.connection_info(1),
          server.getClientList(),
          server.connection_list(),
          server.reload(),
          server.stop(),
          server.getWorkerId(),
          server.getWorkerPid(),
          server.getWorkerStatus(),
        ],
        lastError: server.getLastError(),
        shutdown: server.shutdown(),
        shutdownError: server.getLastError(),
        master: server.getMasterPid(),
        manager: server.getManagerPid(),
        count: server.connections.count(),
        list: [...server.connections],
      });
    });
    const { answers, lastError, shutdown, shutdownError, master, manager, count, list } = run.events('answers')[0];
    assert.deepEqual(answers, new Array(19).fill(false));
    assert.equal(lastError, 0);
    assert.deepEqual([shutdown, shutdownError, master, manager, count, list], [false, 509, 0, 0, 0, []]);
    for (const method of ['send', 'pause', 'resume', 'confirm', 'protect', 'bind', 'heartbeat'])
      assert.match(run.output, new RegExp(`WARNING\\t${method}\\(\\): the server is not running`));
  });
});
