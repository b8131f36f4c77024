/** Starts every example as a user does, talks to it, and stops it by its pid. It must then leave nothing behind. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Server, SWOOLE_SOCK_TCP, TSWOOLE_ERROR_CODES } from '../src/index.ts';
import { KNOWN_SETTINGS } from '../src/server/settings/known.ts';
import { openMessageQueue, removeMessageQueue } from '../src/sys/message-queue.ts';
import { DatagramClient, socketDirectory } from './support/datagram-client.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WAIT_MS = 15_000;

const tested = new Set<string>();
const running: Example[] = [];
const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy();
  for (const example of running.splice(0)) await example.kill();
});

/** One example, running. */
class Example {
  readonly process: ChildProcess;
  output = '';
  exit: { code: number | null; signal: string | null } | null = null;

  constructor(file: string, args: string[]) {
    tested.add(file);
    this.process = spawn(process.execPath, [join('examples', file), ...args], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    this.process.once('exit', (code, signal) => {
      this.exit = { code, signal };
    });
    running.push(this);
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Waits until the output matches. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    await until(
      () => {
        match = pattern.exec(this.output);
        return match !== null || this.exit !== null;
      },
      () => `${pattern} in:\n${this.output}`,
    );
    assert.ok(match !== null, `it ended without printing ${pattern}:\n${this.output}`);
    return match;
  }

  async port(): Promise<number> {
    return Number((await this.prints(/^(?:Listening|A chat listens) on 127\.0\.0\.1:(\d+)/m))[1]);
  }

  /** To a port of this machine, or to the path of a Unix socket. */
  async connect(port?: number | string): Promise<Client> {
    const socket = typeof port === 'string' ? connect(port) : connect(port ?? (await this.port()), '127.0.0.1');
    const client = new Client(socket);
    clients.push(client);
    await once(socket, 'connect');
    return client;
  }

  /** Ends it as an administrator would, and waits for all of its processes. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const family = descendants(this.pid);
    process.kill(this.pid, signal);
    await this.ends();
    assert.deepEqual(family.filter(isAlive), [], 'processes were left behind');
  }

  async ends(): Promise<void> {
    await until(
      () => this.exit !== null,
      () => `the end of it; it printed:\n${this.output}`,
    );
    assert.deepEqual(this.exit, { code: 0, signal: null }, this.output);
  }

  async kill(): Promise<void> {
    if (this.exit !== null) return;
    // Children die with their parent.
    this.process.kill('SIGKILL');
    await until(
      () => this.exit !== null,
      () => 'the end of a killed process',
    );
  }
}

class Client {
  readonly socket: Socket;
  received = '';
  bytes = 0;
  ended = false;
  error: NodeJS.ErrnoException | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => {
      this.bytes += data.length;
      if (this.received.length < 1_000_000) this.received += data.toString('latin1');
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error) => {
      this.error = error;
    });
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Waits until what was received since the last call matches, and takes it away up to there. */
  async gets(pattern: RegExp): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    await until(
      () => {
        match = pattern.exec(this.received);
        return match !== null;
      },
      () => `${pattern} in ${JSON.stringify(this.received)}`,
    );
    const found = match!;
    this.received = this.received.slice(found.index + found[0].length);
    return found;
  }

  async ask(text: string, pattern: RegExp): Promise<RegExpExecArray> {
    this.write(text);
    return this.gets(pattern);
  }

  async closes(): Promise<void> {
    await until(
      () => this.ended || this.error !== null,
      () => 'the end of a connection',
    );
  }
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  const limit = Date.now() + WAIT_MS;
  while (!condition()) {
    if (Date.now() > limit) assert.fail(`waited in vain for ${what()}`);
    await delay(2);
  }
}

function descendants(pid: number): number[] {
  let children: number[];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** True exactly when the process runs; one that nobody has waited for yet does not. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

function start(file: string, ...args: string[]): Example {
  return new Example(file, args.length === 0 ? ['0'] : args);
}

describe('examples', () => {
  it('echo.ts answers once and closes', async () => {
    const example = start('echo.ts');
    const client = await example.connect();
    await client.ask('hello', /^Swoole: hello$/);
    await client.closes();
    await example.prints(/Client 1: connect\nClient 1: close/);
    await example.stop();
  });

  it('settings.ts gives packages to its four workers in turn', async () => {
    const example = start('settings.ts');
    const client = await example.connect();
    const workers: number[] = [];
    for (let i = 0; i < 4; i++) workers.push(Number((await client.ask('x', /worker (\d) of 4\n/))[1]));
    assert.deepEqual(workers.sort(), [0, 1, 2, 3]);
    await example.stop();
  });

  it('settings.ts replaces workers that have served their share, and keeps the connection', async () => {
    const example = start('settings.ts');
    const client = await example.connect();
    const family = descendants(example.pid);
    // max_request 50 plus at most 25 by chance, four workers: after 300 packages each has had its share.
    for (let i = 0; i < 320; i++) await client.ask('x', /worker \d of 4\n/);
    await until(
      () => family.filter(isAlive).length <= 1,
      () => 'the end of the first four workers',
    );
    await example.stop();
  });

  it('tls.ts encrypts, with a certificate that it makes', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-examples-'));
    try {
      const certificate = join(directory, 'crt');
      const example = start('tls.ts', '0', certificate, join(directory, 'key'));
      const port = await example.port();
      const client = connectTls({ port, host: '127.0.0.1', ca: readFileSync(certificate), servername: 'localhost' });
      await once(client, 'secureConnect');
      client.write('hello');
      assert.equal(String((await once(client, 'data'))[0]), 'securely: hello');
      client.end();
      await example.prints(/connection \d+ is encrypted/);
      await example.stop();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('listeners.ts serves three ports, one of them in its own way', async () => {
    const example = start('listeners.ts');
    const port = await example.port();
    const admin = Number((await example.prints(/Administration on 127\.0\.0\.1:(\d+)/))[1]);
    const random = Number((await example.prints(/kernel chose: 127\.0\.0\.1:(\d+)/))[1]);
    const first = await example.connect(port);
    const third = await example.connect(random);
    assert.equal((await first.ask('a', /^port (\d+): a$/))[1], `${port}`);
    assert.equal((await third.ask('b', /^port (\d+): b$/))[1], `${random}`);
    const second = await example.connect(admin);
    await second.ask('who is there?\n', /^3 connections, 1 of them here\n$/);
    second.write('shutdown\n');
    await example.ends();
    assert.match(example.output, /Shut down\n$/);
  });

  it('process.ts works with children over pipes, and runs another program', async () => {
    const example = new Example('process.ts', []);
    await example.ends();
    const lines = example.output.trimEnd().split('\n');
    assert.deepEqual(lines, [
      'worker 2: 1 squared is 1',
      'worker 1: 2 squared is 4',
      'worker 2: 3 squared is 9',
      'worker 1: 4 squared is 16',
      'exec: hello from another program',
      ...Array.from({ length: 3 }, () => 'A child ended with code 0'),
    ]);
  });

  it('message-queue.ts gives every job to one worker', async () => {
    const example = new Example('message-queue.ts', []);
    await example.ends();
    const jobs = [...example.output.matchAll(/^worker [012] takes job (\d)$/gm)].map(([, job]) => Number(job));
    assert.deepEqual(jobs.sort(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.match(example.output, /Done, 0 messages left\n$/);
  });

  it('udp.ts answers datagrams', async () => {
    const example = start('udp.ts');
    const port = await example.port();
    using client = DatagramClient.ip();
    client.send('hello', '127.0.0.1', port);
    assert.equal(await client.receiveText(), 'Server: hello');
    await example.prints(new RegExp(`127\\.0\\.0\\.1:${client.port} sent 5 bytes to port ${port}`));
    await example.stop();
  });

  it('unix-dgram.ts answers to a path', async () => {
    const directory = socketDirectory();
    const path = join(directory, 'server.sock');
    const example = new Example('unix-dgram.ts', [path]);
    await example.prints(/Listening on .*server\.sock/);
    using client = DatagramClient.unix(join(directory, 'client.sock'));
    client.send('hello', path);
    assert.equal(await client.receiveText(), 'SUCCESS: hello');
    using nameless = DatagramClient.unix(null);
    nameless.send('hello', path);
    await example.prints(/somebody without a path sent 5 bytes/);
    await example.stop();
    assert.equal(existsSync(path), false);
  });

  it('multicast.ts answers who sends to the group', async () => {
    const example = new Example('multicast.ts', ['0', 'lo']);
    const port = Number((await example.prints(/Listening to 224\.10\.20\.30:(\d+)/))[1]);
    using client = DatagramClient.ip();
    client.sendMulticastOver('127.0.0.1');
    client.send('hello', '224.10.20.30', port);
    assert.equal(await client.receiveText(), 'Swoole: hello');
    await example.stop();
  });

  it('mixed-ports.ts serves TCP, UDP, IPv6 and a Unix socket', async () => {
    const path = join(socketDirectory(), 'admin.sock');
    const example = new Example('mixed-ports.ts', ['0', path]);
    const port = await example.port();
    const tcp = await example.connect(port);
    await tcp.ask('hi', /^you are 127\.0\.0\.1:\d+, and said: hi$/);
    using udp = DatagramClient.ip();
    udp.send('hi', '127.0.0.1', port);
    assert.equal(await udp.receiveText(), `you are 127.0.0.1:${udp.port}, and said: hi`);
    const admin = await example.connect(path);
    await admin.ask('count\n', /^2 connections\n$/);
    admin.write('shutdown\n');
    await example.ends();
    assert.equal(existsSync(path), false);
  });

  it('reload.ts runs new code for a connection that stays', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-examples-'));
    const module = join(directory, 'greeting.ts');
    writeFileSync(module, 'export const greeting = "before";');
    try {
      const example = start('reload.ts', '0', module);
      const client = await example.connect();
      const before = Number((await client.ask('hi\n', /^before from process (\d+)\n$/))[1]);
      writeFileSync(module, 'export const greeting = "after";');
      await client.ask('reload\n', /^reloading\n$/);
      await example.prints(/reload begins[\s\S]*reload is complete/);
      const after = Number((await client.ask('hi\n', /^after from process (\d+)\n$/))[1]);
      assert.notEqual(after, before);
      process.kill(example.pid, 'SIGUSR1');
      await example.prints(/(reload is complete[\s\S]*){2}/);
      await client.ask('hi\n', /^after from process (\d+)\n$/);
      await example.stop();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('close.ts closes after the answer, at once, and for others', async () => {
    const example = start('close.ts');
    const polite = await example.connect();
    await polite.ask('bye\n', /^good bye\n$/);
    await polite.closes();
    assert.equal(polite.error, null);

    const abrupt = await example.connect();
    abrupt.write('reset\n');
    await abrupt.closes();
    assert.equal(abrupt.error?.code, 'ECONNRESET');

    const victim = await example.connect();
    const fd = (await victim.ask('who\n', /connection (\d+)\n/))[1];
    const other = await example.connect();
    await other.ask(`close ${fd}\n`, /^closed\n$/);
    await victim.closes();
    await other.ask('close 999\n', /^error 1005\n$/);
    await example.prints(new RegExp(`connection ${fd} was closed by the server`));
    other.socket.end();
    await example.prints(/was closed by the client/);
    await example.stop();
  });

  it('client-info.ts tells what is known of a connection', async () => {
    const example = start('client-info.ts');
    const client = await example.connect();
    const [text] = await client.ask('?', /^\{[\s\S]*\}\n$/);
    const info = JSON.parse(text) as Record<string, number | string>;
    assert.equal(info.server_port, await example.port());
    assert.equal(info.remote_ip, '127.0.0.1');
    assert.equal(info.remote_port, client.socket.localPort);
    assert.equal(info.socket_type, SWOOLE_SOCK_TCP);
    assert.equal(info.send_queued_bytes, 0);
    assert.equal(info.last_time, Math.floor(info.last_recv_time as number));
    await example.stop();
  });

  it('broadcast.ts reaches everybody, over more than one page', async () => {
    const example = start('broadcast.ts');
    const everybody: Client[] = [];
    for (let i = 0; i < 25; i++) {
      const client = await example.connect();
      // Its reactor knows it when it is answered. With several of them another one may still be on its way.
      await client.ask('ping', /\d+: ping/);
      everybody.push(client);
    }
    everybody[0].write('hello');
    for (const client of everybody) await client.gets(/\d+: hello/);
    await example.stop();
  });

  it('bind.ts keeps the connections of a user at one worker', async () => {
    const example = start('bind.ts');
    const client = await example.connect();
    await client.ask('first', /^bind 2 success\n$/);
    await client.ask('second', /^1 say: second$/);
    await example.prints(/1 connect, worker: \d/);
    await example.prints(/1 receive, worker: 2, uid: 2/);
    client.socket.end();
    await example.prints(/1 close, worker: 2/);
    await example.stop();
  });

  it('bind-negative.ts brings a negative id back', async () => {
    const example = start('bind-negative.ts');
    const client = await example.connect();
    await client.ask('?', /^kept as 4294967286, was -10\n$/);
    await example.stop();
  });

  it('stats.ts counts', async () => {
    const example = start('stats.ts');
    const client = await example.connect();
    await client.ask('?', /^\{[\s\S]*\}\n$/);
    const [text] = await client.ask('again', /^\{[\s\S]*\}\n$/);
    const stats = JSON.parse(text) as Record<string, number>;
    assert.equal(stats.connection_num, 1);
    assert.equal(stats.accept_count, 1);
    assert.equal(stats.close_count, 0);
    assert.equal(stats.session_round, 1);
    assert.equal(stats.total_recv_bytes, '?again'.length);
    assert.equal(stats.response_count, 1);
    assert.equal(stats.worker_response_count, 1);
    await example.stop();
  });

  it('heartbeat.ts closes the silent and spares the protected', async () => {
    const example = start('heartbeat.ts');
    const silent = await example.connect();
    const protectedOne = await example.connect();
    await protectedOne.ask('protect\n', /^protected: true\n$/);
    const lively = await example.connect();
    await lively.ask('silent\n', /^silent: \[\]\n$/);
    while (!silent.ended) {
      await lively.ask('hello\n', /^still there\n$/);
      await delay(100);
    }
    await lively.ask('sweep\n', /^closed: \[\]\n$/);
    await protectedOne.ask('hello\n', /^still there\n$/);
    await example.stop();
  });

  it('confirm.ts reads once the address was looked at', async () => {
    const example = start('confirm.ts');
    const client = await example.connect();
    await client.ask('hello', /^Server: hello$/);
    client.socket.end();
    await example.prints(/Client 1: close/);
    await example.stop();
  });

  it('workers.ts lists, stops and ends its processes', async () => {
    const example = start('workers.ts');
    const client = await example.connect();
    const [before] = await client.ask('list\n', /^[\s\S]*\n\.\n$/);
    assert.match(before, new RegExp(`^master ${example.pid}\nmanager \\d+\nworker 0: \\d+ \\w+`));
    assert.equal(before.match(/busy, serves you/g)?.length, 1);
    await client.ask('stop 9\n', /^stop: false\n$/);
    await client.ask('stop\n', /^stop: true\n$/);
    await example.prints(/worker \d \(\d+\) stops/);
    await until(
      () => descendants(example.pid).length === 4,
      () => 'a replacement',
    );
    const [after] = await client.ask('list\n', /^[\s\S]*\n\.\n$/);
    assert.notEqual(after, before);
    client.write('shutdown\n');
    await example.ends();
    assert.match(example.output, /start\(\) answered true\n$/);
  });

  it('framing.ts finds packages however they arrive', async () => {
    const example = start('framing.ts');
    const client = await example.connect();
    const pack = (text: string): Buffer => Buffer.from(`\0\0\0${String.fromCharCode(text.length)}${text}`, 'latin1');
    const stream = Buffer.concat([pack('one'), pack('two'), pack('three')]);
    for (const byte of stream.subarray(0, 9)) {
      client.write(Buffer.from([byte]));
      await delay(5);
    }
    client.write(stream.subarray(9));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the lengths are control characters.
    await client.gets(/^\0\0\0\x03ONE\0\0\0\x03TWO\0\0\0\x05THREE$/);
    await example.stop();
  });

  it('backpressure.ts sends everything to a slow reader', async () => {
    const example = start('backpressure.ts', '0', '30000000');
    const client = await example.connect();
    client.socket.pause();
    await delay(300);
    client.socket.resume();
    await client.closes();
    assert.equal(client.bytes, 30_000_000);
    await example.stop();
  });

  it('sendfile.ts sends files of its folder, and no other', async () => {
    const example = start('sendfile.ts');
    const text = readFileSync(join(ROOT, 'examples', 'demo.ts'), 'latin1');
    for (const name of ['demo.ts', '../examples/demo.ts']) {
      const client = await example.connect();
      client.write(`${name}\n`);
      await client.closes();
      assert.equal(client.received, `${text.length}\n${text}`);
    }
    for (const name of ['nothing', '../package.json']) {
      const client = await example.connect();
      client.write(`${name}\n`);
      await client.closes();
      assert.equal(client.received, '0\n');
    }
    await example.stop();
  });

  it('task.ts answers to a callback and to the finish event', async () => {
    const example = start('task.ts');
    const client = await example.connect();
    await client.ask('hello\n', /^task 1 is on its way\n$/);
    await example.prints(/callback: task 0 answered "HELLO"/);
    await example.prints(/finish: task 1 answered "HELLO"/);
    // The second task is for the first task worker, whose id follows those of the workers.
    await example.prints(/task worker 2 has task 1 of worker [01]: hello/);
    await example.stop();
  });

  it('finish.ts answers many times, and once more by what it returns', async () => {
    const example = start('finish.ts');
    const client = await example.connect();
    await client.ask('3\n', /^step 1\nstep 2\nstep 3\ndone\n$/);
    await example.stop();
  });

  it('taskwait.ts waits for results, and is told why there are none', async () => {
    const example = start('taskwait.ts');
    const client = await example.connect();
    // Task workers that still start may need longer than a task is waited for.
    const sum = async (line: string): Promise<string> => (await client.ask(`${line}\n`, /^(.+)\n$/))[1];
    while ((await sum('add 1 2 3')) !== '6');
    assert.equal(await sum('sync 4 5'), '9');
    assert.equal(await sum('slow'), 'error 10018');
    assert.equal(await sum('throw'), 'error 2002');
    assert.equal(await sum('crash'), 'error 9003');
    while ((await sum('add 1')) !== '1');
    await example.prints(/this task cannot be done/);
    await example.stop();
  });

  it('task-wait-multi.ts keeps the order, and leaves out what is late', async () => {
    const example = start('task-wait-multi.ts');
    const client = await example.connect();
    await example.prints(/(task worker \d waits for tasks[\s\S]*){3}/);
    await client.ask('10 20 0\n', /^task 1: 10 ms.*\ntask 2: 20 ms.*\ntask 3: 0 ms.*\n$/);
    await client.ask('10 2000 20\n', /^task 1: 10 ms.*\ntask 2 was not in time\ntask 3: 20 ms.*\n$/);
    await example.stop();
  });

  it('task-co.ts has false in the place of what is late', async () => {
    const example = start('task-co.ts');
    const client = await example.connect();
    await example.prints(/(#\d waits for tasks[\s\S]*){2}/);
    await client.ask('x', /^(\[false,\{"data":1234,"code":200\}\]|\["hello world",false\])\n$/);
    await example.stop();
  });

  it('task-object.ts works on several tasks at a time', async () => {
    const example = start('task-object.ts');
    const client = await example.connect();
    await client.ask('300 100 200\n', /^task 1: 100 ms.*\ntask 2: 200 ms.*\ntask 0: 300 ms.*\n$/);
    await example.stop();
  });

  it('task-queue.ts finds tasks of another program in the queue of the kernel', async () => {
    const key = 1_000_000_000 + process.pid;
    try {
      const other = start('task-queue.ts', 'push', `${key}`, 'while nobody is there');
      await other.prints(/^pushed$/m);
      await other.ends();
      const example = start('task-queue.ts', '0', `${key}`);
      await example.prints(/task worker [12]: while nobody is there/);
      const client = await example.connect();
      await client.ask('hello\n', /^task worker [12] has done: hello\n$/);
      await example.stop();
    } finally {
      removeMessageQueue(openMessageQueue(key));
    }
  });

  it('send-message.ts sends to workers and task workers', async () => {
    const example = start('send-message.ts');
    const client = await example.connect();
    client.write('message\n');
    await example.prints(/#[01] message from #[01]: hello worker/);
    await example.prints(/#2 message from #[01]: hello task process/);
    await example.prints(/#3 message from #[01]: hello task process/);
    client.write('task\n');
    await example.prints(/#[23] task 0 of #[01]: async task coming/);
    await example.stop();
  });

  it('command.ts asks its processes for their pids, and ends', async () => {
    const example = start('command.ts');
    await example.ends();
    assert.equal(
      example.output,
      [
        'master: the pid is right',
        'worker 1: the pid is right',
        'manager: the pid is right',
        'test_not_found: false, error 9012',
        '',
      ].join('\n'),
    );
  });

  it('user-process.ts broadcasts through a process of its own', async () => {
    const example = start('user-process.ts');
    const everybody: Client[] = [];
    for (let i = 0; i < 5; i++) {
      const client = await example.connect();
      // Its reactor knows it when it is answered. With several of them another one may still be on its way.
      await client.ask('ping', /\d+: ping/);
      everybody.push(client);
    }
    everybody[0].write('hello');
    for (const client of everybody) await client.gets(/\d+: hello/);
    await example.stop();
  });

  it('timers.ts calls back in workers and task workers, again and again or once', async () => {
    const example = start('timers.ts');
    await example.prints(/worker 0: timer 1/);
    await example.prints(/task worker 1: once/);
    const client = await example.connect();
    await client.ask('tick\n', /hello world\nhello world\n/);
    await client.ask('stop\n', /stopped: true\n$/);
    await client.ask('later\n', /^that is all\n$/);
    await client.ask('stop\n', /^stopped: false\n$/);
    await client.ask('tick\n', /^hello world\n/);
    await example.stop();
  });

  it('defer.ts does the rest when the answer is sent', async () => {
    const example = start('defer.ts');
    const client = await example.connect();
    await client.ask('everything', /^the answer to everything$/);
    await example.prints(/the answer is sent\nthe database is closed\n/);
    await example.stop();
  });

  it('reload-tasks.ts replaces task workers only', async () => {
    const example = start('reload-tasks.ts');
    const client = await example.connect();
    const who = async (): Promise<string[]> =>
      (await client.ask('who\n', /^worker (\d+), task workers (\d+) (\d+)\n$/)).slice(1, 4);
    const first = await who();
    await client.ask('reload\n', /^reload: true\n$/);
    await example.prints(/reload is complete/);
    const second = await who();
    assert.deepEqual(
      second.map((pid, i) => pid === first[i]),
      [true, false, false],
    );
    await client.ask('stop\n', /^stop: true\n$/);
    await example.prints(new RegExp(`task worker 1 \\(${second[1]}\\) stops`));
    const third = await who();
    assert.deepEqual(
      third.map((pid, i) => pid === second[i]),
      [true, false, true],
    );
    process.kill(example.pid, 'SIGUSR2');
    await example.prints(/(reload is complete[\s\S]*){2}/);
    const fourth = await who();
    assert.deepEqual(
      fourth.map((pid, i) => pid === third[i]),
      [true, false, false],
    );
    await example.stop();
  });
});

describe('examples/demo.ts', () => {
  /** The demo's port is fixed, but it takes another where that is in use. */
  async function startDemo(): Promise<{ example: Example; master: number; manager: number; workers: number[] }> {
    const example = new Example('demo.ts', []);
    await example.prints(/Ctrl\+C ends it/);
    const pid = (role: string): number => Number(new RegExp(`(\\d+)  ${role}`).exec(example.output)?.[1]);
    const workers = ['worker 0', 'worker 1', 'task worker 2'].map(pid);
    return { example, master: pid('master'), manager: pid('manager'), workers };
  }

  it('shows its processes as they are', async () => {
    const { example, master, manager, workers } = await startDemo();
    assert.equal(master, example.pid);
    // Task workers are started first.
    assert.deepEqual(descendants(master), [manager, workers[2], workers[0], workers[1]]);
    await example.stop('SIGINT');
    assert.match(example.output, /The server has ended\.\n$/);
  });

  it('tells once that its port is taken', async () => {
    // Either we have it, or somebody else does.
    const holder = createServer().listen(9501, '127.0.0.1');
    await once(holder, 'listening').catch(() => {});
    const { example } = await startDemo();
    await example.stop('SIGINT');
    holder.close();
    assert.equal(example.output.match(/cannot be used/g)?.length, 1);
    assert.notEqual(await example.port(), 9501);
  });

  it('suggests three commands that work', async () => {
    const { example, master, manager } = await startDemo();
    const commands = [...example.output.matchAll(/^ {2}((?:nc|kill|pkill) \S.*?) {2,}/gm)].map(
      ([, command]) => command,
    );
    assert.deepEqual(commands, [
      `nc 127.0.0.1 ${await example.port()}`,
      `kill -USR1 ${master}`,
      `pkill -KILL -P ${manager}`,
    ]);
    const client = await example.connect();
    await client.gets(/welcome, you are guest 1/);
    const served = async (): Promise<string> => (await client.ask('hi\n', /said to 0 others by (.*)\n/))[1];

    const first = await served();
    process.kill(master, 'SIGUSR1');
    await client.gets(/every worker is a new process now/);
    const second = await served();
    assert.notEqual(second, first);

    for (const worker of descendants(manager)) process.kill(worker, 'SIGKILL');
    await example.prints(/(ended abnormally[\s\S]*){3}/);
    assert.notEqual(await served(), second);
    await example.stop('SIGINT');
  });

  it('answers its commands', async () => {
    const { example } = await startDemo();
    const anna = await example.connect();
    await anna.gets(/welcome, you are guest 1/);
    const otto = await example.connect();
    await otto.gets(/welcome, you are guest 2/);
    await anna.gets(/guest 2 has come/);
    await anna.ask('help\n', /reload {4}replaces every worker/);
    await anna.ask('who\n', /guest 1 from 127\.0\.0\.1:\d+, silent for 0 s, you\n {2}guest 2 from/);
    await anna.ask('stats\n', /connections now 2, accepted 2, closed 0/);
    await anna.ask('primes 1000000\n', /\* counting [^\n]*\n/);
    await anna.gets(/there are 78498 primes below 1000000 \(\d+ ms\)\n/);
    await anna.ask('primes -1\n', /N is a number up to/);
    await anna.ask('hello\r\n', /said to 1 others by worker \d/);
    await otto.gets(/guest 1: hello\n/);
    await anna.ask('crash\n', /worker \d \(process \d+\) dies now/);
    await anna.ask('still me\n', /said to 1 others by worker \d/);
    await otto.gets(/guest 1: still me\n/);
    await anna.ask('reload\n', /every worker is a new process now/);
    await otto.gets(/every worker is a new process now/);
    await otto.ask('quit\n', /good bye\n$/);
    await otto.closes();
    await anna.gets(/guest 2 has gone/);
    await example.stop('SIGINT');
  });

  it('takes a free port where its own is in use', async () => {
    const { example: one } = await startDemo();
    const { example: two } = await startDemo();
    assert.match(two.output, /Port 9501 cannot be used/);
    assert.notEqual(await one.port(), await two.port());
    await two.stop('SIGINT');
    await one.stop('SIGINT');
  });
});

describe('documentation', () => {
  it('has no example without a test', () => {
    const files = readdirSync(join(ROOT, 'examples')).filter((file) => file.endsWith('.ts'));
    assert.deepEqual(
      files.filter((file) => !tested.has(file)),
      ['reload-greeting.ts'],
    );
  });

  const read = (file: string): string => readFileSync(join(ROOT, 'docs', file), 'utf8');

  it('tells of every method and property of Server', () => {
    // In a heading, at the beginning of a signature, or in the table of properties.
    const lines = read('server.md')
      .split('\n')
      .filter((line) => /^(### |[a-zA-Z_]+[(<]|\| `)/.test(line))
      .map((line) => line.replace(/[(<].*/, ''));
    const names = Object.getOwnPropertyNames(Server.prototype).filter((name) => name !== 'constructor');
    assert.deepEqual(
      names.filter((name) => !lines.some((line) => new RegExp(`\\b${name}\\b`).test(line))),
      [],
    );
  });

  it('lists every setting by each of its names', () => {
    const text = read('settings.md');
    const missing = [...KNOWN_SETTINGS.keys()].filter((name) => !text.includes(`\`${name}\``));
    assert.deepEqual(missing, []);
  });

  it('lists every error code', () => {
    // The formatter pads tables.
    const text = read('errors.md').replace(/ +/g, ' ');
    for (const [code, meaning] of Object.entries(TSWOOLE_ERROR_CODES))
      assert.ok(text.includes(`| \`${code}\` | ${meaning} |`), `${code}: ${meaning}`);
  });

  it('has no link to a page that is not there', () => {
    const files = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
    for (const file of readdirSync(join(ROOT, 'docs'))) files.push(join('docs', file));
    for (const file of files) {
      const text = readFileSync(join(ROOT, file), 'utf8');
      for (const [, link] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
        assert.doesNotThrow(
          () => readdirOrFile(join(ROOT, file, '..', link)),
          `${file} links to ${link}, which does not exist`,
        );
      }
    }
  });

  function readdirOrFile(path: string): unknown {
    return path.endsWith('/') ? readdirSync(path) : readFileSync(path);
  }
});
