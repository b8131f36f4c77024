import { flushCompileCache } from 'node:module';
import type { ChildDescription } from '../../process/environment.ts';
import { ProcessLauncher, scriptOf } from '../../process/launcher.ts';
import { Manager } from '../../process/manager.ts';
import { MANAGER_LANE, MASTER_INBOX, reactorInbox } from '../../shm/layout.ts';
import { RELOAD_CERTIFICATES, SHUTDOWN } from '../../shm/messages.ts';
import { STATE_STOPPING, WORD_MANAGER_PID, WORD_STATE } from '../../shm/segment.ts';
import { pipeDescriptors } from '../processes/user-processes.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Running, ServerState } from '../state/running.ts';
import { begin, enter, handleSignals } from './enter.ts';
import { inheritedSockets } from './inherit.ts';
import { writePidFile } from './pid-file.ts';

/** The first process in SWOOLE_BASE, when there is something to manage. Resolves when everything has ended. */
export async function runBaseManager(state: ServerState, plan: Plan, shared: Shared, path: string): Promise<Running> {
  const certificates = plan.tls === null ? null : await import('../ports/tls-check.ts');
  const { settings } = plan;
  const { segment, doorbells } = shared;
  const equipped = enter(plan, shared, { role: 'manager', id: -1, lane: MANAGER_LANE, life: segment.nextLife() });
  const { runtime, application } = equipped;
  segment.store(WORD_MANAGER_PID, process.pid);
  return new Promise((resolve) => {
    const sockets = inheritedSockets(plan.script);
    const pipes = pipeDescriptors(shared.pipes);
    const manager: Manager = new Manager({
      runtime,
      application,
      settings,
      launcher: new ProcessLauncher({
        script: path,
        fds: [segment.fd, ...doorbells, ...sockets, ...pipes],
        inspectOffset: 0,
      }),
      doorbellCount: doorbells.length,
      portCount: sockets.length,
      pipeCount: pipes.length,
      workersOwnSockets: true,
      again: false,
      onEnd: () => {
        signals.close();
        resolve(running);
      },
      onShutdownRequest: () => shutdown(),
      onOwnerDeath: (workerId) => runtime.connections.freeOwner(workerId),
      beforeReload: () => certificates === null || certificates.areCertificatesInOrder(plan),
    });
    const shutdown = (): boolean => {
      segment.store(WORD_STATE, STATE_STOPPING);
      manager.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
    const running = begin(state, equipped, { shutdown, reload, stopSelf: () => false });
    const signals = handleSignals({ onTerm: shutdown, onReload: reload, onReopen: () => manager.reopenLogs() });
    writePidFile(plan);
    manager.run();
  });
}

/** The manager of SWOOLE_PROCESS. */
export function runManager(state: ServerState, plan: Plan, shared: Shared, description: ChildDescription): void {
  const { script, settings } = plan;
  const { segment, doorbells } = shared;
  const equipped = enter(plan, shared, description);
  const { runtime, application } = equipped;
  const sockets = inheritedSockets(script);
  const pipes = pipeDescriptors(shared.pipes);
  const manager: Manager = new Manager({
    runtime,
    application,
    settings,
    launcher: new ProcessLauncher({
      script: scriptOf(settings.entryScript),
      fds: [segment.fd, ...doorbells, ...sockets, ...pipes],
      inspectOffset: 100,
    }),
    doorbellCount: doorbells.length,
    portCount: sockets.length,
    pipeCount: pipes.length,
    workersOwnSockets: false,
    again: description.again,
    onEnd: () => process.exit(0),
    onShutdownRequest: () => askMaster(),
    beforeReload: () => {
      const { layout } = segment;
      if (!script.ports.some((port) => port.ssl)) return true;
      for (let id = 0; id < layout.reactorCount; id++) runtime.tell(reactorInbox(id), RELOAD_CERTIFICATES);
      return true;
    },
  });
  const askMaster = (): boolean => {
    runtime.tell(MASTER_INBOX, SHUTDOWN);
    return true;
  };
  const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
  begin(state, equipped, { shutdown: askMaster, reload, stopSelf: () => false });
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
