import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Port, PortSettings } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import type { Fixture } from '../support/fixture.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { BASE, PROCESS, SUBJECTS } from '../support/subjects.ts';

/** Answers each package with its length and content, so that a client sees where the cuts were. */
const answerPackages = ({ server, report }: Fixture<unknown>): void => {
  server.on('receive', (server, fd, _reactorId, data) => {
    server.send(fd, `${data.length}:`);
    server.send(fd, data);
  });
  server.on('close', (_server, fd, reactorId) => report('close', { fd, reactorId }));
};

function startFramed(mode: number, settings: PortSettings): Promise<TestServer> {
  return startServer({ mode, settings: { worker_num: 2, ...settings }, setup: answerPackages });
}

async function readPackage(client: Client): Promise<Buffer> {
  const length = Number((await client.readUntil(':')).toString().slice(0, -1));
  return client.read(length);
}

async function readTexts(client: Client, count: number): Promise<string[]> {
  const texts: string[] = [];
  for (let i = 0; i < count; i++) texts.push((await readPackage(client)).toString('latin1'));
  return texts;
}

/** Byte by byte, each in a segment of its own. */
async function dribble(client: Client, bytes: Uint8Array): Promise<void> {
  for (const byte of bytes) {
    await client.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The server gives the connection up, says why in its log, and tells `close` with a reactor. */
async function expectRefused(server: TestServer, client: Client, code: number): Promise<void> {
  assert.equal((await client.readAll()).length, 0);
  const close = await server.waitFor('close');
  assert.ok(close.reactorId >= 0, `reactor ${close.reactorId}`);
  await server.waitForOutput(new RegExp(`\\b${code}\\b`));
  client.destroy();
}

for (const { name, mode } of SUBJECTS) {
  describe(`framing in ${name}`, () => {
    test('raw: the stream in order, at most 64 KiB at a time', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        setup: ({ server, report }) => {
          let next = 0;
          server.on('receive', (server, fd, _reactorId, data) => {
            const right = data.every((byte, index) => byte === (next + index) % 251);
            next += data.length;
            report('receive', { length: data.length, right });
            if (next === 3_000_000) server.send(fd, 'all');
          });
        },
      });
      using client = await Client.connect(server.port);
      void client.write(Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, index) => index % 251)));
      await client.read(3);
      const received = server.events('receive');
      assert.ok(received.every((event) => event.right && event.length >= 1 && event.length <= 65_536));
    });

    test('open_eof_split cuts at every mark, wherever the reads were', async () => {
      await using server = await startFramed(mode, { open_eof_split: true, package_eof: '\r\n' });
      using client = await Client.connect(server.port);
      await client.write('one\r\ntwo\r\n\r\nhalf');
      assert.deepEqual(await readTexts(client, 3), ['one\r\n', 'two\r\n', '\r\n']);
      await client.write(' done\r');
      await client.write('\nnext');
      assert.deepEqual(await readTexts(client, 1), ['half done\r\n']);
      await dribble(client, Buffer.from(' one\r\nlast\r\n'));
      assert.deepEqual(await readTexts(client, 2), ['next one\r\n', 'last\r\n']);
      const large = Buffer.concat([Buffer.alloc(500_000, 'x'), Buffer.from('\r\n')]);
      void client.write(large);
      assert.ok((await readPackage(client)).equals(large));
    });

    test('open_eof_check delivers when the data ends with the mark, several packages together', async () => {
      await using server = await startFramed(mode, { open_eof_check: true, package_eof: '\n' });
      using client = await Client.connect(server.port);
      await client.write('a\nb\n');
      assert.deepEqual(await readTexts(client, 1), ['a\nb\n']);
      await client.write('c\nd');
      await client.write('\n');
      assert.deepEqual(await readTexts(client, 1), ['c\nd\n']);
    });

    test('the default mark is an empty line, and a mark may be bytes', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, open_eof_split: true },
        setup: (fixture) => {
          const { server, swoole } = fixture;
          const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          if (port === false) throw new Error('no port');
          port.set({ open_eof_split: true, package_eof: new Uint8Array([0, 255]) });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${data.length}:`);
            server.send(fd, data);
          });
        },
      });
      using text = await Client.connect(server.port);
      await text.write('GET\r\nx\r\n\r\n\r\n\r\n');
      assert.deepEqual(await readTexts(text, 2), ['GET\r\nx\r\n\r\n', '\r\n\r\n']);
      using bytes = await Client.connect(server.portAt(1));
      await bytes.write(Buffer.from([1, 0, 255, 0, 0, 255]));
      assert.deepEqual(await readTexts(bytes, 2), ['\x01\0\xff', '\0\0\xff']);
    });

    const types: [PortSettings['package_length_type'], (length: number) => Buffer][] = [
      ['c', (length) => Buffer.of(length)],
      ['C', (length) => Buffer.of(length)],
      ['s', (length) => Buffer.of(length, 0)],
      ['S', (length) => Buffer.of(length, 0)],
      ['n', (length) => Buffer.of(0, length)],
      ['v', (length) => Buffer.of(length, 0)],
      ['l', (length) => Buffer.of(length, 0, 0, 0)],
      ['L', (length) => Buffer.of(length, 0, 0, 0)],
      ['N', (length) => Buffer.of(0, 0, 0, length)],
      ['V', (length) => Buffer.of(length, 0, 0, 0)],
      ['q', (length) => Buffer.of(length, 0, 0, 0, 0, 0, 0, 0)],
      ['Q', (length) => Buffer.of(length, 0, 0, 0, 0, 0, 0, 0)],
      ['J', (length) => Buffer.of(0, 0, 0, 0, 0, 0, 0, length)],
      ['P', (length) => Buffer.of(length, 0, 0, 0, 0, 0, 0, 0)],
    ];
    test('every type of length, on a port of its own', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        args: types.map(([type, header]) => ({ type, size: header(1).length })),
        setup: ({ server, swoole, args }) => {
          for (const { type, size } of args) {
            const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
            if (port === false) throw new Error('no port');
            port.set({
              open_length_check: true,
              package_length_type: type,
              package_length_offset: 2,
              package_body_offset: 2 + size,
            });
          }
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${data.length}:`);
            server.send(fd, data);
          });
        },
      });
      for (const [index, [type, header]] of types.entries()) {
        using client = await Client.connect(server.portAt(index + 1));
        const packages = [5, 0, 100].map((length) =>
          Buffer.concat([Buffer.from('ab'), header(length), Buffer.alloc(length, 'x')]),
        );
        await client.write(Buffer.concat(packages));
        for (const each of packages) assert.ok((await readPackage(client)).equals(each), `type ${type}`);
        await dribble(client, packages[0]);
        assert.ok((await readPackage(client)).equals(packages[0]), `type ${type} byte by byte`);
      }
    });

    test('the defaults: four bytes big-endian that count the body', async () => {
      await using server = await startFramed(mode, { open_length_check: true });
      using client = await Client.connect(server.port);
      await client.write(Buffer.from([0, 0, 0, 3, 97, 98, 99, 0, 0, 0, 0, 0, 0]));
      assert.deepEqual(await readTexts(client, 2), ['\0\0\0\x03abc', '\0\0\0\0']);
      await client.write(Buffer.from([0, 1, 120]));
      assert.deepEqual(await readTexts(client, 1), ['\0\0\0\x01x']);
    });

    test('a package of 1.9 MiB, whole and in pieces, between small ones', async () => {
      await using server = await startFramed(mode, { open_length_check: true, socket_buffer_size: '16M' });
      using client = await Client.connect(server.port);
      const size = Math.floor(1.9 * 1024 * 1024);
      const large = Buffer.alloc(size + 4);
      large.writeUInt32BE(size);
      for (let i = 4; i < large.length; i++) large[i] = i % 251;
      const small = Buffer.from([0, 0, 0, 1, 33]);
      void client.write(Buffer.concat([small, large, small]));
      assert.ok((await readPackage(client)).equals(small));
      assert.ok((await readPackage(client)).equals(large));
      assert.ok((await readPackage(client)).equals(small));
      for (let at = 0; at < large.length; at += 77_777) await client.write(large.subarray(at, at + 77_777));
      assert.ok((await readPackage(client)).equals(large));
    });

    test('many packages in one write arrive one by one, in order', async () => {
      await using server = await startFramed(mode, {
        open_length_check: true,
        package_length_type: 'n',
        package_body_offset: 2,
      });
      using client = await Client.connect(server.port);
      const count = 20_000;
      void client.write(Buffer.concat(Array.from({ length: count }, (_, i) => Buffer.of(0, 2, i >> 8, i & 255))));
      for (let i = 0; i < count; i++) {
        const data = await readPackage(client);
        assert.equal(data.readUInt16BE(2), i);
      }
    });

    test('a close in the middle of several packages drops the rest', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, open_eof_split: true, package_eof: '\n' },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            report('receive', { text: data.toString() });
            if (data.toString() === 'close\n') server.close(fd);
          });
          server.on('close', (_server, fd) => report('close', { fd }));
        },
      });
      using client = await Client.connect(server.port);
      await client.write('one\nclose\ntwo\nthree\n');
      await client.readAll();
      await server.waitFor('close');
      assert.deepEqual(
        server.events('receive').map((event) => event.text),
        ['one\n', 'close\n'],
      );
    });

    test('a close of another client, which has sent more, leaves the packages that follow as they are', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 1, open_eof_split: true, package_eof: '\n' },
        setup: ({ server, report }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            const [word, other] = data.toString().trim().split(' ');
            report('receive', { fd, word });
            if (word === 'pause') server.pause(fd);
            else if (word === 'kick') server.close(Number(other));
          });
        },
      });
      using unwanted = await Client.connect(server.port);
      await unwanted.write('pause\n');
      const { fd } = await server.waitFor('receive');
      await unwanted.write('injected\n'.repeat(10));
      using client = await Client.connect(server.port);
      await client.write(`kick ${fd}\none\ntwo\nthree\n`);
      const words = (): string[] =>
        server
          .events('receive')
          .filter((event) => event.fd !== fd)
          .map((event) => event.word as string);
      await server.until(() => words().length >= 4, 'four packages');
      assert.deepEqual(words(), ['kick', 'one', 'two', 'three']);
    });

    const refused: [string, number, PortSettings, Buffer][] = [
      [
        'a length above package_max_length',
        1201,
        { open_length_check: true, package_max_length: 100_000 },
        Buffer.from([0, 1, 0x86, 0x9d]),
      ],
      [
        'a negative length',
        1204,
        { open_length_check: true, package_length_type: 'l' },
        Buffer.from([255, 255, 255, 255, 1]),
      ],
      ['a length of nothing', 1202, { open_length_check: true, package_body_offset: 0 }, Buffer.from([0, 0, 0, 0, 1])],
      [
        'no mark within package_max_length',
        1201,
        { open_eof_split: true, package_max_length: '64K' },
        Buffer.alloc(65_600, 'x'),
      ],
      [
        'no mark at the end within package_max_length',
        1201,
        { open_eof_check: true, package_max_length: '64K' },
        Buffer.alloc(65_600, 'x'),
      ],
    ];
    for (const [what, code, settings, bytes] of refused) {
      test(`${what} ends the connection with ${code} in the log`, async () => {
        await using server = await startFramed(mode, settings);
        const client = await Client.connect(server.port);
        void client.write(bytes);
        await expectRefused(server, client, code);
      });
    }

    test('a package of exactly package_max_length is fine', async () => {
      await using server = await startFramed(mode, { open_length_check: true, package_max_length: 100_000 });
      using client = await Client.connect(server.port);
      const data = Buffer.alloc(100_000);
      data.writeUInt32BE(99_996);
      await client.write(data);
      assert.equal((await readPackage(client)).length, 100_000);
    });

    test('package_length_func finds the length; 0 waits; negative, too much or a throw closes', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        setup: (fixture) => {
          const { server, report } = fixture;
          server.set({
            open_length_check: true,
            package_max_length: 70_000,
            // Decimal digits, a colon, the body.
            package_length_func: (data: Buffer) => {
              const colon = data.indexOf(58);
              if (colon === -1) return data.length > 6 ? -1 : 0;
              const digits = data.subarray(0, colon).toString();
              if (digits === 'throw') throw new Error('thrown in package_length_func');
              if (digits === 'async') return Promise.reject(new Error('too late')) as unknown as number;
              if (digits === 'sym') return Symbol('length') as unknown as number;
              if (digits === 'null') throw null;
              return colon + 1 + Number(digits);
            },
          });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${data.length}:`);
            server.send(fd, data);
          });
          server.on('close', (_server, fd, reactorId) => report('close', { fd, reactorId }));
        },
      });
      using client = await Client.connect(server.port);
      await client.write('3:abc0:1');
      assert.deepEqual(await readTexts(client, 2), ['3:abc', '0:']);
      await dribble(client, Buffer.from('0:0123456789'));
      assert.deepEqual(await readTexts(client, 1), ['10:0123456789']);
      const large = `60000:${'x'.repeat(60_000)}`;
      void client.write(large);
      assert.deepEqual(await readTexts(client, 1), [large]);
      const bads = ['toolong...', '70000:x', 'throw:', 'async:', 'sym:', 'null:', '1.5:'];
      for (const bad of bads) {
        using other = await Client.connect(server.port);
        await other.write(bad);
        assert.equal((await other.readAll()).length, 0, bad);
      }
      await server.waitForCount('close', bads.length);
      assert.ok(server.events('close').every((event) => event.reactorId >= 0));
      assert.match(server.output, /ERROR\t.*package_length_func failed: Error: thrown in package_length_func/);
      assert.match(server.output, /WARNING\t.*package_length_func must answer .*got a Promise; it cannot be async/);
      assert.doesNotMatch(server.output, /ended abnormally/);
      await client.write('1:x');
      assert.deepEqual(await readTexts(client, 1), ['1:x']);
    });

    test('open_mqtt_protocol and open_redis_protocol cut their packages', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, open_mqtt_protocol: true },
        setup: (fixture) => {
          const { server, swoole } = fixture;
          const port = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          if (port === false) throw new Error('no port');
          port.set({ open_redis_protocol: true });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${data.length}:`);
            server.send(fd, data);
          });
        },
      });
      using mqtt = await Client.connect(server.port);
      await mqtt.write(Buffer.from([0x10, 2, 1, 2, 0xc0, 0, 0x30]));
      assert.deepEqual(await readTexts(mqtt, 2), ['\x10\x02\x01\x02', '\xc0\0']);
      using redis = await Client.connect(server.portAt(1));
      await redis.write('*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nx');
      assert.deepEqual(await readTexts(redis, 1), ['*1\r\n$4\r\nPING\r\n']);
      await redis.write('\r\n');
      assert.deepEqual(await readTexts(redis, 1), ['*2\r\n$3\r\nGET\r\n$1\r\nx\r\n']);
    });
  });

  describe(`ports in ${name}`, () => {
    test('a port without settings of its own inherits those of the server; one with settings inherits nothing', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, open_eof_split: true, package_eof: '\n' },
        setup: (fixture) => {
          const { server, swoole } = fixture;
          const ports = [0, 1, 2].map(() => server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP));
          const [, raw, length] = ports;
          if (raw === false || length === false) throw new Error('no port');
          raw.set({});
          length.set({ open_length_check: true, package_length_type: 'C', package_body_offset: 1 });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `${data.length}:`);
            server.send(fd, data);
          });
        },
      });
      const texts: string[][] = [];
      for (let index = 0; index < 4; index++) {
        using client = await Client.connect(server.portAt(index));
        await client.write('\x03ab\nc\n');
        texts.push(await readTexts(client, index === 2 || index === 3 ? 1 : 2));
      }
      assert.deepEqual(texts, [['\x03ab\n', 'c\n'], ['\x03ab\n', 'c\n'], ['\x03ab\nc\n'], ['\x03ab\n']]);
    });

    test('each port has its own callbacks, the server those of the rest', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        setup: ({ server, swoole, report }) => {
          const own = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          const half = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          if (own === false || half === false) throw new Error('no port');
          const port = (fd: number): number => {
            const info = server.getClientInfo(fd);
            return info === false ? -1 : server.ports.findIndex((each) => each.port === info.server_port);
          };
          const targets: [string, Port][] = [
            ['server', server.ports[0]],
            ['own', own],
            ['half', half],
          ];
          for (const [name, target] of targets) {
            target.on('receive', (server, fd) => {
              server.send(fd, name);
              report('receive', { name, port: port(fd) });
            });
            if (name !== 'half') target.on('connect', (_server, fd) => report('connect', { name, port: port(fd) }));
          }
          own.on('close', (_server, fd) => report('close', { name: 'own', port: port(fd) }));
        },
      });
      for (const [index, name] of ['server', 'own', 'half'].entries()) {
        using client = await Client.connect(server.portAt(index));
        await client.write('x');
        assert.equal((await client.read(name.length)).toString(), name);
        client.end();
        await client.readAll();
      }
      const seen = (event: string): unknown[] => server.events(event).map((each) => [each.name, each.port]);
      assert.deepEqual(seen('receive'), [
        ['server', 0],
        ['own', 1],
        ['half', 2],
      ]);
      assert.deepEqual(seen('connect'), [
        ['server', 0],
        ['own', 1],
        ['server', 2],
      ]);
      await server.waitFor('close');
      assert.deepEqual(seen('close'), [['own', 1]]);
    });

    test('a listen that failed leaves the ports behind it in order', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2 },
        setup: ({ server, swoole, report }) => {
          const busy = server.listen('127.0.0.1', server.port, swoole.SWOOLE_SOCK_TCP);
          const good = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_TCP);
          if (good === false) throw new Error('no port');
          report('listen', { busy, good: good.port });
          good.on('receive', (server, fd) => {
            server.send(fd, 'good');
          });
          server.on('receive', (server, fd) => {
            server.send(fd, 'server');
          });
        },
      });
      using first = await Client.connect(server.port);
      using second = await Client.connect(server.portAt(1));
      await first.write('x');
      await second.write('x');
      assert.equal((await second.read(4)).toString(), 'good');
      assert.equal((await first.read(6)).toString(), 'server');
      // The script sees the same in every process.
      for (const { busy, good } of server.events('listen')) assert.deepEqual([busy, good], [false, server.portAt(1)]);
      assert.ok(server.events('listen').length >= 3);
    });
  });
}

test('package_length_func runs beside the sockets: in the master, or in the worker of SWOOLE_BASE', async () => {
  for (const { mode } of [PROCESS, BASE]) {
    await using server = await startServer({
      mode,
      settings: { worker_num: 2 },
      setup: ({ server, report }) => {
        server.set({
          open_length_check: true,
          package_length_func: (data: Buffer) => {
            report('length', { length: data.length });
            return 2;
          },
        });
        server.on('receive', (server, fd, _reactorId, data) => {
          report('receive', { worker: server.worker_id });
          server.send(fd, data);
        });
      },
    });
    using client = await Client.connect(server.port);
    await client.echo('ab');
    const receive = await server.waitFor('receive');
    assert.equal(server.events('length')[0].pid, mode === PROCESS.mode ? server.pid : receive.pid);
  }
});
