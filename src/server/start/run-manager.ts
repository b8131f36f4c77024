import { flushCompileCache } from 'node:module';
import type { ChildDescription } from '../../process/environment.ts';
import { ProcessLauncher, scriptOf } from '../../process/launcher.ts';
import { Manager } from '../../process/manager.ts';
import { MANAGER_LANE, MASTER_INBOX, reactorInbox } from '../../shm/layout.ts';
import { RELOAD_CERTIFICATES, SHUTDOWN } from '../../shm/messages.ts';
import { type Segment, STATE_STOPPING, WORD_MANAGER_PID, WORD_STATE } from '../../shm/segment.ts';
import { pipeDescriptors } from '../processes/user-processes.ts';
import type { ServerCore } from '../state/core.ts';
import { inheritedSockets } from './boot-record.ts';
import { enter, handleSignals } from './enter.ts';
import { writePidFile } from './pid-file.ts';

/** The first process in SWOOLE_BASE, when there is something to manage. Resolves when everything has ended. */
export async function runBaseManager(
  core: ServerCore,
  segment: Segment,
  doorbells: number[],
  script: string,
): Promise<void> {
  const certificates = core.tls === null ? null : await import('../ports/tls-check.ts');
  const settings = core.settings!;
  const identity = { role: 'manager', id: -1, lane: MANAGER_LANE, life: segment.nextLife() } as const;
  const runtime = enter(core, identity, segment, doorbells);
  segment.store(WORD_MANAGER_PID, process.pid);
  return new Promise((resolve) => {
    const sockets = inheritedSockets(core);
    const pipes = pipeDescriptors(core);
    const manager: Manager = new Manager({
      runtime,
      application: core.application!,
      settings,
      launcher: new ProcessLauncher({
        script,
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
        resolve();
      },
      onShutdownRequest: () => shutdown(),
      onOwnerDeath: (workerId) => runtime.connections.freeOwner(workerId),
      beforeReload: () => certificates === null || certificates.areCertificatesInOrder(core),
    });
    const shutdown = (): boolean => {
      segment.store(WORD_STATE, STATE_STOPPING);
      manager.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
    core.control = { shutdown, reload, stopSelf: () => false };
    const signals = handleSignals({ onTerm: shutdown, onReload: reload, onReopen: () => manager.reopenLogs() });
    writePidFile(core);
    manager.run();
  });
}

/** The manager of SWOOLE_PROCESS. */
export function runManager(
  core: ServerCore,
  description: ChildDescription,
  segment: Segment,
  doorbells: number[],
): void {
  const runtime = enter(core, description, segment, doorbells);
  const settings = core.settings!;
  const sockets = inheritedSockets(core);
  const pipes = pipeDescriptors(core);
  const manager: Manager = new Manager({
    runtime,
    application: core.application!,
    settings,
    launcher: new ProcessLauncher({
      script: scriptOf(settings.entryScript),
      fds: [core.inherited!.segmentFd, ...doorbells, ...sockets, ...pipes],
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
      if (!core.ports.some((port) => port.ssl)) return true;
      for (let id = 0; id < layout.reactorCount; id++) runtime.tell(reactorInbox(id), RELOAD_CERTIFICATES);
      return true;
    },
  });
  const askMaster = (): boolean => {
    runtime.tell(MASTER_INBOX, SHUTDOWN);
    return true;
  };
  const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
  core.control = { shutdown: askMaster, reload, stopSelf: () => false };
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
