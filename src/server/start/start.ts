/** start(): what it means in the first process, in a child, and in a thread that runs the script beside the sockets. */

import { ownRecord } from '../../child/replay.ts';
import { leaveServer } from '../../child/server-part.ts';
import {
  SWOOLE_BASE,
  SWOOLE_IPC_UNSOCK,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { Timer } from '../../loop/timer.ts';
import type { Inherited } from '../../process/environment.ts';
import { discardTaskQueue } from '../../process/task-queue.ts';
import { SLOT_REST } from '../../reactor/limits.ts';
import { Segment, WORD_MASTER_PID, WORD_MIN_FD, WORD_TASK_QUEUE } from '../../shm/segment.ts';
import { errorText } from '../../sys/error.ts';
import { createEventfd } from '../../sys/eventfd.ts';
import { redirectOutput } from '../../sys/file.ts';
import { openMessageQueue } from '../../sys/message-queue.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { internalsOf, type Port } from '../port.ts';
import { bindListener, isSpread, listenFailure, startListening } from '../ports/listen.ts';
import { removeSocketFile } from '../ports/socket-file.ts';
import { closePipes, createPipes, inheritPipes } from '../processes/user-processes.ts';
import type { ServerCore } from '../state/core.ts';
import {
  bootRecord,
  daemonAttempts,
  earlierAnswer,
  inheritedSegment,
  isFirst,
  makeBootRecord,
  reactorConfig,
  rememberAnswer,
} from './boot-record.ts';
import { removePidFile } from './pid-file.ts';
import { checkCallbacks, prepareSettings } from './prepare.ts';

export async function startServer(core: ServerCore): Promise<boolean> {
  if (core.started) {
    core.logger.log(SWOOLE_LOG_WARNING, 'start(): the server was started already');
    return false;
  }
  core.started = true;
  core.lastError = 0;
  const earlier = earlierAnswer(core);
  if (earlier !== null) {
    core.ended = true;
    core.logger.close();
    // A daemon tells it to its own children.
    return rememberAnswer(core, earlier);
  }
  try {
    prepareSettings(core);
    checkCallbacks(core);
    if (core.tls !== null && isFirst(core)) (await import('../ports/tls-check.ts')).checkCertificates(core);
  } catch (error) {
    core.started = false;
    throw error;
  }
  const reactor = reactorConfig();
  if (isFirst(core)) return rememberAnswer(core, await startFirst(core));
  if (reactor !== null) (await import('./run-reactor.ts')).runReactor(core, reactor);
  else await startChild(core, core.inherited!);
  // A process that has taken a role does not come back from start().
  return new Promise<never>(() => {});
}

async function startChild(core: ServerCore, inherited: Inherited): Promise<void> {
  const { description, doorbells } = inherited;
  // As after a fork: those that the script has made are the first process's.
  Timer.clearAll();
  if (core.settings!.daemonize) await detach(core);
  const segment = inheritedSegment(inherited);
  inheritPipes(core, inherited.pipes, bootRecord(inherited).processes);
  if (description.role === 'manager')
    (await import('./run-manager.ts')).runManager(core, description, segment, doorbells);
  else if (description.role === 'task')
    (await import('./run-task-worker.ts')).runTaskWorker(core, description, segment, doorbells);
  else if (description.role === 'user')
    await (await import('./run-user-process.ts')).runUserProcess(core, description, segment, doorbells);
  else await (await import('./run-worker.ts')).runWorker(core, description, segment, doorbells);
}

/** In every process of a daemon. What it prints follows the log to the next file. */
async function detach(core: ServerCore): Promise<void> {
  (await import('../../process/launcher.ts')).leaveStartDirectory();
  core.logger.onOpen = redirectOutput;
}

// ---- the first process ----------------------------------------------------------------------------------------------

async function startFirst(core: ServerCore): Promise<boolean> {
  const settings = core.settings!;
  const failed = core.ports.find((port) => internalsOf(port).bindError !== 0);
  if (failed !== undefined) return giveUp(core, failed, internalsOf(failed).bindError);
  const alone =
    core.mode === SWOOLE_BASE &&
    settings.workerNum === 1 &&
    settings.taskWorkerNum === 0 &&
    settings.maxRequest === 0 &&
    core.processes.length === 0;
  core.alone = alone;
  if (!alone && (ownRecord()?.path.length ?? 0) > 0) {
    core.started = false;
    throw new TswooleError(
      'ERR_UNSUPPORTED',
      'a server of several processes cannot start inside a Process: its children run the script from the beginning, and would not come to this place. Start it in a script of its own, as with child_process',
    );
  }
  const script = alone ? '' : (await import('../../process/launcher.ts')).scriptOf(settings.entryScript);
  if (settings.daemonize && daemonAttempts(core.place) === null) (await import('./daemon.ts')).becomeDaemon(core);
  if (settings.daemonize) await detach(core);

  if (settings.enableReusePort) {
    const taken = bindShared(core);
    if (taken !== null) return giveUp(core, taken, internalsOf(taken).bindError);
  }
  if (!createPipes(core)) return abandon(core);
  const segment = createSegment(core);
  if (!openTaskQueue(core, segment)) {
    closeAll([segment.fd]);
    return abandon(core);
  }
  const doorbells = Array.from({ length: segment.layout.inboxCount }, () => createEventfd());
  // With a listener for each worker the one here only holds the port.
  const apart = settings.enableReusePort && core.mode === SWOOLE_BASE && !alone;
  for (const [index, port] of core.ports.entries()) {
    const error = apart && isSpread(port) ? 0 : startListening(port, core.portSettings[index]);
    if (error === 0) continue;
    closeAll([segment.fd, ...doorbells]);
    removeTaskQueue(core, segment);
    return giveUp(core, port, error);
  }

  // Each process loads the code of its own role only.
  if (alone) await (await import('./run-alone.ts')).runAlone(core, segment, doorbells);
  else if (core.mode === SWOOLE_PROCESS)
    await (await import('./run-master.ts')).runMaster(core, segment, doorbells, script);
  else await (await import('./run-manager.ts')).runBaseManager(core, segment, doorbells, script);

  removeSocketFiles(core);
  core.commands.noMoreReplies();
  await core.application!.shutdown();
  removeTaskQueue(core, segment);
  closePipes(core);
  core.runtime!.stopPumping();
  closeAll([segment.fd, ...doorbells]);
  closeListeners(core);
  removePidFile(core);
  core.ended = true;
  leaveServer();
  core.logger.close();
  return true;
}

/** Nothing may stay behind: sockets are closed, so that the process can end by itself. */
function giveUp(core: ServerCore, port: Port, error: number): false {
  core.lastError = error;
  core.logger.log(SWOOLE_LOG_ERROR, listenFailure(port, error));
  return abandon(core);
}

function abandon(core: ServerCore): false {
  removeSocketFiles(core);
  closePipes(core);
  closeListeners(core);
  core.ended = true;
  core.logger.close();
  return false;
}

/** Their numbers are forgotten, as they may soon be those of others. */
function closeListeners(core: ServerCore): void {
  for (const own of core.ports.map(internalsOf)) {
    closeAll([own.fd]);
    own.fd = -1;
  }
}

/** With task_ipc_mode 2 and 3. Answers false when the kernel has none for us. */
function openTaskQueue(core: ServerCore, segment: Segment): boolean {
  const { taskIpcMode, taskWorkerNum, messageQueueKey, user } = core.settings!;
  if (taskIpcMode === SWOOLE_IPC_UNSOCK || taskWorkerNum === 0) return true;
  // One with a key is there for other programs too; of a private one only workers under another user must be let in.
  const queue = openMessageQueue(messageQueueKey, messageQueueKey === 0 && user === null ? 0o600 : 0o666);
  segment.store(WORD_TASK_QUEUE, queue + 1);
  if (queue >= 0) return true;
  core.lastError = -queue;
  core.logger.log(SWOOLE_LOG_ERROR, `cannot open message queue ${messageQueueKey} for tasks: ${errorText(-queue)}`);
  return false;
}

/** One with a key stays, with the tasks that wait in it. */
function removeTaskQueue(core: ServerCore, segment: Segment): void {
  const queue = segment.load(WORD_TASK_QUEUE) - 1;
  if (queue >= 0 && core.settings!.messageQueueKey === 0) discardTaskQueue(queue, core.settings!.taskTmpdir);
}

function removeSocketFiles(core: ServerCore): void {
  for (const port of core.ports) {
    const { file } = internalsOf(port);
    if (file !== null) removeSocketFile(file);
  }
}

function closeAll(fds: number[]): void {
  for (const fd of fds) if (fd >= 0) closeDescriptor(fd);
}

/** Answers the port that somebody else took in the meantime, if there is one. */
function bindShared(core: ServerCore): Port | null {
  for (const port of core.ports) {
    if (!isSpread(port)) continue;
    const own = internalsOf(port);
    closeDescriptor(own.fd);
    const bound = bindListener(port, true);
    own.fd = bound.fd;
    own.bindError = bound.error;
    if (bound.error !== 0) return port;
  }
  return null;
}

function createSegment(core: ServerCore): Segment {
  const settings = core.settings!;
  const process_ = core.mode === SWOOLE_PROCESS;
  const segment = Segment.create({
    mode: core.mode,
    reactorCount: process_ ? settings.reactorNum : 0,
    workerCount: settings.workerNum,
    taskWorkerCount: settings.taskWorkerNum,
    userProcessCount: core.processes.length,
    slotsPerOwner: settings.maxConnection + SLOT_REST,
    ownerCount: process_ ? settings.reactorNum : settings.workerNum,
  });
  segment.startTime = Date.now() / 1000;
  segment.startSessionId = settings.startSessionId;
  segment.writeBootRecord(makeBootRecord(core));
  segment.store(WORD_MASTER_PID, process.pid);
  segment.store(WORD_MIN_FD, Math.min(...core.attempts.map(({ fd }) => fd).filter((fd) => fd >= 0)));
  return segment;
}
