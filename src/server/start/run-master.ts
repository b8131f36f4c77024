import { ProcessLauncher } from '../../process/launcher.ts';
import { Master } from '../../process/master.ts';
import { ReactorThreads } from '../../process/reactor-threads.ts';
import { MASTER_LANE } from '../../shm/layout.ts';
import { type Segment, WORD_RELOADING } from '../../shm/segment.ts';
import { pipeDescriptors } from '../processes/user-processes.ts';
import type { ServerCore } from '../state/core.ts';
import { inheritedSockets } from './boot-record.ts';
import { enter, handleSignals } from './enter.ts';
import { writePidFile } from './pid-file.ts';
import { reactorPorts } from './prepare.ts';

/** The first process in SWOOLE_PROCESS. Resolves when everything has ended. */
export function runMaster(core: ServerCore, segment: Segment, doorbells: number[], script: string): Promise<void> {
  const settings = core.settings!;
  const identity = { role: 'master', id: -1, lane: MASTER_LANE, life: segment.nextLife() } as const;
  const runtime = enter(core, identity, segment, doorbells);
  const userFunctions =
    settings.dispatchFunc !== null ||
    core.commands.needReactors ||
    core.portSettings.some((port) => port.framing.kind === 'lengthFunction');
  const sockets = inheritedSockets(core);
  const pipes = pipeDescriptors(core);
  return new Promise((resolve, reject) => {
    const ports = reactorPorts(core).map((port) =>
      port.framing.kind === 'lengthFunction' ? { ...port, framing: { kind: 'raw' } as const } : port,
    );
    const reactors = new ReactorThreads({
      runtime,
      config: {
        segmentFd: segment.fd,
        doorbells,
        ports,
        dispatch: {
          mode: settings.dispatchMode,
          workerCount: settings.workerNum,
          unsafeEvents: settings.enableUnsafeEvent,
        },
        maxConnections: settings.maxConnection,
        maxQueuedBytes: settings.maxQueuedBytes,
        delayReceive: settings.enableDelayReceive,
        heartbeatCheckMs: settings.heartbeatCheckIntervalMs,
        log: settings.log,
      },
      count: settings.reactorNum,
      script: userFunctions ? script : null,
      onFailure: (error) => reject(error),
    });
    const master: Master = new Master({
      runtime,
      application: core.application!,
      settings,
      launcher: new ProcessLauncher({
        script,
        fds: [segment.fd, ...doorbells, ...sockets, ...pipes],
        inspectOffset: 0,
      }),
      reactors,
      doorbellCount: doorbells.length,
      portCount: sockets.length,
      pipeCount: pipes.length,
      onEnd: () => {
        signals.close();
        resolve();
      },
    });
    const shutdown = (): boolean => {
      void master.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => {
      if (segment.load(WORD_RELOADING) !== 0) return false;
      master.reload(taskWorkersOnly);
      return true;
    };
    core.control = { shutdown, reload, stopSelf: () => false };
    const signals = handleSignals({ onTerm: shutdown, onReload: reload, onReopen: () => master.reopenLogs() });
    writePidFile(core);
    master.run().catch(reject);
  });
}
