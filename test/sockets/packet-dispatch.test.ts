import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_SOCK_UDP, SWOOLE_SOCK_UNIX_DGRAM } from '../../src/index.ts';
import { EAGAIN } from '../../src/sys/constants.ts';
import { Client } from '../support/client.ts';
import { DatagramClient, socketDirectory } from '../support/datagram-client.ts';
import type { Fixture } from '../support/fixture.ts';
import { residentBytes } from '../support/process-info.ts';
import { startServer, type TestServer } from '../support/server.ts';

const WORKERS = 3;
const directory = socketDirectory();

/** Every answer is the id of the worker; one that is told to `block` answers late. Port 1 is TCP. */
const whoAmI = ({ server, report, swoole }: Fixture<unknown>): void => {
  server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
  server.on('packet', (server, data, { address, port, server_socket }) => {
    if (data.toString() === 'block') {
      report('blocked', { worker: server.worker_id });
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
      report('free');
    }
    server.sendto(address, port, `${server.worker_id}`, server_socket);
  });
  server.on('receive', (server, fd) => {
    server.send(fd, `${server.worker_id}\n`);
  });
};

function start(dispatchMode: number, host = '127.0.0.1', type = SWOOLE_SOCK_UDP): Promise<TestServer> {
  const settings = { worker_num: WORKERS, dispatch_mode: dispatchMode };
  return startServer({ host, mode: SWOOLE_PROCESS, type, settings, setup: whoAmI });
}

async function ask(client: DatagramClient, server: TestServer): Promise<number> {
  client.send('?', '127.0.0.1', server.port);
  return Number(await client.receiveText());
}

/** Keeps a worker from doing anything else for a while; answers which. */
async function block(client: DatagramClient, server: TestServer): Promise<number> {
  client.send('block', '127.0.0.1', server.port);
  return (await server.waitFor('blocked')).worker;
}

function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `127.0.0.${i + 2}`);
}

describe('dispatching of packets in SWOOLE_PROCESS', () => {
  for (const mode of [2, 5]) {
    test(`mode ${mode} goes by the peer's address as this machine's integer`, async () => {
      await using server = await start(mode);
      for (const host of addresses(6)) {
        const [a, b, c, d] = host.split('.').map(Number);
        using client = DatagramClient.ip(host);
        using other = DatagramClient.ip(host);
        const expected = (a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24) % WORKERS;
        assert.equal(await ask(client, server), expected, host);
        assert.equal(await ask(other, server), expected, 'the port does not matter');
      }
    });
  }

  test('mode 4 gives packets and connections of an address to one worker', async () => {
    await using server = await start(4);
    for (const host of addresses(6)) {
      using client = DatagramClient.ip(host);
      using connection = await Client.connect(server.portAt(1), { localAddress: host });
      await connection.write('?');
      const worker = Number(await connection.readLine());
      assert.equal(await ask(client, server), worker);
      assert.equal(worker, host.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) % WORKERS);
    }
  });

  test('mode 2 takes the CRC of a Unix path', async () => {
    const path = join(directory, 'crc.sock');
    await using server = await start(2, path, SWOOLE_SOCK_UNIX_DGRAM);
    for (let i = 0; i < 6; i++) {
      const own = join(directory, `crc-client-${i}`);
      using client = DatagramClient.unix(own);
      client.send('?', path);
      assert.equal(Number(await client.receiveText()), crc32(`${own}\0`) % WORKERS);
    }
    assert.ok(server.port === 0);
  });

  test('mode 1 goes round', async () => {
    await using server = await start(1);
    using client = DatagramClient.ip();
    const first = await ask(client, server);
    for (let i = 1; i <= 9; i++) assert.equal(await ask(client, server), (first + i) % WORKERS);
  });

  for (const mode of [3, 8, 9]) {
    test(`mode ${mode} uses all workers`, async () => {
      await using server = await start(mode);
      using client = DatagramClient.ip();
      const seen = new Set<number>();
      for (let i = 0; i < 12; i++) seen.add(await ask(client, server));
      assert.equal(seen.size, WORKERS);
    });
  }

  test('mode 3 passes a busy worker over', async () => {
    await using server = await start(3);
    const busy = await block(DatagramClient.ip(), server);
    using client = DatagramClient.ip();
    for (let i = 0; i < 12; i++) assert.notEqual(await ask(client, server), busy);
    assert.equal(server.events('free').length, 0);
  });

  test('dispatch_func decides, sees the data, and may drop a packet', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      type: SWOOLE_SOCK_UDP,
      setup: ({ server, report }) => {
        server.set({
          worker_num: 3,
          dispatch_mode: 2,
          dispatch_func: (_server, fd, type, data) => {
            const text = `${data}`;
            report('asked', { fd, type, text });
            return text === 'garbage' ? 99 : Number(text);
          },
        });
        server.on('packet', (server, data, { address, port }) => {
          server.sendto(address, port, `${data} by ${server.worker_id}`);
        });
      },
    });
    using client = DatagramClient.ip();
    for (const text of ['0', '1', '2', '-1', '-2', 'garbage', '1']) client.send(text, '127.0.0.1', server.port);
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await client.receiveText());
    assert.deepEqual(answers.sort(), ['0 by 0', '1 by 1', '1 by 1', '2 by 2']);
    assert.deepEqual(
      server.events('asked').map(({ fd, type, text }) => [fd, type, text]),
      ['0', '1', '2', '-1', '-2', 'garbage', '1'].map((text) => [0, 1, text]),
    );
    await server.waitForOutput(/dispatch_func answered 99: .*the packet is dropped/);
    // -3 leaves it to dispatch_mode.
    client.send('-3', '127.0.0.1', server.port);
    assert.match(await client.receiveText(), /^-3 by \d$/);
  });
});

describe('floods of packets', () => {
  test('in SWOOLE_PROCESS a worker that is blocked costs nobody else anything, and memory stays', async () => {
    await using server = await start(4);
    // By the rule of mode 4.
    const workerOf = (host: string): number =>
      host.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) % WORKERS;
    const [victim, neighbour] = [
      addresses(6).find((host) => workerOf(host) === 0)!,
      addresses(6).find((host) => workerOf(host) === 1)!,
    ];
    using flooder = DatagramClient.ip(victim);
    using client = DatagramClient.ip(neighbour);
    using connection = await Client.connect(server.portAt(1), { localAddress: neighbour });
    await ask(client, server);
    const before = residentBytes(server.pid);

    assert.equal(await block(flooder, server), 0);
    const data = Buffer.alloc(1000);
    let rounds = 0;
    let lost = 0;
    while (server.events('free').length === 0) {
      for (let i = 0; i < 200; i++) flooder.send(data, '127.0.0.1', server.port);
      // A packet may be lost while the kernel's buffer is full of the flood: for as long as the reactor waits, 100 ms.
      client.send('?', '127.0.0.1', server.port);
      const answer = await client.receive(500).catch(() => null);
      if (answer === null) lost++;
      else assert.equal(answer.data.toString(), '1');
      await connection.write('?');
      assert.equal(await connection.readLine(), '1');
      rounds++;
    }
    assert.ok(rounds > 10, `${rounds} rounds`);
    assert.ok(lost <= 2, `${lost} of ${rounds} lost`);
    await server.waitForOutput(/worker 0 takes no packets for 100 ms: \d+ for it were dropped/);
    const grown = residentBytes(server.pid) - before;
    assert.ok(grown < 30 * 1024 * 1024, `the master has grown by ${grown} bytes`);
    // It serves again once it is free.
    await server.until(async () => {
      flooder.send('?', '127.0.0.1', server.port);
      const answer = await flooder.receive(200).catch(() => null);
      return answer !== null;
    }, 'an answer of the worker that was blocked');
  });

  test('in SWOOLE_PROCESS packets to a Unix socket wait at their senders, and none is lost', async () => {
    const path = join(directory, 'flood.sock');
    await using server = await startServer({
      host: path,
      mode: SWOOLE_PROCESS,
      type: SWOOLE_SOCK_UNIX_DGRAM,
      settings: { worker_num: 1 },
      setup: ({ server, report }) => {
        let count = 0;
        server.on('packet', (_server, data) => {
          if (count === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
          if (data.readUInt32LE(0) === count) count++;
          if (data.length === 5) report('last', { count });
        });
      },
    });
    using client = DatagramClient.unix(null);
    const before = residentBytes(server.pid);
    const data = Buffer.alloc(50_000);
    let sent = 0;
    const send = (bytes: Buffer): boolean => {
      bytes.writeUInt32LE(sent, 0);
      const error = client.send(bytes, path);
      assert.ok(error === 0 || error === EAGAIN);
      if (error === 0) sent++;
      return error === 0;
    };
    await server.until(async () => {
      while (send(data));
      // What is taken within a moment is still on its way into the ring.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return !send(data);
    }, 'the sender to be stopped');
    assert.ok(sent > 10 && sent < 250, `${sent} packets were taken`);
    const grown = residentBytes(server.pid) - before;
    assert.ok(grown < 20 * 1024 * 1024, `the master has grown by ${grown} bytes`);
    await server.until(() => send(Buffer.alloc(5)), 'room for the last packet');
    assert.equal((await server.waitFor('last')).count, sent);
  });

  test('in SWOOLE_BASE the other worker takes what a blocked one cannot', async () => {
    const settings = { worker_num: 2 };
    await using server = await startServer({ mode: SWOOLE_BASE, type: SWOOLE_SOCK_UDP, settings, setup: whoAmI });
    const busy = await block(DatagramClient.ip(), server);
    using client = DatagramClient.ip();
    let rounds = 0;
    while (rounds < 2000) {
      const answer = await ask(client, server);
      // Looked at behind the answer: it may have become free while we waited.
      if (server.events('free').length !== 0) break;
      assert.equal(answer, 1 - busy);
      rounds++;
    }
    assert.ok(rounds > 100, `${rounds} rounds`);
  });
});
