/** What every process of a running server does at its start: take the role, and listen to signals. */

import { joinServer } from '../../child/server-part.ts';
import { SWOOLE_IPC_UNSOCK, SWOOLE_PROCESS } from '../../constants.ts';
import type { Identity } from '../../process/identity.ts';
import { Runtime } from '../../process/runtime.ts';
import { QueueRoute } from '../../process/task-queue.ts';
import { RingRoute, type TaskRoute, TaskSender } from '../../process/task-sender.ts';
import { MANAGER_INBOX, MASTER_INBOX } from '../../shm/layout.ts';
import { RELOAD, SHUTDOWN } from '../../shm/messages.ts';
import { type Segment, WORD_RELOADING, WORD_TASK_QUEUE } from '../../shm/segment.ts';
import { onSigrtmin } from '../../sys/signal.ts';
import { ServerApplication } from '../callbacks/application.ts';
import { attachProcesses } from '../processes/user-processes.ts';
import type { Control, ServerCore } from '../state/core.ts';
import { Tasks } from '../tasks/tasks.ts';
import { makeDispatcher } from './prepare.ts';

const SYMBOLS = { master: '#', manager: '$', worker: '*', task: '^', user: '@' } as const;

/** Those that mean something to a server. */
const SIGNALS = ['SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGWINCH'] as const satisfies NodeJS.Signals[];

/** The process takes its role: from here on the Server's methods work. */
export function enter(core: ServerCore, identity: Identity, segment: Segment, doorbells: number[]): Runtime {
  const { role, id } = identity;
  const runtime = new Runtime(identity, segment, doorbells, core.logger);
  core.runtime = runtime;
  core.workerId = role === 'user' ? -1 : id;
  joinServer({ isMaster: role === 'master', signals: role === 'user' ? [] : SIGNALS });
  attachProcesses(core, runtime);
  core.taskworker = role === 'task';
  core.dispatcher = makeDispatcher(core);
  core.application = new ServerApplication(core);
  core.tasks = new Tasks(core, runtime, new TaskSender(runtime, makeTaskRoute(core, runtime)));
  core.logger.setRole(SYMBOLS[role], Math.max(0, id));
  return runtime;
}

interface SignalHandlers {
  onTerm(): void;
  /** Null where reload signals are ignored. */
  onReload: ((taskWorkersOnly: boolean) => void) | null;
  onReopen(): void;
}

export function handleSignals(handlers: SignalHandlers): { close(): void } {
  const actions: Record<(typeof SIGNALS)[number], () => void> = {
    SIGTERM: () => handlers.onTerm(),
    SIGUSR1: () => handlers.onReload?.(false),
    SIGUSR2: () => handlers.onReload?.(true),
    SIGHUP: () => {},
    SIGWINCH: () => handlers.onReopen(),
  };
  for (const name of SIGNALS) process.on(name, actions[name]);
  const realtime = onSigrtmin(() => handlers.onReopen());
  return {
    close: () => {
      for (const name of SIGNALS) process.off(name, actions[name]);
      realtime.close();
    },
  };
}

/** What a process asks of the master or manager that it cannot do itself. */
export function remoteControl(core: ServerCore, runtime: Runtime): Pick<Control, 'shutdown' | 'reload'> {
  const { segment } = runtime;
  return {
    shutdown: () => {
      runtime.tell(core.mode === SWOOLE_PROCESS ? MASTER_INBOX : MANAGER_INBOX, SHUTDOWN);
      return true;
    },
    reload: (taskWorkersOnly) => {
      if (segment.load(WORD_RELOADING) !== 0) return false;
      runtime.tell(MANAGER_INBOX, RELOAD, taskWorkersOnly ? 1 : 0);
      return true;
    },
  };
}

function makeTaskRoute(core: ServerCore, runtime: Runtime): TaskRoute {
  const { taskIpcMode, taskTmpdir } = core.settings!;
  if (taskIpcMode === SWOOLE_IPC_UNSOCK || runtime.segment.layout.taskWorkerCount === 0) return new RingRoute(runtime);
  return new QueueRoute(runtime, taskQueueOf(runtime.segment), taskTmpdir, (taskId, error) =>
    core.tasks?.undeliverable(taskId, error),
  );
}

/** What stops a worker of any kind: a signal, or a call, which acts behind the current callback and never inside. */
export function makeStoppable(core: ServerCore, runtime: Runtime, stop: (graceful: boolean) => void): void {
  let stopping = false;
  const stopOnce = (graceful: boolean): void => {
    if (stopping) return;
    stopping = true;
    runtime.beginStop();
    stop(graceful);
  };
  core.control = {
    ...remoteControl(core, runtime),
    stopSelf: (graceful) => {
      setImmediate(() => stopOnce(graceful));
      return true;
    },
  };
  handleSignals({
    onTerm: () => stopOnce(core.settings!.reloadAsync),
    onReload: null,
    onReopen: () => core.logger.reopen(),
  });
}

/** The message queue that the first process has opened. */
export function taskQueueOf(segment: Segment): number {
  return segment.load(WORD_TASK_QUEUE) - 1;
}
