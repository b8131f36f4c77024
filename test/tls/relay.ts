/** Stands between a TLS client and the server: sees what both send, changes it, and adds to it. */
import { createCipheriv, createHmac } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** What a relay may do with bytes on their way to the server. */
export type Change = (bytes: Buffer) => Buffer;

export class Relay implements AsyncDisposable {
  /** Where clients connect to. */
  readonly port: number;
  /** All that the last client has sent, and the server has answered. */
  sent: Buffer = Buffer.alloc(0);
  answered: Buffer = Buffer.alloc(0);
  /** True: nothing passes any more, and the server's connection outlives the client's. */
  cut = false;
  /** The way to the server of the last client. */
  upstream: Socket | null = null;
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as { port: number }).port;
  }

  static async start(target: number, change: Change = (bytes) => bytes): Promise<Relay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const relay = new Relay(server);
    server.on('connection', (client) => {
      const upstream = connect({ port: target, host: '127.0.0.1' });
      relay.upstream = upstream;
      relay.sent = Buffer.alloc(0);
      relay.answered = Buffer.alloc(0);
      client.on('data', (bytes: Buffer) => {
        if (relay.cut) return;
        relay.sent = Buffer.concat([relay.sent, bytes]);
        upstream.write(change(bytes));
      });
      upstream.on('data', (bytes: Buffer) => {
        relay.answered = Buffer.concat([relay.answered, bytes]);
        if (!relay.cut) client.write(bytes);
      });
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ]) {
        one.on('error', () => {});
        one.on('close', () => {
          if (!relay.cut) other.destroy();
        });
      }
    });
    return relay;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.upstream?.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const HANDSHAKE = 22;
const RECORD_HEADER = 5;
/** In both hellos: record header, message header (4), version (2). */
const RANDOM_OFFSET = RECORD_HEADER + 6;

/**
 * Writes records of TLS 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256 in the name of a client whose handshake is done and which
 * has sent nothing since.
 */
export class RecordWriter {
  private readonly key: Buffer;
  private readonly salt: Buffer;
  /** Number 0 was the client's Finished. */
  private sequence = 1;

  constructor(relay: Relay, masterSecret: Buffer) {
    const random = (bytes: Buffer): Buffer => bytes.subarray(RANDOM_OFFSET, RANDOM_OFFSET + 32);
    const seed = Buffer.concat([Buffer.from('key expansion'), random(relay.answered), random(relay.sent)]);
    const keys = expand(masterSecret, seed, 40);
    this.key = keys.subarray(0, 16);
    this.salt = keys.subarray(32, 36);
  }

  record(type: number, content: Uint8Array): Buffer {
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(BigInt(this.sequence++));
    const head = Buffer.from([type, 3, 3, content.length >> 8, content.length & 255]);
    const cipher = createCipheriv('aes-128-gcm', this.key, Buffer.concat([this.salt, number]));
    cipher.setAAD(Buffer.concat([number, head]));
    const body = Buffer.concat([number, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
    head.writeUInt16BE(body.length, 3);
    return Buffer.concat([head, body]);
  }

  /** The client's first message once more: it asks for a new handshake. */
  renegotiation(relay: Relay): Buffer {
    const length = relay.sent.readUInt16BE(3);
    return this.record(HANDSHAKE, relay.sent.subarray(RECORD_HEADER, RECORD_HEADER + length));
  }
}

/** P_SHA256 of RFC 5246. */
function expand(secret: Buffer, seed: Buffer, length: number): Buffer {
  const hmac = (data: Buffer): Buffer => createHmac('sha256', secret).update(data).digest();
  let a = seed;
  let out = Buffer.alloc(0);
  while (out.length < length) {
    a = hmac(a);
    out = Buffer.concat([out, hmac(Buffer.concat([a, seed]))]);
  }
  return out.subarray(0, length);
}
