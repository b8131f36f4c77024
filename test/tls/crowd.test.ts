import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { openssl } from './certificates.ts';

const CROWD = 200;

/** What a client sends first. */
function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (data: Buffer) => {
        resolve(data);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      Client.connectTls((server.address() as { port: number }).port).catch(() => {});
    });
  });
}

for (const { name, mode } of SUBJECTS) {
  test(`who is in does not wait for a crowd of handshakes in ${name}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-test-crowd-'));
    const files = { ssl_cert_file: join(directory, 'cert.pem'), ssl_key_file: join(directory, 'key.pem') };
    // A handshake with so long a key takes the server milliseconds.
    const key = ['-newkey', 'rsa:4096', '-nodes', '-keyout', files.ssl_key_file, '-out', files.ssl_cert_file];
    openssl('req', '-x509', ...key, '-subj', '/CN=localhost');
    await using server = await startServer({
      mode,
      type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
      settings: { worker_num: 1, ...files },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    const hello = await clientHello();
    const member = await Client.connectTls(server.port);
    assert.equal(await member.echo('in'), 'in');
    let connected = 0;
    let answered = 0;
    const crowd = Array.from({ length: CROWD }, () => {
      const socket = connect({ port: server.port, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.once('connect', () => connected++);
      socket.once('data', () => answered++);
      return socket;
    });
    await until(() => connected === CROWD, 'the crowd to connect');
    // All at once, and then the member.
    for (const socket of crowd) socket.write(hello);
    assert.equal(await member.echo('still in'), 'still in');
    assert.ok(answered < CROWD / 2, `${answered} of ${CROWD} handshakes came first`);
    await until(() => answered === CROWD, 'the crowd to be served');
    for (const socket of crowd) socket.destroy();
    member.destroy();
    rmSync(directory, { recursive: true, force: true });
  });
}
