import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { runScript, startServer } from '../support/server.ts';
import { ALL_SUBJECTS, PROCESS } from '../support/subjects.ts';

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`log settings in ${name}`, () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'tswoole-log-'));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');

    test("log_file takes the log of all processes, in the peer's form", async () => {
      const file = join(folder, 'server.log');
      const server = await startServer({
        mode,
        settings: { worker_num: workerNum, log_file: file },
        setup: ({ server }) => {
          server.on('workerStart', () => {
            throw new Error('told in the log');
          });
          server.on('shutdown', () => {
            throw new Error('told at the end');
          });
          server.on('receive', () => {});
        },
      });
      await server.stop();
      assert.equal(server.output, '');
      const lines = read(file).split('\n');
      for (let id = 0; id < workerNum; id++) {
        const { pid } = server.events('$worker').find((event) => event.id === id)!;
        const pattern = new RegExp(
          `^\\[\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d \\*${pid}\\.${id}\\]\\tERROR\\t.*told in the log`,
        );
        assert.ok(
          lines.some((line) => pattern.test(line)),
          `worker ${id} in\n${lines.join('\n')}`,
        );
      }
      assert.ok(lines.some((line) => line.includes('told at the end')));
    });

    test('log_level drops what is below it', async () => {
      for (const [level, expected] of [
        [0, true],
        [4, true],
        [5, false],
        [6, false],
      ] as const) {
        const file = join(folder, `${level}.log`);
        const server = await startServer({
          mode,
          settings: { worker_num: 1, log_file: file, log_level: level },
          setup: ({ server }) => {
            server.on('receive', () => {});
            server.on('workerStart', (server) => {
              // A warning.
              server.set({ worker_num: 9 });
            });
          },
        });
        await server.stop();
        assert.equal(/WARNING\tset\(\)/.test(read(file)), expected, `level ${level}`);
      }
    });

    test('log_date_format and log_date_with_microseconds shape the date', async () => {
      const file = join(folder, 'server.log');
      const server = await startServer({
        mode,
        settings: { worker_num: 1, log_file: file, log_date_format: '%Y/%j', log_date_with_microseconds: true },
        setup: ({ server }) => {
          server.on('receive', () => {});
          server.on('workerStart', (server) => {
            server.set({});
          });
        },
      });
      await server.stop();
      assert.match(read(file), /^\[\d{4}\/\d{3}<\.\d{6}> \*\d+\.0\]\tWARNING\t/m);
    });

    test('log_rotation puts the date into the name', async () => {
      for (const [rotation, suffix] of [
        [1, /\.\d{6}$/],
        [2, /\.\d{8}$/],
        [3, /\.\d{10}$/],
        [4, /\.\d{12}$/],
      ] as const) {
        const own = join(folder, String(rotation));
        mkdirSync(own);
        const server = await startServer({
          mode,
          settings: { worker_num: 1, log_file: join(own, 'server.log'), log_rotation: rotation },
          setup: ({ server }) => {
            server.on('receive', () => {});
            server.on('workerStart', (server) => {
              server.set({});
            });
          },
        });
        await server.stop();
        const files = readdirSync(own);
        // Two at the turn of a minute.
        assert.ok(files.length >= 1 && files.every((file) => suffix.test(file)), `${rotation}: ${files}`);
        assert.match(files.map((file) => read(join(own, file))).join(''), /WARNING\tset\(\)/);
      }
    });

    for (const [signalName, signal] of [
      ['SIGWINCH', 28],
      ['SIGRTMIN', 34],
    ] as const) {
      test(`${signalName} makes every process open its log file anew`, async () => {
        const file = join(folder, 'server.log');
        await using server = await startServer({
          mode,
          settings: { worker_num: workerNum, log_file: file },
          setup: ({ server, swoole }) => {
            // Signals have nothing to do with descriptors of the same number.
            for (let i = 0; i < 30; i++) server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
            server.on('receive', (server, fd) => {
              server.set({});
              server.send(fd, '.');
            });
          },
        });
        const clients: Client[] = [];
        const logOnce = async (): Promise<void> => {
          const client = await Client.connect(server.port);
          await client.write('x');
          await client.read(1);
          clients.push(client);
        };
        await logOnce();
        renameSync(file, `${file}.old`);
        assert.equal(existsSync(file), false);
        process.kill(server.pid, signal);
        await server.until(() => existsSync(file), 'a new log file');
        // All workers write to the new file, which each opens when it hears of it.
        await server.until(async () => {
          const before = read(`${file}.old`).length;
          for (let i = 0; i < 2 * workerNum; i++) await logOnce();
          return read(`${file}.old`).length === before;
        }, 'all processes to write to the new file');
        assert.match(read(file), /WARNING\tset\(\)/);
        for (const client of clients) client.destroy();
      });
    }

    test('a log file that cannot be opened is told, and the log goes to standard output', async () => {
      const server = await startServer({
        mode,
        settings: { worker_num: 1, log_file: join(folder, 'no', 'such', 'folder.log') },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      await server.stop();
      assert.match(server.output, /WARNING\t.*folder\.log/);
    });
  });
}

test('SIGRTMIN is for the second server of a process as well', async () => {
  const run = await runScript(async ({ swoole, report }) => {
    const { execFileSync } = await import('node:child_process');
    const { existsSync, renameSync } = await import('node:fs');
    const { setTimeout: delay } = await import('node:timers/promises');
    for (const name of ['first', 'second']) {
      const server = new swoole.Server('127.0.0.1', 0);
      server.set({ log_file: name });
      server.on('receive', () => {});
      server.on('start', async () => {
        renameSync(name, `${name}.old`);
        execFileSync('kill', ['-34', `${process.pid}`]);
        for (let tries = 0; tries < 1000 && !existsSync(name); tries++) await delay(10);
        report('signalled', { name, opened: existsSync(name) });
        server.shutdown();
      });
      await server.start();
    }
  });
  assert.deepEqual(
    run.events('signalled').map(({ name, opened }) => [name, opened]),
    [
      ['first', true],
      ['second', true],
    ],
  );
});

test('a reload is told in the log', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 1, task_worker_num: 1 },
    setup: ({ server, report }) => {
      server.on('receive', () => {});
      server.on('task', () => {});
      server.on('afterReload', () => report('afterReload'));
    },
  });
  server.kill('SIGUSR1');
  await server.waitForOutput(/INFO\treloading all workers/);
  await server.waitForCount('afterReload', 1);
  server.kill('SIGUSR2');
  await server.waitForOutput(/INFO\treloading all task workers/);
  await server.waitForCount('afterReload', 2);
});
