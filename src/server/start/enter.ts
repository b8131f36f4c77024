/** What every process of a running server does at its start: it takes its role. */

import { joinServer } from '../../child/server-part.ts';
import { SWOOLE_IPC_UNSOCK, SWOOLE_PROCESS } from '../../constants.ts';
import type { Identity } from '../../process/identity.ts';
import { Runtime } from '../../process/way/runtime.ts';
import { QueueRoute, taskQueueOf } from '../../process/way/task-queue.ts';
import { RingRoute, type TaskRoute, TaskSender } from '../../process/way/task-sender.ts';
import { RELOADS_REFUSED } from '../../shm/counters.ts';
import { MANAGER_INBOX, MASTER_INBOX } from '../../shm/layout.ts';
import { RELOAD, SHUTDOWN } from '../../shm/messages.ts';
import { WORD_RELOADING } from '../../shm/segment.ts';
import { ServerApplication } from '../callbacks/application.ts';
import { CallbackRunner } from '../callbacks/callback-runner.ts';
import { Certificates } from '../connections/certificates.ts';
import { sendWaiting } from '../connections/send.ts';
import { WaitingSends } from '../connections/waiting-sends.ts';
import { Commands } from '../messages/commands.ts';
import { Reloads } from '../processes/reloads.ts';
import { attachProcesses } from '../processes/user-processes.ts';
import type { Member, Shared } from '../state/member.ts';
import type { Plan } from '../state/plan.ts';
import type { Control, Equipped, Running, ServerState } from '../state/running.ts';
import { Tasks } from '../tasks/tasks.ts';
import { makeDispatcher } from './prepare.ts';
import { SIGNALS } from './signals.ts';

const SYMBOLS = { master: '#', manager: '$', worker: '*', task: '^', user: '@' } as const;

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
    waitingSends: new WaitingSends((fd, data) => sendWaiting(member, fd, data)),
    workerId: role === 'user' ? -1 : id,
    taskworker: role === 'task',
  };
  const tasks: Tasks = new Tasks(
    member,
    new TaskSender(
      runtime,
      makeTaskRoute(member, (taskId, error) => tasks.undeliverable(taskId, error)),
      plan.portSettings[0].packageMaxLength,
    ),
  );
  const commands = new Commands(member);
  script.logger.setRole(SYMBOLS[role], Math.max(0, id));
  const reloads = new Reloads(runtime);
  const application = new ServerApplication(member, tasks, commands, reloads);
  return { ...member, tasks, commands, reloads, application };
}

/** From here on the Server's methods work. */
export function begin(state: ServerState, equipped: Equipped, control: Control): Running {
  const running: Running = { ...equipped, control };
  state.running = running;
  return running;
}

/** What a process asks of the master or manager that it cannot do itself. */
export function remoteControl({
  script,
  runtime,
  reloads,
}: Equipped): Pick<Control, 'shutdown' | 'reload' | 'reloadAsync'> {
  const { segment } = runtime;
  return {
    shutdown: () => {
      runtime.tell(script.mode === SWOOLE_PROCESS ? MASTER_INBOX : MANAGER_INBOX, SHUTDOWN);
      return true;
    },
    reload: (taskWorkersOnly) => {
      if (segment.load(WORD_RELOADING) !== 0) {
        runtime.counters.add(RELOADS_REFUSED, 1);
        return false;
      }
      runtime.tell(MANAGER_INBOX, RELOAD, taskWorkersOnly ? 1 : 0);
      return true;
    },
    reloadAsync: (taskWorkersOnly) => reloads.ask(taskWorkersOnly),
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

/** Stops a worker of any kind, once. That it may stop by itself meanwhile is no reason not to tell it. */
export function stopOnce(runtime: Runtime, stop: (graceful: boolean) => void): (graceful: boolean) => void {
  let told = false;
  return (graceful) => {
    if (told) return;
    told = true;
    runtime.beginStop();
    stop(graceful);
  };
}

/** What the server's methods ask of a worker: it stops behind the current callback, and never inside. */
export function workerControl(member: Equipped, stop: (graceful: boolean) => void): Control {
  return {
    ...remoteControl(member),
    stopSelf: (graceful) => {
      setImmediate(() => stop(graceful));
      return true;
    },
  };
}
