import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FakeChild, FakeLauncher } from '../../../test/support/launcher.ts';
import { doorbellsOf, smallSegment } from '../../../test/support/shared.ts';
import { until } from '../../../test/support/until.ts';
import { SWOOLE_LOG_NONE } from '../../constants.ts';
import { Logger } from '../../log/log.ts';
import { MANAGER_INBOX, MANAGER_LANE, workerLane } from '../../shm/layout.ts';
import { Outbox } from '../../shm/mailbox.ts';
import { RECYCLE, SHUTDOWN, WORKER_READY, WORKER_STANDS_BY, WORKER_STOPPING } from '../../shm/messages.ts';
import type { Application } from '../application.ts';
import type { RoleSettings } from '../role-settings.ts';
import { Runtime } from '../way/runtime.ts';
import { Manager } from './manager.ts';

const TASK_WORKER = 2;
const USER_PROCESS = 3;

interface Managed {
  manager: Manager;
  launcher: FakeLauncher;
  /** What was told to the user, and that everything has ended. */
  told: string[];
  /** What a child says to the manager. All of it goes through one ring, and so it comes in order. */
  say(child: FakeChild, kind: number): void;
  /** Ends everything, so that the test does not go on. */
  [Symbol.dispose](): void;
}

/** A manager that has started two workers, a task worker and a user process. */
function managed(settings: Partial<RoleSettings> = {}): Managed {
  const segment = smallSegment({ taskWorkerCount: 1, userProcessCount: 1 });
  const doorbells = doorbellsOf(segment);
  const identity = { role: 'manager', id: -1, lane: MANAGER_LANE, life: segment.nextLife() } as const;
  const logger = new Logger();
  logger.configure({ level: SWOOLE_LOG_NONE });
  const launcher = new FakeLauncher();
  const told: string[] = [];
  const tell = (_: object, event: string) => (): void => void told.push(event);
  const manager = new Manager({
    runtime: new Runtime(identity, segment, doorbells, logger),
    application: new Proxy({}, { get: tell }) as Application,
    settings: { maxWaitMs: 0, reloadAsync: true, reloadTimeoutMs: 0, reloadWorkerNum: 0, ...settings } as RoleSettings,
    launcher,
    workersOwnSockets: false,
    again: false,
    onEnd: () => told.push('end'),
    onShutdownRequest: () => told.push('mark'),
  });
  manager.run();
  const outbox = new Outbox(segment, workerLane(segment.layout, 0, 0), doorbells);
  return {
    ...{ manager, launcher, told },
    say: ({ description }, kind) => {
      outbox.to(MANAGER_INBOX).post(kind, description.id, description.life);
      outbox.flush();
    },
    [Symbol.dispose]: () => {
      manager.shutdown();
      // One that ends may have another started in its place.
      for (const child of launcher.children) if (!child.ended) launcher.end(child);
    },
  };
}

/** The next one of an id, once it is there. */
function next({ launcher }: Managed, id: number): Promise<FakeChild> {
  const count = launcher.of(id).length;
  return until(() => launcher.of(id).at(count), `the next process of id ${id}`);
}

/** What was said so far has been handled: the ring is one. */
async function handled(server: Managed): Promise<void> {
  server.say(server.launcher.last(1), WORKER_STOPPING);
  await next(server, 1);
}

/** What was said so far has been handled, and nothing has come of it but what was meant to. */
async function settled({ say, launcher, told }: Managed): Promise<void> {
  say(launcher.last(USER_PROCESS), SHUTDOWN);
  await until(() => told.includes('mark'), 'the end of what was said');
  told.splice(told.indexOf('mark'), 1);
}

describe('a manager whose children share a pid', () => {
  it('gives each start a number of its own', () => {
    using server = managed();
    const { launcher } = server;
    const lives = launcher.children.map(({ description }) => description.life);
    assert.equal(new Set(lives).size, 4);
    assert.ok(!lives.includes(0), 'nobody is 0');
  });

  it('starts no replacement for what a process says that was replaced before', async () => {
    using server = managed();
    const { launcher, say } = server;
    const first = launcher.last(0);
    say(first, WORKER_STOPPING);
    const second = await next(server, 0);
    assert.notEqual(second.description.life, first.description.life);
    say(first, WORKER_STOPPING);
    say(second, WORKER_STOPPING);
    await next(server, 0);
    await handled(server);
    assert.equal(launcher.of(0).length, 3);
  });

  it('takes a process for ready only when that says so itself', async () => {
    using server = managed();
    const { launcher, say } = server;
    const first = launcher.last(0);
    say(first, WORKER_STOPPING);
    const second = await next(server, 0);
    say(first, WORKER_READY);
    await handled(server);
    launcher.end(second, { exitCode: 1 });
    assert.equal(launcher.of(0).length, 2, 'one that was never ready is started again with a pause');
  });

  it('starts one at once again that was ready', async () => {
    using server = managed();
    const { launcher, say } = server;
    say(launcher.last(0), WORKER_READY);
    await handled(server);
    launcher.end(launcher.last(0), { exitCode: 1 });
    assert.equal(launcher.of(0).length, 2);
  });
});

describe('a manager', () => {
  it('ends workers, then task workers, then user processes, and only then itself', () => {
    using server = managed();
    const { manager, launcher, told } = server;
    const asked = (): string[] =>
      launcher.children.flatMap(({ description, asked }) => (asked.length ? [description.role] : []));
    manager.shutdown();
    assert.deepEqual(asked(), ['worker', 'worker']);
    launcher.end(launcher.last(0));
    assert.deepEqual(asked(), ['worker', 'worker'], 'one of them still serves');
    launcher.end(launcher.last(1));
    assert.deepEqual(asked(), ['task', 'worker', 'worker']);
    launcher.end(launcher.last(TASK_WORKER));
    assert.deepEqual(asked(), ['task', 'worker', 'worker', 'user']);
    assert.ok(!told.includes('end'));
    launcher.end(launcher.last(USER_PROCESS));
    assert.deepEqual(told.slice(-2), ['managerStop', 'end']);
  });

  it('tells of a process that has failed, and not of one that was too young to be asked to end', () => {
    using server = managed();
    const { manager, launcher, told } = server;
    launcher.end(launcher.last(0), { exitCode: 3 });
    assert.equal(told.filter((event) => event === 'workerError').length, 1);
    manager.shutdown();
    launcher.end(launcher.last(1), { signal: 'SIGTERM', byStop: true });
    assert.equal(told.filter((event) => event === 'workerError').length, 1);
    launcher.end(launcher.last(TASK_WORKER), { signal: 'SIGKILL' });
    assert.equal(told.filter((event) => event === 'workerError').length, 2);
    launcher.end(launcher.last(USER_PROCESS));
  });

  it('kills at the end what hangs', async () => {
    using server = managed({ maxWaitMs: 10 });
    const { manager, launcher, told } = server;
    // What kills keeps no process alive.
    const alive = setInterval(() => {}, 1000);
    manager.shutdown();
    const worker = launcher.last(1);
    launcher.end(launcher.last(0));
    await until(() => worker.asked.includes('kill'), 'the end of one that hangs');
    clearInterval(alive);
    assert.deepEqual(worker.asked, ['stop', 'kill']);
    for (const id of [1, TASK_WORKER, USER_PROCESS]) launcher.end(launcher.last(id), { signal: 'SIGKILL' });
    assert.ok(told.includes('end'));
  });

  it('lets them hand over one after the other without reload_async, and is done when the last one has ended', async () => {
    using server = managed({ reloadAsync: false });
    const { manager, launcher, told, say } = server;
    const ids = [0, 1, TASK_WORKER];
    const old = ids.map((id) => launcher.last(id));
    const asked = (): number[] => old.map((child) => child.asked.length);
    assert.equal(manager.reload(false), true);
    assert.equal(manager.reload(false), false, 'one is under way');
    const fresh = ids.map((id) => launcher.last(id));
    for (const child of fresh) {
      assert.deepEqual(asked(), [0, 0, 0], 'nobody is told before all new ones stand by');
      say(child, WORKER_STANDS_BY);
      await settled(server);
    }
    for (const [index, child] of old.entries()) {
      assert.deepEqual(
        asked(),
        old.map((_, other) => (other <= index ? 1 : 0)),
      );
      assert.ok(!told.includes('afterReload'));
      say(child, WORKER_STOPPING);
      say(fresh[index], WORKER_READY);
      await settled(server);
      launcher.end(child);
    }
    assert.ok(told.includes('afterReload'));
    assert.deepEqual(
      ids.map((id) => launcher.of(id).length),
      [2, 2, 2],
    );
    assert.deepEqual(launcher.last(USER_PROCESS).asked, [], 'user processes are left alone');
  });
});

describe('one worker that is to be replaced', () => {
  it('is told once its successor stands by, and no other is', async () => {
    using server = managed();
    const { launcher, say } = server;
    const [old, other] = [0, 1].map((id) => launcher.last(id));
    say(old, RECYCLE);
    say(old, RECYCLE);
    const next = await until(() => launcher.of(0).at(1), 'its successor');
    assert.deepEqual(old.asked, []);
    say(next, WORKER_STANDS_BY);
    await settled(server);
    assert.deepEqual([old.asked, other.asked], [['stop'], []]);
    say(old, WORKER_STOPPING);
    say(next, WORKER_READY);
    await settled(server);
    launcher.end(old);
    assert.equal(launcher.of(0).length, 2);
  });

  it('serves on where its successor does not start, and has another one later', async () => {
    using server = managed();
    const { launcher, say, told } = server;
    const old = launcher.last(0);
    say(old, RECYCLE);
    await until(() => launcher.of(0).at(1), 'its successor');
    const alive = setInterval(() => {}, 1000);
    launcher.end(launcher.last(0), { exitCode: 1 });
    assert.equal(launcher.of(0).length, 2, 'there is a pause');
    const next = await until(() => launcher.of(0).at(2), 'another successor');
    clearInterval(alive);
    assert.deepEqual([old.asked, told.includes('workerError')], [[], false]);
    say(next, WORKER_STANDS_BY);
    await settled(server);
    assert.deepEqual(old.asked, ['stop']);
  });

  it('is replaced by a reload that comes meanwhile, or after one that is refused', async () => {
    using server = managed();
    const { manager, launcher, say } = server;
    const old = launcher.last(0);
    say(old, RECYCLE);
    const dropped = await until(() => launcher.of(0).at(1), 'its successor');
    manager.reload(false);
    assert.deepEqual(dropped.asked, ['stop']);
    assert.equal(launcher.of(0).length, 3);
    launcher.end(launcher.last(1), { exitCode: 1 });
    assert.deepEqual(old.asked, []);
    for (const child of launcher.of(0).slice(1)) if (!child.ended) launcher.end(child);
    const next = await until(() => launcher.of(0).at(3), 'another successor');
    say(next, WORKER_STANDS_BY);
    await settled(server);
    assert.deepEqual(old.asked, ['stop']);
  });
});

describe('a reload', () => {
  it('is refused when a new process ends before it stands by, and the old ones are left alone', async () => {
    using server = managed();
    const { manager, launcher, told, say } = server;
    const old = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    manager.reload(false);
    const fresh = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    say(fresh[0], WORKER_STANDS_BY);
    await settled(server);
    launcher.end(fresh[1], { exitCode: 1 });
    assert.deepEqual(
      fresh.map(({ asked }) => asked),
      [['stop'], [], ['stop']],
    );
    assert.ok(told.includes('afterReload'));
    assert.ok(!told.includes('workerError'));
    for (const child of [fresh[0], fresh[2]]) launcher.end(child);
    assert.equal(launcher.children.length, 4 + 3, 'nothing else was started');
    assert.ok(old.every(({ asked }) => asked.length === 0));
    assert.equal(manager.reload(false), true, 'the next one tries anew');
  });

  it('kills what does not become ready in time', async () => {
    using server = managed({ reloadTimeoutMs: 10 });
    const { manager, launcher, told } = server;
    const alive = setInterval(() => {}, 1000);
    manager.reload(false);
    const fresh = launcher.last(0);
    await until(() => fresh.asked.includes('kill'), 'the end of one that hangs');
    clearInterval(alive);
    assert.ok(told.includes('afterReload'));
    assert.deepEqual(launcher.of(0)[0].asked, []);
  });

  it('seats the new process of one that dies meanwhile', async () => {
    using server = managed();
    const { manager, launcher, told, say } = server;
    const old = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    manager.reload(false);
    const fresh = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    launcher.end(old[0], { signal: 'SIGKILL' });
    assert.equal(launcher.of(0).length, 2, 'its successor is there');
    for (const child of fresh) say(child, WORKER_STANDS_BY);
    await settled(server);
    assert.deepEqual(
      old.map(({ asked }) => asked),
      [[], ['stop'], ['stop']],
    );
    for (const child of old.slice(1)) launcher.end(child);
    assert.ok(!told.includes('afterReload'), 'nobody has taken over yet');
    for (const child of fresh) say(child, WORKER_READY);
    await settled(server);
    assert.ok(told.includes('afterReload'));
    assert.equal(launcher.children.length, 4 + 3);
  });

  it('goes on with a new start where the new process dies once the old one was told', async () => {
    using server = managed();
    const { manager, launcher, say } = server;
    const old = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    manager.reload(false);
    const fresh = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    for (const child of fresh) say(child, WORKER_STANDS_BY);
    await settled(server);
    assert.deepEqual(old[0].asked, ['stop']);
    launcher.end(fresh[0], { signal: 'SIGKILL' });
    assert.equal(launcher.of(0).length, 2);
    say(old[0], WORKER_STOPPING);
    await next(server, 0);
    assert.equal(launcher.of(0).length, 3);
  });

  it('starts at once what waits for its next start', async () => {
    using server = managed();
    const { manager, launcher } = server;
    launcher.end(launcher.last(0), { exitCode: 1 });
    assert.equal(launcher.of(0).length, 1, 'it has a pause');
    manager.reload(false);
    assert.equal(launcher.of(0).length, 2);
  });

  it('goes in groups where fewer may start at once', async () => {
    using server = managed({ reloadWorkerNum: 2 });
    const { manager, launcher, say } = server;
    const old = [0, 1].map((id) => launcher.last(id));
    manager.reload(false);
    assert.equal(launcher.of(TASK_WORKER).length, 1);
    const fresh = [0, 1].map((id) => launcher.last(id));
    for (const child of fresh) say(child, WORKER_STANDS_BY);
    for (const child of old) say(child, WORKER_STOPPING);
    for (const child of fresh) say(child, WORKER_READY);
    await settled(server);
    assert.equal(launcher.of(TASK_WORKER).length, 1);
    for (const child of old) launcher.end(child);
    assert.equal(launcher.of(TASK_WORKER).length, 2);
  });

  it('that meets the end of the server drops what it has started', () => {
    using server = managed();
    const { manager, launcher, told } = server;
    manager.reload(false);
    const fresh = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    manager.shutdown();
    assert.ok(fresh.every(({ asked }) => asked.includes('stop')));
    for (const child of launcher.children) launcher.end(child);
    assert.equal(told.at(-1), 'end');
    assert.equal(launcher.children.length, 4 + 3);
  });
});
