/** receive_in_order: async callbacks of a connection come one after the other. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { runScript, startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, PROCESS, SUBJECTS } from '../support/subjects.ts';

const LINES = { open_eof_split: true, package_eof: '\n' };

/** Answers "<number> <milliseconds>\n" after that time, with what was under way meanwhile. */
function slowServer(mode: number, workerNum: number, inOrder = true, settings = {}): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: workerNum, receive_in_order: inOrder, ...LINES, ...settings },
    setup: ({ server, report }) => {
      const underWay = new Map<number, number>();
      server.on('receive', async (server, fd, _reactorId, data) => {
        const [number, ms] = data.toString().trim().split(' ');
        const others = underWay.get(fd) ?? 0;
        underWay.set(fd, others + 1);
        if (Number(ms) > 0) await new Promise((resolve) => setTimeout(resolve, Number(ms)));
        underWay.set(fd, (underWay.get(fd) ?? 0) - 1);
        if (number === 'close') server.close(fd);
        else if (number === 'throw') throw new Error('on purpose');
        else if (!server.send(fd, `${number} ${others}\n`)) report('refused', { number });
      });
      server.on('close', (_server, fd) => report('close', { fd, underWay: underWay.get(fd) ?? 0 }));
    },
  });
}

async function readLines(client: Client, count: number): Promise<string[]> {
  const lines: string[] = [];
  while (lines.length < count) lines.push(await client.readLine());
  return lines;
}

for (const { name, mode, workerNum } of ALL_SUBJECTS) {
  describe(`receive_in_order in ${name}`, () => {
    test('answers come in order, in one write and in many, and other connections go on', async () => {
      await using server = await slowServer(mode, workerNum);
      using client = await Client.connect(server.port);
      using other = await Client.connect(server.port);
      await client.write('1 60\n2 10\n3 0\n');
      for (const line of ['4 30\n', '5 0\n', '6 1\n']) await client.write(line);
      assert.equal(await other.echo('0 0\n'), '0 0\n');
      assert.equal(client.available, 0);
      assert.deepEqual(await readLines(client, 6), ['1 0', '2 0', '3 0', '4 0', '5 0', '6 0']);
      await client.write('7 0\n');
      assert.equal(await client.readLine(), '7 0');
    });

    test('without it they overtake each other', async () => {
      await using server = await slowServer(mode, workerNum, false);
      using client = await Client.connect(server.port);
      await client.write('1 100\n2 0\n');
      assert.deepEqual(await readLines(client, 2), ['2 1', '1 0']);
    });

    test('a client that leaves behind its requests gets all answers, then the close callback runs', async () => {
      await using server = await slowServer(mode, workerNum);
      using client = await Client.connect(server.port);
      await client.write('1 50\n2 20\n3 0\n');
      client.end();
      assert.equal(String(await client.readAll()), '1 0\n2 0\n3 0\n');
      const { underWay } = await server.waitFor('close');
      assert.equal(underWay, 0);
      assert.equal(server.events('close').length, 1);
    });

    for (const how of ['close', 'throw'])
      test(`what waits is dropped when the callback before it does ${how}`, async () => {
        await using server = await slowServer(mode, workerNum);
        using client = await Client.connect(server.port);
        await client.write(`1 20\n${how} 20\n3 0\n`);
        assert.equal(String(await client.readAll()), '1 0\n');
        await server.waitFor('close');
        using next = await Client.connect(server.port);
        assert.equal(await next.echo('5 0\n'), '5 0\n');
      });

    test('reading stops while a callback is under way', async () => {
      await using server = await slowServer(mode, workerNum);
      using client = await Client.connect(server.port);
      await client.write('1 600\n2 0\n');
      let written = 0;
      const line = `x 0${' '.repeat(60_000)}\n`;
      for (let i = 0; i < 1000; i++) client.socket.write(line, () => written++);
      await new Promise((resolve) => setTimeout(resolve, 400));
      assert.ok(written < 900, `${written} of 1000 were taken from the client`);
      const lines = await readLines(client, 1002);
      assert.ok(lines.every((each) => each.endsWith(' 0')));
    });
  });
}

for (const { name, mode, workerNum } of SUBJECTS)
  test(`nothing is lost or mixed over reloads in ${name}`, async () => {
    if (mode !== PROCESS.mode) return;
    await using server = await slowServer(mode, workerNum);
    using client = await Client.connect(server.port);
    const COUNT = 400;
    const lines = readLines(client, COUNT);
    for (let i = 0; i < COUNT; i++) {
      client.socket.write(`${i} ${i % 7}\n`);
      if (i % 100 === 50) server.kill('SIGUSR1');
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    assert.deepEqual(
      await lines,
      Array.from({ length: COUNT }, (_, i) => `${i} 0`),
    );
    assert.equal(server.events('refused').length, 0);
  });

test('a worker that dies with a client that has left frees its connection', async () => {
  await using server = await slowServer(PROCESS.mode, 1);
  using client = await Client.connect(server.port);
  await client.write('1 60000\n2 0\n');
  client.end();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const [{ pid }] = server.events('$worker');
  process.kill(pid, 'SIGKILL');
  await client.readAll().catch(() => {});
  using next = await Client.connect(server.port);
  assert.equal(await next.echo('5 0\n'), '5 0\n');
});

test('a dispatch_mode that spreads the packages of a connection is refused', async () => {
  const run = await runScript(async ({ swoole, report }) => {
    const server = new swoole.Server('127.0.0.1', 0, swoole.SWOOLE_PROCESS);
    server.set({ receive_in_order: true, dispatch_mode: 3 });
    server.on('receive', () => {});
    await server
      .start()
      .catch((error: { code: string; message: string }) => report('thrown', { ...error, text: error.message }));
  });
  assert.equal(run.events('thrown')[0].code, 'ERR_SETTING_VALUE');
  assert.match(run.events('thrown')[0].text, /receive_in_order needs a dispatch_mode .*2, 4, 5 or 8.*got 3/);
});
