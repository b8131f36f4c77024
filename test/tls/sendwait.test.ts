import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SWOOLE_SOCK_TCP, SWOOLE_SSL } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { ALONE } from '../support/subjects.ts';
import { makePair, settingsOf } from './certificates.ts';

const PAIR = makePair('localhost');
const ROUNDS = 30;
/** Of different lengths, so that the kernel becomes full at every place of the last records. */
const FIRST_BYTES = 200_000;
const STEP_BYTES = 1499;
const LAST_BYTES = 60_000;

test('sendwait over TLS waits for the last record, too', async () => {
  await using server = await startServer({
    mode: ALONE.mode,
    type: SWOOLE_SOCK_TCP | SWOOLE_SSL,
    settings: { worker_num: 1, kernel_socket_send_buffer_size: 65536, ...settingsOf(PAIR) },
    args: { rounds: ROUNDS, first: FIRST_BYTES, step: STEP_BYTES, last: LAST_BYTES },
    setup: ({ server, report, args }) => {
      server.on('receive', async (server, fd) => {
        for (let round = 0; round < args.rounds; round++) {
          server.send(fd, Buffer.alloc(args.first + round * args.step));
          const sent = await server.sendwait(fd, Buffer.alloc(args.last));
          const info = server.getClientInfo(fd);
          report('sent', { sent, left: info === false ? -1 : info.send_queued_bytes });
        }
      });
    },
  });
  const client = await Client.connectTls(server.port);
  await client.write('begin');
  let expected = 0;
  for (let round = 0; round < ROUNDS; round++) expected += FIRST_BYTES + round * STEP_BYTES + LAST_BYTES;
  await client.read(expected);
  const events = await server.waitForCount('sent', ROUNDS);
  for (const { sent, left } of events) assert.deepEqual([sent, left], [true, 0]);
  client.destroy();
});
