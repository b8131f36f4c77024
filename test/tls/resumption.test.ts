import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, PROCESS, SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { makeFile, makePair, settingsOf } from './certificates.ts';

const PAIR = makePair('localhost');
const ROOT = makePair('a root', { authority: true });
const CLIENT = makePair('a client', { issuer: ROOT });
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

function echo(settings: ServerSettings, mode: number, workerNum: number): Promise<TestServer> {
  return startServer({
    mode,
    type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
    settings: { worker_num: workerNum, reactor_num: workerNum, ...settings },
    args: { own: settingsOf(PAIR) },
    setup: ({ server, swoole, report, args }) => {
      server.on('connect', (server, fd, reactorId) => {
        const info = server.getClientInfo(fd);
        if (info === false) return;
        report('connect', {
          owner: reactorId,
          remotePort: info.remote_port,
          certificate: info.ssl_client_cert ?? null,
        });
      });
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      const other = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP | swoole.SWOOLE_SSL);
      if (other !== false) other.set(args.own);
    },
  });
}

type Version = (typeof VERSIONS)[number];

/** One connection that resumes the session, if it is given one and the server agrees. */
async function visit(port: number, version: Version, session?: Buffer, options: object = {}) {
  const client = await Client.connectTls(port, { minVersion: version, maxVersion: version, session, ...options });
  let next = client.socket.getSession() as Buffer;
  // With TLS 1.3 tickets come behind the handshake: before the first data.
  client.socket.on('session', (given: Buffer) => {
    next = given;
  });
  assert.equal(await client.echo('hello'), 'hello');
  const resumed = client.socket.isSessionReused();
  const { localPort } = client;
  client.destroy();
  return { resumed, session: next, localPort };
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`sessions in ${name}`, () => {
    for (const version of VERSIONS) {
      test(`${version}: every reactor and worker resumes those of every other`, async () => {
        await using server = await echo(settingsOf(PAIR), mode, workerNum);
        let { session, resumed } = await visit(server.port, version);
        assert.equal(resumed, false);
        const owners = new Set<number>();
        const held: Client[] = [];
        await until(async () => {
          const next = await visit(server.port, version, session);
          assert.equal(next.resumed, true);
          session = next.session;
          const event = await server.waitFor('connect', ({ remotePort }) => remotePort === next.localPort);
          owners.add(event.owner);
          // Descriptors that stay in use bring the next connection to another reactor, and the kernel to another worker.
          held.push(await Client.connect(server.port));
          return owners.size === workerNum;
        }, 'a visit to everybody');
        for (const client of held) client.destroy();
      });
    }
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`what a session is bound to in ${name}`, () => {
    for (const version of VERSIONS) {
      test(`${version}: to its port`, async () => {
        await using server = await echo(settingsOf(PAIR), mode, workerNum);
        const { session } = await visit(server.port, version);
        assert.equal((await visit(server.portAt(1), version, session)).resumed, false);
        assert.equal((await visit(server.port, version, session)).resumed, true);
      });

      test(`${version}: to its host`, async () => {
        const hosts = { 'one.test': settingsOf(makePair('one.test')), 'two.test': settingsOf(makePair('two.test')) };
        await using server = await echo({ ...settingsOf(PAIR), ssl_sni_certs: hosts }, mode, workerNum);
        const { session } = await visit(server.port, version, undefined, { servername: 'one.test' });
        assert.equal((await visit(server.port, version, session, { servername: 'one.test' })).resumed, true);
        assert.equal((await visit(server.port, version, session, { servername: 'two.test' })).resumed, false);
      });

      test(`${version}: to its server's life`, async () => {
        let session: Buffer;
        {
          await using server = await echo(settingsOf(PAIR), mode, workerNum);
          ({ session } = await visit(server.port, version));
        }
        await using server = await echo(settingsOf(PAIR), mode, workerNum);
        assert.equal((await visit(server.port, version, session)).resumed, false);
      });

      test(`${version}: a client that resumes is still the one it was`, async () => {
        const settings = { ...settingsOf(PAIR), ssl_verify_peer: true, ssl_client_cert_file: ROOT.certFile };
        await using server = await echo(settings, mode, workerNum);
        const own = { cert: CLIENT.cert, key: CLIENT.key };
        const { session } = await visit(server.port, version, undefined, own);
        const { resumed, localPort } = await visit(server.port, version, session, own);
        assert.equal(resumed, true);
        const event = await server.waitFor('connect', ({ remotePort }) => remotePort === localPort);
        assert.equal(event.certificate, CLIENT.cert.toString());
      });
    }
  });
}

test('new certificates, and other authorities, end old sessions', async () => {
  const [old, next] = [makePair('old.test'), makePair('next.test')];
  const cert = makeFile('live.crt', old.cert);
  const key = makeFile('live.key', old.key);
  await using server = await echo({ ssl_cert_file: cert, ssl_key_file: key }, PROCESS.mode, PROCESS.workerNum);
  const { session } = await visit(server.port, 'TLSv1.3');
  assert.equal((await visit(server.port, 'TLSv1.3', session)).resumed, true);
  writeFileSync(cert, next.cert);
  writeFileSync(key, next.key);
  server.kill('SIGUSR1');
  await until(async () => !(await visit(server.port, 'TLSv1.3', session)).resumed, 'a full handshake');
});
