/** What every process of a running server does at its start: take the role, and listen to signals. */

import { joinServer } from '../../child/server-part.ts';
import { SWOOLE_IPC_UNSOCK, SWOOLE_PROCESS } from '../../constants.ts';
import type { Identity } from '../../process/identity.ts';
import { Runtime } from '../../process/runtime.ts';
import { QueueRoute, taskQueueOf } from '../../process/task-queue.ts';
import { RingRoute, type TaskRoute, TaskSender } from '../../process/task-sender.ts';
import { MANAGER_INBOX, MASTER_INBOX } from '../../shm/layout.ts';
import { RELOAD, SHUTDOWN } from '../../shm/messages.ts';
import { WORD_RELOADING } from '../../shm/segment.ts';
import { onSigrtmin } from '../../sys/signal.ts';
import { ServerApplication } from '../callbacks/application.ts';
import { CallbackRunner } from '../callbacks/callback-runner.ts';
import { Certificates } from '../connections/certificates.ts';
import { Commands } from '../messages/commands.ts';
import { attachProcesses } from '../processes/user-processes.ts';
import type { Member, Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Control, Equipped, Running, ServerState } from '../state/running.ts';
import { Tasks } from '../tasks/tasks.ts';
import { makeDispatcher } from './prepare.ts';

const SYMBOLS = { master: '#', manager: '$', worker: '*', task: '^', user: '@' } as const;

/** Those that mean something to a server. */
const SIGNALS = ['SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGWINCH'] as const satisfies NodeJS.Signals[];

/** The process takes its role. Once it is told how to stop (`Running.control`), the Server's methods work. */
export function enter(plan: Plan, shared: Shared, identity: Identity): Equipped {
  const { script } = plan;
  const { role, id } = identity;
  const { segment, doorbells, pipes } = shared;
  const runtime = new Runtime(identity, segment, doorbells, script.logger);
  joinServer({ isMaster: role === 'master', signals: role === 'user' ? [] : SIGNALS });
  attachProcesses(script, pipes, runtime);
  const member: Member = {
    ...plan,
    ...shared,
    runtime,
    dispatcher: makeDispatcher(plan, runtime),
    runner: new CallbackRunner(runtime),
    certificates: new Certificates(),
    workerId: role === 'user' ? -1 : id,
    taskworker: role === 'task',
  };
  const tasks: Tasks = new Tasks(
    member,
    new TaskSender(
      runtime,
      makeTaskRoute(member, (taskId, error) => tasks.undeliverable(taskId, error)),
    ),
  );
  const commands = new Commands(member);
  script.logger.setRole(SYMBOLS[role], Math.max(0, id));
  return { ...member, tasks, commands, application: new ServerApplication(member, tasks, commands) };
}

/** From here on the Server's methods work. */
export function begin(state: ServerState, equipped: Equipped, control: Control): Running {
  const running: Running = { ...equipped, control };
  state.running = running;
  return running;
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
export function remoteControl({ script, runtime }: Member): Pick<Control, 'shutdown' | 'reload'> {
  const { segment } = runtime;
  return {
    shutdown: () => {
      runtime.tell(script.mode === SWOOLE_PROCESS ? MASTER_INBOX : MANAGER_INBOX, SHUTDOWN);
      return true;
    },
    reload: (taskWorkersOnly) => {
      if (segment.load(WORD_RELOADING) !== 0) return false;
      runtime.tell(MANAGER_INBOX, RELOAD, taskWorkersOnly ? 1 : 0);
      return true;
    },
  };
}

function makeTaskRoute(
  { settings, runtime }: Member,
  undeliverable: (taskId: number, error: number) => void,
): TaskRoute {
  const { taskIpcMode, taskTmpdir } = settings;
  if (taskIpcMode === SWOOLE_IPC_UNSOCK || runtime.segment.layout.taskWorkerCount === 0) return new RingRoute(runtime);
  return new QueueRoute(runtime, taskQueueOf(runtime.segment), taskTmpdir, undeliverable);
}

/**
 * What stops a worker of any kind: a signal, or a call, which acts behind the current callback and never inside. Answers
 * what the server's methods ask.
 */
export function makeStoppable(member: Member, stop: (graceful: boolean) => void): Control {
  const { script, settings, runtime } = member;
  let stopping = false;
  const stopOnce = (graceful: boolean): void => {
    if (stopping) return;
    stopping = true;
    runtime.beginStop();
    stop(graceful);
  };
  handleSignals({
    onTerm: () => stopOnce(settings.reloadAsync),
    onReload: null,
    onReopen: () => script.logger.reopen(),
  });
  return {
    ...remoteControl(member),
    stopSelf: (graceful) => {
      setImmediate(() => stopOnce(graceful));
      return true;
    },
  };
}
