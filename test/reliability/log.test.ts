/** Whoever does not read the log of a server holds up nobody, and strangers cannot fill it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SWOOLE_LOG_DEBUG } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';

/** A pipe as a shell makes it: who writes to it waits. Its reader does not read. */
class Unread {
  private readonly directory = mkdtempSync(join(tmpdir(), 'tswoole-pipe-'));
  private readonly reader: number;
  readonly writer: number;

  constructor() {
    const path = join(this.directory, 'pipe');
    execFileSync('mkfifo', [path]);
    this.reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writer = openSync(path, 'a');
  }

  read(): string {
    const buffer = Buffer.alloc(1024 * 1024);
    let length = 0;
    for (;;) {
      try {
        const count = readSync(this.reader, buffer, { offset: length });
        if (count === 0) break;
        length += count;
      } catch {
        break;
      }
    }
    return buffer.toString('utf8', 0, length);
  }

  [Symbol.dispose](): void {
    closeSync(this.reader);
    closeSync(this.writer);
    rmSync(this.directory, { recursive: true });
  }
}

for (const { name, mode } of SUBJECTS) {
  test(`a full pipe as standard output holds nobody up in ${name}`, async () => {
    using pipe = new Unread();
    await using server = await startServer({
      mode,
      stdout: pipe.writer,
      settings: { worker_num: 2, open_eof_split: true, package_eof: '\n', log_level: SWOOLE_LOG_DEBUG },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          // Each asks for a line of the log as well.
          if (String(data) === 'log\n') server.sendMessage('x', 99);
          else server.send(fd, data);
        });
      },
    });
    using client = await Client.connect(server.port);
    for (let i = 0; i < 2000; i++) await client.write('log\n');
    for (let i = 0; i < 20; i++) {
      await client.write('hello\n');
      assert.equal(String(await client.readUntil('\n')), 'hello\n');
    }
    assert.ok(pipe.read().length > 60_000);
    await client.write('log\nhello\n');
    await client.readUntil('\n');
    await server.until(() => /\d+ lines of the log were lost here/.test(pipe.read()), 'the number of lost lines');
    for (let i = 0; i < 2000; i++) await client.write('log\n');
    await client.write('hello\n');
    await client.readUntil('\n');
    server.kill('SIGTERM');
    assert.deepEqual(await server.exited(), { code: 0, signal: null });
  });

  test(`malformed packages of many clients are told of once a second, with their number, in ${name}`, async () => {
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, open_length_check: true, package_length_type: 'N', package_max_length: 100_000 },
      setup: ({ server }) => {
        server.on('receive', () => {});
      },
    });
    const began = performance.now();
    for (let i = 0; i < 200; i++) {
      using client = await Client.connect(server.port);
      await client.write(Buffer.alloc(4, 255));
      await client.ended;
    }
    const lines = (): string[] => server.output.match(/^.*a package that cannot be accepted.*$/gm) ?? [];
    await server.until(
      () => lines().reduce((sum, line) => sum + 1 + Number(/and (\d+) more/.exec(line)?.[1] ?? 0), 0) === 200,
      'all of them',
    );
    assert.ok(lines().length <= 2 + (performance.now() - began) / 1000, lines().join('\n'));
  });
}
