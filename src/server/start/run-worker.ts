import { SWOOLE_BASE, SWOOLE_LOG_ERROR } from '../../constants.ts';
import type { StartedChild } from '../../process/life/this-process.ts';
import { keepsWorker } from '../../reactor/dispatch.ts';
import { STATE_RUNNING, STATE_STARTING, STATE_STOPPING, WORD_STATE } from '../../shm/segment.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { bindListener, isSpread, listenFailure, startListening } from '../ports/listen.ts';
import type { Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Equipped, ServerState } from '../state/running.ts';
import { keepStatsFile } from '../status/stats-file.ts';
import { begin, enter, stopOnce, workerControl } from './enter.ts';
import { ownProcess } from './own-process.ts';
import { reactorPorts } from './prepare.ts';

/** An event worker. */
export async function runWorker(state: ServerState, plan: Plan, shared: Shared, child: StartedChild): Promise<void> {
  const { script } = plan;
  const { segment } = shared;
  const { id } = child.description;
  const base = script.mode === SWOOLE_BASE;
  const make = await (base ? baseWorkerMaker() : eventWorkerMaker());
  const equipped = enter(plan, shared, child.description);
  const { runtime, application } = equipped;
  runtime.counters.beginLife();
  const worker = make(equipped);

  const stop = stopOnce(runtime, (graceful) => {
    if (base && id === 0 && segment.load(WORD_STATE) === STATE_STOPPING) application.beforeShutdown();
    worker.stop(graceful);
  });
  const stopSelf = (graceful: boolean): void => (graceful ? worker.leave(true) : stop(false));
  const running = begin(state, equipped, workerControl(equipped, stopSelf));
  if (child.parent !== null) ownProcess(equipped, child.parent, stop);
  // Also where the first worker 0 has died before it came so far.
  if (base && id === 0 && segment.exchange(WORD_STATE, STATE_STARTING, STATE_RUNNING)) application.start();
  keepStatsFile(running);
  worker.run();
}

/** Each process loads the code of its own role only. */
async function baseWorkerMaker() {
  const { BaseWorker } = await import('../../process/roles/base-worker.ts');
  return (equipped: Equipped) => {
    const { runtime, application, settings } = equipped;
    if (settings.enableReusePort) bindApart(equipped);
    let listens = !settings.enableReusePort;
    const listen = (): void => {
      if (!listens) listenApart(equipped);
      listens = true;
    };
    // One that stands by must not yet: the kernel spreads clients over all that listen. Of any other they wait for its start.
    if (runtime.isHeir) listen();
    return new BaseWorker({
      runtime,
      application,
      settings,
      ports: reactorPorts(equipped),
      beforeAccepting: listen,
      onEnd: () => process.exit(0),
    });
  };
}

async function eventWorkerMaker() {
  const { EventWorker } = await import('../../process/roles/event-worker.ts');
  return ({ runtime, application, settings }: Equipped) =>
    new EventWorker(runtime, application, settings, keepsWorker(settings.dispatch.mode));
}

/** With enable_reuse_port each worker has listening sockets of its own, and the kernel spreads clients over them. */
function bindApart({ script }: Plan): void {
  for (const port of script.ports) {
    if (!isSpread(port)) continue;
    closeDescriptor(port.fd);
    const { fd, error } = bindListener(port, true);
    port.fd = fd;
    if (error !== 0) script.logger.log(SWOOLE_LOG_ERROR, listenFailure(port, error));
  }
}

function listenApart({ script, portSettings }: Plan): void {
  for (const [index, port] of script.ports.entries()) {
    if (!isSpread(port) || port.fd === -1) continue;
    const error = startListening(port, portSettings[index]);
    if (error !== 0) script.logger.log(SWOOLE_LOG_ERROR, listenFailure(port, error));
  }
}
