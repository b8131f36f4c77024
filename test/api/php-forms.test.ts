/** Calls written as programs for Swoole write them: methods as callbacks, defaults, null in place of what is optional. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SWOOLE_SOCK_UDP } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { DatagramClient } from '../support/datagram-client.ts';
import { runScript, startServer } from '../support/server.ts';
import { ALL_SUBJECTS, PROCESS } from '../support/subjects.ts';

const GROUP = '224.10.20.31';

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`PHP's forms in ${name}`, () => {
    test('a callback may be a method of an object, or of a class', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: workerNum, task_worker_num: workerNum === 1 ? 0 : 1 },
        setup: ({ server, swoole, report }) => {
          class Shop {
            readonly word = 'sold';
            static onConnect(_server: object, fd: number): void {
              report('connect', { fd });
            }
            onReceive(server: InstanceType<typeof swoole.Server>, fd: number, _reactorId: number, data: Buffer): void {
              if (data.toString() === 'task') server.task(fd, null, [this, 'onSold']);
              else server.after(1, [this, 'later'], server, fd);
            }
            onTask(_server: object, _id: number, _from: number, fd: number): number {
              return fd;
            }
            onSold(server: InstanceType<typeof swoole.Server>, _id: number, fd: number): void {
              server.send(fd, this.word);
            }
            later(server: InstanceType<typeof swoole.Server>, fd: number): void {
              server.send(fd, `${this.word} later`);
            }
          }
          const shop = new Shop();
          server.on('connect', [Shop, 'onConnect']);
          server.on('Receive', [shop, 'onReceive']);
          server.on('task', [shop, 'onTask']);
          report('kept', { kind: typeof server.getCallback('receive') });
        },
      });
      using client = await Client.connect(server.port);
      await client.write('later');
      assert.equal(String(await client.read('sold later'.length)), 'sold later');
      if (workerNum > 1) {
        await client.write('task');
        assert.equal(String(await client.read('sold'.length)), 'sold');
      }
      assert.deepEqual([server.events('connect').length, server.events('kept')[0].kind], [1, 'function']);
    });

    test('a multicast group is joined with socket_set_option', async () => {
      await using server = await startServer({
        ...{ host: '0.0.0.0', mode, type: SWOOLE_SOCK_UDP, settings: { worker_num: workerNum }, args: GROUP },
        setup: ({ server, swoole, report, args: group }) => {
          const { IPPROTO_IP, MCAST_JOIN_GROUP, SOL_SOCKET, SO_REUSEADDR } = swoole;
          const socket = server.getSocket(null);
          if (socket === false) throw new Error('no socket');
          const joined = [
            swoole.socket_set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1),
            swoole.socket_set_option(socket, IPPROTO_IP, MCAST_JOIN_GROUP, { group, interface: 'lo' }),
          ];
          report('joined', { joined, reuse: socket.getOption('SO_REUSEADDR') });
          server.on('packet', (server, data, { address, port }) => {
            server.sendto(address, port, data, null);
          });
        },
      });
      assert.deepEqual(server.events('joined')[0].joined, [true, true]);
      assert.equal(server.events('joined')[0].reuse, true);
      using client = DatagramClient.ip('127.0.0.1');
      client.sendMulticastOver('127.0.0.1');
      client.send('to all', GROUP, server.port);
      assert.equal(await client.receiveText(), 'to all');
    });
  });
}

test('a server without arguments is at any free port of all addresses', async () => {
  const run = await runScript(({ swoole, report }) => {
    const shape = (server: InstanceType<typeof swoole.Server>): unknown[] => {
      const { host, mode, type, ssl } = server;
      return [host, server.port > 0, mode, type, ssl];
    };
    const server = new swoole.Server();
    const more = server.listen('127.0.0.1', 0);
    report('left out', { shape: shape(server), type: more !== false && more.type });
  });
  assert.deepEqual(run.events('left out')[0].shape, ['0.0.0.0', true, 1, 1, false]);
  assert.equal(run.events('left out')[0].type, 1);
});

test('null stands for what is left out', async () => {
  const run = await runScript(({ swoole, report }) => {
    const server = new swoole.Server(null, null, null, null);
    const { host, mode, type } = server;
    report('null', {
      shape: [host, server.port > 0, mode, type],
      added: server.addlistener('::1', 0, swoole.SWOOLE_TCP6),
    });
  });
  assert.deepEqual(run.events('null')[0].shape, ['0.0.0.0', true, 1, 1]);
});

test('what is neither a function nor a method says what it should be', async () => {
  const run = await runScript(({ swoole, report }) => {
    const server = new swoole.Server('127.0.0.1');
    for (const callback of [[{}, 'missing'], [{}], ['Shop', 'onReceive'], [null, 'x']])
      try {
        server.on('receive', callback as never);
      } catch (error) {
        report('thrown', { text: String(error) });
      }
  });
  const texts = run.events('thrown').map(({ text }) => text);
  assert.equal(texts.length, 4);
  for (const text of texts)
    assert.match(
      text,
      /the callback of "receive" must be a function, or \[object, 'method'\] where the object has it, got/,
    );
});

test('swoole_set_process_name is what ps shows', async () => {
  await using server = await startServer({
    mode: PROCESS.mode,
    settings: { worker_num: 1 },
    setup: ({ server, swoole, report }) => {
      server.on('receive', () => {});
      server.on('workerStart', (_server, id) => {
        report('named', { done: swoole.swoole_set_process_name(`shop: worker ${id}`) });
      });
    },
  });
  const [{ pid, done }] = server.events('named');
  assert.equal(done, true);
  assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^shop: worker 0/);
});
