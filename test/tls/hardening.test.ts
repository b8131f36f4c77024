/** What a TLS port offers with default settings: nothing that is known to be weak. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_BASE, SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { openssl } from './certificates.ts';

/** Clients at once. */
const AT_ONCE = 8;
/** Debian's package calls it by the first name, others by the second. */
const TESTSSL = ['testssl', 'testssl.sh'].find((name) => spawnSync(name, ['--version']).error === undefined);
const SKIP =
  process.env.TSWOOLE_LONG !== '1'
    ? 'takes minutes: set TSWOOLE_LONG=1'
    : TESTSSL === undefined && 'testssl.sh is not installed';
/** Of the server. What it says of certificates and web pages concerns whoever makes those. */
const CHECKS = ['--protocols', '--std', '--fs', '--server-preference', '--vulnerable'];
const WEAK = ['MEDIUM', 'HIGH', 'CRITICAL'];

let directory: string;
let server: TestServer;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tswoole-test-hardening-'));
  const certFile = join(directory, 'cert.pem');
  const keyFile = join(directory, 'key.pem');
  // RSA, with which a client could ask for the old exchange of keys without forward secrecy.
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', keyFile, '-out', certFile, ...names);
  server = await startServer({
    mode: SWOOLE_BASE,
    type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
    settings: { worker_num: 1, ssl_cert_file: certFile, ssl_key_file: keyFile },
    setup: ({ server }) => {
      server.on('receive', (server, fd) => {
        server.send(fd, 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n');
      });
    },
  });
});
after(async () => {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What s_client says of a connection that it makes and ends; '' when there was none. */
function clientOutput(...options: string[]): Promise<string> {
  return new Promise((resolve) => {
    const args = ['s_client', '-connect', `127.0.0.1:${server.port}`, '-servername', 'localhost', ...options];
    const child = execFile('openssl', args, { timeout: 10_000 }, (error, stdout) =>
      resolve(error === null ? stdout : ''),
    );
    child.stdin!.on('error', () => {});
    child.stdin!.end();
  });
}

describe('a TLS port with default settings', () => {
  test('takes no cipher of TLS 1.2 without forward secrecy, or that is known to be weak', async () => {
    const names = openssl('ciphers', '-s', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0').trim().split(':');
    assert.ok(names.length > 50, `${names.length}`);
    const taken: string[] = [];
    for (let i = 0; i < names.length; i += AT_ONCE) {
      const part = names.slice(i, i + AT_ONCE);
      const outputs = await Promise.all(part.map((name) => clientOutput('-tls1_2', '-cipher', `${name}:@SECLEVEL=0`)));
      taken.push(...part.filter((name, index) => outputs[index].includes(`Cipher is ${name}`)));
    }
    assert.ok(taken.includes('ECDHE-RSA-AES128-GCM-SHA256'), taken.join(' '));
    const weak = taken.filter(
      (name) => !/^(ECDHE|DHE)-/.test(name) || /NULL|EXP|RC4|DES|MD5|IDEA|SEED|ARIA/.test(name),
    );
    assert.deepEqual(weak, []);
  });

  test('compresses nothing, and knows secure renegotiation', async () => {
    const output = await clientOutput('-tls1_2');
    assert.match(output, /Compression: NONE/);
    assert.match(output, /Secure Renegotiation IS supported/);
  });

  test('gives tickets that hold for no more than two hours', async () => {
    const lifetime = /TLS session ticket lifetime hint: (\d+)/.exec(await clientOutput('-tls1_2'));
    assert.ok(lifetime !== null && Number(lifetime[1]) > 0 && Number(lifetime[1]) <= 7200, `${lifetime}`);
  });

  test('a client that falls back to an older version is told that it need not', async () => {
    assert.equal(await clientOutput('-tls1_2', '-fallback_scsv'), '');
  });

  test('testssl.sh finds nothing above LOW', {
    skip: SKIP,
    timeout: 400_000,
  }, async () => {
    const report = join(directory, 'report.json');
    await new Promise<void>((resolve) => {
      const options = ['--quiet', '--color', '0', '--ip', '127.0.0.1', '--jsonfile', report];
      // It ends with the number of its findings.
      execFile(TESTSSL!, [...CHECKS, ...options, `localhost:${server.port}`], { timeout: 390_000 }, () => resolve());
    });
    const findings = JSON.parse(readFileSync(report, 'utf8')) as { id: string; severity: string; finding: string }[];
    // Heartbleed, renegotiation, ROBOT, LUCKY13 and the others were all looked at.
    assert.ok(findings.length > 40, `${findings.length} findings`);
    assert.deepEqual(
      findings.filter(({ severity }) => WEAK.includes(severity)),
      [],
    );
  });
});
