/** Clients as a random schedule needs them: plain and TLS ones have the same face. */
import type { Client } from './kernel.ts';
import { TlsClient } from './tls-client.ts';

export interface Peer {
  readonly client: Client;
  /** It may send: a TLS client has shaken hands. */
  readonly open: boolean;
  /** The bytes of the server's that it has got, in the clear. */
  readonly received: Buffer;
  /** Bytes that are accepted and wait for room in the socket. */
  readonly waiting: number;
  /** Sends, and answers how many bytes were accepted. */
  send(bytes: Uint8Array): number;
  /** Reads so many bytes of the socket at most. */
  read(most: number): void;
  /** Asks for something that costs the server an answer of the protocol's own. */
  nag(): void;
  /** Sends nothing more. */
  end(): void;
  free(): void;
}

export class PlainPeer implements Peer {
  readonly client: Client;
  readonly open = true;
  readonly waiting = 0;

  constructor(client: Client) {
    this.client = client;
  }
  get received(): Buffer {
    return this.client.received;
  }
  send(bytes: Uint8Array): number {
    return this.client.send(bytes);
  }
  read(most: number): void {
    this.client.read(most);
  }
  nag(): void {}
  end(): void {
    this.client.end();
  }
  free(): void {}
}

export class TlsPeer implements Peer {
  readonly client: Client;
  private readonly tls: TlsClient;
  private nagged = 0;

  constructor(client: Client) {
    this.client = client;
    this.tls = new TlsClient(client);
  }
  get open(): boolean {
    return this.tls.open;
  }
  get received(): Buffer {
    return this.tls.received;
  }
  get waiting(): number {
    return this.tls.waiting;
  }
  send(bytes: Uint8Array): number {
    // One record after the other: as much as a socket takes, not more.
    if (!this.tls.open || this.tls.waiting !== 0) {
      this.tls.pump(0);
      return 0;
    }
    this.tls.send(bytes);
    return bytes.length;
  }
  read(most: number): void {
    this.tls.pump(most);
  }
  nag(): void {
    if (this.open && this.nagged++ < 10) this.tls.askForKeys();
  }
  end(): void {
    this.tls.end();
    this.client.end();
  }
  free(): void {
    this.tls.free();
  }
}
