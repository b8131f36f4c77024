import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { DetailedPeerCertificate } from 'node:tls';
import { type ServerSettings, SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALONE, SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { makeFile, makePair, openssl, type Pair, settingsOf } from './certificates.ts';

const TLS = SWOOLE_SOCK_TCP | SWOOLE_SSL;
const DEFAULT = makePair('default.test');
const ROOT = makePair('a root', { authority: true });
const MIDDLE = makePair('a middle', { authority: true, issuer: ROOT });
const GOOD = makePair('good client', { issuer: ROOT });
const DEEP = makePair('deep client', { issuer: MIDDLE });
const SELF = makePair('self signed');
const STRANGER = makePair('a stranger', { issuer: makePair('another root', { authority: true }) });

function echo(settings: ServerSettings, mode: number, workerNum = 2): Promise<TestServer> {
  return startServer({
    mode,
    type: TLS,
    settings: { worker_num: workerNum, ...settings },
    setup: ({ server, report }) => {
      server.on('connect', (server, fd) => {
        const info = server.getClientInfo(fd);
        report('connect', { fd, certificate: info === false ? null : (info.ssl_client_cert ?? null) });
      });
      server.on('receive', (server, fd, _reactorId, data) => {
        const info = server.getClientInfo(fd);
        report('receive', { fd, certificate: info === false ? null : (info.ssl_client_cert ?? null) });
        server.send(fd, data);
      });
      server.on('close', (server, fd) => {
        const info = server.getClientInfo(fd);
        report('close', { fd, certificate: info === false ? null : (info.ssl_client_cert ?? null) });
      });
    },
  });
}

const withKey = ({ cert, key }: Pair): { cert: Buffer; key: Buffer } => ({ cert, key });

/** The name in the certificate that the server shows. */
async function shown(port: number, servername?: string): Promise<string> {
  const client = await Client.connectTls(port, servername === undefined ? {} : { servername });
  const { subject } = client.socket.getPeerCertificate();
  client.destroy();
  return String(subject.CN);
}

for (const { name, mode } of SUBJECTS) {
  describe(`certificates by host in ${name}`, () => {
    let server: TestServer;
    before(async () => {
      const [exact, wild, deeper] = ['exact.test', '*.wild.test', 'deep.wild.test'].map((host) => makePair(host));
      server = await echo(
        {
          ...settingsOf(DEFAULT),
          ssl_sni_certs: {
            'Exact.test': settingsOf(exact),
            '*.wild.test': settingsOf(wild),
            'deep.wild.test': settingsOf(deeper),
          },
        },
        mode,
      );
    });
    after(() => server?.stop());

    const cases: [host: string | undefined, expected: string][] = [
      ['exact.test', 'exact.test'],
      ['EXACT.TEST', 'exact.test'],
      ['one.wild.test', '*.wild.test'],
      ['ONE.Wild.test', '*.wild.test'],
      ['deep.wild.test', 'deep.wild.test'],
      ['one.two.wild.test', 'default.test'],
      ['wild.test', 'default.test'],
      ['other.test', 'default.test'],
      [undefined, 'default.test'],
    ];
    for (const [host, expected] of cases) {
      test(`${host ?? 'no name'} gets ${expected}`, async () => {
        assert.equal(await shown(server.port, host), expected);
      });
    }

    test('a name of any kind is no danger', async () => {
      const names = ['*.wild.test', '.wild.test', 'a'.repeat(255), '\u00e9.wild.test', 'exact.test.', '__proto__'];
      for (const servername of names) {
        const client = await Client.connectTls(server.port, { servername }).catch(() => null);
        if (client !== null) assert.equal(await client.echo('x'), 'x');
        client?.destroy();
      }
    });
  });

  describe(`without a certificate of its own, in ${name}`, () => {
    test('a port serves the hosts that have one, and no other', async () => {
      await using server = await echo({ ssl_sni_certs: { 'only.test': settingsOf(makePair('only.test')) } }, mode);
      assert.equal(await shown(server.port, 'only.test'), 'only.test');
      await assert.rejects(Client.connectTls(server.port, { servername: 'other.test' }));
    });
  });

  describe(`certificates of clients in ${name}`, () => {
    test('without ssl_verify_peer any is accepted, and told', async () => {
      await using server = await echo({ ...settingsOf(DEFAULT), ssl_client_cert_file: ROOT.certFile }, mode);
      for (const pair of [GOOD, STRANGER, SELF, null]) {
        const client = await Client.connectTls(server.port, pair === null ? {} : withKey(pair));
        assert.equal(await client.echo('hi'), 'hi');
        client.end();
        await client.closed;
        const count = server.events('connect').length;
        await server.waitForCount('close', count);
        const expected = pair === null ? null : pair.cert.toString();
        for (const event of ['connect', 'receive', 'close'])
          assert.equal(server.events(event).at(-1)!.certificate, expected, event);
      }
    });

    test('the server names whom it trusts', async () => {
      await using server = await echo({ ...settingsOf(DEFAULT), ssl_client_cert_file: ROOT.certFile }, mode);
      const text = openssl('s_client', '-connect', `127.0.0.1:${server.port}`);
      assert.match(text, /Acceptable client certificate CA names\s+CN\s*=\s*a root/);
    });

    const accepts = async (
      settings: ServerSettings,
      pairs: (Pair | null)[],
      chain: Buffer[] = [],
    ): Promise<boolean[]> => {
      await using server = await echo({ ...settingsOf(DEFAULT), ssl_verify_peer: true, ...settings }, mode);
      const results: boolean[] = [];
      for (const pair of pairs) {
        const own = pair === null ? {} : { key: pair.key, cert: Buffer.concat([pair.cert, ...chain]) };
        // With TLS 1.3 a client is done before the server has looked at its certificate.
        const ok = async (): Promise<boolean> => {
          const client = await Client.connectTls(server.port, own);
          const answer = await client.echo('hi');
          client.destroy();
          return answer === 'hi';
        };
        results.push(await ok().catch(() => false));
      }
      const accepted = results.filter((result) => result).length;
      assert.equal(server.events('connect').length, accepted, 'no connect event for those who were refused');
      return results;
    };

    test('with ssl_verify_peer those of the authority are accepted, and nobody else', async () => {
      const pairs = [GOOD, STRANGER, SELF, null];
      const expected = [true, false, false, false];
      assert.deepEqual(await accepts({ ssl_client_cert_file: ROOT.certFile }, pairs), expected);
      assert.deepEqual(await accepts({ ssl_cafile: ROOT.certFile }, pairs), expected);
    });

    test('with ssl_allow_self_signed also those that sign themselves', async () => {
      const settings = { ssl_cafile: ROOT.certFile, ssl_allow_self_signed: true };
      const expected = [true, false, true, false];
      assert.deepEqual(await accepts(settings, [GOOD, STRANGER, SELF, null]), expected);
      assert.deepEqual(await accepts(settings, [DEEP], [MIDDLE.cert]), [true]);
    });

    test('ssl_capath is a directory of hashed certificates', async () => {
      const directory = makeFile('directory', '');
      const { mkdirSync, rmSync } = await import('node:fs');
      rmSync(directory);
      mkdirSync(directory);
      copyFileSync(ROOT.certFile, `${directory}/root.pem`);
      openssl('rehash', directory);
      assert.deepEqual(await accepts({ ssl_capath: directory }, [GOOD, STRANGER]), [true, false]);
    });

    test('ssl_verify_depth limits the chain', async () => {
      const settings = { ssl_cafile: ROOT.certFile };
      assert.deepEqual(await accepts(settings, [DEEP], [MIDDLE.cert]), [true]);
      // Depth counts what lies between the client's certificate and the root.
      const lower = makePair('lower', { authority: true, issuer: MIDDLE });
      const deepest = makePair('deepest client', { issuer: lower });
      const chain = [lower.cert, MIDDLE.cert];
      assert.deepEqual(await accepts(settings, [deepest], chain), [true]);
      assert.deepEqual(await accepts({ ...settings, ssl_verify_depth: 1 }, [deepest], chain), [false]);
    });
  });

  describe(`new certificates in ${name}`, () => {
    test('are shown after a reload, while connections stay', async () => {
      const [old, next] = [makePair('old.test'), makePair('next.test')];
      const cert = makeFile('live.crt', old.cert);
      const key = makeFile('live.key', old.key);
      await using server = await echo({ ssl_cert_file: cert, ssl_key_file: key }, mode);
      assert.equal(await shown(server.port), 'old.test');
      const client = await Client.connectTls(server.port);
      assert.equal(await client.echo('before'), 'before');
      writeFileSync(cert, next.cert);
      writeFileSync(key, next.key);
      // Nothing reads them without being told.
      assert.equal(await shown(server.port), 'old.test');
      server.kill('SIGUSR1');
      await until(async () => (await shown(server.port).catch(() => '')) === 'next.test', 'the new certificate');
      if (mode === SWOOLE_PROCESS) assert.equal(await client.echo('after'), 'after');
      client.destroy();
    });

    test('that are not in order are refused, and the old ones stay', async () => {
      const old = makePair('old.test');
      const cert = makeFile('live.crt', old.cert);
      await using server = await echo({ ssl_cert_file: cert, ssl_key_file: old.keyFile }, mode);
      const client = await Client.connectTls(server.port);
      assert.equal(await client.echo('before'), 'before');
      writeFileSync(cert, 'this is no certificate');
      server.kill('SIGUSR1');
      await server.waitForOutput(mode === SWOOLE_BASE ? /no reload, everything stays as it is/ : /the old ones stay/);
      assert.equal(await shown(server.port), 'old.test');
      assert.equal(await client.echo('after'), 'after');
      client.destroy();
    });
  });
}

test('a server of one process reads its certificates again on SIGUSR1', async () => {
  const [old, next] = [makePair('old.test'), makePair('next.test')];
  const cert = makeFile('live.crt', old.cert);
  const key = makeFile('live.key', old.key);
  await using server = await echo({ ssl_cert_file: cert, ssl_key_file: key }, ALONE.mode, ALONE.workerNum);
  const client = await Client.connectTls(server.port);
  writeFileSync(cert, next.cert);
  writeFileSync(key, next.key);
  server.kill('SIGUSR1');
  await until(async () => (await shown(server.port)) === 'next.test', 'the new certificate');
  assert.equal(await client.echo('after'), 'after');
  client.destroy();
});

describe('a certificate', () => {
  test('is sent with those that signed it', async () => {
    const leaf = makePair('leaf.test', { issuer: MIDDLE });
    const file = makeFile('chain.crt', Buffer.concat([leaf.cert, MIDDLE.cert]));
    await using server = await echo({ ssl_cert_file: file, ssl_key_file: leaf.keyFile }, SWOOLE_PROCESS);
    const client = await Client.connectTls(server.port, {
      ca: ROOT.cert,
      servername: 'leaf.test',
      rejectUnauthorized: true,
    });
    const certificate = client.socket.getPeerCertificate(true) as DetailedPeerCertificate;
    assert.equal(certificate.issuerCertificate.subject.CN, 'a middle');
    client.destroy();
  });

  test('may be named by a relative path', async () => {
    const pair = makePair('relative.test');
    await using server = await startServer({
      mode: SWOOLE_BASE,
      type: TLS,
      settings: { worker_num: 2 },
      args: { cert: pair.cert.toString(), key: pair.key.toString() },
      setup: async ({ server, args }) => {
        const { existsSync, writeFileSync } = await import('node:fs');
        if (!existsSync('relative.key')) {
          writeFileSync('relative.crt', args.cert);
          writeFileSync('relative.key', args.key);
        }
        server.set({ ssl_cert_file: 'relative.crt', ssl_key_file: './relative.key' });
        server.on('receive', () => {});
      },
    });
    assert.equal(await shown(server.port), 'relative.test');
  });

  test('that is encrypted needs its passphrase', async () => {
    const pair = makePair('secret.test', { passphrase: 'open, sesame' });
    await using server = await echo({ ...settingsOf(pair), ssl_passphrase: 'open, sesame' }, SWOOLE_PROCESS);
    assert.equal(await shown(server.port), 'secret.test');
  });

  test('can be one of RSA, with DH parameters and chosen curves', async () => {
    const keyFile = makeFile('rsa.key', '');
    const certFile = makeFile('rsa.crt', '');
    openssl(
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=rsa.test'],
      ...['-keyout', keyFile, '-out', certFile],
    );
    const dh = makeFile('dh.pem', openssl('genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048'));
    const settings = { ssl_cert_file: certFile, ssl_key_file: keyFile, ssl_dhparam: dh, ssl_ecdh_curve: 'secp384r1' };
    await using server = await echo(settings, SWOOLE_PROCESS);
    const options = { maxVersion: 'TLSv1.2' as const, ciphers: 'DHE-RSA-AES256-GCM-SHA384' };
    const client = await Client.connectTls(server.port, options);
    assert.equal(client.socket.getCipher().name, 'DHE-RSA-AES256-GCM-SHA384');
    assert.equal(await client.echo('hi'), 'hi');
    client.destroy();
    await assert.rejects(Client.connectTls(server.port, { ecdhCurve: 'X25519' }));
    const other = await Client.connectTls(server.port, { ecdhCurve: 'secp384r1' });
    other.destroy();
  });
});

describe('settings that cannot work', () => {
  const failure = async (settings: ServerSettings): Promise<string> => {
    await using server = await startServer({
      mode: SWOOLE_BASE,
      type: TLS,
      settings: { worker_num: 2, ...settings },
      setup: ({ server }) => {
        server.on('receive', () => {});
      },
      waitUntilReady: false,
    });
    const { code, message } = await server.waitFor('$threw');
    await server.exited();
    return `${code}: ${message}`;
  };

  const cases: [what: string, settings: () => ServerSettings, expected: RegExp][] = [
    [
      'no certificate',
      () => ({}),
      /ERR_SETTING_VALUE: .*needs both ssl_cert_file and ssl_key_file: ssl_cert_file is not/,
    ],
    ['no key', () => ({ ssl_cert_file: DEFAULT.certFile }), /ssl_key_file is not set/],
    [
      'a file that is not there',
      () => ({ ...settingsOf(DEFAULT), ssl_cert_file: '/nowhere/a.crt' }),
      /ERR_SETTING_VALUE: cannot read ssl_cert_file "\/nowhere\/a.crt": ENOENT/,
    ],
    [
      'a file for a host that is not there',
      () => ({ ...settingsOf(DEFAULT), ssl_sni_certs: { 'a.test': { ...settingsOf(DEFAULT), ssl_key_file: '/no' } } }),
      /cannot read ssl_sni_certs "\/no"/,
    ],
    [
      'a key of another certificate',
      () => ({ ...settingsOf(DEFAULT), ssl_key_file: SELF.keyFile }),
      /ERR_SETTING_VALUE: .*(key values mismatch|does not belong to the certificate)/,
    ],
    [
      'no PEM',
      () => ({ ...settingsOf(DEFAULT), ssl_cert_file: makeFile('x.crt', 'hello') }),
      /holds no certificate that can be used: no start line/,
    ],
    [
      'an encrypted key without passphrase',
      () => settingsOf(makePair('secret.test', { passphrase: 'open' })),
      /holds no private key that can be used/,
    ],
    ['no cipher', () => ({ ...settingsOf(DEFAULT), ssl_ciphers: 'NONSENSE' }), /ssl_ciphers "NONSENSE"/],
    ['no curve', () => ({ ...settingsOf(DEFAULT), ssl_ecdh_curve: 'nonsense' }), /ssl_ecdh_curve "nonsense"/],
    ['no version', () => ({ ...settingsOf(DEFAULT), ssl_protocols: 2 }), /ssl_protocols leaves no version/],
    ['no DH parameters', () => ({ ...settingsOf(DEFAULT), ssl_dhparam: DEFAULT.certFile }), /holds no DH parameters/],
    [
      'nobody to trust',
      () => ({ ...settingsOf(DEFAULT), ssl_verify_peer: true }),
      /set ssl_client_cert_file, ssl_cafile or ssl_capath/,
    ],
    ['an empty list', () => ({ ...settingsOf(DEFAULT), ssl_cafile: DEFAULT.keyFile }), /holds no certificates/],
  ];
  for (const [what, settings, expected] of cases) {
    test(`${what}: start() or set() says so`, async () => {
      assert.match(await failure(settings()), expected);
    });
  }

  test('datagrams cannot be encrypted', async () => {
    await using server = await startServer({
      mode: SWOOLE_BASE,
      setup: ({ server, swoole }) => server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP | swoole.SWOOLE_SSL),
      waitUntilReady: false,
    });
    const { code } = await server.waitFor('$threw');
    assert.equal(code, 'ERR_UNSUPPORTED');
    await server.exited();
  });

  test('ssl settings mean nothing on a plain port', async () => {
    await using server = await startServer({
      mode: SWOOLE_BASE,
      type: TLS,
      settings: { worker_num: 1, ...settingsOf(DEFAULT) },
      setup: ({ server, swoole }) => {
        server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    const client = await Client.connect(server.events('$start')[0].ports[1].port);
    assert.equal(await client.echo('plain'), 'plain');
    client.destroy();
  });
});
