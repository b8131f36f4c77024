/** What no program should do, and some do: every method with every kind of value, in a running server and before one. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type * as tswoole from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Remote } from '../support/remote.ts';
import { runScript, startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';

/** Calls each method with each value in each place; answers what was thrown and is no TswooleError. */
function misuse(TswooleError: typeof tswoole.TswooleError, target: object, methods: readonly string[]): string[] {
  const transferred = new Uint8Array(16);
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
  const boom = (): never => {
    throw new Error('boom');
  };
  const longer = Object.defineProperty(new Uint8Array(600), 'length', { value: 2 ** 28 });
  const values: unknown[] = [
    ...[undefined, null, Number.NaN, -1, 1.5, 1e308, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 53, 5n, true, 'a\0b'],
    ...['', '1', '\ud800x', Symbol('s'), [], new Array(3), {}, Object.create(null), new Map(), new Date(Number.NaN)],
    { fd: 1, toString: boom, valueOf: boom },
    new Proxy({}, { get: boom, has: boom }),
    ...[new Proxy(new Uint8Array(8), {}), Object.create(Uint8Array.prototype), transferred, longer],
    ...[new Uint8Array(0), new Uint8Array(new SharedArrayBuffer(1000)), new Float64Array(8), new ArrayBuffer(8)],
  ];
  const thrown: string[] = [];
  for (const name of methods) {
    const method = (target as Record<string, (...args: unknown[]) => unknown>)[name];
    for (const [index, value] of values.entries()) {
      for (const args of [[value], [1, value], ['127.0.0.1', 1, value], ['127.0.0.1', 1, 'x', value]]) {
        try {
          const answer = method.apply(target, args);
          if (answer instanceof Promise) answer.catch(() => {});
        } catch (error) {
          if (!(error instanceof TswooleError)) thrown.push(`${name}, value ${index}, place ${args.length}: ${error}`);
        }
      }
    }
  }
  return thrown;
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`misuse in ${name}`, () => {
    test('throws a TswooleError or answers false, and the worker lives on', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: 1, log_level: 5, log_file: '/dev/null' },
        setup: ({ server, swoole, report, control }) => {
          control();
          server.on('connect', (_server, fd) => report('connect', { fd }));
          server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          server.on('receive', () => {});
          server.on('packet', () => {});
          server.on('task', () => 1);
          server.on('pipeMessage', () => {});
        },
      });
      // Its fd is 1, the number that stands for a connection below.
      const client = await Client.connect(server.port);
      assert.equal((await server.waitFor('connect')).fd, 1);
      const workers = await Remote.connectToAll(server, workerNum);
      const methods = [
        ...[
          'on',
          'getCallback',
          'listen',
          'send',
          'sendto',
          'sendfile',
          'sendwait',
          'sendAsync',
          'exists',
          'pause',
          'resume',
        ],
        ...['confirm', 'protect', 'bind', 'task', 'taskwait', 'sendMessage', 'command', 'getClientInfo'],
        ...['getClientList', 'getWorkerPid', 'getWorkerStatus', 'getSocket', 'addCommand', 'addProcess', 'finish'],
      ];
      const thrown = await workers[0].run(
        ({ server, swoole }, source, methods) => {
          const call = new Function(`return ${source}`)() as typeof misuse;
          return call(swoole.TswooleError, server, methods);
        },
        misuse.toString(),
        methods,
      );
      assert.deepEqual(thrown, []);
      assert.equal(await workers[0].run(({ server }) => server.getWorkerId()), 0);
      for (const worker of workers) worker.close();
      client.destroy();
    });
  });
}

test('misuse before start() throws a TswooleError or answers false', async () => {
  const run = await runScript(({ swoole, report, args }) => {
    const call = new Function(`return ${args}`)() as typeof misuse;
    const server = new swoole.Server('127.0.0.1');
    server.set({ log_file: '/dev/null' });
    const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
    if (port === false) throw new Error('no port');
    const child = new swoole.Process(() => {}, false, 1);
    child.setBlocking(false);
    report('thrown', {
      value: [
        ...call(swoole.TswooleError, port, ['on', 'getCallback']),
        ...call(swoole.TswooleError, port.getSocket(), ['setOption', 'getOption', 'addMembership', 'setMulticastTTL']),
        ...call(swoole.TswooleError, child, ['write', 'exec', 'name', 'setTimeout', 'push', 'pop']),
        ...call(swoole.TswooleError, swoole.Event, ['write']),
        ...call(swoole.TswooleError, swoole.Timer, ['exists', 'clear', 'info']),
        ...call(swoole.TswooleError, swoole.Task, ['pack', 'unpack']),
      ],
    });
    process.exit();
  }, misuse.toString());
  assert.deepEqual(run.events('thrown')[0].value, [], run.output);
});
