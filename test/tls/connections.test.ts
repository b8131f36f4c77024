import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { message } from '../support/load.ts';
import { prng } from '../support/prng.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS } from '../support/subjects.ts';
import { makeFile, makePair, settingsOf } from './certificates.ts';

const run = promisify(execFile);
const PAIR = makePair('localhost', { altName: 'DNS:localhost,IP:127.0.0.1' });
const BYTES = prng(7).bytes(1024 * 1024);
const EIGHT_MIB = Buffer.concat(Array.from({ length: 8 }, () => BYTES));
const FILE = makeFile('file', BYTES);

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`a TLS port in ${name}`, () => {
    let server: TestServer;
    let remote: Remote;

    before(async () => {
      server = await startServer({
        mode,
        type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
        settings: { worker_num: workerNum, socket_buffer_size: '32M', buffer_output_size: '32M', ...settingsOf(PAIR) },
        args: { file: FILE, own: settingsOf(PAIR) },
        setup: ({ server, swoole, report, control, args }) => {
          server.on('connect', (server, fd) => {
            const info = server.getClientInfo(fd);
            report('connect', { fd, info, remotePort: info === false ? 0 : info.remote_port });
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            if (data.equals(Buffer.from('file\n'))) {
              server.send(fd, 'before');
              server.sendfile(fd, args.file);
              server.send(fd, 'after');
            } else if (data.equals(Buffer.from('bye\n'))) {
              server.send(fd, 'bye\n');
              server.close(fd);
            } else if (data.equals(Buffer.from('reset\n'))) server.close(fd, true);
            else if (data.subarray(0, 4).toString() === 'GET ') {
              server.send(fd, 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n');
            } else server.send(fd, data);
          });
          server.on('close', (_server, fd) => report('close', { fd }));
          control();
          const framed = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
          if (framed === false) throw new Error('no second port');
          framed.set({ ...args.own, open_length_check: true, package_max_length: '4M' });
          const proxied = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
          if (proxied === false) throw new Error('no third port');
          proxied.set({ ...args.own, proxy_protocol: true, proxy_protocol_from: ['127.0.0.1'] });
          const near = server.listen('tls.sock', 0, swoole.SWOOLE_SOCK_UNIX_STREAM | swoole.SWOOLE_SSL);
          if (near === false) throw new Error('no fourth port');
          near.set(args.own);
          framed.on('receive', (server, fd, _reactorId, data) => {
            report('package', { length: data.length });
            server.send(fd, data);
          });
        },
      });
      remote = await Remote.connect(server);
    });
    after(async () => {
      remote?.close();
      await server?.stop();
    });

    test('answers what it gets, and knows its client', async () => {
      const client = await Client.connectTls(server.port);
      assert.equal(await client.echo('hello'), 'hello');
      assert.equal(client.socket.getProtocol(), 'TLSv1.3');
      const { fd, info } = await server.waitFor('connect', (event) => event.remotePort === client.localPort);
      assert.equal(info.remote_ip, '127.0.0.1');
      assert.equal(info.server_port, server.port);
      assert.equal(info.socket_type, SWOOLE_SOCK_TCP);
      assert.equal('ssl_client_cert' in info, false);
      client.end();
      assert.equal(await client.closed, null);
      await server.waitFor('close', (event) => event.fd === fd);
    });

    test('tells that it is a TLS port', async () => {
      const [ssl, type, ports] = await remote.run(({ server }) => [
        server.ssl,
        server.type,
        server.ports.map((port) => port.ssl),
      ]);
      assert.deepEqual([ssl, type, ports], [true, SWOOLE_SOCK_TCP, [true, false, true, true, true]]);
    });

    test('brings 8 MiB there and back, byte by byte', async () => {
      const client = await Client.connectTls(server.port);
      void client.write(EIGHT_MIB);
      assert.ok((await client.read(EIGHT_MIB.length)).equals(EIGHT_MIB));
      client.destroy();
    });

    test('brings it to a slow reader too', async () => {
      const client = await Client.connectTls(server.port);
      client.stopReading();
      void client.write(EIGHT_MIB);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(client.available, 0);
      client.startReading();
      assert.ok((await client.read(EIGHT_MIB.length)).equals(EIGHT_MIB));
      assert.equal(await client.echo('and on'), 'and on');
      client.destroy();
    });

    test('keeps the order of short and long messages', async () => {
      const client = await Client.connectTls(server.port);
      const lengths = [1, 70_000, 3, 4096, 4097, 16_384, 16_385, 200_000, 2];
      const parts = lengths.map((length, index) => Buffer.alloc(length, 65 + index));
      for (const part of parts) void client.write(part);
      const all = Buffer.concat(parts);
      assert.ok((await client.read(all.length)).equals(all));
      client.destroy();
    });

    test('speaks TLS 1.2 as well, and moves as much', async () => {
      const client = await Client.connectTls(server.port, { maxVersion: 'TLSv1.2' });
      assert.equal(client.socket.getProtocol(), 'TLSv1.2');
      void client.write(EIGHT_MIB);
      assert.ok((await client.read(EIGHT_MIB.length)).equals(EIGHT_MIB));
      client.destroy();
    });

    test('finds packages in what was encrypted', async () => {
      const client = await Client.connectTls(server.portAt(2));
      const sent = Buffer.concat([
        message(1, 1, 50),
        message(1, 2, 100_000),
        message(1, 3, 3_000_000),
        message(1, 4, 12),
      ]);
      for (let at = 0; at < sent.length; at += 33_333) void client.write(sent.subarray(at, at + 33_333));
      assert.ok((await client.read(sent.length)).equals(sent));
      const lengths = server.events('package').map((event) => event.length);
      assert.deepEqual(lengths.slice(-4), [50, 100_000, 3_000_000, 12]);
      client.destroy();
    });

    test('reads records that arrive in pieces', async () => {
      const plain = await Client.connect(server.port);
      // Between the client and its socket: every byte travels alone.
      const between = new Duplex({
        read() {},
        async write(chunk: Buffer, _encoding, done) {
          for (const byte of chunk) {
            await plain.write(Uint8Array.of(byte));
            if (Math.random() < 0.05) await new Promise((resolve) => setImmediate(resolve));
          }
          done();
        },
      });
      plain.socket.removeAllListeners('data');
      plain.socket.on('data', (data: Buffer) => between.push(data));
      const secure = new TLSSocket(between as never, { rejectUnauthorized: false } as object);
      let received = Buffer.alloc(0);
      const answered = new Promise<void>((resolve) => {
        secure.on('data', (data: Buffer) => {
          received = Buffer.concat([received, data]);
          if (received.length === 3000) resolve();
        });
      });
      secure.write(EIGHT_MIB.subarray(0, 1000));
      secure.write(EIGHT_MIB.subarray(1000, 3000));
      await answered;
      assert.ok(received.equals(EIGHT_MIB.subarray(0, 3000)));
      plain.destroy();
    });

    test('sends a file, encrypted and in order', async () => {
      const client = await Client.connectTls(server.port);
      await client.write('file\n');
      const expected = Buffer.concat([Buffer.from('before'), BYTES, Buffer.from('after')]);
      assert.ok((await client.read(expected.length)).equals(expected));
      client.destroy();
    });

    test('says goodbye: the client sees close_notify', async () => {
      const { stdout } = await run('sh', [
        '-c',
        `echo bye | timeout 10 openssl s_client -connect 127.0.0.1:${server.port} -msg -ign_eof 2>&1`,
      ]);
      assert.match(stdout, /^bye$/m);
      assert.match(stdout, /<<<.*Alert.*warning close_notify/);
      assert.doesNotMatch(stdout, /unexpected eof/);
    });

    test('a reset drops the connection without a word', async () => {
      const client = await Client.connectTls(server.port);
      await client.write('reset\n');
      assert.equal(await client.closed, 'ECONNRESET');
    });

    test('a client that vanishes without close_notify is a connection that ended', async () => {
      const plain = connect({ port: server.port, host: '127.0.0.1' });
      const client = await Client.connectTls(server.port, { socket: plain });
      const { fd } = await server.waitFor('connect', (event) => event.remotePort === plain.localPort);
      // Past TLS: FIN, and no alert before it.
      plain.end();
      await server.waitFor('close', (event) => event.fd === fd);
      client.destroy();
    });

    test('serves curl', async () => {
      const url = `https://localhost:${server.port}/`;
      const { stdout } = await run('curl', ['-s', '--cacert', PAIR.certFile, url]);
      assert.equal(stdout, 'ok\n');
    });

    test('looks at the PROXY protocol first', async () => {
      const plain = connect({ port: server.portAt(3), host: '127.0.0.1' });
      plain.write('PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n');
      const client = await Client.connectTls(server.portAt(3), { socket: plain });
      assert.equal(await client.echo('who'), 'who');
      const { info } = await server.waitFor('connect', (event) => event.remotePort === 4711);
      assert.equal(info.remote_ip, '192.0.2.7');
      client.destroy();
    });

    test('is a Unix socket as well', async () => {
      const client = await Client.connectTls(0, { path: join(server.directory, 'tls.sock') });
      assert.equal(await client.echo('near'), 'near');
      client.end();
      assert.equal(await client.closed, null);
    });

    test('serves many at once', async () => {
      const clients = await Promise.all(Array.from({ length: 200 }, () => Client.connectTls(server.port)));
      const answers = await Promise.all(clients.map((client, index) => client.echo(`client ${index}`)));
      assert.deepEqual(
        answers,
        clients.map((_, index) => `client ${index}`),
      );
      for (const client of clients) client.destroy();
    });
  });
}
