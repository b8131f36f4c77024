/** Ctrl+C: the terminal sends SIGINT to all processes at once, and the one that the user has started decides. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { Client } from '../support/client.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { ALL_SUBJECTS, ALONE, PROCESS, SUBJECTS, type Subject } from '../support/subjects.ts';

interface StartOptions {
  listens?: 'first' | 'children';
  /** Its worker waits for a timer when it is told to stop. */
  isSlow?: boolean;
  /** The signal comes once more in the moment in which the first process has heard of it. */
  isRepeated?: boolean;
  runner?: string[];
}

function start({ mode, workerNum }: Subject, options: StartOptions = {}): Promise<TestServer> {
  const { listens = null, isSlow = false, isRepeated = false, runner } = options;
  const alone = workerNum === 1;
  return startServer({
    mode,
    runner,
    settings: { worker_num: workerNum, task_worker_num: alone ? 0 : 1, max_wait_time: isSlow ? 3600 : 3 },
    args: { listens, isSlow, isRepeated, alone },
    setup: ({ server, swoole, report, args }) => {
      const me = process.pid;
      const listen = (): void => {
        process.on('SIGINT', () => report('mine', { role: 'listener' }));
      };
      if (args.listens === 'first') listen();
      server.on('receive', (server, fd, _reactorId, data) => server.send(fd, data));
      server.on('task', () => null);
      server.on('workerStart', (_, id) => {
        if (args.isSlow) setInterval(() => {}, 2 ** 30);
        if (args.listens === 'children') listen();
        report('worker', { id, me });
      });
      server.on('beforeShutdown', () => {
        report('beforeShutdown');
        if (args.isRepeated) process.kill(me, 'SIGINT');
      });
      server.on('workerStop', (_, id) => report('workerStop', { id }));
      server.on('workerError', () => report('workerError'));
      server.on('shutdown', () => report('shutdown'));
      if (!args.alone)
        server.addProcess(
          new swoole.Process(() => {
            report('user');
            return new Promise((resolve) => setTimeout(resolve, 2 ** 30));
          }),
        );
    },
  });
}

async function allReady(server: TestServer, { workerNum }: Subject): Promise<number[]> {
  if (workerNum > 1) await server.waitFor('user');
  return server.processes();
}

/** As a terminal does. */
function sendToAll(pids: number[], signal: NodeJS.Signals): void {
  for (const pid of pids) process.kill(pid, signal);
}

for (const subject of ALL_SUBJECTS) {
  describe(`Ctrl+C, ${subject.name}`, { concurrency: false }, () => {
    test('ends the server in order', async () => {
      await using server = await start(subject);
      const pids = await allReady(server, subject);
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('before'), 'before');
      sendToAll(pids, 'SIGINT');
      assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
      await server.assertGone();
      assert.equal(server.events('$end')[0]?.result, true);
      const workers = subject.workerNum + (subject.workerNum === 1 ? 0 : 1);
      assert.equal(server.events('workerStop').length, workers);
      assert.deepEqual([server.events('shutdown').length, server.events('workerError').length], [1, 0]);
      assert.doesNotMatch(server.output, /ended abnormally|is started again/);
    });

    test('pressed again ends everything at once, as shells expect it', async () => {
      await using server = await start(subject, { isSlow: true });
      await allReady(server, subject);
      server.kill('SIGINT');
      await server.waitFor('beforeShutdown');
      await server.until(() => {
        // What comes at once behind the first one may be the same press.
        if (server.exit === null) server.kill('SIGINT');
        return server.exit !== null;
      }, 'the end of the first process');
      assert.deepEqual(server.exit, { code: null, signal: 'SIGINT' });
      await server.assertGone();
      assert.deepEqual([server.events('$end').length, server.events('shutdown').length], [0, 0]);
    });

    test('is a matter of the handler that the user has in the first process', async () => {
      await using server = await start(subject, { listens: 'first' });
      await allReady(server, subject);
      server.kill('SIGINT');
      await server.waitFor('mine', ({ pid }) => pid === server.pid);
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('still here'), 'still here');
      server.kill('SIGINT');
      await server.waitForCount('mine', 2);
      assert.equal(await client.echo('and now'), 'and now');
      assert.equal(server.events('beforeShutdown').length, 0);
    });
  });
}

for (const subject of [PROCESS, ALONE]) {
  test(`what comes at once behind Ctrl+C is the same press, handed on by npm: ${subject.name}`, async () => {
    await using server = await start(subject, { isRepeated: true });
    await allReady(server, subject);
    server.kill('SIGINT');
    assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
    assert.equal(server.events('$end')[0]?.result, true);
  });
}

for (const subject of SUBJECTS) {
  describe(`Ctrl+C and children, ${subject.name}`, { concurrency: false }, () => {
    test('SIGINT and SIGQUIT change nothing in them', async () => {
      await using server = await start(subject);
      const pids = await allReady(server, subject);
      const children = pids.filter((pid) => pid !== server.pid);
      assert.equal(children.length, 3 + 1 + (subject === PROCESS ? 1 : 0));
      sendToAll(children, 'SIGINT');
      sendToAll(children, 'SIGQUIT');
      using client = await Client.connect(server.port);
      for (let i = 0; i < 20; i++) assert.equal(await client.echo(`${i}`), `${i}`);
      assert.deepEqual(server.processes().sort(), pids.sort());
      assert.doesNotMatch(server.output, /ended abnormally|is started again/);
    });

    test('SIGINT comes to the handler that the user has in a worker', async () => {
      await using server = await start(subject, { listens: 'children' });
      await allReady(server, subject);
      const worker = server.events('worker').find(({ id }) => id === 0)?.pid ?? 0;
      process.kill(worker, 'SIGINT');
      assert.equal((await server.waitFor('mine')).pid, worker);
      using client = await Client.connect(server.port);
      assert.equal(await client.echo('x'), 'x');
    });
  });
}

test('Ctrl+C ends a server that is process 1', async (t) => {
  const runner = ['unshare', '--pid', '--fork', '--kill-child'];
  if (spawnSync(runner[0], [...runner.slice(1), 'true']).status !== 0)
    return t.skip('this user may not make a namespace of processes');
  for (const subject of ALL_SUBJECTS) {
    await using server = await start(subject, { runner });
    const pids = await allReady(server, subject);
    // unshare itself waits outside, and leaves SIGINT alone as long as it has a child.
    sendToAll(
      pids.filter((pid) => pid !== server.pid),
      'SIGINT',
    );
    assert.deepEqual(await server.exited(), { code: 0, signal: null }, server.output);
    assert.equal(server.events('$end')[0]?.result, true);
    assert.doesNotMatch(server.output, /ended abnormally|is started again/);
  }
});
