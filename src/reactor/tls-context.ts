/**
 * What a TLS port is made of: one OpenSSL context for its own certificate, one for each further host. Files are read here,
 * at the start and again when certificates are reloaded; connections keep the context that they began with.
 */
import { createHash, type Hash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { SWOOLE_SSL_TLSv1, SWOOLE_SSL_TLSv1_1, SWOOLE_SSL_TLSv1_2, SWOOLE_SSL_TLSv1_3 } from '../constants.ts';
import { allocate, type Region } from '../sys/memory.ts';
import {
  answerHandshakes,
  type HandshakeQuestions,
  type OpenSsl,
  openssl,
  SSL_CTRL_CHAIN_CERT,
  SSL_CTRL_MODE,
  SSL_CTRL_SET_GROUPS_LIST,
  SSL_CTRL_SET_MAX_PROTO_VERSION,
  SSL_CTRL_SET_MIN_PROTO_VERSION,
  SSL_CTRL_SET_SESS_CACHE_MODE,
  SSL_CTRL_SET_TLSEXT_TICKET_KEYS,
  SSL_MODE_RELEASE_BUFFERS,
  SSL_OP_CIPHER_SERVER_PREFERENCE,
  SSL_OP_NO_COMPRESSION,
  SSL_OP_NO_RENEGOTIATION,
  SSL_OP_NO_SSLv3,
  SSL_OP_NO_TICKET,
  SSL_OP_NO_TLSv1,
  SSL_OP_NO_TLSv1_1,
  SSL_OP_NO_TLSv1_2,
  SSL_OP_NO_TLSv1_3,
  SSL_SESS_CACHE_OFF,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_NONE,
  SSL_VERIFY_PEER,
  TICKET_KEY_BYTES,
  TLS1_1_VERSION,
  TLS1_2_VERSION,
  TLS1_3_VERSION,
  TLS1_VERSION,
} from '../sys/openssl.ts';

/** TLS of a port. Plain data, so it can be sent to a thread; paths are absolute. */
export interface TlsConfig {
  certFile: string | null;
  keyFile: string | null;
  passphrase: string | null;
  sniCertificates: ReadonlyMap<string, { certFile: string; keyFile: string }>;
  /** SWOOLE_SSL_* bits; 0 = TLS 1.2 and 1.3. */
  protocols: number;
  /** '' = OpenSSL's own. */
  ciphers: string;
  preferServerCiphers: boolean;
  /** Names with colons between them, the best first; 'auto' = OpenSSL's own. */
  ecdhCurve: string;
  dhparam: string | null;
  verifyPeer: boolean;
  allowSelfSigned: boolean;
  clientCertFile: string | null;
  caFile: string | null;
  caPath: string | null;
  /** 0 = OpenSSL's own. */
  verifyDepth: number;
  /** What ALPN may choose, the best first. */
  applicationProtocols: readonly string[];
  /** The same in all reactors and workers of a server, so that each resumes the sessions of every other. */
  ticketKeys: Uint8Array;
}

/** The settings of a TLS port cannot be used. */
export class TlsConfigError extends Error {
  /** The setting that is to blame. */
  readonly setting: string;
  constructor(setting: string, message: string) {
    super(message);
    this.name = 'TlsConfigError';
    this.setting = setting;
  }
}

const VERSIONS = [
  { bit: SWOOLE_SSL_TLSv1, version: TLS1_VERSION, without: SSL_OP_NO_TLSv1 },
  { bit: SWOOLE_SSL_TLSv1_1, version: TLS1_1_VERSION, without: SSL_OP_NO_TLSv1_1 },
  { bit: SWOOLE_SSL_TLSv1_2, version: TLS1_2_VERSION, without: SSL_OP_NO_TLSv1_2 },
  { bit: SWOOLE_SSL_TLSv1_3, version: TLS1_3_VERSION, without: SSL_OP_NO_TLSv1_3 },
];
const DEFAULT_VERSIONS = SWOOLE_SSL_TLSv1_2 | SWOOLE_SSL_TLSv1_3;

/** The contexts of one port. */
export class TlsContexts implements HandshakeQuestions {
  readonly config: TlsConfig;
  /**
   * The certificate of a client is looked at after the handshake, here: to let self-signed ones pass while others must
   * verify takes a decision that OpenSSL leaves to a callback.
   */
  readonly checksHere: boolean;
  readonly protocolsAddress: number;
  readonly protocolsLength: number;
  private readonly lib: OpenSsl;
  private readonly id: number;
  private readonly protocols: Region;
  private base = 0;
  private hosts = new Map<string, number>();

  /** Throws TlsConfigError. `id` is one for each port of a thread. */
  constructor(config: TlsConfig, id: number) {
    this.config = config;
    this.id = id;
    this.lib = openssl();
    this.checksHere = config.verifyPeer && config.allowSelfSigned;
    const protocols = encodeProtocols(config.applicationProtocols);
    this.protocols = allocate(Math.max(8, protocols.length));
    this.protocols.u8.set(protocols);
    this.protocolsAddress = this.protocols.address;
    this.protocolsLength = protocols.length;
    this.load();
  }

  /** Where a handshake begins. */
  get context(): number {
    return this.base;
  }

  contextFor(host: string): number {
    return findHost(this.hosts, host) ?? 0;
  }

  /** Reads all files again. When that fails it throws, and everything is as before. */
  load(): void {
    const { config, lib } = this;
    const made: number[] = [];
    const digest = createHash('sha256').update(`${this.id}`);
    try {
      const base = this.make(config.certFile, config.keyFile, 'ssl_cert_file', 'ssl_key_file', digest);
      made.push(base);
      const hosts = new Map<string, number>();
      for (const [host, { certFile, keyFile }] of config.sniCertificates) {
        const context = this.make(certFile, keyFile, 'ssl_sni_certs', 'ssl_sni_certs', digest);
        made.push(context);
        hosts.set(host.toLowerCase(), context);
      }
      // A session is resumed only where the same certificates, and the same demands on the client's, hold. One name for
      // all contexts of the port: TLS 1.2 looks for the session before it looks at the host.
      const name = digest.digest();
      for (const context of made) lib.setSessionContext(context, name, name.length);
      const old = [this.base, ...this.hosts.values()];
      this.base = base;
      this.hosts = hosts;
      this.release(old);
    } catch (error) {
      this.release(made);
      throw error;
    }
  }

  /** Sessions that are under way keep what they use. */
  close(): void {
    this.release([this.base, ...this.hosts.values()]);
    this.base = 0;
    this.hosts.clear();
  }

  private release(contexts: number[]): void {
    for (const context of contexts) if (context !== 0) this.lib.freeContext(context);
  }

  private make(
    certFile: string | null,
    keyFile: string | null,
    certSetting: string,
    keySetting: string,
    digest: Hash,
  ): number {
    const { lib, config } = this;
    lib.clearErrors();
    const context = lib.newContext(lib.serverMethod());
    if (context === 0) throw new TlsConfigError(certSetting, `cannot make a TLS context: ${this.reason()}`);
    try {
      this.setProtocols(context);
      this.setCiphers(context);
      if (certFile !== null) digest.update(this.useCertificate(context, certFile, certSetting));
      if (keyFile !== null) this.useKey(context, keyFile, keySetting);
      if (certFile !== null && keyFile !== null && lib.checkKey(context) !== 1)
        throw new TlsConfigError(
          keySetting,
          `the key in "${keyFile}" does not belong to the certificate in "${certFile}"`,
        );
      this.setVerification(context, digest);
      lib.contextControl(context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, 0);
      // Tickets only: a cache would belong to one reactor, and would have to be bounded.
      lib.contextControl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, 0);
      lib.contextControlBytes(context, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, TICKET_KEY_BYTES, config.ticketKeys);
      answerHandshakes(context, this.id, this);
      return context;
    } catch (error) {
      lib.freeContext(context);
      throw error;
    }
  }

  private setProtocols(context: number): void {
    const { lib, config } = this;
    const wanted = config.protocols === 0 ? DEFAULT_VERSIONS : config.protocols;
    const used = VERSIONS.filter(({ bit }) => (wanted & bit) !== 0);
    if (used.length === 0)
      throw new TlsConfigError('ssl_protocols', 'ssl_protocols leaves no version of TLS from 1.0 to 1.3');
    lib.contextControl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, used[0].version, 0);
    lib.contextControl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, used[used.length - 1].version, 0);
    let options = SSL_OP_NO_SSLv3 | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION;
    for (const { bit, without } of VERSIONS) if ((wanted & bit) === 0) options |= without;
    if (config.preferServerCiphers) options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
    // A ticket carries the client's certificate, but not the chain that our own check needs.
    if (this.checksHere) options |= SSL_OP_NO_TICKET;
    lib.setOptions(context, options >>> 0);
    // TLS before 1.2 signs with SHA-1, which OpenSSL refuses at its usual level. Who asks for it by name gets it.
    if (used[0].version < TLS1_2_VERSION) lib.setSecurityLevel(context, 0);
  }

  private setCiphers(context: number): void {
    const { lib, config } = this;
    if (config.ciphers !== '' && lib.setCipherList(context, config.ciphers) !== 1)
      throw new TlsConfigError('ssl_ciphers', `ssl_ciphers "${config.ciphers}" names no cipher that OpenSSL has`);
    const curves = config.ecdhCurve;
    if (
      curves !== 'auto' &&
      curves !== '' &&
      lib.contextControlText(context, SSL_CTRL_SET_GROUPS_LIST, 0, curves) !== 1
    )
      throw new TlsConfigError('ssl_ecdh_curve', `ssl_ecdh_curve "${curves}" names a curve that OpenSSL does not have`);
    if (config.dhparam !== null) this.useDhParameters(context, config.dhparam);
  }

  private useDhParameters(context: number, file: string): void {
    const { lib } = this;
    const parameters = this.withBio(readSettingFile(file, 'ssl_dhparam'), (bio) => lib.readParameters(bio, 0));
    if (parameters !== 0 && lib.useDhParameters(context, parameters) === 1) return;
    const why = this.reason();
    if (parameters !== 0) lib.freeKey(parameters);
    throw new TlsConfigError('ssl_dhparam', `"${file}" holds no DH parameters that can be used: ${why}`);
  }

  /** The certificate itself comes first in the file, then those that signed it. Answers the file's bytes. */
  private useCertificate(context: number, file: string, setting: string): Buffer {
    const { lib } = this;
    const bytes = readSettingFile(file, setting);
    this.withBio(bytes, (bio) => {
      const certificate = lib.readCertificate(bio, 0, 0, 0);
      const used = certificate !== 0 && lib.useCertificate(context, certificate) === 1;
      const why = used ? '' : this.reason();
      if (certificate !== 0) lib.freeCertificate(certificate);
      if (!used) throw new TlsConfigError(setting, `"${file}" holds no certificate that can be used: ${why}`);
      for (;;) {
        const next = lib.readCertificate(bio, 0, 0, 0);
        if (next === 0) break;
        // Takes it over.
        lib.contextControl(context, SSL_CTRL_CHAIN_CERT, 0, next);
      }
      // The end of the file counts as an error.
      lib.clearErrors();
    });
    return bytes;
  }

  private useKey(context: number, file: string, setting: string): void {
    const { lib } = this;
    this.withBio(readSettingFile(file, setting), (bio) => {
      // Without a text OpenSSL would ask at the terminal.
      const key = lib.readKey(bio, 0, 0, this.config.passphrase ?? '');
      const used = key !== 0 && lib.useKey(context, key) === 1;
      const why = used ? '' : this.reason();
      if (key !== 0) lib.freeKey(key);
      if (!used) throw new TlsConfigError(setting, `"${file}" holds no private key that can be used: ${why}`);
    });
  }

  /** What is asked of the client. All that decides over a certificate goes into the digest. */
  private setVerification(context: number, digest: Hash): void {
    const { lib, config } = this;
    const { verifyPeer, clientCertFile, caFile, caPath, verifyDepth } = config;
    digest.update(JSON.stringify([verifyPeer, config.allowSelfSigned, verifyDepth, caPath]));
    if (clientCertFile !== null) {
      digest.update(this.trust(context, clientCertFile, 'ssl_client_cert_file'));
      const names = lib.loadClientNames(clientCertFile);
      if (names !== 0) lib.setClientNames(context, names);
    }
    if (caFile !== null) digest.update(this.trust(context, caFile, 'ssl_cafile'));
    if (caPath !== null) {
      if (statSync(caPath, { throwIfNoEntry: false })?.isDirectory() !== true)
        throw new TlsConfigError('ssl_capath', `ssl_capath "${caPath}" is not a directory`);
      lib.loadVerifyLocations(context, null, caPath);
    }
    if (verifyDepth > 0) lib.setVerifyDepth(context, verifyDepth);
    if (!verifyPeer && clientCertFile === null) {
      lib.setVerify(context, SSL_VERIFY_NONE, 0);
      return;
    }
    if (!verifyPeer || this.checksHere) lib.setVerifyCallback(context, lib.acceptAll, ACCEPT_ALL_ARGUMENT.address);
    lib.setVerify(context, verifyPeer ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER, 0);
  }

  private trust(context: number, file: string, setting: string): Buffer {
    const bytes = readSettingFile(file, setting);
    if (this.lib.loadVerifyLocations(context, file, null) === 1) return bytes;
    throw new TlsConfigError(setting, `"${file}" holds no certificates that can be used: ${this.reason()}`);
  }

  private withBio<T>(bytes: Buffer, use: (bio: number) => T): T {
    const { lib } = this;
    // A copy: the bytes may be collected while OpenSSL reads.
    const bio = lib.newBio(lib.memoryBio());
    try {
      lib.writeBioBytes(bio, bytes, bytes.length);
      return use(bio);
    } finally {
      lib.freeBio(bio);
    }
  }

  /** What OpenSSL says of the failure. Forgets it. */
  private reason(): string {
    const text = this.lib.reason(this.lib.lastError()) ?? 'no reason given';
    this.lib.clearErrors();
    return text;
  }
}

/** With this argument, `acceptAll` finds a set of checks of that name, copies it, and so answers 1. */
const ACCEPT_ALL_ARGUMENT = allocate(8);
ACCEPT_ALL_ARGUMENT.text.write('default\0', 0, 'latin1');

/** Reads a file that a setting names. Throws TlsConfigError. */
function readSettingFile(file: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new TlsConfigError(setting, `cannot read ${setting} "${file}": ${(error as Error).message}`);
  }
}

/**
 * What belongs to a host: its own entry, else that of the wildcard one label up. "*.a.org" stands for "b.a.org", not for
 * "a.org" or "c.b.a.org". The names of the map are in lower case.
 */
function findHost<T>(hosts: ReadonlyMap<string, T>, host: string): T | undefined {
  if (hosts.size === 0 || host === '') return undefined;
  const name = host.toLowerCase();
  const own = hosts.get(name);
  // A star in what a client asks for is not a wildcard of ours.
  if (own !== undefined && !name.startsWith('*')) return own;
  const dot = name.indexOf('.');
  return dot > 0 ? hosts.get(`*${name.slice(dot)}`) : undefined;
}

/** Names as ALPN writes them: each with its length in front. */
function encodeProtocols(names: readonly string[]): Uint8Array {
  return Buffer.concat(names.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, 'latin1')));
}
