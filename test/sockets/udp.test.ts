import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Packet, PacketInfo } from '../../src/index.ts';
import { SWOOLE_SOCK_UDP } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { DatagramClient } from '../support/datagram-client.ts';
import type { Fixture } from '../support/fixture.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, SUBJECTS } from '../support/subjects.ts';

/** The longest that UDP carries over IPv4. */
const UDP_MAX = 65507;

/** Answers every packet with itself. Port 1 is for control; 2 is UDP over IPv6, 3 UDP over IPv4 again. */
const echo = ({ server, report, control, swoole }: Fixture<unknown>): void => {
  control();
  server.listen('::', 0, swoole.SWOOLE_SOCK_UDP6);
  server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
  server.on('packet', (server, data, info) => {
    report('packet', { worker: server.worker_id, length: data.length, info, text: data.toString('latin1', 0, 20) });
    server.sendto(info.address, info.port, data.length === 0 ? '(empty)' : data, info.server_socket);
  });
  server.on('receive', () => {});
};

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`UDP in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    before(async () => {
      const settings = { worker_num: workerNum };
      server = await startServer({ mode, type: SWOOLE_SOCK_UDP, settings, setup: echo });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
    });

    test('brings a packet with who sent it, and takes an answer', async () => {
      using client = DatagramClient.ip();
      const sentAt = Date.now() / 1000;
      assert.equal(client.send('hello', '127.0.0.1', server.port), 0);
      const answer = await client.receive();
      assert.deepEqual([answer.data.toString(), answer.address, answer.port], ['hello', '127.0.0.1', server.port]);
      const { info } = await server.waitFor('packet', (event) => event.text === 'hello');
      const { server_socket, dispatch_time, ...rest } = info as PacketInfo;
      assert.deepEqual(rest, { server_port: server.port, address: '127.0.0.1', port: client.port });
      assert.ok(server_socket > 2);
      assert.ok(Math.abs(dispatch_time - sentAt) < 10);
    });

    test('carries 0 bytes, 1 byte and the longest, one packet each', async () => {
      using client = DatagramClient.ip();
      for (const length of [0, 1, 64, 65, 1472, 9000, UDP_MAX]) {
        const bytes = Buffer.alloc(length, 'abcdefghijklmnopqrstuvwxyz');
        assert.equal(client.send(bytes, '127.0.0.1', server.port), 0);
        const { data } = await client.receive();
        if (length === 0) assert.equal(data.toString(), '(empty)');
        else assert.ok(data.equals(bytes), `${length} bytes`);
      }
    });

    test('an IPv4 client reaches a "::" port, and so does an IPv6 one', async () => {
      using four = DatagramClient.ip();
      four.send('four', '127.0.0.1', server.portAt(2));
      assert.equal(await four.receiveText(), 'four');
      assert.equal((await server.waitFor('packet', (event) => event.text === 'four')).info.address, '::ffff:127.0.0.1');
      using six = DatagramClient.ip('::1');
      six.send('six', '::1', server.portAt(2));
      assert.equal(await six.receiveText(), 'six');
      const { info } = await server.waitFor('packet', (event) => event.text === 'six');
      assert.deepEqual([info.address, info.server_port], ['::1', server.portAt(2)]);
    });

    test('sendto sends from the socket that is named, by default from the first of its family', async () => {
      using client = DatagramClient.ip();
      for (const worker of workers) {
        const results = await worker.run(({ server }, port) => {
          const first = server.ports[0].sock;
          return [
            server.sendto('127.0.0.1', port, 'first', first),
            server.sendto('127.0.0.1', port, 'other', server.ports[3].sock),
            server.sendto('127.0.0.1', port, 'default'),
            // The socket of another family, the segment, and none at all.
            server.sendto('127.0.0.1', port, 'x', server.ports[2].sock),
            server.sendto('127.0.0.1', port, 'x', 3),
            server.sendto('127.0.0.1', port, 'x', 9999),
          ];
        }, client.port);
        assert.deepEqual(results, [true, true, true, false, false, false]);
        const first = await client.receive();
        const other = await client.receive();
        const preset = await client.receive();
        assert.deepEqual([first.data.toString(), first.port], ['first', server.port]);
        assert.deepEqual([other.data.toString(), other.port], ['other', server.portAt(3)]);
        assert.deepEqual([preset.data.toString(), preset.port], ['default', server.port]);
      }
    });

    test('an answer leaves from the socket that the packet came to, also behind what its callback awaits', async () => {
      await using own = await startServer({
        mode,
        type: SWOOLE_SOCK_UDP,
        settings: { worker_num: workerNum },
        setup: ({ server, swoole }) => {
          for (const type of [swoole.SWOOLE_SOCK_UDP, swoole.SWOOLE_SOCK_UDP, swoole.SWOOLE_SOCK_UDP6])
            server.listen(type === swoole.SWOOLE_SOCK_UDP6 ? '::1' : '127.0.0.1', 0, type);
          server.on('packet', async (server, data, { address, port }) => {
            server.sendto(address, port, `now ${data}`);
            await new Promise((resolve) => setTimeout(resolve, 5));
            server.sendto(address, port, `later ${data}`);
          });
        },
      });
      using client = DatagramClient.ip();
      for (const index of [2, 0, 1]) client.send(`${index}`, '127.0.0.1', own.portAt(index));
      for (let i = 0; i < 6; i++) {
        const { data, port } = await client.receive();
        assert.equal(port, own.portAt(Number(data.toString().split(' ')[1])), data.toString());
      }
    });

    test('stats() counts datagrams in bytes and responses', async () => {
      const counted = await workers[0].run(async ({ server }) => {
        const { createSocket } = await import('node:dgram');
        const all = (): number[] => {
          const stats = server.stats();
          return [stats.response_count, stats.total_send_bytes, stats.total_recv_bytes];
        };
        const before = all();
        const socket = createSocket('udp4');
        const answer = new Promise((resolve) => socket.once('message', resolve));
        socket.send('grüße', server.port, '127.0.0.1');
        await answer;
        // It is counted behind the system call.
        while (all()[0] === before[0]) await new Promise((resolve) => setTimeout(resolve, 1));
        socket.close();
        return all().map((value, i) => value - before[i]);
      });
      assert.deepEqual(counted, [1, 7, 7]);
    });

    test('sendto tells what is wrong', async () => {
      const codes = await workers[0].run(({ server }) => {
        const codeOf = (...args: Parameters<typeof server.sendto>): number | boolean =>
          server.sendto(...args) || server.getLastError();
        return {
          empty: codeOf('127.0.0.1', 9, ''),
          emptyBytes: codeOf('127.0.0.1', 9, new Uint8Array(0)),
          badHost: codeOf('127.0.0.256', 9, 'x'),
          hostName: codeOf('localhost', 9, 'x'),
          octal: codeOf('127.0.0.01', 9, 'x'),
          short: codeOf('127.1', 9, 'x'),
          none: codeOf('', 9, 'x'),
          badIPv6: codeOf('::g', 9, 'x'),
          badScope: codeOf('fe80::1%nowhere', 9, 'x'),
          port: codeOf('127.0.0.1', 65536, 'x'),
          negative: codeOf('127.0.0.1', -1, 'x'),
          fraction: codeOf('127.0.0.1', 1.5, 'x'),
          tooLong: codeOf('127.0.0.1', 9, Buffer.alloc(65508)),
          tooLongText: codeOf('127.0.0.1', 9, 'x'.repeat(70_000)),
          unixWithoutPort: server.sendto('/tmp/nobody.sock', 0, 'x'),
          sendToPath: server.send('/tmp/nobody.sock', 'x') || server.getLastError(),
        };
      });
      assert.deepEqual(codes, {
        ...{ empty: 550, emptyBytes: 550, badHost: 722, hostName: 722, octal: 722, short: 722, none: 722 },
        ...{ badIPv6: 720, badScope: 720, port: 723, negative: 723, fraction: 723, tooLong: 90, tooLongText: 90 },
        ...{ unixWithoutPort: false, sendToPath: 1006 },
      });
      await assert.rejects(
        workers[0].run(({ server }) => server.sendto('127.0.0.1', 9, 5 as unknown as string)),
        /ERR_ARGUMENT|must be a string or a Uint8Array/,
      );
    });

    test('sends text as UTF-8, and views of bytes as they are', async () => {
      using client = DatagramClient.ip();
      const text = 'grüße, 世界 \u{1f600}';
      await workers[0].run(
        ({ server }, port, text) => {
          server.sendto('127.0.0.1', port, text);
          const backing = new Uint8Array(3000).map((_, i) => i);
          server.sendto('127.0.0.1', port, backing.subarray(5, 20));
          server.sendto('127.0.0.1', port, backing.subarray(5, 2000));
          server.sendto('127.0.0.1', port, text.repeat(1000));
        },
        client.port,
        text,
      );
      const backing = new Uint8Array(3000).map((_, i) => i);
      assert.equal(await client.receiveText(), text);
      assert.ok((await client.receive()).data.equals(backing.subarray(5, 20)));
      assert.ok((await client.receive()).data.equals(backing.subarray(5, 2000)));
      assert.equal(await client.receiveText(), text.repeat(1000));
    });

    test('counts packets as requests, and nothing as connections or bytes', async () => {
      const before = await workers[0].run(({ server }) => server.stats());
      using client = DatagramClient.ip();
      for (let i = 0; i < 20; i++) {
        client.send(`count ${i}`, '127.0.0.1', server.port);
        await client.receive();
      }
      const stats = await workers[0].run(({ server }) => server.stats());
      // The two questions are requests themselves.
      assert.equal(stats.request_count - before.request_count, 21);
      assert.equal(stats.dispatch_count - before.dispatch_count, 21);
      assert.equal(stats.connection_num, before.connection_num);
    });
  });
}

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`UDP servers in ${name}`, () => {
    test('every process can send', async () => {
      using client = DatagramClient.ip();
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum }, args: client.port },
        setup: ({ server, args: port }) => {
          const tell = (who: string): void => {
            if (!server.sendto('127.0.0.1', port, who)) throw new Error(`${who}: ${server.getLastError()}`);
          };
          server.on('start', () => tell('start'));
          server.on('managerStart', () => tell('managerStart'));
          server.on('workerStart', (_, id) => tell(`workerStart ${id}`));
          server.on('workerStop', (_, id) => tell(`workerStop ${id}`));
          server.on('managerStop', () => tell('managerStop'));
          server.on('beforeShutdown', () => tell('beforeShutdown'));
          server.on('shutdown', () => tell('shutdown'));
          server.on('packet', () => {});
        },
      });
      await server.stop();
      const told: string[] = [];
      for (let next = client.take(); next !== null; next = client.take()) {
        assert.equal(next.port, server.port);
        told.push(next.data.toString());
      }
      const workers = ['workerStart 0', 'workerStart 1', 'workerStop 0', 'workerStop 1'];
      assert.deepEqual(
        told.sort(),
        [...workers, 'beforeShutdown', 'managerStart', 'managerStop', 'shutdown', 'start'].sort(),
      );
    });

    test('event_object gives a Packet', async () => {
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum, event_object: true } },
        setup: ({ server, report, swoole }) => {
          server.on('packet', (server, packet: Packet) => {
            report('packet', { ...packet, isPacket: packet instanceof swoole.Packet, names: Object.keys(packet) });
            server.sendto(packet.address, packet.port, packet.data, packet.server_socket);
          });
        },
      });
      using client = DatagramClient.ip();
      client.send('object', '127.0.0.1', server.port);
      assert.equal(await client.receiveText(), 'object');
      const packet = await server.waitFor('packet');
      assert.equal(packet.isPacket, true);
      assert.deepEqual(packet.names, ['server_socket', 'server_port', 'dispatch_time', 'address', 'port', 'data']);
      assert.deepEqual([packet.server_port, packet.address, packet.port], [server.port, '127.0.0.1', client.port]);
    });

    test('a missing packet callback is told at start', async () => {
      for (const how of ['server', 'port']) {
        const server = await startServer({
          ...{ mode, waitUntilReady: false, type: how === 'server' ? 2 : 1, args: how },
          setup: ({ server, args, swoole }) => {
            server.on('receive', () => {});
            if (args === 'port') server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          },
        });
        const { code, message } = await server.waitFor('$threw');
        assert.equal(code, 'ERR_CALLBACK_MISSING');
        assert.match(message, /has no packet callback/);
        await server.exited();
        await server.assertGone();
      }
    });

    test('a port that is taken is told', async () => {
      using other = DatagramClient.ip();
      const server = await startServer({
        ...{ mode, waitUntilReady: false, type: SWOOLE_SOCK_UDP, port: other.port },
        setup: ({ server, report, swoole }) => {
          report('listen', { result: server.listen('127.0.0.1', server.port, swoole.SWOOLE_SOCK_UDP) });
          server.on('packet', () => {});
        },
      });
      const { result, error } = await server.waitFor('$end');
      assert.deepEqual([result, error, server.events('listen')[0].result], [false, 98, false]);
      await server.exited();
      await server.assertGone();
    });

    test('an async callback, and one that throws, cost nobody anything', async () => {
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum } },
        setup: ({ server }) => {
          server.on('packet', async (server, data, { address, port }) => {
            if (data.toString() === 'throw') throw new Error('wrong packet');
            await new Promise((resolve) => setTimeout(resolve, 10));
            server.sendto(address, port, `later ${data}`);
          });
        },
      });
      using client = DatagramClient.ip();
      client.send('throw', '127.0.0.1', server.port);
      client.send('good', '127.0.0.1', server.port);
      assert.equal(await client.receiveText(), 'later good');
      await server.waitForOutput(/the packet callback failed: Error: wrong packet/);
    });

    test('max_request counts packets: the worker is replaced, and none is lost that it has taken', async () => {
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum, max_request: 10, max_request_grace: 0 } },
        setup: ({ server, report }) => {
          server.on('packet', (server, data, { address, port }) => {
            server.sendto(address, port, data);
          });
          server.on('workerStop', (_, id) => report('stop', { id }));
        },
      });
      using client = DatagramClient.ip();
      for (let i = 0; i < 100; i++) {
        client.send(`${i}`, '127.0.0.1', server.port);
        assert.equal(await client.receiveText(), `${i}`);
      }
      assert.ok((await server.waitForCount('stop', 5)).length >= 5);
    });

    test('framing settings and heartbeats do not concern packets', async () => {
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP },
        settings: { worker_num: workerNum, open_length_check: true, package_max_length: 65536, heartbeat_idle_time: 1 },
        setup: ({ server }) => {
          server.on('packet', (server, data, { address, port }) => {
            server.sendto(address, port, data);
          });
        },
      });
      using client = DatagramClient.ip();
      for (const text of ['\0\0\0\x01ab', '\xff\xff\xff\xff', 'x']) {
        client.send(text, '127.0.0.1', server.port);
        assert.equal(await client.receiveText(), text);
      }
    });

    test('socket_buffer_size sets the kernel’s buffers, getSocket() beats it', async () => {
      await using server = await startServer({
        ...{ mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum, socket_buffer_size: 100_000 } },
        setup: ({ server, report, control, swoole }) => {
          control();
          const other = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          if (other === false) throw new Error('no port');
          other.set({ socket_buffer_size: 50_000, kernel_socket_send_buffer_size: 30_000 });
          other.getSocket().setOption('SO_RCVBUF', 40_000);
          server.on('receive', () => {});
          server.on('packet', () => {});
          server.on('workerStart', (server) => {
            const sizes = [server.ports[0], other].map((port) => {
              const socket = port.getSocket();
              return [socket.getOption('SO_RCVBUF'), socket.getOption('SO_SNDBUF')];
            });
            report('sizes', { sizes });
          });
        },
      });
      // The kernel doubles what it is asked for.
      assert.deepEqual(server.events('sizes')[0].sizes, [
        [200_000, 200_000],
        [80_000, 60_000],
      ]);
    });

    test('TCP and UDP, IPv4 and IPv6 share one port number, each with its own callbacks', async () => {
      await using server = await startServer({
        ...{ mode, host: '0.0.0.0', settings: { worker_num: workerNum } },
        setup: ({ server, report, swoole }) => {
          const { SWOOLE_SOCK_TCP6, SWOOLE_SOCK_UDP, SWOOLE_SOCK_UDP6 } = swoole;
          const udp = server.listen('0.0.0.0', server.port, SWOOLE_SOCK_UDP);
          const tcp6 = server.listen('::', server.port, SWOOLE_SOCK_TCP6);
          const udp6 = server.listen('::', server.port, SWOOLE_SOCK_UDP6);
          if (udp === false || tcp6 === false || udp6 === false) throw new Error(`errno ${server.getLastError()}`);
          report('types', { types: server.ports.map((port) => [port.type, port.host, port.port === server.port]) });
          tcp6.set({ open_eof_split: true, package_eof: '\n' });
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, `tcp4 ${data}`);
          });
          tcp6.on('receive', (server, fd, _reactorId, line) => {
            server.send(fd, `tcp6 ${line}`);
          });
          // UDP over IPv6 has no callback of its own: it uses the server's.
          server.on('packet', (server, data, { address, port, server_socket }) => {
            server.sendto(address, port, `udp6 ${data}`, server_socket);
          });
          udp.on('packet', (server, data, { address, port, server_socket }) => {
            server.sendto(address, port, `udp4 ${data}`, server_socket);
          });
        },
      });
      const { port } = server;
      assert.deepEqual(server.events('types')[0].types, [
        [1, '0.0.0.0', true],
        [2, '0.0.0.0', true],
        [3, '::', true],
        [4, '::', true],
      ]);
      using tcp4 = await Client.connect(port);
      await tcp4.write('a');
      assert.equal((await tcp4.read(6)).toString(), 'tcp4 a');
      using tcp6 = await Client.connect(port, { host: '::1' });
      await tcp6.write('one\ntwo\n');
      assert.equal(`${await tcp6.readLine()},${await tcp6.readLine()}`, 'tcp6 one,tcp6 two');
      using udp4 = DatagramClient.ip();
      udp4.send('b', '127.0.0.1', port);
      assert.equal(await udp4.receiveText(), 'udp4 b');
      using udp6 = DatagramClient.ip('::1');
      udp6.send('c', '::1', port);
      assert.equal(await udp6.receiveText(), 'udp6 c');
    });
  });
}
