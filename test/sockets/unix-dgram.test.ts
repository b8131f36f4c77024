import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SWOOLE_SOCK_UNIX_DGRAM } from '../../src/index.ts';
import { EAGAIN, ECONNREFUSED, ENOENT, SOL_SOCKET } from '../../src/sys/constants.ts';
import { setOption } from '../../src/sys/socket.ts';
import { DatagramClient, socketDirectory } from '../support/datagram-client.ts';
import type { Fixture } from '../support/fixture.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';

const SO_PASSCRED = 16;
const directory = socketDirectory();
let paths = 0;
function freshPath(): string {
  return join(directory, `${++paths}.sock`);
}

/** As in the manual: answers by send() with the path. Port 1 is for control. */
const echo = ({ server, report, control }: Fixture<unknown>): void => {
  control();
  server.on('packet', (server, data, info) => {
    const sent = server.send(info.address, data, info.server_socket);
    report('packet', { info, length: data.length, sent, error: server.getLastError() });
  });
  server.on('receive', () => {});
};

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`Unix datagrams in ${name}`, () => {
    let server: TestServer;
    let workers: Remote[];
    const path = freshPath();
    before(async () => {
      server = await startServer({
        ...{ host: path, mode, type: SWOOLE_SOCK_UNIX_DGRAM, settings: { worker_num: workerNum }, setup: echo },
      });
      workers = await Remote.connectToAll(server, workerNum);
    });
    after(async () => {
      for (const worker of workers ?? []) worker.close();
      await server?.stop();
      assert.equal(existsSync(path), false, 'the file is removed at the end');
    });

    test('the address is the path of the peer, and there is no port', async () => {
      const own = freshPath();
      using client = DatagramClient.unix(own);
      assert.equal(client.send('hello', path), 0);
      const { data, address } = await client.receive();
      assert.deepEqual([data.toString(), address], ['hello', path]);
      const { info } = await server.waitFor('packet');
      const { dispatch_time, server_socket, ...rest } = info;
      assert.ok(dispatch_time > 1e9 && server_socket > 2);
      assert.deepEqual(rest, { server_port: 0, address: own });
    });

    test('carries 0 bytes to 1 MiB', async () => {
      using client = DatagramClient.unix(freshPath());
      for (const length of [1, 100, 65507, 65536, 70_000, 300_000, 1024 * 1024]) {
        const bytes = Buffer.alloc(length, 'abcdefghijklmnopqrstuvwxyz');
        assert.equal(client.send(bytes, path), 0);
        assert.ok((await client.receive()).data.equals(bytes), `${length} bytes`);
      }
      client.send('', path);
      const empty = await server.waitFor('packet', (event) => event.length === 0);
      assert.deepEqual([empty.sent, empty.error], [false, 550]);
    });

    test('a peer without a path has the address "" and cannot be answered; one with a name can', async () => {
      using nameless = DatagramClient.unix(null);
      assert.equal(nameless.send('nobody', path), 0);
      const packet = await server.waitFor('packet', (event) => event.info.address === '');
      assert.equal(packet.sent, false);

      // With this option the kernel itself chooses a name outside of the file system.
      using named = DatagramClient.unix(null);
      assert.equal(setOption(named.fd, SOL_SOCKET, SO_PASSCRED, 1), 0);
      named.send('somebody', path);
      assert.equal(await named.receiveText(), 'somebody');
      const { info } = await server.waitFor('packet', (event) => event.info.address.startsWith('\0'));
      assert.match(info.address, /^\0[0-9a-f]{5}$/);
      named.close();
      const code = await workers[0].run(
        ({ server }, name) => server.send(name, 'x') || server.getLastError(),
        info.address as string,
      );
      assert.equal(code, ECONNREFUSED);
    });

    test('sends tell what the kernel said: nobody there, a full queue', async () => {
      const own = freshPath();
      using client = DatagramClient.unix(own);
      const missing = freshPath();
      for (const worker of workers) {
        const results = await worker.run(
          ({ server }, own, missing) => {
            const first = server.send(missing, 'x') || server.getLastError();
            const tooLong = server.send(`/${'x'.repeat(107)}`, 'x') || server.getLastError();
            let sent = 0;
            while (sent < 10_000 && server.sendto(own, 0, `${sent}`)) sent++;
            return { first, tooLong, sent, full: server.getLastError(), unknown: server.send(own, 'x', 9999) };
          },
          own,
          missing,
        );
        assert.deepEqual(
          { ...results, sent: 0 },
          { first: ENOENT, tooLong: 722, sent: 0, full: EAGAIN, unknown: false },
        );
        assert.ok(results.sent > 0 && results.sent < 10_000);
        for (let i = 0; i < results.sent; i++) assert.equal(await client.receiveText(), `${i}`);
        assert.equal(client.take(), null);
      }
    });

    test('peers that cannot be answered write nothing into the log, however often a program tries', async () => {
      using client = DatagramClient.unix(null);
      const before = server.events('packet').length;
      const told = server.output;
      for (let i = 0; i < 20; i++) await until(() => client.send('who am I', path) === 0, 'room for a packet');
      const answers = (await server.waitForCount('packet', before + 20)).slice(before);
      assert.ok(answers.every(({ info, sent }) => info.address === '' && sent === false));
      const [worker] = workers;
      const errors = await worker.run(({ server }) =>
        ['', 'relative', '1.2.3'].flatMap((address) => [
          server.send(address, 'x') || server.getLastError(),
          server.sendto(address, 1, 'x') || server.getLastError(),
        ]),
      );
      assert.deepEqual(errors, new Array(6).fill(722));
      assert.equal(server.output, told);
    });

    test('a flood loses nothing: senders wait', async () => {
      using client = DatagramClient.unix(null);
      const before = server.events('packet').length;
      const count = 3000;
      const data = Buffer.alloc(5000);
      for (let i = 0; i < count; i++) {
        await until(() => {
          const error = client.send(data, path);
          assert.ok(error === 0 || error === EAGAIN, `errno ${error}`);
          return error === 0;
        }, `packet ${i} to be taken`);
      }
      await server.until(() => server.events('packet').length === before + count, `${count} packets`);
    });
  });
}
