/** A client for datagrams of every kind, Unix sockets too, which Node has not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { AF_INET, AF_INET6, AF_UNIX, IPPROTO_IP, SO_SNDBUF, SOCK_DGRAM, SOL_SOCKET } from '../../src/sys/constants.ts';
import {
  aimIPv4,
  aimIPv6,
  aimUnix,
  DatagramBatch,
  peerAddressText,
  peerPort,
  sendDatagram,
} from '../../src/sys/datagram.ts';
import { bindTo, closeDescriptor, localPort, openSocket, setOption } from '../../src/sys/socket.ts';
import { DEADLINE_MS, until } from './until.ts';

export interface Datagram {
  data: Buffer;
  address: string;
  port: number;
}

const IP_MULTICAST_IF = 32;
const LONGEST_BYTES = 1024 * 1024;

export class DatagramClient {
  readonly fd: number;
  readonly family: number;
  private readonly batch = new DatagramBatch(1, LONGEST_BYTES);

  private constructor(family: number) {
    this.family = family;
    this.fd = openSocket(family, SOCK_DGRAM);
    if (this.fd < 0) throw new Error(`socket: errno ${-this.fd}`);
    setOption(this.fd, SOL_SOCKET, SO_SNDBUF, 2 * LONGEST_BYTES);
  }

  /** Bound to a free port of the address. */
  static ip(host = '127.0.0.1', port = 0): DatagramClient {
    return DatagramClient.bound(host.includes(':') ? AF_INET6 : AF_INET, host, port);
  }
  /** Bound to a path; with null to nothing, so that nobody can answer it. */
  static unix(path: string | null): DatagramClient {
    return path === null ? new DatagramClient(AF_UNIX) : DatagramClient.bound(AF_UNIX, path, 0);
  }

  private static bound(family: number, host: string, port: number): DatagramClient {
    const client = new DatagramClient(family);
    const error = bindTo(client.fd, { family, host, port });
    if (error !== 0) throw new Error(`bind to ${host}:${port}: errno ${error}`);
    return client;
  }

  get port(): number {
    return localPort(this.fd);
  }

  /** Sends one; answers 0 or an errno. `port` is not needed for a path. */
  send(data: string | Uint8Array, host: string, port = 0): number {
    const aimed =
      this.family === AF_UNIX ? aimUnix(host) : this.family === AF_INET6 ? aimIPv6(host, port) : aimIPv4(host, port);
    if (!aimed) throw new Error(`no address: ${host}`);
    return sendDatagram(this.fd, data);
  }

  /** The next datagram that has come, or null. */
  take(): Datagram | null {
    const { batch } = this;
    const count = batch.receive(this.fd);
    if (count <= 0) return null;
    const { u8 } = batch.memory;
    const data = Buffer.from(u8.subarray(batch.dataAt(0), batch.dataAt(0) + batch.length(0)));
    const address = peerAddressText(u8, batch.addressAt(0), batch.addressLength(0));
    const port = peerPort(u8, batch.addressAt(0), batch.addressLength(0));
    batch.renew(0);
    return { data, address, port };
  }

  /** Which interface multicast goes out by: the one that has this IPv4 address. */
  sendMulticastOver(address: string): void {
    const [a, b, c, d] = address.split('.').map(Number);
    const error = setOption(this.fd, IPPROTO_IP, IP_MULTICAST_IF, a | (b << 8) | (c << 16) | (d << 24));
    if (error !== 0) throw new Error(`setsockopt: errno ${error}`);
  }

  receive(deadlineMs = DEADLINE_MS): Promise<Datagram> {
    return until(() => this.take(), 'a datagram from the server', deadlineMs);
  }
  async receiveText(): Promise<string> {
    return (await this.receive()).data.toString();
  }

  close(): void {
    closeDescriptor(this.fd);
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A folder for socket files, removed after the tests of the file. */
export function socketDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tswoole-sock-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
