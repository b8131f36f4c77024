/** Over TLS a file cannot go straight from the page cache: it is read in pieces, and everything else stays as it is. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { prng } from '../support/prng.ts';
import { descriptorTargets } from '../support/process-info.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { within } from '../support/until.ts';

const MIB = 1024 * 1024;
const contents = prng(7).bytes(3 * MIB + 17);
let directory: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'tswoole-test-tls-'));
  const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...key, ...files, '-subj', '/CN=localhost'], { stdio: 'ignore' });
  writeFileSync(join(directory, 'data'), contents);
});
after(() => rmSync(directory, { recursive: true, force: true }));

for (const { name, mode } of SUBJECTS) {
  /** Answers every line with what it asks for: whole, shrink or parts. */
  const start = (settings = {}): Promise<TestServer> =>
    startServer({
      mode,
      type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
      settings: {
        worker_num: 1,
        ssl_cert_file: join(directory, 'cert.pem'),
        ssl_key_file: join(directory, 'key.pem'),
        kernel_socket_send_buffer_size: 65536,
        ...settings,
      },
      args: directory,
      setup: ({ server, report, args }) => {
        server.on('connect', (server, fd) => {
          const info = server.getClientInfo(fd);
          report('connect', { fd, ip: info === false ? '' : info.remote_ip });
        });
        server.on('receive', (server, fd, _reactorId, data) => {
          const file = `${args}/${data}`;
          report('sent', { results: [server.send(fd, 'head'), server.sendfile(fd, file), server.send(fd, 'tail')] });
          if (String(data) === 'data') server.close(fd);
        });
      },
    });

  test(`sendfile over TLS keeps order and waits for slow readers in ${name}`, async () => {
    await using server = await start();
    for (const slow of [false, true]) {
      const socket = await secure(server.port);
      socket.write('data');
      if (slow) await server.waitFor('sent');
      const all = await readAll(socket);
      assert.ok(all.equals(Buffer.concat([Buffer.from('head'), contents, Buffer.from('tail')])));
    }
    await server.until(
      () => !server.processes().some((pid) => descriptorTargets(pid).includes(join(directory, 'data'))),
      'the file to be closed',
    );
  });

  test(`a file that becomes shorter ends a TLS connection in ${name}`, async () => {
    await using server = await start();
    const path = join(directory, 'shrinks');
    writeFileSync(path, Buffer.alloc(32 * MIB, 's'));
    const socket = await secure(server.port);
    socket.write('shrinks');
    await server.waitFor('sent');
    truncateSync(path, 16 * MIB);
    const all = await readAll(socket);
    assert.ok(all.length <= 4 + 16 * MIB && all.subarray(4).every((byte) => byte === 115), `${all.length}`);
    await server.waitForOutput(/shrinks" to connection \d+, closing it: it has become shorter/);
  });

  test(`a PROXY protocol header stands before the TLS handshake in ${name}`, async () => {
    await using server = await start({ proxy_protocol: true, proxy_protocol_from: ['127.0.0.1'] });
    const socket = await secure(server.port, 'PROXY TCP4 203.0.113.5 192.0.2.1 1234 443\r\n');
    socket.write('data');
    assert.equal((await readAll(socket)).length, contents.length + 8);
    assert.equal((await server.waitFor('connect')).ip, '203.0.113.5');
  });
}

/** A TLS connection that does not read by itself. */
async function secure(port: number, before = ''): Promise<TLSSocket> {
  const plain = connectTcp({ port, host: '127.0.0.1' });
  if (before !== '') plain.write(before);
  const socket = connect({ socket: plain, rejectUnauthorized: false });
  socket.on('error', () => {});
  const secured = new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('close', () => reject(new Error('the handshake failed')));
  });
  await within(secured, 'the TLS handshake');
  return socket;
}

async function readAll(socket: TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await within(new Promise((resolve) => socket.once('close', resolve)), 'the end of the connection');
  return Buffer.concat(chunks);
}
