/** New workers start beside the old ones, which serve until all new ones stand by; what does not start is refused. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import type { Fixture } from '../support/fixture.ts';
import { Load } from '../support/load.ts';
import { startServer, type TestServer } from '../support/server.ts';

const WORKERS = 2;

/** What the file `code` says is what the script does: a deploy is to write it anew. */
const deployed = async ({ server, report }: Fixture<undefined>): Promise<void> => {
  const { existsSync, readFileSync, rmSync } = await import('node:fs');
  const code = existsSync('code') ? readFileSync('code', 'utf8') : 'first';
  const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const gate = async (): Promise<void> => {
    while (!existsSync('go')) await rest(5);
  };
  const loop = (): never => {
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  };
  const isChild = process.env.IS_CHILD === '1';
  process.env.IS_CHILD = '1';
  if (isChild) {
    if (code === 'throws') throw new Error('thrown by the script');
    if (code === 'exits') process.exit(0);
    if (code === 'loops') loop();
    if (code === 'waits at its top') {
      report('begins', { code });
      await gate();
    }
  }
  server.on('connect', (_, fd) => report('connect', { fd }));
  const reload = (from: string): void => {
    void server.reloadAsync().then((result) => report('result', { from, ...result }));
  };
  const reloadWhenAsked = (from: string): void => {
    const timer = setInterval(() => {
      if (!existsSync(`ask the ${from}`)) return;
      rmSync(`ask the ${from}`);
      reload(from);
    }, 5);
    timer.unref();
  };
  server.on('start', () => reloadWhenAsked('first process'));
  server.on('receive', (server, fd, _reactorId, line) => {
    const words = line.toString().trim().split(' ');
    if (words[0] === 'reload') reload('worker');
    if (words[0] === 'stop') server.stop(-1, true);
    if (words[0] === 'tell') {
      report('told', { sent: server.send(Number(words[1]), `${words[2]}\n`) });
      return;
    }
    if (words[0] === 'who') {
      server.send(fd, `${server.worker_id} ${fd} ${code}\n`);
      return;
    }
    server.send(fd, `${line.toString().trim()} ${code} ${process.pid}\n`);
  });
  server.on('close', (_, fd) => report('close', { fd }));
  server.on('task', (_, _id, _source, data) => `${data} ${code}`);
  // As long as it runs a worker that is told to stop does not end.
  const linger = setInterval(() => {}, 1000);
  if (code !== 'lingers') linger.unref();
  server.on('workerStart', async (server, id) => {
    if (code === 'workerStart waits') {
      report('begins', { code, id });
      await gate();
      report('begun', { id });
    }
    if (code === 'one waits' && id === 0) {
      report('begins', { code, id });
      await gate();
    }
    if (code === 'workerStart throws') throw new Error('thrown in workerStart');
    if (code === 'workerStart rejects') {
      await rest(1);
      throw new Error('rejected in workerStart');
    }
    if (code === 'workerStart exits') process.exit(3);
    if (code === 'workerStart loops') loop();
    if (code === 'workerStart hangs') await new Promise(() => {});
    if (code === 'one throws' && id === server.setting.worker_num! - 1) throw new Error('thrown in one');
    if (code === 'asks' && !server.taskworker) report('answer', { id, answer: await server.taskwait('question', 0) });
    if (code === 'asks at once' && !server.taskworker)
      report('answer', { id, answer: server.taskwaitSync('question', 0) });
  });
  server.on('workerStop', (_, id) => report('stop', { id, code }));
  server.on('workerError', (_server, id, dead, exitCode, signal) =>
    report('workerError', { id, dead, exitCode, signal }),
  );
  server.on('beforeReload', () => report('beforeReload'));
  server.on('afterReload', (server, { refused }) => {
    const { generation, reload_count, reload_refuse_count } = server.stats();
    report('afterReload', { generation, reload_count, reload_refuse_count, refused });
  });
  server.on('managerStart', () => {
    report('manager');
    reloadWhenAsked('manager');
  });
};

function start(mode: number, settings: ServerSettings = {}): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: WORKERS, open_eof_split: true, package_eof: '\n', ...settings },
    setup: deployed,
  });
}

/** Seconds: as many as a slow machine needs to start what is in order, and no more where code hangs. */
function timeoutFor(code: string): number {
  return /loops|hangs/.test(code) ? 5 : 30;
}

function deploy(server: TestServer, code: string): void {
  writeFileSync(join(server.directory, 'code'), code);
}
function go(server: TestServer): void {
  writeFileSync(join(server.directory, 'go'), '');
}

/** A client that asks and reads the answer, again and again. */
class Asker {
  private readonly client: Client;
  private asked = 0;

  private constructor(client: Client) {
    this.client = client;
  }
  static async connect(server: TestServer): Promise<Asker> {
    return new Asker(await Client.connect(server.port));
  }
  /** The code and the process that have answered. */
  async ask(): Promise<{ code: string; pid: number }> {
    const number = this.asked++;
    await this.client.write(`${number}\n`);
    let text = '';
    while (!text.endsWith('\n')) text += (await this.client.read(1)).toString();
    const [, answered, code, pid] = /^(\d+) (.*) (\d+)\n$/.exec(text) ?? [];
    assert.equal(Number(answered), number, 'each answer once, and in order');
    return { code, pid: Number(pid) };
  }
  async answeredBy(count: number): Promise<string[]> {
    const codes = new Set<string>();
    for (let i = 0; i < count; i++) codes.add((await this.ask()).code);
    return [...codes];
  }
  [Symbol.dispose](): void {
    this.client.destroy();
  }
}

/** Until each of the clients is answered by this code. */
async function untilAnsweredBy(server: TestServer, code: string, askers: Asker[]): Promise<void> {
  for (const asker of askers) await server.until(async () => (await asker.ask()).code === code, `answers of "${code}"`);
}

describe('a reload in SWOOLE_PROCESS', { concurrency: false }, () => {
  for (const code of ['workerStart waits', 'waits at its top']) {
    test(`is noticed by nobody where the new code ${code}`, async () => {
      await using server = await start(SWOOLE_PROCESS);
      using first = await Asker.connect(server);
      using second = await Asker.connect(server);
      deploy(server, code);
      server.kill('SIGUSR1');
      await server.waitForCount('begins', WORKERS);
      for (const asker of [first, second]) assert.deepEqual(await asker.answeredBy(100), ['first']);
      assert.deepEqual(server.events('begun'), []);
      assert.deepEqual(server.events('stop'), []);
      go(server);
      await untilAnsweredBy(server, code, [first, second]);
      const { generation } = await server.waitFor('afterReload');
      assert.equal(generation, 2);
      assert.deepEqual(server.events('close'), []);
    });
  }

  test('waits for the last of the new workers', async () => {
    await using server = await start(SWOOLE_PROCESS);
    using first = await Asker.connect(server);
    using second = await Asker.connect(server);
    deploy(server, 'one waits');
    server.kill('SIGUSR1');
    await server.waitFor('begins');
    await server.waitForCount('$worker', 2 * WORKERS);
    for (const asker of [first, second]) assert.deepEqual(await asker.answeredBy(100), ['first']);
    go(server);
    await untilAnsweredBy(server, 'one waits', [first, second]);
  });

  test('under load, again and again, with workers that need their time', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: WORKERS, open_length_check: true, package_max_length: '1M' },
      setup: ({ server, report }) => {
        server.on('workerStart', () => new Promise((resolve) => setTimeout(resolve, 1500)));
        server.on('receive', (server, fd, _reactorId, data) => void server.send(fd, data));
        server.on('close', (_, fd) => report('close', { fd }));
        server.on('afterReload', () => report('afterReload'));
      },
    });
    using load = await Load.connect({ port: server.port, connections: 100 });
    load.start();
    for (let round = 1; round <= 3; round++) {
      server.kill('SIGUSR1');
      await server.waitForCount('afterReload', round);
    }
    await load.pause();
    load.assertPerfect();
    assert.deepEqual(server.events('close'), []);
  });

  for (const [code, reason] of Object.entries({
    throws: /ended before it was ready \(exit code 1\)/,
    exits: /ended before it was ready \(exit code 0\)/,
    loops: /not ready within 5 s/,
    'workerStart throws': /its workerStart callback failed: Error: thrown in workerStart/,
    'workerStart rejects': /its workerStart callback failed: Error: rejected in workerStart/,
    'workerStart exits': /ended before it was ready \(exit code 3\)/,
    'workerStart loops': /not ready within 5 s/,
    'workerStart hangs': /not ready within 5 s/,
    'one throws': /worker 1 .*its workerStart callback failed: Error: thrown in one/,
  })) {
    test(`is refused where the new code ${code}, and works once it is repaired`, async () => {
      await using server = await start(SWOOLE_PROCESS, { reload_timeout: timeoutFor(code), max_wait_time: 1 });
      using first = await Asker.connect(server);
      using second = await Asker.connect(server);
      const before = server.processes().sort();
      deploy(server, code);
      server.kill('SIGUSR1');
      const { generation, reload_refuse_count } = await server.waitFor('afterReload');
      assert.deepEqual({ generation, reload_refuse_count }, { generation: 1, reload_refuse_count: 1 });
      const [line, ...more] = server.output.split('\n').filter((text) => text.includes('the reload is refused'));
      assert.match(line, reason);
      assert.match(line, /ERROR/);
      assert.deepEqual(more, []);
      await server.until(() => server.processes().length === before.length, 'the end of the new ones');
      assert.deepEqual(server.processes().sort(), before);
      for (const asker of [first, second]) assert.deepEqual(await asker.answeredBy(10), ['first']);
      assert.deepEqual(server.events('workerError'), []);
      deploy(server, 'repaired');
      server.kill('SIGUSR1');
      await untilAnsweredBy(server, 'repaired', [first, second]);
      await server.waitForCount('afterReload', 2);
      assert.equal(server.events('afterReload')[1].generation, 2);
      assert.deepEqual(server.events('close'), []);
    });
  }

  test('takes the new process of an old one that dies meanwhile', async () => {
    await using server = await start(SWOOLE_PROCESS);
    using asker = await Asker.connect(server);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', WORKERS);
    process.kill((await asker.ask()).pid, 'SIGKILL');
    await server.waitFor('workerError');
    const answer = asker.ask();
    go(server);
    assert.equal((await answer).code, 'workerStart waits');
    await server.waitFor('afterReload', ({ generation }) => generation === 2);
    assert.equal(server.events('begins').length, WORKERS, 'nothing else was started');
    assert.deepEqual(server.events('close'), []);
  });

  test('is refused where a new process is killed, and the old ones serve on', async () => {
    await using server = await start(SWOOLE_PROCESS);
    using asker = await Asker.connect(server);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    const [begins] = await server.waitForCount('begins', WORKERS);
    process.kill(begins.pid, 'SIGKILL');
    await server.waitFor('afterReload', ({ generation }) => generation === 1);
    assert.match(server.output, /ended before it was ready \(signal SIGKILL\)/);
    assert.deepEqual(await asker.answeredBy(10), ['first']);
  });

  test('ends with its manager, and connections stay', async () => {
    await using server = await start(SWOOLE_PROCESS);
    using asker = await Asker.connect(server);
    await asker.ask();
    const manager = await server.waitFor('manager');
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', WORKERS);
    process.kill(manager.pid, 'SIGKILL');
    await server.waitForCount('begins', 2 * WORKERS);
    const answer = asker.ask();
    go(server);
    assert.equal((await answer).code, 'workerStart waits');
    assert.deepEqual(server.events('close'), []);
  });

  test('ends with its server', async () => {
    await using server = await start(SWOOLE_PROCESS);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', WORKERS);
    await server.stop();
    assert.equal(server.events('$end').length, 1);
  });

  test('hands over in groups with reload_worker_num', async () => {
    await using server = await start(SWOOLE_PROCESS, { reload_worker_num: 1 });
    using first = await Asker.connect(server);
    using second = await Asker.connect(server);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', 1);
    for (const asker of [first, second]) assert.deepEqual(await asker.answeredBy(20), ['first']);
    assert.equal(server.events('begins').length, 1);
    go(server);
    await untilAnsweredBy(server, 'workerStart waits', [first, second]);
    await server.waitFor('afterReload', ({ generation }) => generation === 2);
  });

  for (const code of ['asks', 'asks at once']) {
    test(`takes over earlier where workerStart ${code} a task worker`, async () => {
      await using server = await start(SWOOLE_PROCESS, { task_worker_num: 1 });
      using asker = await Asker.connect(server);
      deploy(server, code);
      server.kill('SIGUSR1');
      await server.waitForCount('answer', WORKERS);
      for (const { answer } of server.events('answer')) assert.match(answer, /^question /);
      await untilAnsweredBy(server, code, [asker]);
      await server.waitFor('afterReload', ({ generation }) => generation === 2);
    });
  }

  test('takes nothing before an async workerStart is done at the first start', async () => {
    await using server = await startServer({
      mode: SWOOLE_PROCESS,
      settings: { worker_num: 1 },
      setup: ({ server, report }) => {
        let begun = false;
        server.on('workerStart', async () => {
          const { existsSync } = await import('node:fs');
          while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 5));
          begun = true;
        });
        server.on('connect', () => report('connect', { begun }));
        server.on('receive', (server, fd, _reactorId, data) => void server.send(fd, data));
      },
    });
    using client = await Client.connect(server.port);
    await client.write('hello');
    assert.deepEqual(server.events('connect'), []);
    go(server);
    assert.equal((await client.read(5)).toString(), 'hello');
    assert.deepEqual(
      server.events('connect').map(({ begun }) => begun),
      [true],
    );
  });
});

describe('one worker that is replaced', { concurrency: false }, () => {
  for (const mode of [SWOOLE_PROCESS, SWOOLE_BASE]) {
    test(`serves in mode ${mode} until its successor is ready`, async () => {
      await using server = await start(mode);
      using asker = await Asker.connect(server);
      const { pid } = await asker.ask();
      deploy(server, 'workerStart waits');
      using client = await Client.connect(server.port);
      await client.write('stop\n');
      await server.waitFor('begins');
      assert.deepEqual(await asker.answeredBy(20), ['first']);
      assert.deepEqual(server.events('stop'), []);
      go(server);
      const stopped = await server.waitFor('stop');
      assert.equal(server.events('begins').length, 1);
      assert.ok(stopped.code === 'first' && pid > 0);
      using next = await Asker.connect(server);
      await next.ask();
    });
  }

  test('serves on where its successor does not start', async () => {
    await using server = await start(SWOOLE_PROCESS, { worker_num: 1 });
    using asker = await Asker.connect(server);
    deploy(server, 'workerStart throws');
    using client = await Client.connect(server.port);
    await client.write('stop\n');
    await server.waitForOutput(/the next process of worker 0 does not start/);
    assert.deepEqual(await asker.answeredBy(10), ['first']);
    deploy(server, 'repaired');
    await untilAnsweredBy(server, 'repaired', [asker]);
    assert.deepEqual(server.events('close'), []);
  });
});

describe('reloadAsync', { concurrency: false }, () => {
  for (const mode of [SWOOLE_PROCESS, SWOOLE_BASE]) {
    // The first process of SWOOLE_BASE is the manager, and the start event is worker 0's.
    const askers = mode === SWOOLE_PROCESS ? ['first process', 'manager', 'worker'] : ['manager', 'worker'];
    for (const from of askers) {
      test(`tells the ${from} of mode ${mode} how it went`, async () => {
        await using server = await start(mode, { max_wait_time: 1 });
        await server.waitFor('manager');
        const ask = async (): Promise<void> => {
          if (from !== 'worker') writeFileSync(join(server.directory, `ask the ${from}`), '');
          else {
            using client = await Client.connect(server.port);
            await client.write('reload\n');
            await client.read(1);
          }
        };
        deploy(server, 'workerStart throws');
        await ask();
        const [refused] = await server.waitForCount('result', 1);
        assert.match(refused.refused, /its workerStart callback failed: Error: thrown in workerStart/);
        assert.equal(refused.generation, 1);
        const { refused: told } = await server.waitFor('afterReload');
        assert.equal(told, refused.refused);
        deploy(server, 'repaired');
        await ask();
        const [, done] = await server.waitForCount('result', 2);
        assert.equal(done.from, from);
        assert.deepEqual([done.refused, done.generation], [null, 2]);
        assert.ok(done.seconds > 0 && done.longestStall >= 0 && done.longestStall <= done.seconds);
        await server.waitFor('afterReload', ({ generation }) => generation === 2);
      });
    }
  }

  test('is refused while another reload runs, and when the manager dies', async () => {
    await using server = await start(SWOOLE_PROCESS);
    const manager = await server.waitFor('manager');
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitFor('begins');
    writeFileSync(join(server.directory, 'ask the manager'), '');
    const { refused } = await server.waitFor('result');
    assert.equal(refused, 'another reload is under way');
    process.kill(manager.pid, 'SIGKILL');
    go(server);
    await server.waitForCount('manager', 2);
    writeFileSync(join(server.directory, 'ask the first process'), '');
    await server.waitFor('result', ({ from, refused }) => from === 'first process' && refused === null);
  });
});

/** Who answers a new client: the worker, the client's connection there, and its code. */
async function who(server: TestServer): Promise<{ client: Client; worker: string; fd: string; code: string }> {
  const client = await Client.connect(server.port);
  await client.write('who\n');
  let text = '';
  while (!text.endsWith('\n')) text += (await client.read(1)).toString();
  const [, worker, fd, code] = /^(\d+) (\d+) (.*)\n$/.exec(text) ?? [];
  return { client, worker, fd, code };
}

describe('a reload in SWOOLE_BASE', { concurrency: false }, () => {
  test('keeps nobody waiting who connects while the new workers start', async () => {
    await using server = await start(SWOOLE_BASE);
    using asker = await Asker.connect(server);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', WORKERS);
    assert.deepEqual(await asker.answeredBy(20), ['first']);
    for (let i = 0; i < 20; i++) {
      const { client, code } = await who(server);
      assert.equal(code, 'first');
      client.destroy();
    }
    assert.deepEqual(server.events('begun'), []);
    go(server);
    await server.waitFor('afterReload', ({ generation }) => generation === 2);
    const { client, code } = await who(server);
    assert.equal(code, 'workerStart waits');
    client.destroy();
  });

  test('has new workers accept before the old ones have ended', async () => {
    await using server = await start(SWOOLE_BASE, { max_wait_time: 4 });
    deploy(server, 'lingers');
    server.kill('SIGUSR1');
    await server.waitFor('afterReload', ({ generation }) => generation === 2);
    deploy(server, 'second');
    server.kill('SIGUSR1');
    const clients = new Map<string, Awaited<ReturnType<typeof who>>>();
    await server.until(async () => {
      const found = await who(server);
      if (found.code === 'second' && !clients.has(found.worker)) clients.set(found.worker, found);
      else found.client.destroy();
      return clients.size === WORKERS;
    }, 'both new workers');
    assert.ok(
      server.events('stop').every(({ code }) => code === 'first'),
      'the old ones are still there',
    );
    // What is meant for a connection of a new worker comes to the inbox that the old one still reads.
    const [one, other] = [...clients.values()];
    await one.client.write(`tell ${other.fd} hello\n`);
    assert.equal((await other.client.read(6)).toString(), 'hello\n');
    await other.client.write(`tell ${one.fd} again\n`);
    assert.equal((await one.client.read(6)).toString(), 'again\n');
    await server.waitForCount('afterReload', 2);
    await one.client.write(`tell ${other.fd} later\n`);
    assert.equal((await other.client.read(6)).toString(), 'later\n');
    for (const { client } of clients.values()) client.destroy();
  });

  test('goes on with the new worker where the old one is killed meanwhile', async () => {
    await using server = await start(SWOOLE_BASE);
    deploy(server, 'workerStart waits');
    server.kill('SIGUSR1');
    await server.waitForCount('begins', WORKERS);
    for (const { pid } of server.events('$worker').slice(0, WORKERS)) process.kill(pid, 'SIGKILL');
    await server.waitForCount('workerError', WORKERS);
    const answer = who(server);
    go(server);
    const { client, code } = await answer;
    assert.equal(code, 'workerStart waits');
    client.destroy();
    await server.waitFor('afterReload', ({ generation }) => generation === 2);
    assert.equal(server.events('begins').length, WORKERS);
  });

  for (const code of ['throws', 'workerStart rejects', 'workerStart hangs']) {
    test(`is refused where the new code ${code}, and works once it is repaired`, async () => {
      await using server = await start(SWOOLE_BASE, { reload_timeout: timeoutFor(code), max_wait_time: 1 });
      using asker = await Asker.connect(server);
      const before = server.processes().sort();
      deploy(server, code);
      server.kill('SIGUSR1');
      await server.waitFor('afterReload', ({ generation }) => generation === 1);
      assert.match(server.output, /ERROR.*the reload is refused/);
      await server.until(() => server.processes().length === before.length, 'the end of the new ones');
      assert.deepEqual(server.processes().sort(), before);
      assert.deepEqual(await asker.answeredBy(10), ['first']);
      deploy(server, 'repaired');
      server.kill('SIGUSR1');
      await server.waitForCount('afterReload', 2);
      using next = await Asker.connect(server);
      assert.deepEqual(await next.answeredBy(10), ['repaired']);
    });
  }
});
