import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { startServer } from '../support/server.ts';
import { ALONE, PROCESS } from '../support/subjects.ts';
import { until } from '../support/until.ts';
import { makePair, settingsOf } from './certificates.ts';

const PAIR = makePair('localhost');
const ROOT = makePair('a root', { authority: true });
const CLIENT = makePair('a client', { issuer: ROOT });
const AT_ONCE = 50;
/** A handshake costs a client as much as a server: ten thousand in one mode take half a minute. */
const LONG = process.env.TSWOOLE_LONG === '1';
/** A session that is not freed is some 10 KiB: 2,000 of them would be beyond this. */
const GROWTH_BYTES_MAX = 16 * 1024 * 1024;

for (const { name, mode, workerNum } of [PROCESS, ALONE]) {
  const connections = mode === ALONE.mode || LONG ? 10_000 : 2_000;
  test(`${connections} connections leave no memory behind in ${name}`, { timeout: 240_000 }, async () => {
    await using server = await startServer({
      mode,
      type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
      settings: { worker_num: workerNum, ssl_client_cert_file: ROOT.certFile, ...settingsOf(PAIR) },
      setup: ({ server }) => {
        server.on('receive', (server, fd, _reactorId, data) => {
          server.send(fd, data);
        });
      },
    });
    let visits = 0;
    /** Of every kind: those who say goodbye, those who do not, those who fail, those who never finish. */
    async function visit(): Promise<void> {
      const kind = visits++ % 5;
      if (kind < 3) {
        const client = await Client.connectTls(server.port, kind === 0 ? { cert: CLIENT.cert, key: CLIENT.key } : {});
        await client.echo('hello');
        if (kind === 2) client.destroy();
        else client.end();
        await client.closed;
        return;
      }
      await new Promise<void>((resolve) => {
        const socket = connect({ port: server.port, host: '127.0.0.1' });
        socket.on('error', () => {});
        socket.once('close', () => resolve());
        socket.resume();
        if (kind === 3) socket.write('GET / HTTP/1.1\r\n\r\n');
        else socket.end(Buffer.from('1603010200010001fc0303', 'hex'));
      });
    }
    const visitAll = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += AT_ONCE) await Promise.all(Array.from({ length: AT_ONCE }, visit));
    };
    await visitAll(1000);
    const descriptors = descriptorCount(server.pid);
    const before = residentBytes(server.pid);
    await visitAll(connections);
    const growth = residentBytes(server.pid) - before;
    assert.ok(growth < GROWTH_BYTES_MAX, `${(growth / 1024 / 1024).toFixed(1)} MiB more`);
    await until(() => descriptorCount(server.pid) <= descriptors, 'all sockets to be closed');
  });
}
