import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { DatagramClient, socketDirectory } from '../support/datagram-client.ts';
import { startServer } from '../support/server.ts';
import { ALL_SUBJECTS } from '../support/subjects.ts';

const directory = socketDirectory();

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  test(`all six kinds of sockets in one server in ${name}, with the documented inheritance`, async () => {
    const base = join(directory, `${mode}-${workerNum}`);
    await using server = await startServer({
      mode,
      args: { base, workerNum },
      setup: ({ server, args, swoole }) => {
        const port = (host: string, type: number) => {
          const added = server.addListener(host, 0, type);
          if (added === false) throw new Error(`errno ${server.getLastError()}`);
          return added;
        };
        const stream = port(`${args.base}.stream`, swoole.SWOOLE_UNIX_STREAM);
        const datagram = port(`${args.base}.dgram`, swoole.SWOOLE_UNIX_DGRAM);
        const udp = port('127.0.0.1', swoole.SWOOLE_UDP);
        const udp6 = port('::1', swoole.SWOOLE_UDP6);
        const tcp6 = port('::1', swoole.SWOOLE_TCP6);
        server.set({ worker_num: args.workerNum, open_eof_split: true, package_eof: '\n' });
        // With settings of its own a port inherits none: it cuts nothing.
        tcp6.set({});
        server.on('receive', (server, fd, _reactorId, data) => {
          const info = server.getClientInfo(fd);
          server.send(fd, `${info ? info.socket_type : 0}:${data}`);
        });
        tcp6.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, `own:${data}`);
        });
        server.on('packet', (server, data, { address, port, server_port, server_socket }) => {
          const which = server_port === udp.port ? 'udp' : 'udp6';
          server.sendto(address, port, `${which}:${data}`, server_socket);
        });
        datagram.on('packet', (server, data, { address }) => {
          server.send(address, `unix:${data}`);
        });
        void [stream, udp6];
      },
    });
    const [tcp, , , udp, udp6, tcp6] = [0, 1, 2, 3, 4, 5].map((index) => server.portAt(index));
    assert.deepEqual(
      server.events('$start')[0].ports.map(({ type }: { type: number }) => type),
      [1, 5, 6, 2, 4, 3],
    );

    using first = await Client.connect(tcp);
    await first.write('one\ntwo\nthr');
    assert.equal((await first.read(12)).toString(), '1:one\n1:two\n');
    using second = await Client.connect(`${base}.stream`);
    await second.write('one\ntwo\n');
    assert.equal((await second.read(12)).toString(), '5:one\n5:two\n');
    using third = await Client.connect(tcp6, { host: '::1' });
    await third.write('uncut');
    assert.equal((await third.read(9)).toString(), 'own:uncut');

    using four = DatagramClient.ip();
    four.send('a\nb', '127.0.0.1', udp);
    assert.equal(await four.receiveText(), 'udp:a\nb');
    using six = DatagramClient.ip('::1');
    six.send('a\nb', '::1', udp6);
    assert.equal(await six.receiveText(), 'udp6:a\nb');
    using unix = DatagramClient.unix(`${base}.client`);
    unix.send('a\nb', `${base}.dgram`);
    assert.equal(await unix.receiveText(), 'unix:a\nb');
    unix.close();
  });
}

describe('TLS over datagrams', () => {
  test('is refused with a message', async () => {
    const server = await startServer({ mode: 1, type: 2 | 512, waitUntilReady: false, setup: () => {} });
    const { code, message } = await server.waitFor('$threw');
    assert.equal(code, 'ERR_UNSUPPORTED');
    assert.match(message, /DTLS/);
    await server.exited();
    await server.assertGone();
  });
});
