/** Protocols that are spoken beside the callbacks: what they are told, and what of them survives the end of a worker. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { PROCESS, SUBJECTS } from '../support/subjects.ts';

const INTERNAL = new URL('../../src/server/internal.ts', import.meta.url).href;

/** Each line is answered with its number on the connection, or does what it says. `keeps`: whether numbers survive. */
function startCounting(mode: number, settings: ServerSettings, keeps = true): Promise<TestServer> {
  return startServer({
    mode,
    settings: { open_eof_split: true, package_eof: '\n', ...settings },
    args: { internal: INTERNAL, keeps },
    setup: async ({ server, report, args, control }) => {
      const { stateOf } = (await import(args.internal)) as typeof import('../../src/server/internal.ts');
      control();
      server.on('close', (_server, fd) => report('callback close', { fd }));
      server.on('afterReload', () => report('afterReload'));
      stateOf(server).script.ports[0].speaker = {
        protocol: 'numbered lines',
        framings: [{ kind: 'length', type: 'n', lengthOffset: 0, bodyOffset: 2, max: 1000 }],
        open: (peer, context) => {
          let { lines, ballast } = (context ?? { lines: 0, ballast: '' }) as { lines: number; ballast: string };
          report('open', { fd: peer.fd, lines });
          return {
            receive: (data) => {
              const line = data
                .toString()
                .replace(/^.*\.\./s, '')
                .trim();
              if (line === 'throw') throw new Error('as the test wants');
              if (line === 'close') peer.close(false);
              else if (line === 'switch') peer.cutBy(1);
              else if (line === 'back') peer.cutBy(0);
              else if (line === 'nowhere') peer.cutBy(2);
              else if (line.startsWith('ballast ')) ballast = 'x'.repeat(Number(line.slice(8)));
              peer.send(`${++lines} ${ballast.length}\n`);
            },
            drained: () => report('drained', { fd: peer.fd }),
            closed: () => report('closed', { fd: peer.fd }),
            retire: () => peer.send('retired\n'),
            ...(args.keeps ? { handOver: () => ({ lines, ballast }) } : {}),
          };
        },
      };
    },
  });
}

async function ask(client: Client, line: string): Promise<string> {
  await client.write(`${line}\n`);
  return (await client.readUntil('\n')).toString().trim();
}

for (const { name, mode } of SUBJECTS) {
  describe(`a session in ${name}`, () => {
    test('gets what its connection sends, and is told of the end before the callback', async () => {
      await using server = await startCounting(mode, { worker_num: 2 });
      using client = await Client.connect(server.port);
      using other = await Client.connect(server.port);
      assert.equal(await ask(client, 'one'), '1 0');
      assert.equal(await ask(other, 'one'), '1 0');
      assert.equal(await ask(client, 'two'), '2 0');
      client.destroy();
      const { fd } = await server.waitFor('callback close');
      const told = server
        .events()
        .filter((event) => event.fd === fd)
        .map(({ event }) => event);
      assert.deepEqual(told, ['open', 'closed', 'callback close']);
      assert.equal(await ask(other, 'two'), '2 0');
    });

    test('that throws ends its own connection only', async () => {
      await using server = await startCounting(mode, { worker_num: 1 });
      using client = await Client.connect(server.port);
      using other = await Client.connect(server.port);
      assert.equal(await ask(other, 'one'), '1 0');
      await client.write('throw\n');
      assert.equal((await client.readAll()).length, 0);
      await server.waitForOutput(/receive of the session of connection \d+ failed: Error: as the test wants/);
      assert.equal(await ask(other, 'two'), '2 0');
    });

    test('switches the framing of its connection, and of no other, with all that the client sends behind', async () => {
      await using server = await startCounting(mode, { worker_num: 1 });
      using client = await Client.connect(server.port);
      using other = await Client.connect(server.port);
      assert.equal(await ask(client, 'switch'), '1 0');
      const packed = (line: string): Buffer => Buffer.concat([Buffer.of(0, line.length), Buffer.from(line)]);
      const back = packed('..back');
      await client.write(Buffer.concat([packed('a\nb'), packed('c\n'), back.subarray(0, 3)]));
      assert.equal((await client.readUntil('\n')).toString(), '2 0\n');
      assert.equal((await client.readUntil('\n')).toString(), '3 0\n');
      assert.equal(await ask(other, 'one'), '1 0');
      await client.write(back.subarray(3));
      assert.equal((await client.readUntil('\n')).toString(), '4 0\n');
      assert.equal(await ask(client, 'a line'), '5 0');
    });

    test('that switches to what there is not ends its own connection only', async () => {
      await using server = await startCounting(mode, { worker_num: 1 });
      using client = await Client.connect(server.port);
      using other = await Client.connect(server.port);
      await client.write('nowhere\n');
      assert.equal((await client.readAll()).length, 0);
      assert.equal(await ask(other, 'one'), '1 0');
    });

    test('can close', async () => {
      await using server = await startCounting(mode, { worker_num: 1 });
      using client = await Client.connect(server.port);
      await client.write('close\n');
      assert.equal((await client.readAll()).length, 0);
      await server.waitFor('closed');
    });

    test('says goodbye when the server ends', async () => {
      await using server = await startCounting(mode, { worker_num: 1 });
      using client = await Client.connect(server.port);
      assert.equal(await ask(client, 'one'), '1 0');
      server.kill('SIGTERM');
      assert.equal((await client.readAll()).toString(), 'retired\n');
      await server.exited();
    });
  });
}

describe(`sessions of ${PROCESS.name} at a reload`, () => {
  for (const ballast of [0, 3_000_000]) {
    test(`go on in the next worker with what they knew (${ballast} bytes)`, async () => {
      await using server = await startCounting(SWOOLE_PROCESS, { worker_num: 1 });
      using client = await Client.connect(server.port);
      assert.equal(await ask(client, `ballast ${ballast}`), `1 ${ballast}`);
      for (let round = 1; round <= 3; round++) {
        server.kill('SIGUSR1');
        const opened = await server.waitFor('open', ({ lines }) => lines === round);
        assert.equal(await ask(client, 'next'), `${round + 1} ${ballast}`);
        assert.notEqual(server.events('open')[0].pid, opened.pid);
        // It goes on until the old worker has ended, and another one would be ignored.
        await server.waitForCount('afterReload', round);
      }
      assert.deepEqual(server.events('callback close'), []);
    });
  }

  test('that hand nothing over say goodbye, and begin anew', async () => {
    await using server = await startCounting(SWOOLE_PROCESS, { worker_num: 1 }, false);
    using client = await Client.connect(server.port);
    assert.equal(await ask(client, 'one'), '1 0');
    server.kill('SIGUSR1');
    assert.equal((await client.readUntil('\n')).toString(), 'retired\n');
    assert.equal(await ask(client, 'one'), '1 0');
  });

  test('begin anew after a worker was killed', async () => {
    await using server = await startCounting(SWOOLE_PROCESS, { worker_num: 1 });
    using client = await Client.connect(server.port);
    assert.equal(await ask(client, 'one'), '1 0');
    process.kill(server.events('open')[0].pid, 'SIGKILL');
    assert.equal(await ask(client, 'one'), '1 0');
  });
});
