/** Clients that mean harm once they are in: renegotiation, damaged records. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'node:tls';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { TLS_REPLIES_MAX } from '../../src/reactor/limits.ts';
import { Client } from '../support/client.ts';
import { prng } from '../support/prng.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { within } from '../support/until.ts';
import { makePair, settingsOf } from './certificates.ts';
import { RecordWriter, Relay } from './relay.ts';

const PAIR = makePair('localhost');
const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' } as const;
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 60);
const PATIENCE_MS = 50;

for (const { name, mode, workerNum } of SUBJECTS) {
  describe(`TLS in ${name}`, () => {
    let server: TestServer;
    let remote: Remote;
    before(async () => {
      server = await startServer({
        mode,
        type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
        settings: { worker_num: workerNum, ...settingsOf(PAIR) },
        setup: ({ server, control }) => {
          server.on('receive', (server, fd, _reactorId, data) => {
            server.send(fd, data);
          });
          control();
        },
      });
      remote = await Remote.connect(server);
    });
    after(async () => {
      remote?.close();
      await server?.stop();
    });

    const openCount = (): Promise<number> =>
      remote.run(({ server }) => (server.stats() as { connection_num: number }).connection_num);

    test('a flood of renegotiations of TLS 1.2 ends its connection, and no other', async () => {
      const neighbour = await Client.connectTls(server.port);
      await using relay = await Relay.start(server.port);
      const socket = connect({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false, ...TLS12 });
      socket.on('error', () => {});
      const [[line]] = await Promise.all([once(socket, 'keylog'), once(socket, 'secureConnect')]);
      // "CLIENT_RANDOM", the client's random, the master secret.
      const secret = Buffer.from(String(line).trim().split(' ')[2], 'hex');
      relay.cut = true;
      const writer = new RecordWriter(relay, secret);
      const { upstream } = relay;
      let closed = false;
      upstream!.once('close', () => {
        closed = true;
      });
      let asked = 0;
      for (; asked < 50 * TLS_REPLIES_MAX && !closed; asked++) {
        upstream!.write(writer.renegotiation(relay));
        await delay(2);
        if (asked % 10 === 0) assert.equal(await neighbour.echo('well'), 'well');
      }
      assert.ok(closed, `${asked} attempts did not end the connection`);
      // Refused, not served: the server says no_renegotiation, and goes on, until it is too much.
      assert.ok(asked > TLS_REPLIES_MAX, `${asked}`);
      await server.waitForOutput(/asks for new TLS keys again and again/);
      assert.equal(await neighbour.echo('still well'), 'still well');
      neighbour.destroy();
      socket.destroy();
    });

    test(`damaged records end their connection only (FUZZ_SEED=${SEED} FUZZ_ROUNDS=${ROUNDS})`, async () => {
      const neighbour = await Client.connectTls(server.port);
      const before = await openCount();
      const random = prng(SEED);
      let damageAt = 0;
      let passed = 0;
      const damage = (bytes: Buffer): Buffer => {
        const at = damageAt - passed;
        passed += bytes.length;
        if (at < 0 || at >= bytes.length) return bytes;
        const changed = Buffer.from(bytes);
        // One byte changed, some left out, or some put in.
        const how = random.int(3);
        if (how === 0) changed[at] ^= 1 + random.int(255);
        const rest = changed.subarray(how === 1 ? Math.min(bytes.length, at + 1 + random.int(20)) : at);
        return Buffer.concat([
          changed.subarray(0, at),
          how === 2 ? random.bytes(1 + random.int(40)) : rest.subarray(0, 0),
          rest,
        ]);
      };
      await using relay = await Relay.start(server.port, damage);
      for (let round = 0; round < ROUNDS; round++) {
        // In the first message, in the end of the handshake, or behind it.
        damageAt = random.int(2500);
        passed = 0;
        const message = random.bytes(1 + random.int(2000)).toString('latin1');
        const maxVersion = random.int(2) === 0 ? 'TLSv1.2' : 'TLSv1.3';
        const socket = connect({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion });
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        socket.on('error', () => {});
        let echoed = '';
        socket.on('data', (data: Buffer) => {
          echoed += data.toString('latin1');
          if (echoed.length === message.length) socket.destroy();
        });
        socket.write(message, 'latin1');
        // Some damage makes one side wait for more.
        await Promise.race([closed, delay(PATIENCE_MS)]);
        // Whatever came back is what was sent, or a beginning of it.
        assert.ok(message.startsWith(echoed), `round ${round}`);
        socket.destroy();
        relay.upstream?.destroy();
        if (round % 10 === 0) assert.equal(await neighbour.echo('well'), 'well', `round ${round}`);
      }
      await server.until(async () => (await openCount()) === before, 'all other connections to end');
      assert.equal(await within(neighbour.echo('well'), 'the neighbour'), 'well');
      neighbour.destroy();
    });
  });
}
