/** A script that makes another server in some processes, or from now on, is told what differs; it never serves so. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ServerSettings } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { runScript, startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS, type Subject } from '../support/subjects.ts';

/** As long as this file is there, the script is the new one. */
const CHANGED = 'changed';

/** `added`: the new script has a further port, a user process and a command; `dropped`: it has them no more. */
function start(
  { mode }: Subject,
  settings: ServerSettings,
  changes: ServerSettings,
  structure: 'added' | 'dropped' | 'same' = 'same',
): Promise<TestServer> {
  return startServer({
    mode,
    settings,
    args: { changes, structure, file: CHANGED },
    setup: async ({ server, swoole, report, args }) => {
      const { existsSync } = await import('node:fs');
      const isChanged = existsSync(args.file);
      if (isChanged) server.set(args.changes);
      if ((args.structure === 'added' && isChanged) || (args.structure === 'dropped' && !isChanged)) {
        const packets = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
        if (packets !== false) packets.on('packet', () => report('packet'));
        server.addProcess(new swoole.Process(() => new Promise((resolve) => setTimeout(resolve, 2 ** 30))));
        server.addCommand('hello', swoole.SWOOLE_SERVER_COMMAND_EVENT_WORKER, () => 'null');
      }
      server.on('afterReload', (_server, { refused }) => report('afterReload', { refused }));
      server.on('task', () => null);
      server.on('receive', (server, fd) => {
        report('setting', { setting: server.setting, isChanged });
        server.send(fd, 'x');
      });
    },
  });
}

/** Puts the new script in place and reloads. */
function deploy(server: TestServer): void {
  writeFileSync(join(server.directory, CHANGED), '');
  server.kill('SIGUSR1');
}

async function servesAgain(server: TestServer): Promise<void> {
  rmSync(join(server.directory, CHANGED));
  await server.until(() => isServed(server), 'an answer');
}

/** In SWOOLE_BASE a connection may come to a worker that ends. */
async function isServed(server: TestServer): Promise<boolean> {
  try {
    using client = await Client.connect(server.port);
    await client.write('x');
    await client.read(1);
    return true;
  } catch {
    return false;
  }
}

for (const subject of SUBJECTS) {
  const { name, mode } = subject;
  describe(`a script with another structure, ${name}`, { concurrency: false }, () => {
    test('in a reload: all differences are named in one line, and the old server goes on', async () => {
      const settings = { worker_num: 2, task_worker_num: 1 };
      await using server = await start(subject, settings, { worker_num: 3, task_worker_num: 0 }, 'added');
      const workers = new Set(server.events('$worker').map(({ pid }) => pid));
      deploy(server);
      const [line] = await server.waitForOutput(/ERROR\tworker_num is .*/);
      assert.equal(
        line.slice('ERROR\t'.length),
        'worker_num is 3 in the new code, the server has 2; ' +
          'task_worker_num is 0 in the new code, the server has 1; ' +
          'port 1 is 127.0.0.1:0 (SWOOLE_SOCK_UDP) in the new code, the server has none; ' +
          'the number of user processes is 1 in the new code, the server has 0; ' +
          'command "hello" is one for the processes 8 in the new code, the server has none: restart to change it',
      );
      const { refused } = await server.waitFor('afterReload');
      assert.match(refused, /worker_num is 3 in the new code, the server has 2; .*: restart to change it/);
      await servesAgain(server);
      assert.deepEqual(
        server.processes().filter((pid) => workers.has(pid)).length,
        workers.size,
        'the old ones serve on',
      );
      const ready = server.events('$worker').filter(({ pid }) => !workers.has(pid));
      assert.deepEqual(
        server.events('setting').map(({ isChanged }) => isChanged),
        [false],
      );
      assert.ok(ready.every(({ id }) => id < 3));
      assert.doesNotMatch(server.output, /RangeError|TypeError/);
    });

    test('in a reload: a port, a user process and a command that are there no more', async () => {
      await using server = await start(subject, { worker_num: 1, task_worker_num: 1 }, {}, 'dropped');
      deploy(server);
      await server.waitForOutput(
        /ERROR\tport 1 is none in the new code, the server has 127\.0\.0\.1:0 \(SWOOLE_SOCK_UDP\); the number of user processes is 0 in the new code, the server has 1; command "hello" is none in the new code, the server has one for the processes 8: restart/,
      );
      await servesAgain(server);
    });

    test('in a reload: a port of another address', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        args: { file: CHANGED },
        setup: async ({ server, swoole, args }) => {
          const { existsSync } = await import('node:fs');
          server.on('receive', (server, fd) => server.send(fd, 'x'));
          server.listen(existsSync(args.file) ? '127.0.0.2' : '127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
        },
      });
      deploy(server);
      await server.waitForOutput(
        /port 1 is 127\.0\.0\.2:0 \(SWOOLE_SOCK_TCP\) in the new code, the server has 127\.0\.0\.1:0 \(SWOOLE_SOCK_TCP\): restart/,
      );
      await servesAgain(server);
    });

    test('at the start: start() gives up', async () => {
      const run = await runScript(
        async ({ swoole, report, args }) => {
          const { existsSync, writeFileSync } = await import('node:fs');
          const isChild = existsSync('begun');
          writeFileSync('begun', '');
          const server = new swoole.Server('127.0.0.1', 0, isChild ? 3 - args.mode : args.mode);
          server.set({ worker_num: isChild ? 5 : 2 });
          server.on('receive', () => {});
          report('end', { result: await server.start() });
        },
        { mode },
      );
      assert.deepEqual([run.events('end')[0]?.result, run.exit], [false, { code: 1, signal: null }], run.output);
      assert.match(
        run.output,
        /ERROR\tthe mode is SWOOLE_\w+ in this process, the server has SWOOLE_\w+; worker_num is 5 in this process, the server has 2: the script must say the same in every process/,
      );
    });
  });

  test(`settings of new code are those of the first process, and the log tells which: ${name}`, async () => {
    const settings = { worker_num: 2, package_max_length: '1M', heartbeat_idle_time: 600, log_level: 0 } as const;
    const changes = { package_max_length: '2M', heartbeat_idle_time: 30, max_request: 7 };
    await using server = await start(subject, settings, changes);
    const ask = async (isChanged: boolean): Promise<Record<string, unknown>> => {
      await server.until(
        async () => {
          return (await isServed(server)) && server.events('setting').at(-1)?.isChanged === isChanged;
        },
        `the ${isChanged ? 'new' : 'old'} script`,
      );
      return server.events('setting').at(-1)?.setting;
    };
    const before = await ask(false);
    deploy(server);
    assert.deepEqual(await ask(true), before);
    assert.deepEqual([before.package_max_length, before.max_request], [1024 ** 2, undefined]);
    await server.waitForOutput(/WARNING\t.* in the new code, .*/);
    const told = server.output.match(/WARNING\t.* in the new code, .*/g);
    assert.equal(told?.length, 1, server.output);
    for (const text of [
      'package_max_length is 2097152 in the new code, the server has 1048576',
      'heartbeat_idle_time is 30 in the new code, the server has 600',
      'max_request is 7 in the new code, the server has not set',
    ])
      assert.ok(told[0].includes(text), told[0]);
    assert.match(told[0], /: restart to change it$/);
  });
}
