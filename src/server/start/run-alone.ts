import { SWOOLE_ERROR_OPERATION_NOT_SUPPORT } from '../../constants.ts';
import { BaseWorker } from '../../process/roles/base-worker.ts';
import { applyPrivileges } from '../../process/roles/privileges.ts';
import { workerLane } from '../../shm/layout.ts';
import { STATE_RUNNING, STATE_STOPPING, WORD_GENERATION, WORD_STATE } from '../../shm/segment.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Running, ServerState } from '../state/running.ts';
import { fail, warn } from '../state/script.ts';
import { keepStatsFile } from '../status/stats-file.ts';
import { begin, enter } from './enter.ts';
import { writePidFile } from './pid-file.ts';
import { reactorPorts } from './prepare.ts';
import { handleSignalsOfFirst } from './signals.ts';

const NO_RELOAD = 'a server of one process cannot reload: set worker_num to 2 or more, or use SWOOLE_PROCESS';

/** SWOOLE_BASE with one worker and nothing to manage: this process is the worker. */
export function runAlone(state: ServerState, plan: Plan, shared: Shared): Promise<Running> {
  const { script, settings } = plan;
  const { segment } = shared;
  const lane = workerLane(segment.layout, 0, 0);
  const life = segment.nextLife();
  const equipped = enter(plan, shared, { role: 'worker', id: 0, lane, life });
  const { runtime, application } = equipped;
  runtime.workers.recordStart(0, process.pid, lane, life);
  segment.store(WORD_STATE, STATE_RUNNING);
  return new Promise((resolve) => {
    let ending = false;
    const worker = new BaseWorker({
      runtime,
      application,
      settings,
      ports: reactorPorts(plan),
      beforeAccepting: () => {},
      onEnd: () => {
        signals.close();
        resolve(running);
      },
    });
    const stop = (graceful: boolean): boolean => {
      if (ending) return true;
      ending = true;
      runtime.beginStop();
      segment.store(WORD_STATE, STATE_STOPPING);
      application.beforeShutdown();
      worker.stop(graceful);
      return true;
    };
    const end = (): boolean => stop(settings.reloadAsync);
    const noReload = (): boolean => {
      worker.reactor.reloadCertificates();
      warn(script, NO_RELOAD);
      return fail(script, SWOOLE_ERROR_OPERATION_NOT_SUPPORT);
    };
    const reloadAsync = async () => {
      noReload();
      return { generation: segment.load(WORD_GENERATION), seconds: 0, longestStall: 0, refused: NO_RELOAD };
    };
    // The only worker is the server: stopping it is the end.
    const running = begin(state, equipped, { shutdown: end, reload: noReload, reloadAsync, stopSelf: stop });
    const signals = handleSignalsOfFirst({ onTerm: end, onReload: noReload, onReopen: () => script.logger.reopen() });
    writePidFile(plan);
    applyPrivileges(settings, runtime, null);
    application.start();
    keepStatsFile(running);
    worker.run();
  });
}
