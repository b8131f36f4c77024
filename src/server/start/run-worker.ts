import { SWOOLE_BASE, SWOOLE_LOG_ERROR } from '../../constants.ts';
import type { ChildDescription } from '../../process/environment.ts';
import { applyPrivileges } from '../../process/privileges.ts';
import type { Runtime } from '../../process/runtime.ts';
import { keepsWorker } from '../../reactor/dispatch.ts';
import {
  type Segment,
  STATE_RUNNING,
  STATE_STARTING,
  STATE_STOPPING,
  WORD_MASTER_PID,
  WORD_STATE,
} from '../../shm/segment.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { internalsOf } from '../port.ts';
import { bindListener, isSpread, listenFailure, startListening } from '../ports/listen.ts';
import type { ServerCore } from '../state/core.ts';
import { keepStatsFile } from '../status/stats-file.ts';
import { enter, makeStoppable } from './enter.ts';
import { reactorPorts } from './prepare.ts';

/** An event worker. */
export async function runWorker(
  core: ServerCore,
  description: ChildDescription,
  segment: Segment,
  doorbells: number[],
): Promise<void> {
  const settings = core.settings!;
  const { id } = description;
  const runtime = enter(core, description, segment, doorbells);
  runtime.counters.beginLife();
  const application = core.application!;
  const base = core.mode === SWOOLE_BASE;
  const worker = await (base ? makeBaseWorker(core, runtime) : makeEventWorker(core, runtime));

  makeStoppable(core, runtime, (graceful) => {
    if (base && id === 0 && segment.load(WORD_STATE) === STATE_STOPPING) application.beforeShutdown();
    worker.stop(graceful);
  });
  applyPrivileges(settings, runtime, description.parent);
  if (base && id === 0) {
    segment.store(WORD_MASTER_PID, process.pid);
    // Also where the first worker 0 has died before it came so far.
    if (segment.exchange(WORD_STATE, STATE_STARTING, STATE_RUNNING)) application.start();
  }
  keepStatsFile(core);
  worker.run();
}

/** Each process loads the code of its own role only. */
async function makeBaseWorker(core: ServerCore, runtime: Runtime) {
  const { BaseWorker } = await import('../../process/base-worker.ts');
  if (core.settings!.enableReusePort) listenApart(core);
  return new BaseWorker({
    runtime,
    application: core.application!,
    settings: core.settings!,
    ports: reactorPorts(core),
    hasManager: true,
    onEnd: () => process.exit(0),
  });
}

async function makeEventWorker(core: ServerCore, runtime: Runtime) {
  const { EventWorker } = await import('../../process/event-worker.ts');
  const settings = core.settings!;
  return new EventWorker(runtime, core.application!, settings, keepsWorker(settings.dispatchMode));
}

/** With enable_reuse_port each worker has listening sockets of its own, and the kernel spreads clients over them. */
function listenApart(core: ServerCore): void {
  for (const [index, port] of core.ports.entries()) {
    if (!isSpread(port)) continue;
    const own = internalsOf(port);
    closeDescriptor(own.fd);
    const bound = bindListener(port, true);
    own.fd = bound.fd;
    const error = bound.error !== 0 ? bound.error : startListening(port, core.portSettings[index]);
    if (error !== 0) core.logger.log(SWOOLE_LOG_ERROR, listenFailure(port, error));
  }
}
