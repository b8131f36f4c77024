/** A server that runs out of descriptors keeps what it needs for itself, and comes back when there are some. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { descriptorCount } from '../support/process-info.ts';
import { runScript, startServer } from '../support/server.ts';
import { ALL_SUBJECTS, SUBJECTS } from '../support/subjects.ts';

/** A shell that lowers the limit of open files, and becomes the program. */
function limited(files: number): string[] {
  return ['sh', '-c', `ulimit -n ${files}; exec "$@"`, 'sh'];
}

function crowd(port: number, count: number): Socket[] {
  return Array.from({ length: count }, () => connect(port, '127.0.0.1').on('error', () => {}));
}

test('300 clients at 256 descriptors and a dead manager: the server comes back', async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    runner: limited(256),
    settings: { worker_num: 2 },
    setup: ({ server, report }) => {
      server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
      server.on('managerStart', () => report('managerStart'));
      report('limit', { max: server.setting.max_connection });
    },
  });
  const clients = crowd(server.port, 300);
  await server.waitForOutput(/too many connections: max_connection=\d+/);
  const [{ pid: manager }] = server.events('managerStart');
  process.kill(manager, 'SIGKILL');
  // Nobody leaves before there is a new one: what it needs was kept.
  await server.waitForCount('managerStart', 2);
  assert.ok(descriptorCount(server.pid) < 256, 'some are kept');
  for (const client of clients) client.destroy();
  await server.until(async () => {
    try {
      using client = await Client.connect(server.port);
      return (await client.echo('again')) === 'again';
    } catch {
      return false;
    }
  }, 'an answer');
  assert.doesNotMatch(server.output, /cannot start the manager|accept\(\) failed/);
});

describe('max_connection', () => {
  for (const { name, mode, workerNum } of ALL_SUBJECTS)
    test(`that descriptors do not suffice for is lowered, and both are named: ${name}`, async () => {
      await using server = await startServer({
        ...{ mode, runner: limited(200), settings: { worker_num: workerNum, max_connection: 5000 } },
        setup: ({ server, report }) => {
          server.on('receive', () => {});
          server.on('workerStart', (server) => report('setting', { max: server.setting.max_connection }));
        },
      });
      const warnings = server.output.match(/WARNING\tmax_connection 5000 is above what .*/g) ?? [];
      assert.equal(warnings.length, 1, server.output);
      const used = Number(/ulimit -n 200.*: (\d+) is used\.$/.exec(warnings[0])?.[1]);
      assert.ok(used > 50 && used < 170, warnings[0]);
      assert.deepEqual(
        server.events('setting').map(({ max }) => max),
        Array(workerNum).fill(used),
      );
    });
});

for (const { name, mode, workerNum } of ALL_SUBJECTS)
  for (const files of [24, 32])
    test(`start() with ${files} descriptors says so and is false: ${name}`, async (t) => {
      const probe = spawnSync('sh', ['-c', `ulimit -n ${files}; exec "$@"`, 'sh', process.execPath, '-p', '1']);
      if (probe.status !== 0) return t.skip('Node itself does not start with so few');
      await using server = await startServer({
        ...{ mode, runner: limited(files), settings: { worker_num: workerNum }, waitUntilReady: false },
        setup: ({ server }) => server.on('receive', () => {}),
      });
      assert.deepEqual(await server.exited(), { code: 1, signal: null }, server.output);
      assert.deepEqual(
        server.events('$end').map(({ result, error }) => [result, error]),
        [[false, 24]],
        server.output,
      );
      const told = /ERROR\tthe limit of open files \(ulimit -n\) is (\d+), and this server needs (\d+) at least/.exec(
        server.output,
      );
      assert.equal(told?.[1], `${files}`);
      assert.ok(Number(told?.[2]) > files);
    });

test('clients that leave while no worker can start give their descriptors back', async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 2 },
    setup: async ({ server, report }) => {
      const { existsSync } = await import('node:fs');
      server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
      server.on('close', () => report('close'));
      server.on('workerStart', () => {
        if (existsSync('broken')) process.exit(1);
      });
    },
  });
  const before = descriptorCount(server.pid);
  writeFileSync(join(server.directory, 'broken'), '');
  for (const { pid } of server.events('$worker')) process.kill(pid, 'SIGKILL');
  await server.waitForOutput(/as soon as it had begun \(2 times/);
  const clients = crowd(server.port, 40);
  await server.until(() => descriptorCount(server.pid) >= before + 40, '40 connections');
  for (const client of clients) client.destroy();
  await server.until(() => descriptorCount(server.pid) <= before, 'their end');
  assert.equal(server.events('close').length, 0, 'nobody was there for that');
  rmSync(join(server.directory, 'broken'));
  using client = await Client.connect(server.port);
  assert.equal(await client.echo('again'), 'again');
});

for (const { name, mode } of SUBJECTS)
  test(`150 ports are served, and there are at most 1024: ${name}`, async () => {
    await using server = await startServer({
      ...{ mode, settings: { worker_num: 2 } },
      setup: ({ server, swoole }) => {
        for (let i = 0; i < 150; i++) server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
        server.on('receive', (server, fd, _reactorId, data) => {
          const info = server.getClientInfo(fd);
          server.send(fd, info === false ? '' : `${info.server_port} ${data}`);
        });
      },
    });
    for (const index of [0, 1, 93, 150]) {
      const port = server.portAt(index);
      using client = await Client.connect(port);
      await client.write('here');
      assert.equal((await client.read(`${port} here`.length)).toString(), `${port} here`);
    }
    const run = await runScript(
      ({ swoole, report, args }) => {
        const server = new swoole.Server('127.0.0.1', 0, args.mode);
        let count = 1;
        while (count < 2000 && server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP) !== false) count++;
        report('ports', { count, error: server.getLastError() });
        process.exit(0);
      },
      { mode },
    );
    assert.deepEqual([run.events('ports')[0].count, run.events('ports')[0].error], [1024, 9005], run.output);
  });

test('what a worker left that was killed over its stats_file is removed', async () => {
  await using server = await startServer({
    mode: SWOOLE_PROCESS,
    settings: { worker_num: 1, stats_file: 'stats', stats_timer_interval: 10 },
    setup: async ({ server, report }) => {
      const { existsSync, writeFileSync } = await import('node:fs');
      server.on('receive', () => {});
      // Pids end far below this.
      for (const name of ['stats.99999999.draft', `stats.${process.pid}.draft.old`, 'stats.1'])
        if (!existsSync(name)) writeFileSync(name, '');
      server.on('workerStart', () => report('files'));
    },
  });
  await server.until(() => existsSync(join(server.directory, 'stats')), 'the file');
  const files = readdirSync(server.directory).filter((name) => name.startsWith('stats.'));
  assert.ok(!files.includes('stats.99999999.draft'), files.join());
  assert.ok(files.includes('stats.1') && files.some((name) => name.endsWith('.old')), files.join());
});
