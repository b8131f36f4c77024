import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_SOCK_UNIX_STREAM } from '../../src/index.ts';
import { AF_UNIX, SOCK_STREAM } from '../../src/sys/constants.ts';
import { bindTo, closeDescriptor, openSocket } from '../../src/sys/socket.ts';
import { Client } from '../support/client.ts';
import { DatagramClient, socketDirectory } from '../support/datagram-client.ts';
import type { Fixture } from '../support/fixture.ts';
import { descriptorCount } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS } from '../support/subjects.ts';

const directory = socketDirectory();
let paths = 0;
function freshPath(): string {
  return join(directory, `${++paths}.sock`);
}

const echo = ({ server, report }: Fixture<unknown>): void => {
  server.on('connect', (server, fd) => report('connect', { fd, info: server.getClientInfo(fd) }));
  server.on('receive', (server, fd, _reactorId, data) => {
    server.send(fd, data);
  });
  server.on('close', (_server, fd) => report('close', { fd }));
};

function start(host: string, mode: number, workerNum: number, setup = echo): Promise<TestServer> {
  return startServer({ host, mode, type: SWOOLE_SOCK_UNIX_STREAM, settings: { worker_num: workerNum }, setup });
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`Unix streams in ${name}`, () => {
    let server: TestServer;
    const path = freshPath();
    before(async () => {
      server = await start(path, mode, workerNum);
    });
    after(async () => {
      await server?.stop();
      assert.equal(existsSync(path), false, 'the file is removed at the end');
    });

    test('echoes, and tells who is there', async () => {
      using client = await Client.connect(path);
      assert.equal(await client.echo('hello'), 'hello');
      const bytes = Buffer.alloc(3_000_000, 'abcdefg');
      void client.write(bytes);
      assert.ok((await client.read(bytes.length)).equals(bytes));
      const { info } = server.events('connect')[0];
      assert.equal(info.remote_ip, '');
      assert.equal(info.remote_port, 0);
      assert.equal(info.server_port, 0);
      assert.equal(info.socket_type, SWOOLE_SOCK_UNIX_STREAM);
    });

    test('has its path as host and 0 as port', () => {
      assert.deepEqual(server.events('$start')[0].ports[0], { host: path, port: 0, type: SWOOLE_SOCK_UNIX_STREAM });
    });

    test('makes the file with the umask of the process', () => {
      const { mode } = statSync(path);
      assert.equal(mode & 0o777, 0o777 & ~process.umask());
    });

    test('a client that ends or resets is noticed', async () => {
      const first = server.events('close').length;
      const polite = await Client.connect(path);
      await polite.echo('a');
      polite.end();
      await polite.closed;
      const rude = await Client.connect(path);
      await rude.echo('b');
      rude.destroy();
      await server.waitForCount('close', first + 2);
    });

    test('a second server on the path does not start, and leaves the first alone', async () => {
      const second = await startServer({
        ...{ host: path, mode, type: SWOOLE_SOCK_UNIX_STREAM, waitUntilReady: false },
        setup: ({ server }) => {
          server.on('receive', () => {});
        },
      });
      const { result, error } = await second.waitFor('$end');
      assert.deepEqual([result, error], [false, 98]);
      await second.exited();
      await second.waitForOutput(/cannot listen on .*\.sock: .*another program uses that path/);
      await second.assertGone();
      using client = await Client.connect(path);
      assert.equal(await client.echo('still here'), 'still here');
    });

    test('10,000 connections leave no descriptor behind', async () => {
      const count = (): number => server.processes().reduce((sum, pid) => sum + descriptorCount(pid), 0);
      const closesBefore = server.events('close').length;
      const before = count();
      for (let round = 0; round < 100; round++) {
        const clients = await Promise.all(Array.from({ length: 100 }, () => Client.connect(path)));
        await Promise.all(clients.map((client) => client.echo('x')));
        for (const client of clients) client.destroy();
      }
      await server.until(() => server.events('close').length - closesBefore >= 10_000, '10,000 close events', 60_000);
      await server.until(() => count() <= before, `at most ${before} descriptors, there are ${count()}`);
    });
  });

  test(`a client that leaves before it is read from has said what it said in ${name}`, async () => {
    const path = freshPath();
    await using server = await startServer({
      ...{ host: path, mode, type: SWOOLE_SOCK_UNIX_STREAM },
      settings: { worker_num: 1, enable_delay_receive: true },
      setup: ({ server, report, control }) => {
        server.on('connect', (_server, fd) => report('connect', { fd }));
        server.on('receive', (_server, _fd, _reactorId, data) => report('receive', { text: data.toString() }));
        server.on('close', (_server, fd) => report('close', { fd }));
        control().on('connect', (server, fd) => void server.confirm(fd));
      },
    });
    using remote = await Remote.connect(server);
    const client = await Client.connect(path);
    const { fd } = await server.waitFor('connect');
    await client.write('last words');
    client.destroy();
    await client.closed;
    // The server has had a look at it meanwhile.
    for (let i = 0; i < 5; i++) await remote.run(() => new Promise((resolve) => setTimeout(resolve, 5)));
    assert.equal(await remote.run(({ server }, fd) => server.confirm(fd), fd), true);
    await server.waitFor('close');
    const words = server.events('receive').map((event) => event.text);
    assert.deepEqual(words, ['last words']);
  });

  describe(`files of Unix sockets in ${name}`, () => {
    test('a stale file is replaced after kill -9', async () => {
      const path = freshPath();
      const killed = await start(path, mode, workerNum);
      killed.kill('SIGKILL');
      await killed.exited();
      await killed.assertGone();
      assert.ok(existsSync(path));
      const server = await start(path, mode, workerNum);
      using client = await Client.connect(path);
      assert.equal(await client.echo('again'), 'again');
      client.destroy();
      await server.stop();
      assert.equal(existsSync(path), false);
    });

    test('a file that was replaced meanwhile stays', async () => {
      const path = freshPath();
      const server = await start(path, mode, workerNum);
      rmSync(path);
      writeFileSync(path, 'somebody else’s');
      await server.stop();
      assert.ok(existsSync(path));
      rmSync(path);
    });

    test('a worker that dies or is reloaded leaves the file', async () => {
      if (workerNum === 1) return;
      const path = freshPath();
      await using server = await start(path, mode, workerNum);
      process.kill(server.events('$worker')[0].pid as number, 'SIGKILL');
      await server.waitForCount('$worker', workerNum + 1);
      server.kill('SIGUSR1');
      await server.waitForCount('$worker', 2 * workerNum + 1);
      using client = await Client.connect(path);
      assert.equal(await client.echo('hello'), 'hello');
    });
  });
}

describe('paths of Unix sockets', () => {
  /** What start() answers on the path, with its error. */
  async function tryStart(host: string, type = SWOOLE_SOCK_UNIX_STREAM): Promise<[boolean, number]> {
    const server = await startServer({
      ...{ host, mode: 1, type, waitUntilReady: false },
      setup: ({ server }) => {
        server.on('receive', () => {});
        server.on('packet', () => {});
        server.on('start', () => {
          setTimeout(() => server.shutdown(), 10);
        });
      },
    });
    const { result, error } = await server.waitFor('$end');
    await server.exited();
    await server.assertGone();
    return [result, error];
  }

  test('a path is taken while anything is bound to it: a listener, a socket that does not listen yet, a datagram socket', async () => {
    const listening = freshPath();
    const other = createServer().listen(listening);
    await once(other, 'listening');
    assert.deepEqual(await tryStart(listening), [false, 98]);
    assert.deepEqual(await tryStart(listening, 6), [false, 98]);
    other.close();

    const bound = freshPath();
    const fd = openSocket(AF_UNIX, SOCK_STREAM);
    assert.equal(bindTo(fd, { family: AF_UNIX, host: bound, port: 0 }), 0);
    assert.deepEqual(await tryStart(bound), [false, 98]);
    closeDescriptor(fd);
    // Now nobody is behind it.
    assert.deepEqual(await tryStart(bound), [true, 0]);

    const datagram = freshPath();
    using client = DatagramClient.unix(datagram);
    assert.deepEqual(await tryStart(datagram), [false, 98]);
    assert.deepEqual(await tryStart(datagram, 6), [false, 98]);
    client.close();
    assert.deepEqual(await tryStart(datagram), [true, 0]);
  });

  test('what is no socket is never replaced', async () => {
    const file = freshPath();
    writeFileSync(file, 'precious');
    assert.deepEqual(await tryStart(file), [false, 98]);
    assert.equal(statSync(file).size, 8);
    const link = freshPath();
    symlinkSync(file, link);
    assert.deepEqual(await tryStart(link), [false, 98]);
    assert.deepEqual(await tryStart(directory), [false, 98]);
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.endsWith('.stale')),
      [],
    );
  });

  test('a folder that is not there is told', async () => {
    assert.deepEqual(await tryStart(join(directory, 'missing', 'a.sock')), [false, 2]);
  });

  test('a relative path is removed as well', async () => {
    const server = await start('relative.sock', 1, 1);
    const path = join(server.directory, 'relative.sock');
    assert.ok(existsSync(path));
    server.kill();
    await server.exited();
    assert.equal(existsSync(path), false);
    await server.assertGone();
  });

  test('a path that is too long is refused: the constructor throws, listen() is false', async () => {
    const longest = join(directory, 'x'.repeat(107 - directory.length - 1));
    assert.equal(Buffer.byteLength(longest), 107);
    assert.deepEqual(await tryStart(longest), [true, 0]);
    const server = await startServer({
      ...{ mode: 1, waitUntilReady: false, args: `${longest}x` },
      setup: ({ server, report, args, swoole }) => {
        report('listen', {
          long: server.listen(args, 0, swoole.SWOOLE_SOCK_UNIX_STREAM),
          error: server.getLastError(),
          // 60 characters, but 120 bytes.
          wide: server.listen(`/tmp/${'ü'.repeat(55)}`, 0, swoole.SWOOLE_SOCK_UNIX_DGRAM),
        });
        server.on('receive', () => {});
        server.on('start', () => {
          setTimeout(() => server.shutdown(), 10);
        });
      },
    });
    await server.exited();
    const { long, error, wide } = server.events('listen')[0];
    assert.deepEqual([long, error, wide], [false, 504, false]);
    await server.assertGone();
    const thrown = await startServer({
      ...{ host: `${longest}x`, mode: 1, type: SWOOLE_SOCK_UNIX_STREAM, waitUntilReady: false },
      setup: () => {},
    });
    const { code, message } = await thrown.waitFor('$threw');
    assert.equal(code, 'ERR_ARGUMENT');
    assert.match(message, /at most 107 bytes/);
    await thrown.exited();
    await thrown.assertGone();
  });

  test('start() that fails elsewhere removes the file again', async () => {
    const path = freshPath();
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const { port } = blocker.address() as { port: number };
    const server = await startServer({
      ...{ mode: 1, waitUntilReady: false, port, args: path },
      setup: ({ server, report, args, swoole }) => {
        const unix = server.listen(args, 0, swoole.SWOOLE_SOCK_UNIX_STREAM);
        report('listen', { ok: unix !== false });
        server.on('receive', () => {});
      },
    });
    const { result } = await server.waitFor('$end');
    await server.exited();
    assert.equal(result, false);
    assert.equal(server.events('listen')[0].ok, true);
    assert.equal(existsSync(path), false);
    blocker.close();
    await server.assertGone();
  });
});
