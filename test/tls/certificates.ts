/** Certificates for tests, made with openssl in a folder that is gone when the test file ends: no key is ever committed. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const directory = mkdtempSync(join(tmpdir(), 'tswoole-certificates-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** A certificate with its key. */
export interface Pair {
  name: string;
  certFile: string;
  keyFile: string;
  cert: Buffer;
  key: Buffer;
}

export interface PairOptions {
  /** Who signs; itself by default. */
  issuer?: Pair;
  /** @default DNS:<name> */
  altName?: string;
  /** True for a certificate that signs others. */
  authority?: boolean;
  /** Encrypts the key. */
  passphrase?: string;
}

let made = 0;

export function makePair(name: string, options: PairOptions = {}): Pair {
  const base = join(directory, `${++made}-${name.replaceAll('*', 'star')}`);
  const pair = { name, certFile: `${base}.crt`, keyFile: `${base}.key` };
  const { issuer, altName = `DNS:${name}`, authority = false, passphrase } = options;
  const protection = passphrase === undefined ? ['-nodes'] : ['-passout', `pass:${passphrase}`];
  const signer = issuer === undefined ? [] : ['-CA', issuer.certFile, '-CAkey', issuer.keyFile];
  openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-days', '30'],
    ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${altName}`, '-keyout', pair.keyFile, '-out', pair.certFile],
    ...['-addext', `basicConstraints=critical,CA:${authority ? 'TRUE' : 'FALSE'}`],
    ...protection,
    ...signer,
  );
  return { ...pair, cert: readFileSync(pair.certFile), key: readFileSync(pair.keyFile) };
}

/** The settings that name a pair. */
export function settingsOf(pair: Pair): { ssl_cert_file: string; ssl_key_file: string } {
  return { ssl_cert_file: pair.certFile, ssl_key_file: pair.keyFile };
}

/** A file of the folder with this content. */
export function makeFile(name: string, content: string | Uint8Array): string {
  const path = join(directory, `${++made}-${name}`);
  writeFileSync(path, content);
  return path;
}

export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
