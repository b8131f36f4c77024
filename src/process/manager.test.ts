import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doorbellsOf, smallSegment } from '../../test/support/shared.ts';
import { until } from '../../test/support/until.ts';
import { SWOOLE_LOG_NONE } from '../constants.ts';
import { Logger } from '../log/log.ts';
import { MANAGER_INBOX, MANAGER_LANE, workerLane } from '../shm/layout.ts';
import { Outbox } from '../shm/mailbox.ts';
import { WORKER_READY, WORKER_STOPPING } from '../shm/messages.ts';
import type { Application } from './application.ts';
import type { ChildDescription } from './identity.ts';
import type { Child, ChildEnd, Launcher } from './launcher.ts';
import { Manager } from './manager.ts';
import type { RoleSettings } from './role-settings.ts';
import { Runtime } from './runtime.ts';

/** Starts nothing. All its children have the pid of this process, as threads have. */
class FakeLauncher implements Launcher {
  readonly started: ChildDescription[] = [];
  private readonly ends = new Map<number, (end: ChildEnd) => void>();

  launch(description: ChildDescription, onEnd: (end: ChildEnd) => void): Child {
    this.started.push(description);
    this.ends.set(description.life, onEnd);
    return { life: description.life, pid: process.pid, stop: () => {}, kill: () => {} };
  }

  async orphanEnded(): Promise<void> {}

  end({ life }: ChildDescription, exitCode: number): void {
    this.ends.get(life)?.({ exitCode, signal: null, byStop: false });
  }

  of(id: number): ChildDescription[] {
    return this.started.filter((description) => description.id === id);
  }
}

const application = new Proxy({}, { get: () => () => undefined }) as Application;
const settings = { maxWaitMs: 0, reloadAsync: true } as RoleSettings;

interface Managed {
  launcher: FakeLauncher;
  /** What a worker says to the manager. All of it goes through one ring, and so it comes in order. */
  say(worker: ChildDescription, kind: number): void;
  end(): void;
}

/** A manager that has started two workers. */
function managed(): Managed {
  const segment = smallSegment();
  const doorbells = doorbellsOf(segment);
  const identity = { role: 'manager', id: -1, lane: MANAGER_LANE, life: segment.nextLife() } as const;
  const logger = new Logger();
  logger.configure({ level: SWOOLE_LOG_NONE });
  const launcher = new FakeLauncher();
  const manager = new Manager({
    runtime: new Runtime(identity, segment, doorbells, logger),
    ...{ application, settings, launcher },
    ...{ workersOwnSockets: false, again: false, onEnd: () => {}, onShutdownRequest: () => {} },
  });
  manager.run();
  const outbox = new Outbox(segment, workerLane(segment.layout, 0, 0), doorbells);
  return {
    launcher,
    say: ({ id, life }, kind) => {
      outbox.to(MANAGER_INBOX).post(kind, id, life);
      outbox.flush();
    },
    end: () => {
      manager.shutdown();
      for (const description of launcher.started) launcher.end(description, 0);
    },
  };
}

describe('a manager whose children share a pid', () => {
  it('gives each start a number of its own', () => {
    const { launcher, end } = managed();
    const lives = launcher.started.map(({ life }) => life);
    assert.equal(new Set(lives).size, 2);
    assert.ok(!lives.includes(0), 'nobody is 0');
    end();
  });

  it('starts no replacement for what a process says that was replaced before', async () => {
    const { launcher, say, end } = managed();
    const [first] = launcher.of(0);
    say(first, WORKER_STOPPING);
    const second = await until(() => launcher.of(0).at(1), 'a replacement');
    assert.notEqual(second.life, first.life);
    say(first, WORKER_STOPPING);
    say(second, WORKER_STOPPING);
    await until(() => launcher.of(0).length > 2, 'the replacement of the replacement');
    assert.equal(launcher.of(0).length, 3);
    end();
  });

  it('takes a process for ready only when that says so itself', async () => {
    const { launcher, say, end } = managed();
    const [first] = launcher.of(0);
    say(first, WORKER_STOPPING);
    const second = await until(() => launcher.of(0).at(1), 'a replacement');
    say(first, WORKER_READY);
    const [other] = launcher.of(1);
    say(other, WORKER_STOPPING);
    await until(() => launcher.of(1).at(1), 'what was said before to be handled');
    launcher.end(second, 1);
    assert.equal(launcher.of(0).length, 2, 'one that was never ready is started again with a pause');
    end();
  });

  it('starts one at once again that was ready', async () => {
    const { launcher, say, end } = managed();
    const [first] = launcher.of(0);
    say(first, WORKER_READY);
    say(launcher.of(1)[0], WORKER_STOPPING);
    await until(() => launcher.of(1).at(1), 'what was said before to be handled');
    launcher.end(first, 1);
    assert.equal(launcher.of(0).length, 2);
    end();
  });
});
