import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Stats, SWOOLE_SOCK_TCP, SWOOLE_SSL, SWOOLE_SSL_TLSv1_1, SWOOLE_SSL_TLSv1_2 } from '../../src/index.ts';
import { HANDSHAKE_MS } from '../../src/reactor/limits.ts';
import { Client } from '../support/client.ts';
import { prng } from '../support/prng.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { makePair, settingsOf } from './certificates.ts';

const run = promisify(execFile);
const PAIR = makePair('localhost');

/** The first flight of a real client: what its socket sends before the server has said anything. */
async function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (data: Buffer) => {
        resolve(data);
        socket.destroy();
        server.close();
      });
      socket.on('error', () => {});
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      Client.connectTls(port, { servername: 'localhost' }).catch(() => {});
    });
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`TLS handshakes in ${name}`, () => {
    let server: TestServer;
    let remotes: Remote[];
    let hello: Buffer;

    before(async () => {
      hello = await clientHello();
      server = await startServer({
        mode,
        type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
        settings: { worker_num: workerNum, start_session_id: 100, log_level: 0, ...settingsOf(PAIR) },
        args: { own: settingsOf(PAIR), old: SWOOLE_SSL_TLSv1_1 | SWOOLE_SSL_TLSv1_2 },
        setup: ({ server, swoole, report, control, args }) => {
          server.on('connect', (server, fd) => {
            const info = server.getClientInfo(fd);
            report('connect', { fd, remotePort: info === false ? 0 : info.remote_port });
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
          server.on('close', (_server, fd) => report('close', { fd }));
          control();
          const old = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
          if (old === false) throw new Error('no second port');
          old.set({ ...args.own, ssl_protocols: args.old, ssl_ciphers: 'ALL:@SECLEVEL=0' });
          for (const idle of [{ heartbeat_idle_time: 1 }, { max_idle_time: 1 }]) {
            const impatient = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
            if (impatient === false) throw new Error('no further port');
            impatient.set({ ...args.own, ...idle });
          }
        },
      });
      remotes = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const remote of remotes ?? []) remote.close();
      await server?.stop();
    });

    const stats = async (): Promise<{ aborted: number; open: number }> => {
      const all = await remotes[0].run(({ server }) => server.stats() as Stats);
      assert.deepEqual([all.handshake_error_count, all.refuse_count], [all.abort_count, 0]);
      return { aborted: all.abort_count, open: all.connection_num };
    };

    /** Waits until everything that earlier tests have begun is over. */
    const settle = (): Promise<unknown> => until(async () => (await stats()).open === remotes.length, 'a quiet server');

    const fdOf = async (client: Client): Promise<number> =>
      (await server.waitFor('connect', (event) => event.remotePort === client.localPort)).fd;

    /** Runs what must end a connection before users know of it, and checks that it did and that nobody else noticed. */
    async function abort(bytes: Uint8Array, how: 'wait' | 'end' | 'reset' = 'wait'): Promise<Buffer> {
      // Or an earlier client could end between the two counts.
      await settle();
      const neighbour = await Client.connectTls(server.port);
      await fdOf(neighbour);
      const before = await stats();
      const connects = server.events('connect').length;
      const client = await Client.connect(server.port);
      await client.write(bytes);
      if (how === 'end') client.end();
      if (how === 'reset') client.reset();
      const answer = how === 'reset' ? Buffer.alloc(0) : await client.readAll();
      client.destroy();
      await until(async () => (await stats()).aborted === before.aborted + 1, 'an aborted connection');
      await until(async () => (await stats()).open === before.open, 'its end');
      assert.equal(server.events('connect').length, connects);
      assert.equal(await neighbour.echo('b'), 'b');
      neighbour.destroy();
      return answer;
    }

    test('ends a client that speaks plainly', async () => {
      await abort(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
      await abort(Buffer.from('hello, this is no TLS at all\n'));
    });

    test('tells why at the usual level, but not for each of a crowd', async () => {
      const lines = (): string[] =>
        server.output.split('\n').filter((line) => /NOTICE.*from 127.0.0.1: http request/.test(line));
      /** Lines tell of those that had none of their own. */
      const told = (): number =>
        lines().reduce((sum, line) => sum + 1 + Number(/and (\d+) more like this/.exec(line)?.[1] ?? 0), 0);
      const clients = await Promise.all(Array.from({ length: 60 }, () => Client.connect(server.port)));
      const before = { lines: lines().length, told: told() };
      for (const client of clients) await client.write('GET / HTTP/1.1\r\n\r\n');
      for (const client of clients) await Promise.race([client.ended, client.closed]);
      for (const client of clients) client.destroy();
      await server.until(() => told() >= before.told + 60, 'all of them are told of');
      assert.ok(lines().length < before.lines + 30, `${lines().length} lines`);
    });

    test('a client that leaves in the middle of its handshake is no more than DEBUG', async () => {
      const notices = (): number => server.output.split('NOTICE').length;
      const before = notices();
      await abort(hello.subarray(0, 100), 'end');
      await server.waitForOutput(/DEBUG\tno TLS handshake with connection \d+ from 127.0.0.1: the client has left/);
      assert.equal(notices(), before);
    });

    test('ends a client that sends rubbish', async () => {
      const random = prng(20_26);
      for (let i = 0; i < 20; i++) {
        const bytes = Buffer.concat([hello.subarray(0, random.int(80)), random.bytes(400)]);
        // Some of it only looks as if more were to come.
        await abort(bytes, 'end');
      }
    });

    test('tells a client of another time what is wrong, with an alert', async () => {
      // A ClientHello whose version is changed to SSL 3.0, without the extension that offers better.
      const bytes = Buffer.from(
        '160300002f0100002b0300000000000000000000000000000000000000000000000000000000000000000000000004002f00350100',
        'hex',
      );
      const answer = await abort(bytes);
      assert.equal(answer[0], 21, answer.toString('hex'));
    });

    test('ends a client that leaves in the middle, wherever that is', async () => {
      for (const length of [0, 1, 4, 5, 6, 50, hello.length - 1, hello.length])
        await abort(hello.subarray(0, length), 'end');
      await abort(hello.subarray(0, 100), 'reset');
    });

    test('ends a client that breaks off after the server has answered', async () => {
      await abort(Buffer.concat([hello, Buffer.from('1503010002022816', 'hex')]), 'end');
    });

    test('nobody knows of a connection before its handshake is done', async () => {
      await settle();
      const marker = await Client.connectTls(server.port);
      const fd = await fdOf(marker);
      const silent = await Client.connect(server.port);
      await silent.write(hello.subarray(0, 20));
      await until(async () => (await stats()).open === remotes.length + 2, 'the connection');
      for (const remote of remotes) {
        const results = await remote.run(
          ({ server }, fd) => [
            server.exists(fd),
            server.getClientInfo(fd),
            server.getClientInfo(fd, -1, true),
            server.send(fd, 'too early'),
            server.getLastError(),
            server.close(fd),
            server.pause(fd),
            [...server.connections].includes(fd),
          ],
          fd + 1,
        );
        assert.deepEqual(results, [false, false, false, false, 1005, false, false, false]);
      }
      silent.destroy();
      marker.destroy();
    });

    test('a record that was not encrypted with the right keys ends a connection', async () => {
      const plain = connect({ port: server.port, host: '127.0.0.1' });
      const client = await Client.connectTls(server.port, { socket: plain });
      const fd = await fdOf(client);
      // A record that nobody has encrypted with these keys.
      plain.write(Buffer.from('1703030020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex'));
      await client.closed;
      await server.waitFor('close', (event) => event.fd === fd);
    });

    test('a record that never ends is no more than the end of the connection', async () => {
      const plain = connect({ port: server.port, host: '127.0.0.1' });
      const client = await Client.connectTls(server.port, { socket: plain });
      const fd = await fdOf(client);
      plain.end(Buffer.from('170303400001020304', 'hex'));
      await server.waitFor('close', (event) => event.fd === fd);
      client.destroy();
    });

    test('renegotiation is refused', async () => {
      const client = await Client.connectTls(server.port, { maxVersion: 'TLSv1.2' });
      assert.equal(await client.echo('before'), 'before');
      const error = await new Promise<Error | null>((resolve) => {
        client.socket.renegotiate({}, resolve);
        client.socket.once('error', resolve);
      });
      assert.match(String(error), /no renegotiation/i);
      client.destroy();
    });

    test('asking for new keys again and again ends the connection', async () => {
      // s_client asks for an update of both sides' keys for every line "K".
      await settle();
      const child = execFile('openssl', ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_3']);
      child.stdin!.on('error', () => {});
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      let over = false;
      void ended.then(() => {
        over = true;
      });
      for (let i = 0; i < 40 && !over; i++) {
        child.stdin!.write('K\n');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await settle();
      child.kill();
      assert.match(server.output, /asks for new TLS keys again and again/);
      const other = await Client.connectTls(server.port);
      assert.equal(await other.echo('all is well'), 'all is well');
      other.destroy();
    });

    test('a few new keys are fine', async () => {
      const { stdout } = await run('sh', [
        '-c',
        `(echo one; sleep 0.3; echo K; sleep 0.1; echo k; sleep 0.1; echo two; sleep 0.5) | timeout 10 openssl s_client -connect 127.0.0.1:${server.port} -tls1_3`,
      ]);
      assert.match(stdout, /^one$[\s\S]*^two$/m);
    });

    test('offers TLS 1.2 and 1.3 by default, and what ssl_protocols names where it is set', async () => {
      const versions = async (port: number): Promise<(string | null)[]> => {
        const found: (string | null)[] = [];
        for (const version of ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const) {
          const options = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0' };
          const client = await Client.connectTls(port, options).catch(() => null);
          found.push(client?.socket.getProtocol() ?? null);
          client?.destroy();
        }
        return found;
      };
      assert.deepEqual(await versions(server.port), [null, null, 'TLSv1.2', 'TLSv1.3']);
      assert.deepEqual(await versions(server.portAt(2)), [null, 'TLSv1.1', 'TLSv1.2', null]);
    });

    test('chooses the cipher by its own order', async () => {
      const ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256';
      const client = await Client.connectTls(server.port, { maxVersion: 'TLSv1.2', ciphers });
      const reversed = ciphers.split(':').reverse().join(':');
      const other = await Client.connectTls(server.port, { maxVersion: 'TLSv1.2', ciphers: reversed });
      assert.equal(other.socket.getCipher().name, client.socket.getCipher().name);
      client.destroy();
      other.destroy();
    });

    test('chooses http/1.1 when that is offered, and otherwise nothing', async () => {
      const chosen = async (ALPNProtocols?: string[]): Promise<unknown> => {
        const client = await Client.connectTls(server.port, ALPNProtocols === undefined ? {} : { ALPNProtocols });
        const { alpnProtocol } = client.socket;
        client.destroy();
        return alpnProtocol;
      };
      assert.equal(await chosen(['h2', 'http/1.1']), 'http/1.1');
      assert.equal(await chosen(['http/1.1']), 'http/1.1');
      assert.equal(await chosen(['h2']), false);
      assert.equal(await chosen(), false);
    });

    test('a client that never begins is ended sooner where clients may not be silent for so long', async () => {
      await settle();
      const before = await stats();
      const connects = server.events('connect').length;
      const patient = await Client.connect(server.port);
      const silent = await Promise.all([3, 4].map((index) => Client.connect(server.portAt(index))));
      const halfway = await Promise.all([3, 4].map((index) => Client.connect(server.portAt(index))));
      for (const client of halfway) await client.write(hello.subarray(0, 40));
      await Promise.all([...silent, ...halfway].map((client) => client.readAll()));
      // A client sees its end a moment before it is counted.
      await server.until(async () => (await stats()).open === before.open + 1, 'the ends to be counted');
      // The one on the port without such a limit is still there.
      assert.deepEqual(await stats(), { aborted: before.aborted + 4, open: before.open + 1 });
      assert.equal(server.events('connect').length, connects);
      patient.destroy();
    });

    test('a client that never begins is ended when its time is up', { timeout: 3 * HANDSHAKE_MS }, async () => {
      await settle();
      const before = await stats();
      const begun = Date.now();
      const silent = await Client.connect(server.port);
      const halfway = await Client.connect(server.port);
      await halfway.write(hello.subarray(0, 40));
      await Promise.all([silent.readAll(), halfway.readAll()]);
      assert.ok(Date.now() - begun >= HANDSHAKE_MS - 1000, `${Date.now() - begun}`);
      assert.equal((await stats()).aborted, before.aborted + 2);
    });
  });
}
