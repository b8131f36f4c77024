/** Sockets that are there before the server, as systemd gives them to the units that it starts. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SWOOLE_SOCK_TCP } from '../../src/index.ts';
import { AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM } from '../../src/sys/constants.ts';
import { bindTo, closeDescriptor, listenOn, localPort, openSocket } from '../../src/sys/socket.ts';
import { Client } from '../support/client.ts';
import { DatagramClient } from '../support/datagram-client.ts';
import { runScript, startServer } from '../support/server.ts';
import { ALL_SUBJECTS, BASE, PROCESS } from '../support/subjects.ts';

/** What a .socket unit asks for. */
class Unit implements Disposable {
  readonly path: string;
  readonly descriptors: number[];
  readonly ports: number[];
  private readonly directory = mkdtempSync(join(tmpdir(), 'tswoole-systemd-'));

  constructor() {
    this.path = join(this.directory, 'stream.sock');
    this.descriptors = [
      open(AF_INET, SOCK_STREAM, '127.0.0.1'),
      open(AF_INET, SOCK_DGRAM, '127.0.0.1'),
      open(AF_UNIX, SOCK_STREAM, this.path),
      open(AF_INET6, SOCK_STREAM, '::1'),
    ];
    this.ports = this.descriptors.map(localPort);
  }

  get env(): Record<string, string> {
    return { LISTEN_FDS: String(this.descriptors.length), LISTEN_FDNAMES: 'a:b:c:d' };
  }

  [Symbol.dispose](): void {
    for (const fd of this.descriptors) closeDescriptor(fd);
    rmSync(this.directory, { recursive: true });
  }
}

function open(family: number, kind: number, host: string): number {
  const fd = openSocket(family, kind);
  assert.equal(bindTo(fd, { family, host, port: 0 }), 0);
  if (kind === SOCK_STREAM) assert.equal(listenOn(fd, 16), 0);
  return fd;
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`sockets of systemd in ${name}`, () => {
    test('each is a port, and stays when the server goes', async () => {
      using unit = new Unit();
      const options: Parameters<typeof startServer>[0] = {
        ...{ host: 'systemd', port: 0, mode, settings: { worker_num: workerNum } },
        ...{ env: unit.env, descriptors: unit.descriptors },
        setup: ({ server, report }) => {
          report('ports', { ports: server.ports.map(({ host, port, type, ssl }) => [host, port, type, ssl]) });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${(server.getClientInfo(fd) || null)?.server_port} ${data}`);
          });
          server.on('packet', (server, data, { address, port }) => {
            server.sendto(address, port, `packet ${data}`);
          });
          server.on('workerStart', () => {
            report('env', { left: Object.keys(process.env).filter((key) => key.startsWith('LISTEN_')) });
          });
        },
      };
      const [tcp, udp, , six] = unit.ports;
      {
        await using server = await startServer(options);
        for (const { ports } of server.events('ports')) {
          assert.deepEqual(ports, [
            ['127.0.0.1', tcp, 1, false],
            ['127.0.0.1', udp, 2, false],
            [unit.path, 0, 5, false],
            ['::1', six, 3, false],
          ]);
        }
        assert.deepEqual(server.events('env')[0].left, []);
        const clients = [
          await Client.connect(tcp),
          await Client.connect(unit.path),
          await Client.connect(six, { host: '::1' }),
        ];
        for (const [index, port] of [tcp, 0, six].entries()) {
          clients[index].write('hello');
          assert.equal((await clients[index].read(`${port} hello`.length)).toString(), `${port} hello`);
        }
        using datagrams = DatagramClient.ip('127.0.0.1');
        datagrams.send('hello', '127.0.0.1', udp);
        assert.equal(await datagrams.receiveText(), 'packet hello');
        for (const client of clients) client.destroy();
      }
      assert.ok(existsSync(unit.path));
      // Whoever comes now waits for the next server.
      const early = await Client.connect(tcp);
      early.write('early');
      await using _server = await startServer(options);
      assert.equal((await early.read(`${tcp} early`.length)).toString(), `${tcp} early`);
      early.destroy();
    });
  });
}

describe('sockets of systemd', () => {
  for (const { name, mode } of [PROCESS, BASE]) {
    test(`are never bound anew, with enable_reuse_port in ${name}`, async () => {
      using unit = new Unit();
      await using server = await startServer({
        ...{ host: 'SYSTEMD', mode, settings: { worker_num: 2, enable_reuse_port: true } },
        ...{ env: { LISTEN_FDS: '1' }, descriptors: unit.descriptors },
        setup: ({ server }) => server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data)),
      });
      for (let i = 0; i < 10; i++) {
        const client = await Client.connect(unit.ports[0]);
        assert.equal(await client.echo('hello'), 'hello');
        client.destroy();
      }
      server.kill('SIGUSR1');
      await server.waitForCount('$worker', 4);
      const client = await Client.connect(unit.ports[0]);
      assert.equal(await client.echo('hello'), 'hello');
      client.destroy();
    });
  }

  test('without them the constructor throws, and says what is wrong', async () => {
    const script = await runScript(({ swoole, report }) => {
      const attempt = (env: Record<string, string>): void => {
        Object.assign(process.env, env);
        try {
          new swoole.Server('SYSTEMD', 0, swoole.SWOOLE_BASE);
          report('made');
        } catch (error) {
          report('threw', { message: (error as Error).message, code: (error as { code: string }).code });
        }
      };
      attempt({});
      attempt({ LISTEN_FDS: '1', LISTEN_PID: '1' });
      attempt({ LISTEN_FDS: 'many' });
      attempt({ LISTEN_FDS: '1', LISTEN_FDS_START: '999' });
    });
    const threw = script.events('threw');
    assert.equal(script.events('made').length, 0);
    assert.deepEqual(
      threw.map(({ code }) => code),
      new Array(4).fill('ERR_STATE'),
    );
    for (const { message } of threw) assert.match(message, /^failed to add systemd socket: /);
    assert.match(threw[0].message, /LISTEN_FDS is not set/);
    assert.match(threw[1].message, /LISTEN_PID is 1, but this is process \d+/);
    assert.match(threw[2].message, /LISTEN_FDS is many/);
    assert.match(threw[3].message, /none of the descriptors/);
  });

  test('a port number beside the name makes it a host like any other', async () => {
    await using server = await startServer({
      ...{ host: 'SYSTEMD', port: 9, mode: BASE.mode, type: SWOOLE_SOCK_TCP, waitUntilReady: false },
      setup: ({ server }) => {
        server.on('receive', () => {});
      },
    });
    const { result } = await server.waitFor('$end');
    assert.equal(result, false);
    await server.exited();
  });
});
