import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { DEADLINE_MS, within } from './until.ts';

export interface ClientOptions {
  host?: string;
  localAddress?: string;
}

/**
 * A TCP client whose steps a test can wait for. It reads all the time unless told to `stopReading()`, and keeps what came
 * until somebody asks for it. It does not answer the server's FIN by itself: `end()` does.
 */
export class Client {
  readonly socket: Socket;
  /** Resolves when the server has sent FIN. */
  readonly ended: Promise<void>;
  /** Resolves when the connection is over, with the error's code ('ECONNRESET') or null. */
  readonly closed: Promise<string | null>;
  private received: Buffer = Buffer.alloc(0);
  private over = false;
  private error: NodeJS.ErrnoException | null = null;
  private wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => {
      this.received = this.received.length === 0 ? data : Buffer.concat([this.received, data]);
      this.wake();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    this.ended = new Promise((resolve) => {
      socket.once('end', () => {
        this.over = true;
        this.wake();
        resolve();
      });
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.over = true;
        this.wake();
        resolve(this.error?.code ?? null);
      });
    });
  }

  /** Resolves once the kernel has connected, which is before the server has accepted. `port` may be the path of a Unix socket. */
  static connect(port: number | string, options: ClientOptions = {}): Promise<Client> {
    const { host = '127.0.0.1', localAddress } = options;
    const target = typeof port === 'string' ? { path: port } : { port, host, localAddress };
    const socket = connect({ ...target, allowHalfOpen: true });
    const client = new Client(socket);
    const connected = new Promise<Client>((resolve, reject) => {
      socket.once('connect', () => resolve(client));
      socket.once('error', reject);
    });
    return within(connected, `connect to ${host}:${port}`);
  }

  /** The same over TLS: resolves once the handshake is done, with whatever certificate the server has. */
  static connectTls(port: number, options: ConnectionOptions = {}): Promise<Client & { socket: TLSSocket }> {
    const all = { port, host: '127.0.0.1', allowHalfOpen: true, rejectUnauthorized: false, ...options };
    const socket = tlsConnect(all);
    const client = new Client(socket) as Client & { socket: TLSSocket };
    const connected = new Promise<Client & { socket: TLSSocket }>((resolve, reject) => {
      socket.once('secureConnect', () => resolve(client));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('the connection was closed during the handshake')));
    });
    return within(connected, `TLS handshake with port ${port}`);
  }

  /** By which the server knows us as `remote_port`. */
  get localPort(): number {
    return this.socket.localPort!;
  }
  /** Bytes that have come and were not asked for yet. */
  get available(): number {
    return this.received.length;
  }

  /** Resolves when the bytes are with the kernel; an error shows in `closed`. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(data, () => resolve());
    });
  }

  /** Exactly so many bytes. */
  async read(length: number, deadlineMs = DEADLINE_MS): Promise<Buffer> {
    await this.wait(() => this.received.length >= length, `${length} bytes`, deadlineMs);
    return this.take(length);
  }

  /** Everything up to and with the mark. */
  async readUntil(mark: string | Uint8Array): Promise<Buffer> {
    const bytes = Buffer.from(mark as Uint8Array);
    let at = -1;
    await this.wait(
      () => {
        at = this.received.indexOf(bytes);
        return at !== -1;
      },
      `up to ${JSON.stringify(bytes.toString())}`,
    );
    return this.take(at + bytes.length);
  }

  async readLine(): Promise<string> {
    return (await this.readUntil('\n')).toString().slice(0, -1);
  }

  /** Everything until the server ends the connection. */
  async readAll(): Promise<Buffer> {
    await within(Promise.race([this.ended, this.closed]), 'the end of the connection');
    return this.take(this.received.length);
  }

  /** Sends text and answers as much as the text is long: what an echo server answers. */
  async echo(text: string): Promise<string> {
    await this.write(text);
    return (await this.read(Buffer.byteLength(text))).toString();
  }

  stopReading(): void {
    this.socket.pause();
  }
  startReading(): void {
    this.socket.resume();
  }

  /** Sends FIN; what the server still sends can be read. */
  end(): void {
    this.socket.end();
  }
  /** Ends with RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
  destroy(): void {
    this.socket.destroy();
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  private take(length: number): Buffer {
    const taken = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    return taken;
  }

  private async wait(done: () => boolean, what: string, deadlineMs = DEADLINE_MS): Promise<void> {
    const arrived = async (): Promise<void> => {
      while (!done()) {
        if (this.over) {
          const why = this.error?.code ?? 'end';
          throw new Error(
            `the connection is over (${why}) before ${what} came; there are ${this.received.length} bytes`,
          );
        }
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    };
    await within(arrived(), `${what} from the server`, deadlineMs);
  }
}
