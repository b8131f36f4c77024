import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FakeChild, FakeLauncher } from '../../../test/support/launcher.ts';
import { doorbellsOf, smallSegment } from '../../../test/support/shared.ts';
import { until } from '../../../test/support/until.ts';
import { SWOOLE_LOG_NONE } from '../../constants.ts';
import { Logger } from '../../log/log.ts';
import { MANAGER_INBOX, MANAGER_LANE, workerLane } from '../../shm/layout.ts';
import { Outbox } from '../../shm/mailbox.ts';
import { WORKER_READY, WORKER_STOPPING } from '../../shm/messages.ts';
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
  end(): void;
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
    settings: { maxWaitMs: 0, reloadAsync: true, ...settings } as RoleSettings,
    launcher,
    workersOwnSockets: false,
    again: false,
    onEnd: () => told.push('end'),
    onShutdownRequest: () => {},
  });
  manager.run();
  const outbox = new Outbox(segment, workerLane(segment.layout, 0, 0), doorbells);
  return {
    ...{ manager, launcher, told },
    say: ({ description }, kind) => {
      outbox.to(MANAGER_INBOX).post(kind, description.id, description.life);
      outbox.flush();
    },
    end: () => {
      manager.shutdown();
      for (const child of [0, 1, TASK_WORKER, USER_PROCESS].flatMap((id) => launcher.of(id)))
        if (!child.ended) launcher.end(child);
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

describe('a manager whose children share a pid', () => {
  it('gives each start a number of its own', () => {
    const { launcher, end } = managed();
    const lives = launcher.children.map(({ description }) => description.life);
    assert.equal(new Set(lives).size, 4);
    assert.ok(!lives.includes(0), 'nobody is 0');
    end();
  });

  it('starts no replacement for what a process says that was replaced before', async () => {
    const server = managed();
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
    server.end();
  });

  it('takes a process for ready only when that says so itself', async () => {
    const server = managed();
    const { launcher, say } = server;
    const first = launcher.last(0);
    say(first, WORKER_STOPPING);
    const second = await next(server, 0);
    say(first, WORKER_READY);
    await handled(server);
    launcher.end(second, { exitCode: 1 });
    assert.equal(launcher.of(0).length, 2, 'one that was never ready is started again with a pause');
    server.end();
  });

  it('starts one at once again that was ready', async () => {
    const server = managed();
    const { launcher, say } = server;
    say(launcher.last(0), WORKER_READY);
    await handled(server);
    launcher.end(launcher.last(0), { exitCode: 1 });
    assert.equal(launcher.of(0).length, 2);
    server.end();
  });
});

describe('a manager', () => {
  it('ends workers, then task workers, then user processes, and only then itself', () => {
    const { manager, launcher, told } = managed();
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
    const { manager, launcher, told } = managed();
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
    const { manager, launcher, told } = managed({ maxWaitMs: 10 });
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

  it('reloads one after the other without reload_async, and is done when the last one has ended', async () => {
    const server = managed({ reloadAsync: false });
    const { manager, launcher, told, say } = server;
    const old = [0, 1, TASK_WORKER].map((id) => launcher.last(id));
    const asked = (): number[] => old.map((child) => child.asked.length);
    assert.equal(manager.reload(false), true);
    assert.deepEqual(asked(), [1, 0, 0]);
    assert.equal(manager.reload(false), false, 'one is under way');
    for (const [index, child] of old.entries()) {
      say(child, WORKER_STOPPING);
      await next(server, child.description.id);
      launcher.end(child);
      assert.deepEqual(asked(), [1, 1, index > 0 ? 1 : 0]);
    }
    assert.ok(told.includes('afterReload'));
    assert.deepEqual(launcher.last(USER_PROCESS).asked, [], 'user processes are left alone');
    server.end();
  });
});
