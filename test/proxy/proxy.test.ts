import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_DISPATCH_IPMOD } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { prng } from '../support/prng.ts';
import { descriptorCount } from '../support/process-info.ts';
import type { Event } from '../support/server.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALONE, SUBJECTS, type Subject } from '../support/subjects.ts';

const TRUSTED = '127.0.0.1';
const STRANGER = '127.0.0.2';
const V2_START = '0d0a0d0a000d0a515549540a';
/** 198.51.100.7:4242 to 192.0.2.2:443, with an extension. */
const V2 = Buffer.from(`${V2_START}21110011c6336407c0000202109201bb0400020000`, 'hex');
/** [2001:db8::5]:7777 to [::1]:443. */
const V2_IPV6 = Buffer.from(`${V2_START}21210024${`20010db8${'00'.repeat(11)}05`}${'00'.repeat(15)}011e6101bb`, 'hex');
const V2_LOCAL = Buffer.from(`${V2_START}20000000`, 'hex');

const v1 = (ip: string, port: number): string => `PROXY TCP4 ${ip} 192.0.2.2 ${port} 443\r\n`;

for (const subject of SUBJECTS) {
  describe(`the PROXY protocol in ${subject.name}`, () => {
    let server: TestServer;
    before(async () => {
      server = await start(subject, {});
    });
    after(() => server?.stop());

    /** Sends what a load balancer would, and answers what the server says of the connection. */
    async function connectWith(header: string | Uint8Array, data = 'hello'): Promise<[Client, Event]> {
      const client = await Client.connect(server.port, { localAddress: TRUSTED });
      await client.write(Buffer.concat([Buffer.from(header as Uint8Array), Buffer.from(data)]));
      assert.equal((await client.read(data.length)).toString(), data);
      const fd = Number(await client.readLine());
      return [client, await server.waitFor('connect', (event) => event.fd === fd)];
    }

    for (const [name, header, ip, port] of [
      ['version 1', v1('203.0.113.9', 5555), '203.0.113.9', 5555],
      ['version 1, IPv6', 'PROXY TCP6 2001:db8::9 ::1 6666 443\r\n', '2001:db8::9', 6666],
      ['version 2', V2, '198.51.100.7', 4242],
      ['version 2, IPv6', V2_IPV6, '2001:db8::5', 7777],
    ] as const) {
      test(`tells the real peer with ${name}, which connect knows already`, async () => {
        const [client, event] = await connectWith(header);
        assert.deepEqual([event.ip, event.port], [ip, port]);
        client.end();
        const close = await server.waitFor('close', ({ fd }) => fd === event.fd);
        assert.deepEqual([close.ip, close.port], [ip, port]);
      });
    }

    for (const [name, header] of [
      ['UNKNOWN', 'PROXY UNKNOWN\r\n'],
      ['LOCAL', V2_LOCAL],
    ] as const) {
      test(`keeps the socket's address with ${name}`, async () => {
        const [client, event] = await connectWith(header);
        assert.deepEqual([event.ip, event.port], [TRUSTED, client.localPort]);
        client.destroy();
      });
    }

    test('a header may come in any pieces, and until it is whole there is no connection', async () => {
      for (const [seed, header] of [Buffer.from(v1('203.0.113.77', 1)), V2, V2_IPV6].entries()) {
        const random = prng(seed + 1);
        const client = await Client.connect(server.port, { localAddress: TRUSTED });
        const before = server.events('connect').length;
        for (let at = 0; at < header.length - 1; ) {
          const end = Math.min(header.length - 1, at + 1 + random.int(6));
          await client.write(header.subarray(at, end));
          await new Promise((resolve) => setImmediate(resolve));
          at = end;
        }
        // Somebody else's connection shows that the server has had its turn.
        const [other] = await connectWith(v1('203.0.113.78', 2));
        assert.equal(server.events('connect').length, before + 1);
        await client.write(Buffer.concat([header.subarray(-1), Buffer.from('later')]));
        assert.equal((await client.read(5)).toString(), 'later');
        client.destroy();
        other.destroy();
      }
    });

    test('connections from elsewhere begin without a header', async () => {
      const client = await Client.connect(server.port, { localAddress: STRANGER });
      const header = v1('203.0.113.9', 5555);
      await client.write(header);
      assert.equal((await client.read(header.length)).toString(), header);
      const fd = Number(await client.readLine());
      const event = await server.waitFor('connect', (event) => event.fd === fd);
      assert.deepEqual([event.ip, event.port], [STRANGER, client.localPort]);
      client.destroy();
    });

    test('what is no header ends the connection, is told once, and users hear nothing of it', async () => {
      const lines = (): number => server.output.split('\n').filter((line) => line.includes('PROXY protocol')).length;
      for (const data of [
        'GET / HTTP/1.1\r\n\r\n',
        'PROXY TCP4 1.2.3.4\r\n',
        `PROXY UNKNOWN ${'x'.repeat(500)}`,
        Buffer.from(`${V2_START}2111000b${'00'.repeat(11)}`, 'hex'),
        Buffer.from(`${V2_START}2111ffff`, 'hex'),
      ]) {
        const connects = server.events('connect').length;
        const told = lines();
        const client = await Client.connect(server.port, { localAddress: TRUSTED });
        await client.write(data);
        await Promise.race([client.ended, client.closed]);
        client.destroy();
        await server.until(() => lines() === told + 1, 'one line in the log');
        assert.equal(server.events('connect').length, connects);
      }
      const known = new Set(server.events('connect').map((event) => event.fd));
      assert.ok(server.events('close').every((event) => known.has(event.fd)));
    });

    test('load balancers may connect and leave, also in the middle of a header', async () => {
      const told = server.output;
      for (const data of ['', 'P', 'PROXY TCP', V2.subarray(0, 1), V2.subarray(0, 20), V2.subarray(0, -1)]) {
        const client = await Client.connect(server.port, { localAddress: TRUSTED });
        await client.write(data);
        client.end();
        await Promise.race([client.ended, client.closed]);
        client.destroy();
      }
      const [client] = await connectWith(V2);
      client.destroy();
      assert.equal(server.output, told);
    });

    test('loses no descriptor', async () => {
      const count = (): number => server.processes().reduce((sum, pid) => sum + descriptorCount(pid), 0);
      await connectWith(V2).then(([client]) => client.destroy());
      const before = count();
      for (let i = 0; i < 200; i++) {
        const clients = await Promise.all(
          Array.from({ length: 5 }, () => Client.connect(server.port, { localAddress: TRUSTED })),
        );
        const data = [V2, 'PROXY bad', 'PROX', '', v1('1.2.3.4', 5)];
        await Promise.all(clients.map((client, index) => client.write(data[index])));
        for (const [index, client] of clients.entries()) {
          if (index % 2 === 0) client.reset();
          else client.destroy();
        }
      }
      await server.until(() => count() <= before, `no more than ${before} descriptors`);
    });

    test('one that never sends its header is closed after a while', async () => {
      const started = Date.now();
      const clients = await Promise.all(
        ['', 'PROXY TCP4 1.2.3.4'].map(async (data) => {
          const client = await Client.connect(server.port, { localAddress: TRUSTED });
          await client.write(data);
          return client;
        }),
      );
      for (const client of clients) {
        await Promise.race([client.ended, client.closed]);
        client.destroy();
      }
      assert.ok(Date.now() - started > 4000, `${Date.now() - started} ms`);
      await server.waitForOutput(/it did not come within 5 s/);
    });
  });

  test(`the PROXY protocol stands before framing in ${subject.name}`, async () => {
    await using server = await start(subject, { open_eof_split: true, package_eof: '\n' });
    const client = await Client.connect(server.port, { localAddress: TRUSTED });
    await client.write(`${v1('203.0.113.9', 5555)}one\ntw`);
    assert.equal(await client.readLine(), 'one');
    await client.readLine();
    await client.write('o\n');
    assert.equal(await client.readLine(), 'two');
    client.destroy();
  });

  test(`a server stops although headers are missing in ${subject.name}`, async () => {
    await using server = await start(subject, {});
    const client = await Client.connect(server.port, { localAddress: TRUSTED });
    await client.write('PROXY ');
    await server.stop();
    client.destroy();
    assert.deepEqual(
      server.events().filter(({ event }) => event === 'connect' || event === 'close'),
      [],
    );
  });
}

test('dispatching by address uses the real one', async () => {
  await using server = await start(SUBJECTS[0], { dispatch_mode: SWOOLE_DISPATCH_IPMOD, worker_num: 3 });
  for (let last = 1; last <= 6; last++) {
    const workers = new Set<number>();
    for (let i = 0; i < 4; i++) {
      const client = await Client.connect(server.port, { localAddress: TRUSTED });
      await client.write(`${v1(`203.0.113.${last}`, 1000 + i)}x`);
      await client.read(1);
      const fd = Number(await client.readLine());
      workers.add((await server.waitFor('connect', (event) => event.fd === fd)).worker);
      client.destroy();
    }
    assert.deepEqual([...workers], [(((203 << 24) | (113 << 8) | last) >>> 0) % 3]);
  }
});

test('with enable_delay_receive nothing but the header is read before confirm', async () => {
  await using server = await startServer({
    mode: SUBJECTS[0].mode,
    settings: {
      worker_num: 1,
      enable_delay_receive: true,
      proxy_protocol: true,
      proxy_protocol_from: ['127.0.0.1'],
    },
    setup: ({ server, report }) => {
      server.on('connect', (server, fd) => {
        report('connect', { fd });
        setTimeout(() => report('confirm', { ok: server.confirm(fd) }), 50);
      });
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
    },
  });
  const client = await Client.connect(server.port, { localAddress: TRUSTED });
  await client.write(`${v1('203.0.113.9', 5555)}data`);
  assert.equal((await client.read(4)).toString(), 'data');
  assert.equal((await server.waitFor('confirm')).ok, true);
  client.destroy();
});

/** Echoes, and tells the connection's id behind the first data. */
function start(subject: Subject, settings: ServerSettings): Promise<TestServer> {
  return startServer({
    mode: subject.mode,
    settings: {
      worker_num: subject.workerNum,
      proxy_protocol: true,
      proxy_protocol_from: ['10.0.0.0/8', '127.0.0.1/32', '::1'],
      ...settings,
    },
    setup: ({ server, report }) => {
      const seen = new Set<number>();
      const info = (fd: number): object => {
        const found = server.getClientInfo(fd);
        return found === false ? {} : { ip: found.remote_ip, port: found.remote_port };
      };
      server.on('connect', (server, fd) => {
        report('connect', { fd, worker: server.worker_id, ...info(fd) });
      });
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
        if (!seen.has(fd)) server.send(fd, `${fd}\n`);
        seen.add(fd);
      });
      server.on('close', (_server, fd) => report('close', { fd, ...info(fd) }));
    },
  });
}

test('a connect callback may end the server', async () => {
  await using server = await startServer({
    mode: ALONE.mode,
    settings: { worker_num: 1, proxy_protocol: true, proxy_protocol_from: [TRUSTED] },
    setup: ({ server }) => {
      server.on('receive', () => {});
      server.on('connect', (server, fd) => {
        server.send(fd, 'goodbye');
        server.shutdown();
      });
    },
  });
  const before = descriptorCount(server.pid);
  using client = await Client.connect(server.port, { localAddress: TRUSTED });
  // Accepted, but not let in.
  await server.until(() => descriptorCount(server.pid) > before, 'another descriptor');
  await client.write(v1('203.0.113.9', 5555));
  assert.equal((await client.readAll()).toString(), 'goodbye');
  assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
  assert.doesNotMatch(server.output, /errno/);
});
