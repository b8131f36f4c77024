/** The generator must catch a server that is fast because it is wrong. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoadResult, TargetResult } from './result.ts';

const GENERATOR = fileURLToPath(new URL('main.ts', import.meta.url));
/** From here on a faulty server does wrong: by then the connections are open and the load runs. */
const GOOD_CHUNKS = 200;

type Answer = (socket: Socket, data: Buffer, chunk: number) => void;

async function load(answer: Answer, ...args: string[]): Promise<TargetResult> {
  const sockets = new Set<Socket>();
  let chunk = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('data', (data) => answer(socket, data as Buffer, chunk++)).on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const fixed = ['--port', String(port), '--connections', '8', '--warm-up', '0.1', '--duration', '0.2'];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [GENERATOR, ...fixed, ...args]);
    const result = JSON.parse(stdout) as LoadResult;
    return result.targets[0];
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

for (const args of [[], ['--pipeline', '10'], ['--size', '100000', '--pipeline', '3'], ['--framed', '--size', '256']]) {
  test(`counts every answer of a right server ${args.join(' ')}`, async () => {
    const result = await load((socket, data) => socket.write(data), '--latency', ...args);
    assert.equal(result.firstError, null);
    assert.equal(result.errors, 0);
    assert.ok(result.requestsPerSecond > 0);
    assert.ok((result.latencyUs?.p50 ?? 0) > 0);
  });
}

test('sees a byte that changed in the middle of one message', async () => {
  const result = await load((socket, data, chunk) => {
    if (chunk === GOOD_CHUNKS) data[30] ^= 1;
    socket.write(data);
  });
  assert.match(result.firstError ?? '', /bytes of slot 0 changed/);
});

test('sees a byte that was lost', async () => {
  const result = await load((socket, data, chunk) => {
    socket.write(chunk === GOOD_CHUNKS ? data.subarray(1) : data);
  });
  assert.match(result.firstError ?? '', /63 bytes never came back|1 bytes never came back/);
});

test('sees a message that was sent twice', async () => {
  const result = await load((socket, data, chunk) => {
    socket.write(data);
    if (chunk === GOOD_CHUNKS) socket.write(data);
  });
  assert.match(result.firstError ?? '', /wrong bytes|too many/);
});

test('sees answers that went to the wrong connections', async () => {
  let kept: { socket: Socket; data: Buffer } | null = null;
  const result = await load((socket, data, chunk) => {
    if (chunk < GOOD_CHUNKS || chunk > GOOD_CHUNKS + 1) socket.write(data);
    else if (kept === null) kept = { socket, data: Buffer.from(data) };
    else {
      socket.write(kept.data);
      kept.socket.write(data);
    }
  });
  assert.match(result.firstError ?? '', /wrong bytes/);
});

test('sees a connection that was closed', async () => {
  const result = await load((socket, data, chunk) => {
    if (chunk === GOOD_CHUNKS) socket.destroy();
    else socket.write(data);
  });
  assert.match(result.firstError ?? '', /closed by the server|ECONNRESET|reset/i);
});
