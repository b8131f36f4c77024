/**
 * Runs functions of a test inside the workers of its server, so that one server serves many cases:
 *
 *     const remote = await Remote.connect(server);         // the setup has called control()
 *     await remote.run(({ server }, fd) => server.exists(fd), fd);
 *
 * A function is sent as text, as `setup` is: it can use nothing but its arguments. What it returns may be anything that
 * node:v8 can serialize; a promise is waited for; what it throws is thrown here.
 */
import { deserialize, serialize } from 'node:v8';
import { Client } from './client.ts';
import type { RemoteScope } from './fixture.ts';
import { sourceOf, type TestServer } from './server.ts';
import { until } from './until.ts';

interface Answer {
  id: number;
  worker: number;
  pid: number;
  value?: unknown;
  error?: string;
}

/** While it blocks, its neighbours accept. */
const BLOCK_MS = 30;

export class Remote {
  readonly client: Client;
  /** The worker at the other end. */
  worker = -1;
  fd = -1;
  private nextId = 0;
  private readonly waiting = new Map<number, (answer: Answer) => void>();

  private constructor(client: Client) {
    this.client = client;
    void this.readAnswers();
  }

  /** A connection to any worker. `control` is the index of the port that control() made. */
  static async connect(server: TestServer, control = 1): Promise<Remote> {
    const remote = new Remote(await Client.connect(server.portAt(control)));
    remote.fd = await remote.run(({ fd }) => fd);
    return remote;
  }

  /** One connection to each worker, by worker id. */
  static async connectToAll(server: TestServer, workerNum: number, control = 1): Promise<Remote[]> {
    const remotes: Remote[] = [];
    // Closed only afterwards: the next connection would take its descriptor, and with it the same worker.
    const spare: Remote[] = [];
    await until(async () => {
      const remote = await Remote.connect(server, control);
      if (remotes[remote.worker] === undefined) remotes[remote.worker] = remote;
      else spare.push(remote);
      const complete = Object.keys(remotes).length === workerNum;
      // In SWOOLE_BASE the kernel tends to wake the same worker: keep those we know busy for a moment.
      if (!complete) for (const known of remotes) known?.block(BLOCK_MS);
      return complete;
    }, `control connections to ${workerNum} workers`);
    for (const remote of spare) remote.close();
    return remotes;
  }

  async run<Args extends unknown[], Result>(
    fn: (scope: RemoteScope, ...args: Args) => Result,
    ...args: Args
  ): Promise<Awaited<Result>> {
    const answer = await this.ask(sourceOf(fn), args);
    if (answer.error !== undefined) throw new Error(`in worker ${answer.worker}: ${answer.error}`);
    return answer.value as Awaited<Result>;
  }

  /** Keeps the worker from doing anything else; does not wait for it. */
  block(ms: number): void {
    void this.run((_, ms) => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    }, ms).catch(() => {});
  }

  close(): void {
    this.client.destroy();
  }
  [Symbol.dispose](): void {
    this.close();
  }

  private ask(source: string, args: unknown[]): Promise<Answer> {
    const id = this.nextId++;
    const body = serialize({ id, source, args });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    void this.client.write(Buffer.concat([length, body]));
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  private async readAnswers(): Promise<void> {
    try {
      for (;;) {
        const length = (await this.client.read(4, Number.POSITIVE_INFINITY)).readUInt32BE();
        const answer = deserialize(await this.client.read(length)) as Answer;
        this.worker = answer.worker;
        this.waiting.get(answer.id)?.(answer);
        this.waiting.delete(answer.id);
      }
    } catch (error) {
      for (const [id, resolve] of this.waiting)
        resolve({ id, worker: this.worker, pid: 0, error: `no answer: ${(error as Error).message}` });
      this.waiting.clear();
    }
  }
}
