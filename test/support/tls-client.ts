/**
 * A TLS client over a client of the fake kernel: the same OpenSSL as the server's, with memory of its own. Nothing waits:
 * pump() carries what there is to carry, and a test says when.
 */
import koffi from 'koffi';
import type { TlsConfig } from '../../src/reactor/tls-context.ts';
import { allocate } from '../../src/sys/memory.ts';
import {
  BIO_C_SET_BUF_MEM_EOF_RETURN,
  openssl,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  TICKET_KEY_BYTES,
} from '../../src/sys/openssl.ts';
import { makePair, type Pair } from '../tls/certificates.ts';
import { Bytes } from './fake-stream.ts';
import type { Client } from './kernel.ts';

let made: TlsConfig | null = null;

/** A TLS port with a certificate that is made once for the process. */
export function tlsConfig(): TlsConfig {
  if (made !== null) return made;
  const { certFile, keyFile } = makePair('localhost');
  made = {
    certFile,
    keyFile,
    passphrase: null,
    sniCertificates: new Map(),
    protocols: 0,
    ciphers: '',
    preferServerCiphers: false,
    ecdhCurve: 'auto',
    dhparam: null,
    verifyPeer: false,
    allowSelfSigned: false,
    clientCertFile: null,
    caFile: null,
    caPath: null,
    verifyDepth: 0,
    applicationProtocols: [],
    ticketKeys: Buffer.alloc(TICKET_KEY_BYTES, 7),
  };
  return made;
}

const KEY_UPDATE_REQUESTED = 1;
const ROOM = 65536;
const memory = allocate(ROOM);
const updateKey = koffi.load(null).func('SSL_key_update', 'int', ['int64', 'int']) as (
  ssl: number,
  kind: number,
) => number;
/** By the certificate that the client shows. */
const contexts = new Map<Pair | null, number>();

function contextFor(pair: Pair | null): number {
  const known = contexts.get(pair);
  if (known !== undefined) return known;
  const lib = openssl();
  const context = lib.newContext(lib.clientMethod());
  if (pair !== null) {
    const bio = lib.newBio(lib.memoryBio());
    lib.writeBioBytes(bio, pair.cert, pair.cert.length);
    lib.useCertificate(context, lib.readCertificate(bio, 0, 0, 0));
    lib.writeBioBytes(bio, pair.key, pair.key.length);
    lib.useKey(context, lib.readKey(bio, 0, 0, ''));
  }
  contexts.set(pair, context);
  return context;
}

export class TlsClient {
  readonly client: Client;
  /** The handshake is done. */
  open = false;
  /** The server has said that nothing follows. */
  ended = false;
  /** What was wrong with what came; '' when nothing was. */
  broken = '';
  private readonly lib = openssl();
  private readonly ssl: number;
  private readonly input: number;
  private readonly output: number;
  private readonly all = new Bytes();
  /** Records that the socket has not taken. */
  private readonly unsent = new Bytes();
  private seen = 0;

  constructor(client: Client, pair: Pair | null = null) {
    const { lib } = this;
    this.client = client;
    this.ssl = lib.newSession(contextFor(pair));
    this.input = lib.newBio(lib.memoryBio());
    this.output = lib.newBio(lib.memoryBio());
    lib.bioControl(this.input, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, 0);
    lib.setBios(this.ssl, this.input, this.output);
    lib.setConnectState(this.ssl);
    this.pump();
  }

  /** Everything that was decrypted. */
  get received(): Buffer {
    return this.all.peek(this.all.length);
  }
  /** Bytes that wait for room in the socket. */
  get waiting(): number {
    return this.unsent.length;
  }

  /** Encrypts and sends; what the socket does not take goes out with pump(). */
  send(bytes: Uint8Array | string): void {
    const data = Buffer.from(bytes as string);
    if (data.length !== 0) this.lib.writeBytes(this.ssl, data, data.length);
    this.pump(0);
  }

  /** Asks the server for new keys. */
  askForKeys(): void {
    updateKey(this.ssl, KEY_UPDATE_REQUESTED);
    this.lib.handshake(this.ssl);
    this.pump(0);
  }

  /** Says that nothing follows. */
  end(): void {
    this.lib.clearErrors();
    if (this.open) this.lib.shutdown(this.ssl);
    this.pump(0);
  }

  /** Reads so many bytes of the socket at most, and sends what there is to send. */
  pump(most = Number.POSITIVE_INFINITY): void {
    if (most > 0) this.client.read(most);
    const fresh = this.client.received.subarray(this.seen);
    this.seen += fresh.length;
    if (fresh.length !== 0) this.lib.writeBioBytes(this.input, fresh, fresh.length);
    if (this.broken === '') this.open ? this.decrypt() : this.shakeHands();
    this.carry();
  }

  private shakeHands(): void {
    this.lib.clearErrors();
    const result = this.lib.handshake(this.ssl);
    if (result !== 1) {
      this.outcome(result);
      return;
    }
    this.open = true;
    this.decrypt();
  }

  private decrypt(): void {
    this.lib.clearErrors();
    for (;;) {
      const count = this.lib.read(this.ssl, memory.address, ROOM);
      if (count <= 0) {
        this.outcome(count);
        return;
      }
      this.all.push(memory.u8.subarray(0, count));
    }
  }

  private outcome(result: number): void {
    const { lib } = this;
    const why = lib.result(this.ssl, result);
    if (why === SSL_ERROR_ZERO_RETURN) this.ended = true;
    else if (why !== SSL_ERROR_WANT_READ) this.broken = lib.reason(lib.lastError()) ?? 'unknown';
    lib.clearErrors();
  }

  private carry(): void {
    for (;;) {
      const count = this.lib.readBio(this.output, memory.address, ROOM);
      if (count <= 0) break;
      this.unsent.push(memory.u8.subarray(0, count));
    }
    if (this.unsent.length === 0) return;
    this.unsent.take(this.client.send(this.unsent.peek(this.unsent.length)));
  }

  free(): void {
    this.lib.freeSession(this.ssl);
  }
}
