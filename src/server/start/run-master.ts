import { ProcessLauncher } from '../../process/life/process-launcher.ts';
import { Master } from '../../process/roles/master.ts';
import { ReactorThreads } from '../../process/roles/reactor-threads.ts';
import { RELOADS_REFUSED } from '../../shm/counters.ts';
import { MASTER_LANE } from '../../shm/layout.ts';
import { WORD_RELOADING } from '../../shm/segment.ts';
import { SpareDescriptors } from '../../sys/spare-descriptors.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Running, ServerState } from '../state/running.ts';
import { begin, enter } from './enter.ts';
import { writePidFile } from './pid-file.ts';
import { reactorPorts } from './prepare.ts';
import { handleSignalsOfFirst } from './signals.ts';

/** More than the start of a manager takes. */
const SPARE_DESCRIPTORS = 8;

/** The first process in SWOOLE_PROCESS. Resolves when everything has ended. */
export function runMaster(state: ServerState, plan: Plan, shared: Shared, path: string): Promise<Running> {
  const { settings, portSettings } = plan;
  const { segment, doorbells, inheritance } = shared;
  const equipped = enter(plan, shared, { role: 'master', id: -1, lane: MASTER_LANE, life: segment.nextLife() });
  const { runtime, application } = equipped;
  const userFunctions =
    settings.dispatchFunc !== null ||
    plan.script.commands.needReactors ||
    portSettings.some((port) => port.framing.kind === 'lengthFunction');
  const spare = new SpareDescriptors(SPARE_DESCRIPTORS);
  return new Promise((resolve, reject) => {
    const ports = reactorPorts(plan).map((port) =>
      port.framing.kind === 'lengthFunction' ? { ...port, framing: { kind: 'raw' } as const } : port,
    );
    const reactors = new ReactorThreads({
      runtime,
      config: {
        segmentFd: segment.fd,
        doorbells,
        ports,
        settings: settings.reactor,
        dispatch: settings.dispatch,
        log: settings.log,
      },
      count: settings.reactorNum,
      script: userFunctions ? path : null,
      onFailure: (error) => reject(error),
    });
    const master: Master = new Master({
      runtime,
      application,
      settings,
      launcher: new ProcessLauncher({ script: path, inheritance, inspectOffset: 0, spare }),
      reactors,
      onEnd: () => {
        signals.close();
        spare.give();
        resolve(running);
      },
    });
    const shutdown = (): boolean => {
      void master.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => {
      if (segment.load(WORD_RELOADING) !== 0) {
        runtime.counters.add(RELOADS_REFUSED, 1);
        return false;
      }
      master.reload(taskWorkersOnly);
      return true;
    };
    const reloadAsync = (taskWorkersOnly: boolean) => equipped.reloads.ask(taskWorkersOnly);
    const running = begin(state, equipped, { shutdown, reload, reloadAsync, stopSelf: () => false });
    const signals = handleSignalsOfFirst({ onTerm: shutdown, onReload: reload, onReopen: () => master.reopenLogs() });
    writePidFile(plan);
    master.run().catch(reject);
  });
}
