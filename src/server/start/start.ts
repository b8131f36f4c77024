/** start(): what it means in the first process, in a child, and in a thread that runs the script beside the sockets. */

import { leaveServer } from '../../child/server-part.ts';
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_SERVER_WORKER_TERMINATED,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_IPC_UNSOCK,
  SWOOLE_LOG_ERROR,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { Timer } from '../../loop/timer.ts';
import { checkLength } from '../../process/life/inheritance.ts';
import { isFirst, type StartedChild, thisProcess } from '../../process/life/this-process.ts';
import { discardTaskQueue, taskQueueOf } from '../../process/way/task-queue.ts';
import { SLOT_REST } from '../../reactor/limits.ts';
import { LANES_PER_WORKER } from '../../shm/layout.ts';
import { Segment, START_FAILED, WORD_MASTER_PID, WORD_MIN_FD, WORD_START, WORD_TASK_QUEUE } from '../../shm/segment.ts';
import { EMFILE } from '../../sys/constants.ts';
import { errorText } from '../../sys/error.ts';
import { createEventfd } from '../../sys/eventfd.ts';
import { redirectOutput } from '../../sys/file.ts';
import { openMessageQueue } from '../../sys/message-queue.ts';
import { raiseFileLimit } from '../../sys/process.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { bindListener, isSpread, listenFailure, startListening } from '../ports/listen.ts';
import type { PortState } from '../ports/port-state.ts';
import { removeSocketFile } from '../ports/socket-file.ts';
import { closePipes, createPipes, inheritPipes, pipeDescriptors } from '../processes/user-processes.ts';
import { bootRecord, daemonAttempts, inheritedSegment } from '../state/boot-record.ts';
import type { Pipe, Shared } from '../state/member.ts';
import { isAlone, type Plan } from '../state/plan.ts';
import type { Running, ServerState } from '../state/running.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { agree } from './agreement.ts';
import { exitAsFailed, forgetFailure } from './exit-code.ts';
import { earlierAnswer, makeBootRecord, makeInheritance, rememberAnswer } from './inherit.ts';
import { tellWhatLingers } from './lingering.ts';
import { removePidFile } from './pid-file.ts';
import { adopt, checkCallbacks, makePlan } from './prepare.ts';

export async function startServer(state: ServerState): Promise<boolean> {
  const { script } = state;
  if (script.started) {
    warn(script, script.ended ? 'start(): the server has ended: make a new one' : 'start(): the server runs already');
    return fail(script, SWOOLE_ERROR_WRONG_OPERATION);
  }
  script.started = true;
  script.lastError.code = 0;
  const earlier = earlierAnswer(script);
  if (earlier !== null) {
    script.ended = true;
    script.logger.close();
    // A daemon tells it to its own children.
    return rememberAnswer(script, earlier);
  }
  if (isFirst()) forgetFailure();
  const me = thisProcess();
  if ('inheritance' in me) agree(script, me);
  const plan = await checkedPlan(script);
  if (me.kind === 'reactor') (await import('./run-reactor.ts')).runReactor(plan, me.config);
  else if ('inheritance' in me) await startChild(state, plan, me);
  else {
    const answer = await startFirst(state, plan);
    if (!answer) exitAsFailed();
    return rememberAnswer(script, answer);
  }
  // A process that has taken a role does not come back from start().
  return new Promise<never>(() => {});
}

/** Throws on what the user must put right first; start() may then be called again. */
async function checkedPlan(script: Script): Promise<Plan> {
  try {
    const plan = makePlan(script);
    adopt(plan);
    checkCallbacks(plan);
    if (plan.tls !== null && isFirst()) (await import('../ports/tls-check.ts')).checkCertificates(plan);
    return plan;
  } catch (error) {
    script.started = false;
    throw error;
  }
}

async function startChild(state: ServerState, plan: Plan, child: StartedChild): Promise<void> {
  // As after a fork: those that the script has made are the first process's.
  Timer.clearAll();
  if (plan.settings.daemonize && child.parent !== null) await detach(plan.script);
  const shared = takeOver(plan, child);
  switch (child.kind) {
    case 'manager':
      return (await import('./run-manager.ts')).runManager(state, plan, shared, child);
    case 'task':
      return (await import('./run-task-worker.ts')).runTaskWorker(state, plan, shared, child);
    case 'user':
      return (await import('./run-user-process.ts')).runUserProcess(state, plan, shared, child);
    case 'worker':
      return (await import('./run-worker.ts')).runWorker(state, plan, shared, child);
  }
}

/** What a child inherits, once it is known to be what the first process has told of. */
function takeOver(plan: Plan, { inheritance }: StartedChild): Shared {
  const segment = inheritedSegment();
  const { attempts } = bootRecord();
  const { doorbells } = inheritance;
  const pipes = inheritPipes(plan.script, inheritance.pipes);
  checkLength(inheritance, 'doorbells', segment.layout.inboxCount);
  checkLength(inheritance, 'sockets', attempts.filter(({ inherited }) => inherited !== -1).length);
  checkLength(inheritance, 'pipes', pipeDescriptors(pipes).length);
  return { segment, doorbells, pipes, inheritance };
}

/** In every process of a daemon. What it prints follows the log to the next file. */
async function detach(script: Script): Promise<void> {
  (await import('../../process/life/run-again.ts')).leaveStartDirectory();
  script.logger.onOpen = redirectOutput;
}

// ---- the first process ----------------------------------------------------------------------------------------------

async function startFirst(state: ServerState, plan: Plan): Promise<boolean> {
  const { script, settings } = plan;
  const failed = script.ports.find((port) => port.bindError !== 0);
  if (failed !== undefined) return giveUp(script, [], failed, failed.bindError);
  if (settings.filesMissing > 0) {
    const text = `the limit of open files (ulimit -n) is ${raiseFileLimit()}, and this server needs ${settings.filesMissing} at least`;
    script.logger.log(SWOOLE_LOG_ERROR, text);
    script.lastError.code = EMFILE;
    return abandon(script, []);
  }
  const alone = isAlone(plan);
  if (!alone && thisProcess().kind === 'replay') {
    script.started = false;
    throw new TswooleError(
      'ERR_UNSUPPORTED',
      'a server of several processes cannot start inside a Process: its children run the script from the beginning, and would not come to this place. Start it in a script of its own, as with child_process',
    );
  }
  const path = alone ? '' : (await import('../../process/life/run-again.ts')).scriptOf(settings.entryScript);
  if (settings.daemonize && daemonAttempts(script.place) === null) (await import('./daemon.ts')).becomeDaemon(script);
  if (settings.daemonize) await detach(script);

  if (settings.enableReusePort) {
    const taken = bindShared(script);
    if (taken !== null) return giveUp(script, [], taken, taken.bindError);
  }
  const pipes = createPipes(script);
  if (pipes === null) return abandon(script, []);
  const segment = createSegment(plan);
  if (!openTaskQueue(plan, segment)) {
    closeAll([segment.fd]);
    return abandon(script, pipes);
  }
  const doorbells = Array.from({ length: segment.layout.inboxCount }, () => createEventfd());
  // With a listener for each worker the one here only holds the port.
  const apart = settings.enableReusePort && script.mode === SWOOLE_BASE && !alone;
  for (const [index, port] of script.ports.entries()) {
    const error = apart && isSpread(port) ? 0 : startListening(port, plan.portSettings[index]);
    if (error === 0) continue;
    closeAll([segment.fd, ...doorbells]);
    removeTaskQueue(plan, segment);
    return giveUp(script, pipes, port, error);
  }

  const inheritance = makeInheritance(script, { segment, doorbells, pipes });
  const shared: Shared = { segment, doorbells, pipes, inheritance };
  const running = await runFirst(state, plan, shared, path);
  const gaveUp = segment.load(WORD_START) === START_FAILED;
  await end(running);
  tellWhatLingers(plan);
  return gaveUp ? fail(script, SWOOLE_ERROR_SERVER_WORKER_TERMINATED) : true;
}

/** Each process loads the code of its own role only. Resolves when everything has stopped. */
async function runFirst(state: ServerState, plan: Plan, shared: Shared, path: string): Promise<Running> {
  if (isAlone(plan)) return (await import('./run-alone.ts')).runAlone(state, plan, shared);
  if (plan.script.mode === SWOOLE_PROCESS)
    return (await import('./run-master.ts')).runMaster(state, plan, shared, path);
  return (await import('./run-manager.ts')).runBaseManager(state, plan, shared, path);
}

/** The last callback, and what only the first process can take away. */
async function end(running: Running): Promise<void> {
  const { script, segment, doorbells, pipes } = running;
  removeSocketFiles(script);
  running.commands.noMoreReplies();
  running.application.giveUpSends();
  await running.application.shutdown();
  removeTaskQueue(running, segment);
  closePipes(script, pipes);
  running.runtime.stopPumping();
  closeAll([segment.fd, ...doorbells]);
  closeListeners(script);
  removePidFile(running);
  script.ended = true;
  leaveServer();
  script.logger.close();
}

/** Nothing may stay behind: sockets are closed, so that the process can end by itself. */
function giveUp(script: Script, pipes: readonly (Pipe | null)[], port: PortState, error: number): false {
  script.lastError.code = error;
  script.logger.log(SWOOLE_LOG_ERROR, listenFailure(port, error));
  return abandon(script, pipes);
}

function abandon(script: Script, pipes: readonly (Pipe | null)[]): false {
  removeSocketFiles(script);
  closePipes(script, pipes);
  closeListeners(script);
  script.ended = true;
  script.logger.close();
  return false;
}

/** Their numbers are forgotten, as they may soon be those of others. */
function closeListeners(script: Script): void {
  for (const port of script.ports) {
    closeAll([port.fd]);
    port.fd = -1;
  }
}

/** With task_ipc_mode 2 and 3. Answers false when the kernel has none for us. */
function openTaskQueue({ script, settings }: Plan, segment: Segment): boolean {
  const { taskIpcMode, taskWorkerNum, messageQueueKey, user } = settings;
  if (taskIpcMode === SWOOLE_IPC_UNSOCK || taskWorkerNum === 0) return true;
  // One with a key is there for other programs too; of a private one only workers under another user must be let in.
  const queue = openMessageQueue(messageQueueKey, messageQueueKey === 0 && user === null ? 0o600 : 0o666);
  segment.store(WORD_TASK_QUEUE, queue + 1);
  if (queue >= 0) return true;
  script.logger.log(SWOOLE_LOG_ERROR, `cannot open message queue ${messageQueueKey} for tasks: ${errorText(-queue)}`);
  return fail(script, -queue);
}

/** One with a key stays, with the tasks that wait in it. */
function removeTaskQueue({ settings }: Plan, segment: Segment): void {
  const queue = taskQueueOf(segment);
  if (queue >= 0 && settings.messageQueueKey === 0) discardTaskQueue(queue, settings.taskTmpdir);
}

function removeSocketFiles(script: Script): void {
  for (const { file } of script.ports) if (file !== null) removeSocketFile(file);
}

function closeAll(fds: number[]): void {
  for (const fd of fds) if (fd >= 0) closeDescriptor(fd);
}

/** Answers the port that somebody else took in the meantime, if there is one. */
function bindShared(script: Script): PortState | null {
  for (const port of script.ports) {
    if (!isSpread(port)) continue;
    closeDescriptor(port.fd);
    const bound = bindListener(port, true);
    port.fd = bound.fd;
    port.bindError = bound.error;
    if (bound.error !== 0) return port;
  }
  return null;
}

function createSegment(plan: Plan): Segment {
  const { script, settings } = plan;
  const process_ = script.mode === SWOOLE_PROCESS;
  const segment = Segment.create({
    mode: script.mode,
    reactorCount: process_ ? settings.reactorNum : 0,
    workerCount: settings.workerNum,
    taskWorkerCount: settings.taskWorkerNum,
    userProcessCount: script.processes.length,
    slotsPerOwner: settings.reactor.maxConnections + SLOT_REST,
    // Two processes of a worker may own connections at a time: see LANES_PER_WORKER.
    ownerCount: process_ ? settings.reactorNum : settings.workerNum * LANES_PER_WORKER,
  });
  segment.startTime = Date.now() / 1000;
  segment.startSessionId = settings.startSessionId;
  segment.writeBootRecord(makeBootRecord(plan));
  segment.store(WORD_MASTER_PID, process.pid);
  segment.store(WORD_MIN_FD, Math.min(...script.attempts.map(({ fd }) => fd).filter((fd) => fd >= 0)));
  return segment;
}
