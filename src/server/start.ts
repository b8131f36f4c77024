/** start(): what it means in the first process, in a child, and in a thread that runs the script beside the sockets. */
import { rmSync, writeFileSync } from 'node:fs';
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_OPERATION_NOT_SUPPORT,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
} from '../constants.ts';
import { BaseWorker } from '../process/base-worker.ts';
import type { ChildDescription } from '../process/environment.ts';
import { EventWorker } from '../process/event-worker.ts';
import { ProcessLauncher, scriptOf } from '../process/launcher.ts';
import { Manager } from '../process/manager.ts';
import { Master } from '../process/master.ts';
import { applyPrivileges } from '../process/privileges.ts';
import { ReactorThreads } from '../process/reactor-threads.ts';
import { type Role, Runtime } from '../process/runtime.ts';
import { keepsWorker } from '../reactor/dispatch.ts';
import { type ReactorThreadConfig, runReactorThread } from '../reactor/thread.ts';
import { MANAGER_INBOX, MANAGER_LANE, MASTER_INBOX, MASTER_LANE, workerLane } from '../shm/layout.ts';
import { RELOAD, SHUTDOWN } from '../shm/messages.ts';
import {
  Segment,
  STATE_RUNNING,
  STATE_STOPPING,
  WORD_MANAGER_PID,
  WORD_MASTER_PID,
  WORD_RELOADING,
  WORD_STATE,
} from '../shm/segment.ts';
import { SIGKILL } from '../sys/constants.ts';
import { createEventfd } from '../sys/eventfd.ts';
import { dieWithParent } from '../sys/process.ts';
import { onSigrtmin } from '../sys/signal.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { ServerApplication } from './application.ts';
import { type BootRecord, daemonRecord, inheritedSegment, reactorConfig } from './boot-record.ts';
import type { Control, ServerCore } from './core.ts';
import { becomeDaemon } from './daemon.ts';
import { bindListener, listenFailure, startListening } from './listen.ts';
import { internalsOf } from './port.ts';
import { checkCallbacks, makeDispatcher, prepareSettings, reactorPorts } from './prepare.ts';

/** A process that has taken a role does not come back from start(). */
const NEVER = new Promise<never>(() => {});

export async function startServer(core: ServerCore): Promise<boolean> {
  if (core.started) {
    core.logger.log(SWOOLE_LOG_WARNING, 'start(): the server was started already');
    return false;
  }
  core.started = true;
  core.lastError = 0;
  try {
    prepareSettings(core);
    checkCallbacks(core);
  } catch (error) {
    core.started = false;
    throw error;
  }
  const reactor = reactorConfig();
  if (reactor !== null) return startReactor(core, reactor);
  return core.inherited === null ? startFirst(core) : startChild(core);
}

// ---- the first process ----------------------------------------------------------------------------------------------

async function startFirst(core: ServerCore): Promise<boolean> {
  const settings = core.settings!;
  const failed = core.ports.find((port) => internalsOf(port).bindError !== 0);
  if (failed !== undefined) return giveUp(core, failed.host, failed.port, internalsOf(failed).bindError);
  const alone =
    core.mode === SWOOLE_BASE && settings.workerNum === 1 && settings.taskWorkerNum === 0 && settings.maxRequest === 0;
  const script = alone ? '' : scriptOf(settings.entryScript);
  if (settings.daemonize && daemonRecord() === null) becomeDaemon(core);
  if (settings.daemonize) process.chdir('/');

  if (settings.enableReusePort) bindShared(core);
  const segment = createSegment(core);
  const doorbells = Array.from({ length: segment.layout.inboxCount }, () => createEventfd());
  // With a listener for each worker the one here only holds the port.
  if (!settings.enableReusePort || core.mode === SWOOLE_PROCESS || alone) {
    for (const [index, port] of core.ports.entries()) {
      const error = startListening(internalsOf(port).fd, core.portSettings[index]);
      if (error === 0) continue;
      closeAll([segment.fd, ...doorbells]);
      return giveUp(core, port.host, port.port, error);
    }
  }
  if (settings.pidFile !== null) writePidFile(core, settings.pidFile);

  await (alone
    ? runAlone(core, segment, doorbells)
    : core.mode === SWOOLE_PROCESS
      ? runMaster(core, segment, doorbells, script)
      : runBaseManager(core, segment, doorbells, script));

  await core.application!.shutdown();
  closeAll([segment.fd, ...doorbells, ...core.ports.map((port) => internalsOf(port).fd)]);
  if (settings.pidFile !== null) rmSync(settings.pidFile, { force: true });
  core.ended = true;
  core.logger.close();
  return true;
}

/** Nothing may stay behind: sockets are closed, so that the process can end by itself. */
function giveUp(core: ServerCore, host: string, port: number, error: number): false {
  core.lastError = error;
  core.logger.log(SWOOLE_LOG_ERROR, listenFailure(host, port, error));
  closeAll(core.ports.map((each) => internalsOf(each).fd));
  core.ended = true;
  return false;
}

function closeAll(fds: number[]): void {
  for (const fd of fds) if (fd >= 0) closeDescriptor(fd);
}

function bindShared(core: ServerCore): void {
  for (const port of core.ports) {
    const own = internalsOf(port);
    closeDescriptor(own.fd);
    own.fd = bindListener(port, true).fd;
  }
}

function createSegment(core: ServerCore): Segment {
  const settings = core.settings!;
  const process_ = core.mode === SWOOLE_PROCESS;
  const segment = Segment.create({
    mode: core.mode,
    reactorCount: process_ ? settings.reactorNum : 0,
    workerCount: settings.workerNum,
    taskWorkerCount: settings.taskWorkerNum,
    userProcessCount: 0,
    slotsPerOwner: settings.maxConnection,
    ownerCount: process_ ? settings.reactorNum : settings.workerNum,
  });
  segment.startTime = Date.now() / 1000;
  segment.startSessionId = settings.startSessionId;
  const record: BootRecord = { attempts: core.attempts };
  segment.writeBootRecord(record);
  segment.store(WORD_MASTER_PID, process.pid);
  return segment;
}

function writePidFile(core: ServerCore, path: string): void {
  try {
    writeFileSync(path, `${process.pid}`);
  } catch (error) {
    core.logger.log(SWOOLE_LOG_WARNING, `cannot write pid_file: ${(error as Error).message}`);
  }
}

/** SWOOLE_BASE with one worker and nothing to manage: this process is the worker. */
function runAlone(core: ServerCore, segment: Segment, doorbells: number[]): Promise<void> {
  const lane = workerLane(segment.layout, 0, 0);
  const runtime = enter(core, 'worker', 0, lane, segment, doorbells);
  runtime.workers.recordStart(0, process.pid, lane);
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
      segment.store(WORD_STATE, STATE_STOPPING);
      application.beforeShutdown();
      worker.stop(core.settings!.reloadAsync);
      return true;
    };
    const noReload = (): boolean => {
      core.lastError = SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
      core.logger.log(
        SWOOLE_LOG_WARNING,
        'a server of one process cannot reload: set worker_num to 2 or more, or use SWOOLE_PROCESS',
      );
      return false;
    };
    // The only worker is the server: stopping it is the end.
    core.control = { shutdown: end, reload: noReload, stopSelf: end, exiting: () => ending };
    const signals = handleSignals({ onTerm: end, onReload: noReload, onReopen: () => core.logger.reopen() });
    application.start();
    worker.run();
  });
}

function runMaster(core: ServerCore, segment: Segment, doorbells: number[], script: string): Promise<void> {
  const settings = core.settings!;
  const runtime = enter(core, 'master', -1, MASTER_LANE, segment, doorbells);
  const userFunctions =
    settings.dispatchFunc !== null || core.portSettings.some((port) => port.framing.kind === 'lengthFunction');
  return new Promise((resolve, reject) => {
    const ports = reactorPorts(core).map((port) =>
      port.framing.kind === 'lengthFunction' ? { ...port, framing: { kind: 'raw' } as const } : port,
    );
    const reactors = new ReactorThreads({
      runtime,
      config: {
        segmentFd: segment.fd,
        doorbells,
        ports,
        dispatch: {
          mode: settings.dispatchMode,
          workerCount: settings.workerNum,
          unsafeEvents: settings.enableUnsafeEvent,
        },
        maxConnections: settings.maxConnection,
        maxQueuedBytes: settings.maxQueuedBytes,
        delayReceive: settings.enableDelayReceive,
        heartbeatCheckMs: settings.heartbeatCheckIntervalMs,
        log: settings.log,
      },
      count: settings.reactorNum,
      script: userFunctions ? script : null,
      onFailure: (error) => reject(error),
    });
    const master: Master = new Master({
      runtime,
      application: core.application!,
      settings,
      launcher: new ProcessLauncher({ script, fds: [segment.fd, ...doorbells], inspectOffset: 0 }),
      reactors,
      doorbellCount: doorbells.length,
      portCount: 0,
      onEnd: () => {
        signals.close();
        resolve();
      },
    });
    const shutdown = (): boolean => {
      void master.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => {
      if (segment.load(WORD_RELOADING) !== 0) return false;
      master.reload(taskWorkersOnly);
      return true;
    };
    core.control = { shutdown, reload, stopSelf: () => false, exiting: () => false };
    const signals = handleSignals({ onTerm: shutdown, onReload: reload, onReopen: () => master.reopenLogs() });
    master.run();
  });
}

function runBaseManager(core: ServerCore, segment: Segment, doorbells: number[], script: string): Promise<void> {
  const settings = core.settings!;
  const runtime = enter(core, 'manager', -1, MANAGER_LANE, segment, doorbells);
  segment.store(WORD_MANAGER_PID, process.pid);
  segment.store(WORD_STATE, STATE_RUNNING);
  return new Promise((resolve) => {
    const listeners = core.ports.map((port) => internalsOf(port).fd);
    const manager: Manager = new Manager({
      runtime,
      application: core.application!,
      settings,
      launcher: new ProcessLauncher({ script, fds: [segment.fd, ...doorbells, ...listeners], inspectOffset: 0 }),
      doorbellCount: doorbells.length,
      portCount: listeners.length,
      workersOwnSockets: true,
      again: false,
      onEnd: () => {
        signals.close();
        resolve();
      },
      onShutdownRequest: () => shutdown(),
      onOwnerDeath: (workerId) => runtime.connections.freeOwner(workerId),
    });
    const shutdown = (): boolean => {
      segment.store(WORD_STATE, STATE_STOPPING);
      manager.shutdown();
      return true;
    };
    const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
    core.control = { shutdown, reload, stopSelf: () => false, exiting: () => false };
    const signals = handleSignals({ onTerm: shutdown, onReload: reload, onReopen: () => manager.reopenLogs() });
    manager.run();
  });
}

// ---- children ---------------------------------------------------------------------------------------------------------

function startChild(core: ServerCore): Promise<boolean> {
  const { description, doorbells } = core.inherited!;
  const segment = inheritedSegment(core.inherited!);
  dieWithParent(description.parent, SIGKILL);
  if (description.role === 'manager') startManager(core, description, segment, doorbells);
  else startWorker(core, description, segment, doorbells);
  return NEVER;
}

/** The manager of SWOOLE_PROCESS. */
function startManager(core: ServerCore, description: ChildDescription, segment: Segment, doorbells: number[]): void {
  const runtime = enter(core, 'manager', -1, MANAGER_LANE, segment, doorbells);
  const settings = core.settings!;
  const manager: Manager = new Manager({
    runtime,
    application: core.application!,
    settings,
    launcher: new ProcessLauncher({
      script: scriptOf(settings.entryScript),
      fds: [core.inherited!.segmentFd, ...doorbells],
      inspectOffset: 100,
    }),
    doorbellCount: doorbells.length,
    portCount: 0,
    workersOwnSockets: false,
    again: description.again,
    onEnd: () => process.exit(0),
    onShutdownRequest: () => askMaster(),
  });
  const askMaster = (): boolean => {
    runtime.tell(MASTER_INBOX, SHUTDOWN);
    return true;
  };
  const reload = (taskWorkersOnly: boolean): boolean => manager.reload(taskWorkersOnly);
  core.control = { shutdown: askMaster, reload, stopSelf: () => false, exiting: () => false };
  handleSignals({
    // From the master it is the end; from anybody else a wish, which the master carries out in its order.
    onTerm: () => (segment.load(WORD_STATE) === STATE_STOPPING ? manager.shutdown() : askMaster()),
    onReload: reload,
    onReopen: () => manager.reopenLogs(),
  });
  manager.run();
}

function startWorker(core: ServerCore, description: ChildDescription, segment: Segment, doorbells: number[]): void {
  const settings = core.settings!;
  const { id, lane } = description;
  const runtime = enter(core, 'worker', id, lane, segment, doorbells);
  runtime.counters.beginLife();
  const application = core.application!;
  const base = core.mode === SWOOLE_BASE;
  let worker: EventWorker | BaseWorker;
  if (base) {
    if (settings.enableReusePort) listenApart(core);
    worker = new BaseWorker({
      runtime,
      application,
      settings,
      ports: reactorPorts(core),
      hasManager: true,
      onEnd: () => process.exit(0),
    });
  } else worker = new EventWorker(runtime, application, settings, keepsWorker(settings.dispatchMode));

  let stopping = false;
  const stop = (graceful: boolean): boolean => {
    if (stopping) return true;
    stopping = true;
    if (base && id === 0 && segment.load(WORD_STATE) === STATE_STOPPING) application.beforeShutdown();
    worker.stop(graceful);
    return true;
  };
  core.control = {
    ...remoteControl(core, runtime),
    // Never inside the current callback.
    stopSelf: (graceful) => {
      setImmediate(() => stop(graceful));
      return true;
    },
    exiting: () => stopping,
  };
  handleSignals({ onTerm: () => stop(settings.reloadAsync), onReload: null, onReopen: () => core.logger.reopen() });
  applyPrivileges(settings, runtime, description.parent);
  if (base && id === 0) {
    segment.store(WORD_MASTER_PID, process.pid);
    if (!description.again) application.start();
  }
  worker.run();
}

/** What a process asks of the master or manager that it cannot do itself. */
function remoteControl(core: ServerCore, runtime: Runtime): Pick<Control, 'shutdown' | 'reload'> {
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

/** With enable_reuse_port each worker has listening sockets of its own, and the kernel spreads clients over them. */
function listenApart(core: ServerCore): void {
  for (const [index, port] of core.ports.entries()) {
    const own = internalsOf(port);
    closeDescriptor(own.fd);
    const bound = bindListener(port, true);
    const error = bound.error !== 0 ? bound.error : startListening(bound.fd, core.portSettings[index]);
    if (error !== 0) core.logger.log(SWOOLE_LOG_ERROR, listenFailure(port.host, port.port, error));
    own.fd = bound.fd;
  }
}

// ---- a reactor thread that runs the user's script ---------------------------------------------------------------------

function startReactor(core: ServerCore, config: ReactorThreadConfig): Promise<boolean> {
  const { dispatchFunc } = core.settings!;
  // Functions do not cross to a thread: they are taken from the settings that the script has made here.
  const ports = config.ports.map((port, index) => {
    const { framing } = core.portSettings[index];
    return framing.kind === 'lengthFunction' ? { ...port, framing } : port;
  });
  const ask =
    dispatchFunc === null
      ? null
      : (fd: number, type: number, data: Buffer | null): number => {
          try {
            return (
              (data === null ? dispatchFunc(core.server, fd, type) : dispatchFunc(core.server, fd, type, data)) ??
              Number.NaN
            );
          } catch (error) {
            core.logger.log(SWOOLE_LOG_ERROR, `dispatch_func failed: ${(error as Error).stack}`);
            return Number.NaN;
          }
        };
  runReactorThread({ ...config, ports }, ask);
  return NEVER;
}

// ---- common -----------------------------------------------------------------------------------------------------------

/** The process takes its role: from here on the Server's methods work. */
function enter(
  core: ServerCore,
  role: Role,
  workerId: number,
  lane: number,
  segment: Segment,
  doorbells: number[],
): Runtime {
  const runtime = new Runtime(role, workerId, lane, segment, doorbells, core.logger);
  core.runtime = runtime;
  core.workerId = workerId;
  core.taskworker = role === 'task';
  core.dispatcher = makeDispatcher(core);
  core.application = new ServerApplication(core);
  const symbol = role === 'master' ? '#' : role === 'manager' ? '$' : '*';
  core.logger.setRole(symbol, Math.max(0, workerId));
  return runtime;
}

interface SignalHandlers {
  onTerm(): void;
  /** Null where reload signals are ignored. */
  onReload: ((taskWorkersOnly: boolean) => void) | null;
  onReopen(): void;
}

function handleSignals(handlers: SignalHandlers): { close(): void } {
  const list: [NodeJS.Signals, () => void][] = [
    ['SIGTERM', () => handlers.onTerm()],
    ['SIGUSR1', () => handlers.onReload?.(false)],
    ['SIGUSR2', () => handlers.onReload?.(true)],
    ['SIGHUP', () => {}],
    ['SIGWINCH', () => handlers.onReopen()],
  ];
  for (const [name, handler] of list) process.on(name, handler);
  const realtime = onSigrtmin(() => handlers.onReopen());
  realtime?.unref();
  return {
    close: () => {
      for (const [name, handler] of list) process.off(name, handler);
      realtime?.close();
    },
  };
}
