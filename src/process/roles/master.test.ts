import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeLauncher } from '../../../test/support/launcher.ts';
import { doorbellsOf, smallSegment } from '../../../test/support/shared.ts';
import { until } from '../../../test/support/until.ts';
import { SWOOLE_LOG_NONE } from '../../constants.ts';
import { Logger } from '../../log/log.ts';
import { MANAGER_LANE, MASTER_INBOX, MASTER_LANE } from '../../shm/layout.ts';
import { Outbox } from '../../shm/mailbox.ts';
import { MANAGER_READY } from '../../shm/messages.ts';
import type { Application } from '../application.ts';
import type { RoleSettings } from '../role-settings.ts';
import { Runtime } from '../way/runtime.ts';
import { Master } from './master.ts';
import type { ReactorThreads } from './reactor-threads.ts';

const MANAGER = -1;
/** As the table of workers has it. */
const WORKER_PID = 4711;

/** A master without reactors that has started its manager. */
async function running() {
  const segment = smallSegment();
  const doorbells = doorbellsOf(segment);
  const identity = { role: 'master', id: -1, lane: MASTER_LANE, life: segment.nextLife() } as const;
  const logger = new Logger();
  logger.configure({ level: SWOOLE_LOG_NONE });
  const launcher = new FakeLauncher();
  const told: string[] = [];
  const tell = (_: object, event: string) => (): void => void told.push(event);
  const runtime = new Runtime(identity, segment, doorbells, logger);
  const master = new Master({
    runtime,
    application: new Proxy({}, { get: tell }) as Application,
    settings: { maxWaitMs: 0 } as RoleSettings,
    launcher,
    reactors: new Proxy({}, { get: tell }) as ReactorThreads,
    onEnd: () => told.push('end'),
  });
  await master.run();
  const outbox = new Outbox(segment, MANAGER_LANE, doorbells);
  return {
    ...{ master, launcher, told, runtime },
    managerIsReady: () => {
      outbox.to(MASTER_INBOX).post(MANAGER_READY, 0, 0);
      outbox.flush();
    },
  };
}

describe('a master', () => {
  it('begins when its manager is ready, and ends when that has ended', async () => {
    const { master, launcher, told, managerIsReady } = await running();
    managerIsReady();
    await until(() => told.includes('startAccepting'), 'clients may come');
    const ended = master.shutdown();
    assert.deepEqual(launcher.last(MANAGER).asked, ['stop']);
    assert.ok(!told.includes('end'));
    launcher.end(launcher.last(MANAGER));
    await ended;
    assert.deepEqual(told.slice(-2), ['finish', 'end']);
    assert.equal(launcher.of(MANAGER).length, 1, 'no other is started');
  });

  it('starts another manager when the workers of the dead one have ended too', async () => {
    const { master, launcher, runtime } = await running();
    const [first] = launcher.of(MANAGER);
    assert.equal(first.description.again, false);
    runtime.workers.recordStart(1, WORKER_PID, 0, runtime.segment.nextLife());
    launcher.end(first, { signal: 'SIGKILL' });
    const second = await until(() => launcher.of(MANAGER).at(1), 'another manager');
    assert.deepEqual(launcher.orphans, [WORKER_PID], 'the others were never started');
    assert.equal(second.description.again, true);
    assert.notEqual(second.description.life, first.description.life);
    const ended = master.shutdown();
    launcher.end(second);
    await ended;
  });

  it('accepts nobody while there is no manager', async () => {
    const { master, launcher, told, managerIsReady } = await running();
    const accepting = (): string[] => told.filter((event) => event.endsWith('Accepting'));
    managerIsReady();
    await until(() => accepting().length === 1, 'clients may come');
    launcher.end(launcher.last(MANAGER), { signal: 'SIGKILL' });
    await until(() => launcher.of(MANAGER).at(1), 'another manager');
    assert.deepEqual(accepting(), ['startAccepting', 'pauseAccepting']);
    managerIsReady();
    await until(() => accepting().length === 3, 'clients may come again');
    assert.equal(accepting()[2], 'startAccepting');
    // Reactors and the callback, each once.
    assert.equal(told.filter((event) => event === 'start').length, 2);
    const ended = master.shutdown();
    launcher.end(launcher.last(MANAGER));
    await ended;
  });

  it('tries again with a pause when a manager cannot be started', async () => {
    const { master, launcher } = await running();
    const alive = setInterval(() => {}, 1000);
    launcher.refuses = true;
    launcher.end(launcher.last(MANAGER), { exitCode: 1 });
    await until(() => launcher.refused > 0, 'a start that fails');
    launcher.refuses = false;
    await until(() => launcher.of(MANAGER).at(1), 'another manager');
    clearInterval(alive);
    const ended = master.shutdown();
    launcher.end(launcher.last(MANAGER));
    await ended;
  });
});
