import { flushCompileCache } from 'node:module';
import { ProcessLauncher } from '../../process/life/process-launcher.ts';
import { scriptOf } from '../../process/life/run-again.ts';
import type { StartedChild } from '../../process/life/this-process.ts';
import { Manager } from '../../process/roles/manager.ts';
import { MANAGER_LANE, MASTER_INBOX, ownerOfLane, reactorInbox } from '../../shm/layout.ts';
import { RELOAD_CERTIFICATES, SHUTDOWN } from '../../shm/messages.ts';
import { STATE_STOPPING, WORD_MANAGER_PID, WORD_STATE } from '../../shm/segment.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Running, ServerState } from '../state/running.ts';
import { begin, enter } from './enter.ts';
import { writePidFile } from './pid-file.ts';
import { handleSignals, handleSignalsOfFirst } from './signals.ts';

/** The first process in SWOOLE_BASE, when there is something to manage. Resolves when everything has ended. */
export async function runBaseManager(state: ServerState, plan: Plan, shared: Shared, path: string): Promise<Running> {
  const certificates = plan.tls === null ? null : await import('../ports/tls-check.ts');
  const { settings } = plan;
  const { segment, inheritance } = shared;
  const equipped = enter(plan, shared, { role: 'manager', id: -1, lane: MANAGER_LANE, life: segment.nextLife() });
  const { runtime, application } = equipped;
  segment.store(WORD_MANAGER_PID, process.pid);
  return new Promise((resolve) => {
    const manager: Manager = new Manager({
      runtime,
      application,
      settings,
      launcher: new ProcessLauncher({ script: path, inheritance, inspectOffset: 0 }),
      workersOwnSockets: true,
      again: false,
      onEnd: () => {
        signals.close();
        resolve(running);
      },
      onShutdownRequest: () => shutdown(),
      onOwnerDeath: (lane) => runtime.connections.freeOwner(ownerOfLane(lane)),
      beforeReload: () => certificates === null || certificates.areCertificatesInOrder(plan),
    });
    const shutdown = (): boolean => {
      segment.store(WORD_STATE, STATE_STOPPING);
      manager.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
    const reloadAsync = (taskWorkersOnly: boolean) => manager.reloadAsync(taskWorkersOnly);
    const running = begin(state, equipped, { shutdown, reload, reloadAsync, stopSelf: () => false });
    const signals = handleSignalsOfFirst({ onTerm: shutdown, onReload: reload, onReopen: () => manager.reopenLogs() });
    writePidFile(plan);
    manager.run();
  });
}

/** The manager of SWOOLE_PROCESS. */
export function runManager(state: ServerState, plan: Plan, shared: Shared, { description }: StartedChild): void {
  const { script, settings } = plan;
  const { segment, inheritance } = shared;
  const equipped = enter(plan, shared, description);
  const { runtime, application } = equipped;
  const manager: Manager = new Manager({
    runtime,
    application,
    settings,
    launcher: new ProcessLauncher({ script: scriptOf(settings.entryScript), inheritance, inspectOffset: 100 }),
    workersOwnSockets: false,
    again: description.again,
    onEnd: () => process.exit(0),
    onShutdownRequest: () => askMaster(),
    onHandOver: () => {
      if (!script.ports.some((port) => port.ssl)) return;
      for (let id = 0; id < segment.layout.reactorCount; id++) runtime.tell(reactorInbox(id), RELOAD_CERTIFICATES);
    },
  });
  const askMaster = (): boolean => {
    runtime.tell(MASTER_INBOX, SHUTDOWN);
    return true;
  };
  const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
  const reloadAsync = (taskWorkersOnly: boolean) => manager.reloadAsync(taskWorkersOnly);
  begin(state, equipped, { shutdown: askMaster, reload, reloadAsync, stopSelf: () => false });
  handleSignals({
    // From the master it is the end; from anybody else a wish, which the master carries out in its order.
    onTerm: () => (segment.load(WORD_STATE) === STATE_STOPPING ? manager.shutdown() : askMaster()),
    onReload: reload,
    onReopen: () => manager.reopenLogs(),
  });
  // The workers run the same script: what this process has compiled of it is theirs too.
  flushCompileCache();
  manager.run();
}
