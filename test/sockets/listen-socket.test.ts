import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, test } from 'node:test';
import { SWOOLE_SOCK_UDP } from '../../src/index.ts';
import { interfaceIndex } from '../../src/sys/datagram.ts';
import { DatagramClient } from '../support/datagram-client.ts';
import { startServer } from '../support/server.ts';
import { ALL_SUBJECTS, BASE } from '../support/subjects.ts';

const GROUP = '224.10.20.30';

function multicastClient(): DatagramClient {
  const client = DatagramClient.ip('127.0.0.1');
  client.sendMulticastOver('127.0.0.1');
  return client;
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`getSocket in ${name}`, () => {
    test('joins a multicast group before start, as the manual does, and every process agrees', async () => {
      await using server = await startServer({
        ...{ host: '0.0.0.0', mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum }, args: GROUP },
        setup: ({ server, report, args: group }) => {
          const socket = server.getSocket();
          // In PHP: socket_set_option($socket, IPPROTO_IP, MCAST_JOIN_GROUP, ['group' => …, 'interface' => 'lo']).
          if (socket === false || !socket.addMembership(group, 'lo')) throw new Error('Unable to join multicast group');
          server.on('packet', (server, data, { address, port }) => {
            report('packet', { worker: server.worker_id });
            server.sendto(address, port, `Swoole: ${data}`);
          });
        },
      });
      using client = multicastClient();
      client.send('to all', GROUP, server.port);
      assert.equal(await client.receiveText(), 'Swoole: to all');
      assert.equal(server.events('packet').length, 1);
      // Replaced workers run the same lines.
      if (workerNum > 1) {
        server.kill('SIGUSR1');
        await server.waitForCount('$worker', 2 * workerNum);
        client.send('again', GROUP, server.port);
        assert.equal(await client.receiveText(), 'Swoole: again');
      }
    });

    test('sets and gets options by name and by number', async () => {
      await using server = await startServer({
        ...{ mode, settings: { worker_num: workerNum } },
        setup: ({ server, report, swoole }) => {
          const udp = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          const six = server.listen('::', 0, swoole.SWOOLE_SOCK_UDP6);
          const tcp = server.getSocket();
          if (udp === false || six === false || tcp === false) throw new Error('no port');
          const socket = udp.getSocket();
          const other = server.listen('127.0.0.1', 0, swoole.SWOOLE_SOCK_UDP);
          if (other === false) throw new Error('no port');
          const more = other.getSocket();
          if (!server.setting.worker_num) throw new Error('settings');
          const results = {
            kind: socket instanceof swoole.ListenSocket,
            sameByNumber: (server.getSocket(udp.port) || socket).fd === socket.fd,
            unknownPort: server.getSocket(1),
            set: [
              socket.setOption('SO_REUSEADDR', 1),
              socket.setOption('SO_BROADCAST', true),
              socket.setOption('SO_RCVBUF', 30_000),
              socket.setOption('IP_TTL', 33),
              socket.setOption('IP_MULTICAST_TTL', 7),
              socket.setOption('IP_MULTICAST_LOOP', false),
              socket.setOption([1, 7], 20_000),
              tcp.setOption('TCP_DEFER_ACCEPT', 1),
              tcp.setOption('SO_KEEPALIVE', true),
              six.getSocket().setOption('IPV6_MULTICAST_HOPS', 5),
            ],
            named: [
              more.setBroadcast(true),
              more.setMulticastTTL(9),
              more.setMulticastLoopback(false),
              more.setRecvBufferSize(25_000),
              more.setSendBufferSize(15_000),
              six.getSocket().setMulticastTTL(5),
              six.getSocket().setMulticastLoopback(false),
            ],
          };
          server.on('receive', () => {});
          server.on('packet', () => {});
          server.on('workerStart', (server) => {
            report('options', {
              ...results,
              get: [
                socket.getOption('SO_REUSEADDR'),
                socket.getOption('SO_BROADCAST'),
                socket.getOption('SO_RCVBUF'),
                socket.getOption('IP_TTL'),
                socket.getOption('IP_MULTICAST_TTL'),
                socket.getOption('IP_MULTICAST_LOOP'),
                socket.getOption([1, 7]),
                six.getSocket().getOption('IPV6_MULTICAST_HOPS'),
                six.getSocket().getOption('IPV6_V6ONLY'),
                six.getSocket().getOption('IPV6_UNICAST_HOPS'),
              ],
              gotNamed: [
                more.getOption('SO_BROADCAST'),
                more.getOption('IP_MULTICAST_TTL'),
                more.getOption('IP_MULTICAST_LOOP'),
                more.getOption('SO_RCVBUF'),
                more.getOption('SO_SNDBUF'),
                six.getSocket().getOption('IPV6_MULTICAST_LOOP'),
              ],
              refused: [socket.getOption('TCP_NODELAY'), server.getLastError()],
              refusedSet: [socket.setOption('TCP_NODELAY', 1), server.getLastError()],
              tcp: tcp.fd === -1 ? 'elsewhere' : [tcp.getOption('SO_REUSEADDR'), tcp.getOption('SO_KEEPALIVE')],
            });
          });
        },
      });
      const options = server.events('options');
      assert.equal(options.length, workerNum);
      for (const { kind, sameByNumber, unknownPort, set, get, named, gotNamed, refused, refusedSet, tcp } of options) {
        assert.deepEqual(named, new Array(7).fill(true));
        assert.deepEqual(gotNamed, [true, 9, false, 50_000, 30_000, false]);
        assert.deepEqual([kind, sameByNumber, unknownPort], [true, true, false]);
        assert.deepEqual(set, new Array(10).fill(true));
        assert.deepEqual(get, [true, true, 60_000, 33, 7, false, 40_000, 5, false, 64]);
        assert.equal(refused[0], false);
        assert.ok(refused[1] > 0);
        assert.deepEqual([refusedSet[0], refusedSet[1] > 0], [false, true]);
        if (tcp !== 'elsewhere') assert.deepEqual(tcp, [true, true]);
      }
    });
  });
}

describe('multicast', () => {
  test('leaving ends it; a source address limits it; joining twice is refused', async () => {
    await using server = await startServer({
      ...{ host: '0.0.0.0', mode: BASE.mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: 1 }, args: GROUP },
      setup: ({ server, report, args: group }) => {
        const socket = server.getSocket();
        if (socket === false) throw new Error('no socket');
        report('before', { all: socket.setOption('IP_MULTICAST_ALL', false), join: socket.addMembership(group, 'lo') });
        server.on('packet', (server, data, { address, port }) => {
          const act = {
            leave: () => socket.dropMembership(group, 'lo'),
            again: () => [socket.dropMembership(group, 'lo'), server.getLastError()],
            source: () => socket.addSourceSpecificMembership('127.0.0.9', group, 1),
            dropSource: () => socket.dropSourceSpecificMembership('127.0.0.9', group, 1),
            address: () => socket.addMembership(group, '127.0.0.1'),
            join: () => [socket.addMembership(group, 'lo'), server.getLastError()],
            noAddress: () => [socket.addMembership(group, '192.0.2.1'), server.getLastError()],
            where: () => [socket.addMembership(group, 'nowhere'), server.getLastError()],
          }[data.toString()];
          report('did', { what: data.toString(), result: act === undefined ? null : act() });
          server.sendto(address, port, data);
        });
      },
    });
    assert.deepEqual(
      server.events('before').map(({ all, join }) => [all, join]),
      [[true, true]],
    );
    using client = multicastClient();
    using source = DatagramClient.ip('127.0.0.9');
    source.sendMulticastOver('127.0.0.1');
    const tell = async (what: string): Promise<unknown> => {
      client.send(what, '127.0.0.1', server.port);
      await client.receive();
      return server.events('did').findLast((event) => event.what === what)?.result;
    };
    assert.deepEqual(await tell('join'), [false, 98]);
    assert.deepEqual(await tell('where'), [false, 19]);
    client.send('multicast', GROUP, server.port);
    assert.equal(await client.receiveText(), 'multicast');
    assert.equal(await tell('leave'), true);
    client.send('nobody listens', GROUP, server.port);
    assert.deepEqual(await tell('again'), [false, 99]);
    assert.equal(await tell('source'), true);
    client.send('not from here', GROUP, server.port);
    source.send('from there', GROUP, server.port);
    assert.equal(await source.receiveText(), 'from there');
    assert.equal(await tell('dropSource'), true);
    source.send('not from there any more', GROUP, server.port);
    assert.deepEqual(await tell('noAddress'), [false, 19]);
    assert.equal(await tell('address'), true);
    client.send('by address', GROUP, server.port);
    assert.equal(await client.receiveText(), 'by address');
    await tell('end');
    const heard = server.events('did').map((event) => event.what);
    assert.ok(!heard.some((what) => what === 'nobody listens' || what.startsWith('not from')), heard.join());
  });

  test('IPv6 groups are joined by interface name and number, on a "::" port IPv4 groups too', async () => {
    await using server = await startServer({
      ...{ host: '::', mode: BASE.mode, type: 4, settings: { worker_num: 1 }, args: GROUP },
      setup: ({ server, report, args: group }) => {
        const socket = server.getSocket();
        if (socket === false) throw new Error('no socket');
        const twice = (result: boolean): [boolean, number] => [result, server.getLastError()];
        report('joined', {
          results: [
            socket.addMembership('ff02::1:2345', 'lo'),
            twice(socket.addMembership('ff02::1:2345', 1)),
            socket.dropMembership('ff02::1:2345', 1),
            socket.addMembership('ff02::1:2345', 1),
            socket.addMembership(group, 'lo'),
          ],
        });
        for (const wrong of ['', 'lo', '300.1.1.1']) {
          try {
            socket.addMembership(wrong, 'lo');
          } catch (error) {
            report('threw', { code: (error as { code: string }).code });
          }
        }
        server.on('packet', (server, data, { address, port }) => {
          server.sendto(address, port, data);
        });
      },
    });
    assert.deepEqual(server.events('joined')[0].results, [true, [false, 98], true, true, true]);
    assert.deepEqual(
      server.events('threw').map(({ code }) => code),
      ['ERR_ARGUMENT', 'ERR_ARGUMENT', 'ERR_ARGUMENT'],
    );
    using client = multicastClient();
    client.send('IPv4', GROUP, server.port);
    assert.equal(await client.receiveText(), 'IPv4');
  });

  test('interface numbers are found by name', () => {
    assert.equal(interfaceIndex('lo'), 1);
    assert.equal(interfaceIndex('7'), 7);
    assert.equal(interfaceIndex('nowhere'), -1);
    assert.equal(interfaceIndex(''), -1);
    assert.ok(Object.keys(networkInterfaces()).every((each) => interfaceIndex(each) > 0));
  });
});
