/**
 * Many connections that ask and check: numbered messages go out, and every answer must be the message, byte by byte and in
 * order. What is wrong is collected, so that a test can say what it allows.
 *
 *   0              4                 8               12             length + 4
 *   +--------------+-----------------+---------------+--------------+
 *   | length u32be | connection u32  | sequence u32  | filling      |     open_length_check, as by default
 *   +--------------+-----------------+---------------+--------------+
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { prng } from './prng.ts';
import { DEADLINE_MS, until, within } from './until.ts';

export const HEADER_BYTES = 12;
const FILLING = prng(20_26).bytes(5 * 1024 * 1024);
/** How often connections are looked at whose answer may be lost. */
const PATIENCE_CHECK_MS = 20;
/** Connecting all at once would only fill the listener's backlog. */
const CONNECT_AT_ONCE = 200;

/** A message whose bytes are known from its numbers; `length` counts all of it. */
export function message(connection: number, sequence: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.max(length, HEADER_BYTES));
  bytes.writeUInt32BE(bytes.length - 4, 0);
  bytes.writeUInt32BE(connection, 4);
  bytes.writeUInt32BE(sequence, 8);
  const filling = bytes.length - HEADER_BYTES;
  const from = (connection * 7919 + sequence * 104_729) % (FILLING.length - filling);
  FILLING.copy(bytes, HEADER_BYTES, from, from + filling);
  return bytes;
}

/** Cuts what comes in pieces into messages. */
export class MessageReader {
  private chunks: Buffer[] = [];
  private available = 0;

  /** The messages that are complete now. */
  push(chunk: Buffer): Buffer[] {
    this.chunks.push(chunk);
    this.available += chunk.length;
    const complete: Buffer[] = [];
    for (;;) {
      const length = this.nextLength();
      if (length === 0 || this.available < length) return complete;
      const all = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
      complete.push(all.subarray(0, length));
      this.available -= length;
      this.chunks = this.available === 0 ? [] : [all.subarray(length)];
    }
  }

  private nextLength(): number {
    if (this.available < 4) return 0;
    if (this.chunks[0].length < 4) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0].readUInt32BE(0) + 4;
  }
}

export interface LoadOptions {
  port: number;
  connections: number;
  /** Bytes of each message. @default 12 to 1011, differing */
  length?: (connection: number, sequence: number) => number;
  /** Messages under way on each connection. @default 1 */
  depth?: number;
  /** A message that is not answered for this long is given up and the next is sent. @default never */
  patienceMs?: number;
  /** The address to come from, such as '127.0.0.2': one has about 28,000 ports. @default '127.0.0.1' */
  localAddress?: string;
}

interface Outstanding {
  sequence: number;
  length: number;
  sentAt: number;
}

export class Load {
  readonly options: Required<Omit<LoadOptions, 'patienceMs' | 'localAddress'>> & LoadOptions;
  readonly asking: AskingConnection[] = [];
  sent = 0;
  answered = 0;
  /** Messages given up, minus those whose answer came late. */
  lost = 0;
  /** The longest that an answer took, since it was last set to 0. */
  slowestMs = 0;
  /** What must not happen: wrong bytes, wrong order, ends and resets. */
  readonly wrongs: string[] = [];
  running = false;
  private checker: NodeJS.Timeout | null = null;

  private constructor(options: LoadOptions) {
    this.options = { depth: 1, length: (c, s) => HEADER_BYTES + ((c * 31 + s * 17) % 1000), ...options };
  }

  static async connect(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    for (let first = 0; first < options.connections; first += CONNECT_AT_ONCE) {
      const count = Math.min(CONNECT_AT_ONCE, options.connections - first);
      await Promise.all(Array.from({ length: count }, (_, i) => load.add(first + i)));
    }
    return load;
  }

  private add(id: number): Promise<void> {
    const { port, localAddress } = this.options;
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.setNoDelay(true);
    const connection = new AskingConnection(this, id, socket);
    this.asking.push(connection);
    return within(connection.connected, `connection ${id}`);
  }

  start(): this {
    this.running = true;
    for (const connection of this.asking) connection.fill();
    const { patienceMs } = this.options;
    if (patienceMs !== undefined) {
      this.checker ??= setInterval(() => {
        for (const connection of this.asking) connection.giveUp(performance.now() - patienceMs);
      }, PATIENCE_CHECK_MS);
    }
    return this;
  }

  /** Sends no more, and waits until everything is answered or given up. */
  async pause(deadlineMs = DEADLINE_MS): Promise<void> {
    this.running = false;
    await until(
      () => this.asking.every((each) => each.over || each.outstanding.length === 0),
      'all answers',
      deadlineMs,
    ).catch((error: Error) => {
      const silent = this.asking.filter((each) => each.outstanding.length > 0);
      const first = silent[0];
      const about = `${silent.length} connections without answer, such as ${first?.id} (port ${first?.socket.localPort}), message ${first?.outstanding[0]?.sequence}`;
      throw new Error(`${error.message}: ${about}; ${this.summary()}`);
    });
    if (this.checker !== null) clearInterval(this.checker);
    this.checker = null;
  }

  /** Waits until so many more answers have come, whatever else happens. */
  async progress(answers: number, deadlineMs = DEADLINE_MS): Promise<void> {
    const goal = this.answered + answers;
    await until(
      () => this.answered >= goal || this.wrongs.length > 0,
      `${answers} more answers; ${this.summary()}`,
      deadlineMs,
    );
  }

  summary(): string {
    return `${this.sent} sent, ${this.answered} answered, ${this.lost} lost, slowest ${this.slowestMs.toFixed(0)} ms`;
  }

  /** Nothing was lost, changed, reordered, closed or reset. */
  assertPerfect(): void {
    assert.deepEqual(this.wrongs, [], this.summary());
    assert.equal(this.lost, 0, this.summary());
    assert.equal(this.answered, this.sent, this.summary());
    assert.ok(this.answered > 0);
  }

  close(): void {
    this.running = false;
    if (this.checker !== null) clearInterval(this.checker);
    for (const connection of this.asking) connection.destroy();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

class AskingConnection {
  readonly id: number;
  readonly socket: Socket;
  readonly connected: Promise<void>;
  outstanding: Outstanding[] = [];
  over = false;
  private readonly load: Load;
  private readonly reader = new MessageReader();
  private readonly givenUp = new Map<number, number>();
  private sequence = 0;

  constructor(load: Load, id: number, socket: Socket) {
    this.load = load;
    this.id = id;
    this.socket = socket;
    this.connected = new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.on('data', (chunk: Buffer) => {
      for (const answer of this.reader.push(chunk)) this.check(answer);
      this.fill();
    });
    socket.on('end', () => this.end('was ended by the server'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.end(`failed with ${error.code}`));
    socket.on('close', () => this.end('was closed'));
  }

  fill(): void {
    const { load, id } = this;
    while (load.running && !this.over && this.outstanding.length < load.options.depth) {
      const sequence = this.sequence++;
      const bytes = message(id, sequence, load.options.length(id, sequence));
      this.outstanding.push({ sequence, length: bytes.length, sentAt: performance.now() });
      load.sent++;
      this.socket.write(bytes);
    }
  }

  private check(answer: Buffer): void {
    const { load } = this;
    const expected = this.outstanding[0];
    const sequence = answer.length >= HEADER_BYTES ? answer.readUInt32BE(8) : -1;
    const late = this.givenUp.get(sequence);
    if (late !== undefined && sequence !== expected?.sequence) {
      this.givenUp.delete(sequence);
      load.lost--;
      load.answered++;
      if (!answer.equals(message(this.id, sequence, late))) this.wrong(`got wrong bytes for message ${sequence}, late`);
      return;
    }
    if (expected === undefined || sequence !== expected.sequence) {
      this.wrong(`got an answer to ${sequence} where ${expected?.sequence ?? 'none'} was due`);
      return;
    }
    if (!answer.equals(message(this.id, sequence, expected.length))) {
      this.wrong(`got wrong bytes for message ${sequence}: ${answer.length} bytes, ${expected.length} were due`);
    }
    this.outstanding.shift();
    load.answered++;
    load.slowestMs = Math.max(load.slowestMs, performance.now() - expected.sentAt);
  }

  /** Stops waiting for what was sent before a time. */
  giveUp(before: number): void {
    while (this.outstanding.length > 0 && this.outstanding[0].sentAt < before) {
      const { sequence, length } = this.outstanding.shift()!;
      this.givenUp.set(sequence, length);
      this.load.lost++;
    }
    this.fill();
  }

  private end(how: string): void {
    if (this.over) return;
    this.over = true;
    this.wrong(how);
  }

  private wrong(what: string): void {
    if (this.load.wrongs.length < 20)
      this.load.wrongs.push(`connection ${this.id} (port ${this.socket.localPort}) ${what}`);
  }

  destroy(): void {
    this.over = true;
    this.socket.destroy();
  }
}
