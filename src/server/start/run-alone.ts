import { SWOOLE_ERROR_OPERATION_NOT_SUPPORT, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { BaseWorker } from '../../process/base-worker.ts';
import { applyPrivileges } from '../../process/privileges.ts';
import { workerLane } from '../../shm/layout.ts';
import { type Segment, STATE_RUNNING, STATE_STOPPING, WORD_STATE } from '../../shm/segment.ts';
import type { ServerCore } from '../state/core.ts';
import { keepStatsFile } from '../status/stats-file.ts';
import { enter, handleSignals } from './enter.ts';
import { writePidFile } from './pid-file.ts';
import { reactorPorts } from './prepare.ts';

/** SWOOLE_BASE with one worker and nothing to manage: this process is the worker. */
export function runAlone(core: ServerCore, segment: Segment, doorbells: number[]): Promise<void> {
  const lane = workerLane(segment.layout, 0, 0);
  const life = segment.nextLife();
  const runtime = enter(core, { role: 'worker', id: 0, lane, life }, segment, doorbells);
  runtime.workers.recordStart(0, process.pid, lane, life);
  segment.store(WORD_STATE, STATE_RUNNING);
  const application = core.application!;
  return new Promise((resolve) => {
    let ending = false;
    const worker = new BaseWorker({
      runtime,
      application,
      settings: core.settings!,
      ports: reactorPorts(core),
      hasManager: false,
      onEnd: () => {
        signals.close();
        resolve();
      },
    });
    const end = (): boolean => {
      if (ending) return true;
      ending = true;
      runtime.beginStop();
      segment.store(WORD_STATE, STATE_STOPPING);
      application.beforeShutdown();
      worker.stop(core.settings!.reloadAsync);
      return true;
    };
    const noReload = (): boolean => {
      worker.reactor.reloadCertificates();
      core.lastError = SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
      core.logger.log(
        SWOOLE_LOG_WARNING,
        'a server of one process cannot reload: set worker_num to 2 or more, or use SWOOLE_PROCESS',
      );
      return false;
    };
    // The only worker is the server: stopping it is the end.
    core.control = { shutdown: end, reload: noReload, stopSelf: end };
    const signals = handleSignals({ onTerm: end, onReload: noReload, onReopen: () => core.logger.reopen() });
    writePidFile(core);
    applyPrivileges(core.settings!, runtime, null);
    application.start();
    keepStatsFile(core);
    worker.run();
  });
}
