import type { Process } from '../child/process.ts';
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_BAD_HOST_ADDR,
  SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_NAME_TOO_LONG,
  SWOOLE_ERROR_NO_PAYLOAD,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_SERVER_INVALID_LISTEN_PORT,
  SWOOLE_ERROR_SESSION_CLOSED,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_INVALID_ID,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_LOG_NOTICE,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SSL,
  SWOOLE_THREAD,
  SWOOLE_WORKER_EXIT,
} from '../constants.ts';
import { describeValue, TswooleError } from '../errors.ts';
import { Logger } from '../log/log.ts';
import { Event } from '../loop/event.ts';
import { Timer } from '../loop/timer.ts';
import { inherited } from '../process/environment.ts';
import type { Runtime } from '../process/runtime.ts';
import { keepsWorker } from '../reactor/dispatch.ts';
import { isDatagram, isUnix } from '../reactor/port.ts';
import {
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_OVERFLOW,
  FLAG_PAUSED,
  FLAG_PEER_GONE,
  FLAG_PROTECTED,
  FLAGS,
  OWNER,
  PORT,
  QUEUED_BYTES,
  RECEIVE_TIME,
  UID,
} from '../shm/connections.ts';
import { LIFE_RESPONSES, RESPONSES, SENT_BYTES } from '../shm/counters.ts';
import { workerInbox } from '../shm/layout.ts';
import { CLOSE_REQUEST, RESET_REQUEST, STOP_WORKER } from '../shm/messages.ts';
import { WORD_MANAGER_PID, WORD_MASTER_PID } from '../shm/segment.ts';
import { readStats, type Stats } from '../shm/stats.ts';
import { EADDRINUSE } from '../sys/constants.ts';
import { isBytes } from '../sys/memory.ts';
import { Callbacks, checkEventName } from './callbacks/callbacks.ts';
import type { AnyCallback, PortCallback, ServerCallback, ServerObjectCallback } from './callbacks/events.ts';
import { guardedDispatch } from './callbacks/user-functions.ts';
import { ConnectionList, listConnections, nextConnections, visibleOwner } from './connection-list.ts';
import { type ClientInfo, readClientInfo } from './connections/client-info.ts';
import { closedCode, goneCode } from './connections/closed-code.ts';
import { isSocketPath, sendTo } from './connections/datagrams.ts';
import { sendFile, sendWait } from './connections/send-file.ts';
import type { ListenSocket } from './listen-socket.ts';
import { type CommandCallback, Commands } from './messages/commands.ts';
import { sendMessage } from './messages/pipe-messages.ts';
import { internalsOf, Port } from './port.ts';
import { type Address, type Bound, bindListener, checkAddress, HOST_BYTES_MAX, listenFailure } from './ports/listen.ts';
import { isSystemd, systemdSockets } from './ports/systemd.ts';
import { checkSslFiles } from './ports/tls.ts';
import { addProcess } from './processes/user-processes.ts';
import { type NormalisedSettings, resolveLog, type ServerSettings, validateSettings } from './settings/settings.ts';
import { earlierAnswer, inheritedFromSystemd, inheritedPort, isFirst } from './start/boot-record.ts';
import { startServer } from './start/start.ts';
import type { ServerCore } from './state/core.ts';
import type { FinishCallback, Tasks } from './tasks/tasks.ts';

/** How many `getClientList` gives at most. */
const PAGE_MAX = 100;
/** The type that dispatch_func is told when a connection is to be closed. */
const DISPATCH_CLOSE = 4;
const UID_MIN = -2147483648;
const UID_MAX = 4294967295;

let created: Server | null = null;
/** How many this process has made, one after the other. */
let count = 0;

/**
 * A server with many processes: a master with reactor threads, a manager, workers. What is documented of Swoole's
 * `Swoole\Server` holds here. The script that makes it runs once in every process, and `start()` there takes the role.
 */
export class Server {
  readonly #core: ServerCore;
  /** The connections that this process can see; iterate over it, or ask `count()`. */
  readonly connections: ConnectionList;

  /**
   * Binds at once, so that `server.port` is known; a port that cannot be bound makes `start()` resolve `false`.
   *
   * @param host an IPv4 or IPv6 address, a path, or "SYSTEMD" with port 0 for the sockets of systemd's unit
   * @param port 0 lets the kernel choose
   * @param mode SWOOLE_BASE (workers own their connections) or SWOOLE_PROCESS (the master does)
   * @param sockType one of SWOOLE_SOCK_*, or-ed with SWOOLE_SSL for TLS
   */
  constructor(host: string, port = 0, mode: number = SWOOLE_BASE, sockType: number = SWOOLE_SOCK_TCP) {
    if (mode === SWOOLE_THREAD)
      throw new TswooleError(
        'ERR_UNSUPPORTED',
        'SWOOLE_THREAD is not supported yet: use SWOOLE_PROCESS or SWOOLE_BASE',
      );
    if (mode !== SWOOLE_BASE && mode !== SWOOLE_PROCESS) {
      throw new TswooleError('ERR_ARGUMENT', `mode must be SWOOLE_BASE or SWOOLE_PROCESS, got ${describeValue(mode)}`, {
        key: 'mode',
      });
    }
    if (created !== null && !coreOf(created).ended) {
      throw new TswooleError(
        'ERR_STATE',
        'there is a Server in this process already: add further ports to it with listen()',
      );
    }
    const core: ServerCore = {
      server: this,
      mode,
      place: count + 1,
      ports: [],
      attempts: [],
      callbacks: Callbacks.ofServer(),
      commands: new Commands(() => core),
      processes: [],
      logger: new Logger(),
      inherited: inherited(),
      setting: {},
      lastError: 0,
      started: false,
      ended: false,
      runtime: null,
      settings: null,
      portSettings: [],
      tls: null,
      dispatcher: null,
      control: null,
      application: null,
      tasks: null,
      pipes: [],
      alone: false,
      workerId: -1,
      workerPid: 0,
      taskworker: false,
    };
    this.#core = core;
    cores.set(this, core);
    this.connections = new ConnectionList(core, -1);
    if (isSystemd(host, port) && earlierAnswer(core) === null) addSystemdPorts(core, sockType);
    else addPort(core, host, port, sockType);
    created = this;
    count++;
  }

  // ---- before start -----------------------------------------------------------------------------------------------

  /** Merges settings into those set before. They take effect at `start()`. */
  set(settings: ServerSettings): boolean {
    const core = this.#core;
    if (core.started) {
      core.logger.log(SWOOLE_LOG_WARNING, 'set() has no effect after start()');
      return false;
    }
    if (typeof settings !== 'object' || settings === null) {
      throw new TswooleError('ERR_ARGUMENT', `set() takes an object of settings, got ${describeValue(settings)}`);
    }
    const { values, notices } = validateSettings(settings, 'server');
    if (isFirst(core)) checkSslFiles(values);
    core.setting = { ...core.setting, ...values };
    core.logger.configure(resolveLog(core.setting));
    // The same script runs in every process: what it does wrong is told once.
    if (isFirst(core)) for (const notice of notices) core.logger.once(`notice:${notice}`, SWOOLE_LOG_NOTICE, notice);
    const primary = internalsOf(core.ports[0]);
    primary.settingValues = { ...primary.settingValues, ...values };
    return true;
  }

  /** Registers the callback of an event, in place of an earlier one. The name may be written in any case. */
  on<Name extends string>(event: Name, callback: ServerCallback<Name>): boolean;
  on<Name extends string>(event: Name, callback: ServerObjectCallback<Name>): boolean;
  on(event: string, callback: AnyCallback): boolean {
    const core = this.#core;
    checkEventName(event);
    if (core.started) {
      core.logger.log(SWOOLE_LOG_WARNING, `callbacks cannot be registered after start(): "${event}" is ignored`);
      return false;
    }
    if (core.callbacks.knows(event)) {
      core.callbacks.set(event, callback);
      return true;
    }
    return core.ports[0].on(event, callback as PortCallback<string>);
  }

  /** The callback registered for an event, or null. */
  getCallback(event: string): AnyCallback | null {
    return this.#core.callbacks.get(event) ?? this.#core.ports[0].getCallback(event);
  }

  /** Listens on a further port, with settings and callbacks of its own where it is given some. */
  listen(host: string, port: number, sockType: number): Port | false {
    const core = this.#core;
    if (core.started) {
      core.logger.log(SWOOLE_LOG_WARNING, 'listen() must come before start()');
      core.lastError = SWOOLE_ERROR_WRONG_OPERATION;
      return false;
    }
    if (typeof port === 'number' && (port < 0 || port > 65535) && !isUnix(sockType & ~SWOOLE_SSL)) {
      core.lastError = SWOOLE_ERROR_SERVER_INVALID_LISTEN_PORT;
      core.logger.log(SWOOLE_LOG_WARNING, `listen(): port ${port} is not between 0 and 65535`);
      return false;
    }
    if (typeof host === 'string' && Buffer.byteLength(host) > HOST_BYTES_MAX) {
      core.lastError = SWOOLE_ERROR_NAME_TOO_LONG;
      core.logger.log(SWOOLE_LOG_WARNING, `listen(): "${host}" is longer than ${HOST_BYTES_MAX} bytes`);
      return false;
    }
    const added = addPort(core, host, port, sockType);
    const { bindError } = internalsOf(added);
    if (bindError === 0) return added;
    core.ports.pop();
    core.lastError = bindError;
    core.logger.log(SWOOLE_LOG_WARNING, listenFailure(added, bindError));
    return false;
  }
  addListener(host: string, port: number, sockType: number): Port | false {
    return this.listen(host, port, sockType);
  }
  addlistener(host: string, port: number, sockType: number): Port | false {
    return this.listen(host, port, sockType);
  }

  /** The listening socket of the port with this number (0: the server's own), or `false` when there is none. */
  getSocket(port = 0): ListenSocket | false {
    const { ports } = this.#core;
    return (port === 0 ? ports[0] : ports.find((each) => each.port === port))?.getSocket() ?? false;
  }

  /**
   * Starts everything. In the first process it resolves `true` when the server has been shut down, or `false` when it
   * could not start; in every other process it becomes that process's role and never resolves.
   */
  start(): Promise<boolean> {
    return startServer(this.#core);
  }

  // ---- the life of the server -------------------------------------------------------------------------------------

  /** Ends the whole server. Works in every process; returns before it is done. */
  shutdown(): boolean {
    const { control } = this.#core;
    if (control !== null && !this.#core.ended) return control.shutdown();
    this.#core.lastError = SWOOLE_ERROR_WRONG_OPERATION;
    this.#notRunning('shutdown');
    return false;
  }

  /** Replaces all workers (or the task workers only) by new ones, without closing a connection in SWOOLE_PROCESS. */
  reload(onlyReloadTaskworker = false): boolean {
    const control = this.#control('reload');
    return control?.reload(onlyReloadTaskworker) ?? false;
  }

  /** Stops a worker, which is then replaced: -1 is the current one. With `waitEvent` it first finishes what it has begun. */
  stop(workerId = -1, waitEvent = false): boolean {
    const core = this.#core;
    const control = this.#control('stop');
    if (control === null || core.runtime === null) return false;
    const { layout } = core.runtime.segment;
    if (workerId === -1 && core.workerId === -1) {
      core.lastError = SWOOLE_ERROR_WRONG_OPERATION;
      return false;
    }
    const id = workerId === -1 ? core.workerId : workerId;
    if (!Number.isInteger(id) || id < 0 || id >= layout.workerCount + layout.taskWorkerCount) {
      core.lastError = SWOOLE_ERROR_INVALID_PARAMS;
      return false;
    }
    if (id === core.workerId) return control.stopSelf(waitEvent || core.settings!.reloadAsync);
    core.runtime.tell(workerInbox(layout, id), STOP_WORKER, 0, waitEvent ? 1 : 0);
    return true;
  }

  // ---- data -------------------------------------------------------------------------------------------------------

  /**
   * Queues data for a connection; the pieces of two sends never mix. `false` with a code in `getLastError()` means that
   * nothing of it is sent: the connection is closed or unknown, too much waits for it already (1008), or the data is
   * longer than `buffer_output_size` (1202). Given the path of a Unix socket, sends one datagram there, as sendto() does.
   */
  send(fd: number | string, data: string | Uint8Array, serverSocket = -1): boolean {
    const core = this.#core;
    const runtime = this.#running('send');
    if (runtime === null) return false;
    if (typeof data !== 'string' && !isBytes(data)) {
      throw new TswooleError('ERR_ARGUMENT', `send() takes a string or a Uint8Array, got ${describeValue(data)}`, {
        key: 'data',
      });
    }
    if (data.length === 0) return this.#fail(SWOOLE_ERROR_NO_PAYLOAD);
    if (typeof fd === 'string' && core.ports.some((port) => port.type === SWOOLE_SOCK_UNIX_DGRAM)) {
      // The peer of a packet may have no path, or one that begins at a directory of its own.
      if (!isSocketPath(fd)) return this.#fail(SWOOLE_ERROR_BAD_HOST_ADDR);
      return sendTo(core, fd, 0, data, serverSocket);
    }
    if (typeof fd !== 'number' || fd <= 0) return this.#badSession('send', fd, serverSocket);
    const { connections } = runtime;
    const slot = connections.find(fd);
    if (slot === -1) return this.#fail(goneCode(connections, fd));
    const { words } = connections;
    const base = connections.wordBase(slot);
    const flags = words[base + FLAGS];
    if ((flags & (FLAG_CLOSE_TAKEN | FLAG_PEER_GONE)) !== 0) return this.#fail(closedCode(flags));

    const limit = core.portSettings[words[base + PORT]].socketBufferSize;
    const queued = words[base + QUEUED_BYTES] + runtime.wire.waitingBytes(slot);
    const outputMax = core.settings!.bufferOutputSize;
    const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length;
    if (length > outputMax) return this.#fail(SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE);
    if (queued + length > limit && this.#overflows(slot, length, limit))
      return this.#fail(SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);

    runtime.wire.send(slot, connections.serialOf(fd), data);
    const { numbers, base: counters } = runtime.counters;
    numbers[counters + RESPONSES]++;
    numbers[counters + LIFE_RESPONSES]++;
    numbers[counters + SENT_BYTES] += length;
    return true;
  }

  /**
   * Sends one datagram from this process, to an IP address and port or to the path of a Unix socket. `serverSocket` is the
   * socket to send with, as `packet` has told it; by default that of the port of the right family which was added last.
   * `false` where the kernel refuses: `getLastError()` is then its errno, such as 11 (EAGAIN) for a full buffer.
   */
  sendto(ip: string, port: number, data: string | Uint8Array, serverSocket = -1): boolean {
    return this.#running('sendto') !== null && sendTo(this.#core, ip, port, data, serverSocket);
  }

  /**
   * Asks for bufferEmpty, then looks once more: the owner of the socket may have emptied the queue just before, and would
   * then have nothing to tell.
   */
  #overflows(slot: number, length: number, limit: number): boolean {
    const { connections, wire } = this.#core.runtime!;
    connections.setFlags(slot, FLAG_OVERFLOW);
    const queued = Atomics.load(connections.words, connections.wordBase(slot) + QUEUED_BYTES) + wire.waitingBytes(slot);
    if (queued + length > limit) return true;
    connections.clearFlags(slot, FLAG_OVERFLOW);
    return false;
  }

  /**
   * Queues a part of a file for a connection, in order with what send() queues; `length` 0 means to its end. The kernel
   * sends it from where it lies, so even a big one takes no memory and does not count for `socket_buffer_size`. `false`
   * with a code in `getLastError()` when the file cannot be read or the connection is closed or unknown.
   */
  sendfile(fd: number, filename: string, offset = 0, length = 0): boolean {
    return this.#running('sendfile') !== null && sendFile(this.#core, fd, filename, offset, length);
  }

  /**
   * Sends data in order behind what was sent before, without a limit on its size, and resolves `true` when all of it is
   * with the kernel, `false` when that cannot be: the connection ended first, or is unknown. Only in event workers of
   * SWOOLE_BASE, for their own connections.
   */
  async sendwait(fd: number, data: string | Uint8Array): Promise<boolean> {
    return this.#running('sendwait') !== null && sendWait(this.#core, fd, data);
  }

  /** Closes a connection: the close callback runs, then what is queued is sent. With `reset` it is dropped instead. */
  close(fd: number, reset = false): boolean {
    const core = this.#core;
    const runtime = this.#running('close');
    if (runtime === null) return false;
    const { connections } = runtime;
    const slot = connections.find(fd);
    if (slot === -1) return this.#fail(SWOOLE_ERROR_SESSION_NOT_EXIST);
    const serial = connections.serialOf(fd);
    const flags = connections.flags(slot);
    if ((flags & FLAG_CLOSE_TAKEN) !== 0) {
      if ((flags & FLAG_CLOSE_DONE) === 0) return this.#fail(SWOOLE_ERROR_SESSION_CLOSING);
      if (!reset) return this.#fail(SWOOLE_ERROR_SESSION_CLOSED);
      runtime.wire.finishClose(slot, serial, true);
      return true;
    }
    const worker = this.#closingWorker(fd, slot);
    if (worker === core.workerId) core.application!.closeRequested(slot, serial, reset);
    else runtime.tell(workerInbox(runtime.segment.layout, worker), reset ? RESET_REQUEST : CLOSE_REQUEST, slot, serial);
    return true;
  }

  /** The worker that runs a connection's close callback. */
  #closingWorker(fd: number, slot: number): number {
    const core = this.#core;
    const { connections, segment } = core.runtime!;
    if (core.mode === SWOOLE_BASE) return connections.words[connections.wordBase(slot) + OWNER];
    const dispatcher = core.dispatcher!;
    const { dispatchFunc } = core.settings!;
    if (dispatchFunc !== null) {
      const answer = guardedDispatch(core, dispatchFunc)(fd, DISPATCH_CLOSE, null);
      if (Number.isInteger(answer) && answer >= 0 && answer < segment.layout.workerCount) return answer;
    }
    if (!keepsWorker(dispatcher.mode) && core.workerId >= 0 && !core.taskworker) return core.workerId;
    return dispatcher.owner(slot);
  }

  /** True exactly when the connection is open and nobody has begun to close it. */
  exists(fd: number): boolean {
    return this.#openSlot(fd) !== -1;
  }
  exist(fd: number): boolean {
    return this.exists(fd);
  }

  /** Stops reading from a connection; sending goes on. */
  pause(fd: number): boolean {
    const slot = this.#slotOrError('pause', fd);
    if (slot === -1) return false;
    const { connections, wire } = this.#core.runtime!;
    connections.setFlags(slot, FLAG_PAUSED);
    wire.pause(slot, connections.serialOf(fd));
    return true;
  }

  /** Reads from a paused connection again. */
  resume(fd: number): boolean {
    const slot = this.#slotOrError('resume', fd);
    if (slot === -1) return false;
    const { connections, wire } = this.#core.runtime!;
    connections.clearFlags(slot, FLAG_PAUSED);
    wire.resume(slot, connections.serialOf(fd));
    return true;
  }

  /** With `enable_delay_receive`: begins to read from a new connection. `false` when it is read from already. */
  confirm(fd: number): boolean {
    const slot = this.#slotOrError('confirm', fd);
    if (slot === -1) return false;
    const { connections, wire } = this.#core.runtime!;
    if ((connections.clearFlags(slot, FLAG_PAUSED) & FLAG_PAUSED) === 0) return false;
    wire.resume(slot, connections.serialOf(fd));
    return true;
  }

  /** Keeps the connection from being closed for being idle. */
  protect(fd: number, isProtected = true): boolean {
    const runtime = this.#running('protect');
    const slot = this.#openSlot(fd);
    if (runtime === null || slot === -1) return false;
    const { connections } = runtime;
    if (isProtected) connections.setFlags(slot, FLAG_PROTECTED);
    else connections.clearFlags(slot, FLAG_PROTECTED);
    return true;
  }

  /** Ties a connection to a user id, once. With dispatch_mode 5, all connections of an id go to one worker. */
  bind(fd: number, uid: number): boolean {
    const core = this.#core;
    if (!Number.isInteger(uid) || uid < UID_MIN || uid > UID_MAX) {
      core.logger.log(
        SWOOLE_LOG_WARNING,
        `bind(): uid ${describeValue(uid)} is not a whole number between ${UID_MIN} and ${UID_MAX}`,
      );
      return false;
    }
    const runtime = this.#running('bind');
    const slot = this.#openSlot(fd);
    if (runtime === null || slot === -1) return false;
    const { connections } = runtime;
    return Atomics.compareExchange(connections.words, connections.wordBase(slot) + UID, 0, uid | 0) === 0;
  }

  /** Ids of the connections that have been silent for longer than `heartbeat_idle_time`, which are closed by default. */
  heartbeat(ifCloseConnection = true): number[] | false {
    const core = this.#core;
    const runtime = this.#running('heartbeat');
    if (runtime === null || core.settings!.heartbeatCheckIntervalMs < 1) return false;
    const { connections } = runtime;
    const now = Date.now();
    const silent = listConnections(core, -1).filter((fd) => {
      const slot = connections.find(fd);
      if (slot === -1 || (connections.flags(slot) & FLAG_PROTECTED) !== 0) return false;
      const { heartbeatIdleMs } = core.portSettings[connections.words[connections.wordBase(slot) + PORT]];
      const idleMs = now - connections.numbers[connections.numberBase(slot) + RECEIVE_TIME] * 1000;
      return heartbeatIdleMs > 0 && idleMs > heartbeatIdleMs;
    });
    if (ifCloseConnection) for (const fd of silent) this.close(fd);
    return silent;
  }

  // ---- tasks and messages -----------------------------------------------------------------------------------------

  /**
   * Gives a task to a task worker: to the one with this index, or to an idle one. Answers the id of the task, which counts
   * from 0 in each process, or `false`. Its result comes to `finishCallback`, else to the `finish` event; where the task
   * worker dies over it, the callback gets `false`. In other processes than event workers nobody is answered.
   */
  task(data: unknown, dstWorkerId = -1, finishCallback?: FinishCallback): number | false {
    return this.#tasks('task')?.task(data, dstWorkerId, finishCallback) ?? false;
  }

  /**
   * Gives a task to a task worker and waits for its result. `false` with a code in `getLastError()`: not in time (10018),
   * or the task worker has died over it (9003). A timeout of 0 is none. In event workers only.
   */
  async taskwait<Result = unknown>(data: unknown, timeout = 0.5, dstWorkerId = -1): Promise<Result | false> {
    return (await (this.#tasks('taskwait')?.wait(data, timeout, dstWorkerId) ?? false)) as Result | false;
  }

  /** As taskwait(), but blocks the whole process until the answer is there or the time is up. */
  taskwaitSync<Result = unknown>(data: unknown, timeout = 0.5, dstWorkerId = -1): Result | false {
    return (this.#tasks('taskwaitSync')?.waitSync(data, timeout, dstWorkerId) ?? false) as Result | false;
  }

  /**
   * Gives out up to 1,024 tasks and waits for all results, in the order of the tasks. The places of those that did not come
   * in time stay empty; those of failed ones are `false`. In event workers only.
   */
  async taskWaitMulti<Result = unknown>(tasks: readonly unknown[], timeout = 0.5): Promise<(Result | false)[] | false> {
    const all = await (this.#tasks('taskWaitMulti')?.waitAll('taskWaitMulti', tasks, timeout, true) ?? false);
    return all as (Result | false)[] | false;
  }

  /** As taskWaitMulti(), but the places of those that did not come in time are `false` too. */
  async taskCo<Result = unknown>(tasks: readonly unknown[], timeout = 0.5): Promise<(Result | false)[] | false> {
    const all = await (this.#tasks('taskCo')?.waitAll('taskCo', tasks, timeout, false) ?? false);
    return all as (Result | false)[] | false;
  }

  /** In a task: sends a result to the worker that asked. May be called several times; also by what a task has begun. */
  finish(data: unknown): boolean {
    return this.#tasks('finish')?.finish(data) ?? false;
  }

  /** Sends a value to a worker, task worker or user process, whose `pipeMessage` event gets it. */
  sendMessage(message: unknown, workerId: number): boolean {
    const runtime = this.#running('sendMessage');
    return runtime !== null && sendMessage(this.#core, runtime, message, workerId);
  }

  /**
   * Before start(): a process of the user's that lives as long as the server and is started again whenever it ends. Answers
   * its number among them, from 0; its worker id follows those of the task workers.
   */
  addProcess(process: Process): number | false {
    return addProcess(this.#core, process);
  }

  /**
   * Before start(): names a function that processes of these types (SWOOLE_SERVER_COMMAND_*, or-ed) run when they are asked
   * to. It gets JSON and answers text, JSON as a rule.
   */
  addCommand(name: string, acceptedProcessTypes: number, callback: CommandCallback): boolean {
    return this.#core.commands.add(name, acceptedProcessTypes, callback);
  }

  /**
   * Asks a process to run a command, and resolves what it has answered, decoded from JSON unless told otherwise. `false`
   * with a code in `getLastError()`: unknown (9012), not for such a process (507), no such process (505), or not in
   * `command_timeout` (10018).
   */
  async command<Answer = unknown>(
    name: string,
    processId: number,
    processType: number,
    data: unknown,
    jsonDecode = true,
  ): Promise<Answer | false> {
    if (this.#running('command') === null) return false;
    return (await this.#core.commands.command(name, processId, processType, data, jsonDecode)) as Answer | false;
  }

  // ---- timers -----------------------------------------------------------------------------------------------------

  /** Timer.tick() */
  tick<Args extends unknown[]>(
    ms: number,
    callback: (timerId: number, ...args: Args) => unknown,
    ...args: Args
  ): number | false {
    return Timer.tick(ms, callback, ...args);
  }
  /** Timer.after() */
  after<Args extends unknown[]>(ms: number, callback: (...args: Args) => unknown, ...args: Args): number | false {
    return Timer.after(ms, callback, ...args);
  }
  /** Timer.clear() */
  clearTimer(timerId: number | false): boolean {
    return Timer.clear(timerId);
  }
  /** Calls back at the end of the current turn of the loop. */
  defer(callback: () => unknown): void {
    Event.defer(callback);
  }

  // ---- queries ----------------------------------------------------------------------------------------------------

  /** What is known of a connection. With `ignoreError` also of one that has just been closed. */
  getClientInfo(fd: number, _reactorId = -1, ignoreError = false): ClientInfo | false {
    const core = this.#core;
    const { runtime } = core;
    if (runtime === null) {
      this.#notRunning('getClientInfo');
      return false;
    }
    const slot = ignoreError ? runtime.connections.findAny(fd) : runtime.connections.find(fd);
    if (slot === -1 || !this.#sees(slot)) return false;
    // Inside the close callback it still exists; once that has returned it does not.
    if (!ignoreError && (runtime.connections.flags(slot) & FLAG_CLOSE_DONE) !== 0) return false;
    return readClientInfo(core, slot);
  }
  connection_info(fd: number, reactorId = -1, ignoreError = false): ClientInfo | false {
    return this.getClientInfo(fd, reactorId, ignoreError);
  }

  /** The next connections behind `startFd`, in ascending order; an empty array at the end. */
  getClientList(startFd = 0, pageSize = 10): number[] | false {
    const core = this.#core;
    if (core.runtime === null) {
      this.#notRunning('getClientList');
      return false;
    }
    if (!Number.isInteger(pageSize) || pageSize > PAGE_MAX) {
      const got = describeValue(pageSize);
      core.logger.log(SWOOLE_LOG_WARNING, `getClientList(): a page has at most ${PAGE_MAX} connections, got ${got}`);
      return false;
    }
    if (startFd !== 0 && !this.exists(startFd)) return false;
    return nextConnections(core, startFd, pageSize);
  }
  connection_list(startFd = 0, pageSize = 10): number[] | false {
    return this.getClientList(startFd, pageSize);
  }

  /** Counters of the server and of this process. */
  stats(): Stats | false {
    const { runtime } = this.#core;
    if (runtime !== null) return readStats(runtime.segment, runtime.lane);
    this.#notRunning('stats');
    return false;
  }

  /** The code of the last failed call of this process. */
  getLastError(): number {
    return this.#core.lastError;
  }

  getWorkerId(): number | false {
    const { workerId } = this.#core;
    return workerId === -1 ? false : workerId;
  }

  /** Process id of a worker; -1 is the current one. */
  getWorkerPid(workerId = -1): number | false {
    const { runtime } = this.#core;
    if (runtime === null) return false;
    // A worker that is being replaced: the table has the next one's already.
    if (workerId === -1 && runtime.workerId !== -1) return process.pid;
    const id = workerId === -1 ? 0 : workerId;
    return runtime.workers.has(id) ? runtime.workers.pid(id) : false;
  }

  /** SWOOLE_WORKER_BUSY, _IDLE or _EXIT. */
  getWorkerStatus(workerId = -1): number | false {
    const core = this.#core;
    const { runtime } = core;
    if (runtime === null) return false;
    if ((workerId === -1 || workerId === core.workerId) && runtime.stopping) return SWOOLE_WORKER_EXIT;
    const id = workerId === -1 ? core.workerId : workerId;
    return runtime.workers.has(id) ? runtime.workers.status(id) : false;
  }

  getManagerPid(): number {
    return this.#core.runtime?.segment.load(WORD_MANAGER_PID) ?? 0;
  }
  getMasterPid(): number {
    return this.#core.runtime?.segment.load(WORD_MASTER_PID) ?? 0;
  }

  // ---- properties -------------------------------------------------------------------------------------------------

  /** All settings, merged. */
  get setting(): NormalisedSettings {
    return this.#core.setting;
  }
  /** All ports; the first is the server's own. */
  get ports(): readonly Port[] {
    return this.#core.ports;
  }
  get host(): string {
    return this.#core.ports[0].host;
  }
  get port(): number {
    return this.#core.ports[0].port;
  }
  /** SWOOLE_SOCK_* of the server's own port. */
  get type(): number {
    return this.#core.ports[0].type;
  }
  get ssl(): boolean {
    return this.#core.ports[0].ssl;
  }
  /** SWOOLE_BASE or SWOOLE_PROCESS. */
  get mode(): number {
    return this.#core.mode;
  }
  get master_pid(): number {
    return this.getMasterPid();
  }
  get manager_pid(): number {
    return this.getManagerPid();
  }
  /** Id of this worker; -1 in other processes. */
  get worker_id(): number {
    return this.#core.workerId;
  }
  get worker_pid(): number {
    return this.#core.workerPid;
  }
  /** True exactly in a task worker. */
  get taskworker(): boolean {
    return this.#core.taskworker;
  }

  // ---- helpers ----------------------------------------------------------------------------------------------------

  #fail(code: number): false {
    this.#core.lastError = code;
    return false;
  }

  #notRunning(method: string): void {
    this.#core.logger.log(SWOOLE_LOG_WARNING, `${method}(): the server is not running`);
  }

  /** For what does something: null, and a warning, before the server runs and when it has ended. */
  #running(method: string): Runtime | null {
    const { runtime, ended } = this.#core;
    if (runtime !== null && !ended) return runtime;
    this.#notRunning(method);
    return null;
  }
  #tasks(method: string): Tasks | null {
    return this.#running(method) === null ? null : this.#core.tasks;
  }
  #control(method: string): ServerCore['control'] {
    return this.#running(method) === null ? null : this.#core.control;
  }

  #badSession(method: string, fd: unknown, serverSocket: number): false {
    // The keys of an object are text.
    const hint = typeof fd === 'string' ? ', which is a number' : '';
    const about = serverSocket === -1 ? '' : ` through socket ${serverSocket}`;
    this.#core.logger.log(
      SWOOLE_LOG_WARNING,
      `${method}(): ${describeValue(fd)} is not the id of a connection${hint}${about}`,
    );
    return this.#fail(SWOOLE_ERROR_SESSION_INVALID_ID);
  }

  #sees(slot: number): boolean {
    const owner = visibleOwner(this.#core);
    const { connections } = this.#core.runtime!;
    return owner === -1 || connections.words[connections.wordBase(slot) + OWNER] === owner;
  }

  #openSlot(fd: number): number {
    const { runtime } = this.#core;
    if (runtime === null) return -1;
    const slot = runtime.connections.find(fd);
    return slot !== -1 && runtime.connections.isOpen(slot) && this.#sees(slot) ? slot : -1;
  }

  #slotOrError(method: string, fd: number): number {
    if (this.#running(method) === null) return -1;
    const slot = this.#openSlot(fd);
    if (slot === -1) this.#fail(SWOOLE_ERROR_SESSION_NOT_EXIST);
    return slot;
  }
}

const cores = new WeakMap<Server, ServerCore>();
function coreOf(server: Server): ServerCore {
  return cores.get(server)!;
}

/** Takes what systemd has opened, each socket as a port. */
function addSystemdPorts(core: ServerCore, sockType: number): void {
  for (const socket of inheritedFromSystemd(core) ?? systemdSockets(sockType, core.logger)) {
    core.attempts.push(socket);
    core.ports.push(new Port(core, socket, socket));
  }
}

/** Binds (in the first process) or takes over (in a child) the next port. */
function addPort(core: ServerCore, host: string, port: number, sockType: number): Port {
  const address = checkAddress(host, port, sockType);
  const bound = inheritedPort(core, address) ?? bindOnce(core, address);
  core.attempts.push({ ...address, ...bound });
  const added = new Port(core, { ...address, port: bound.port }, bound);
  core.ports.push(added);
  return added;
}

/** Two sockets of ours could both be bound to one address: the kernel complains only when the second listens. */
function bindOnce(core: ServerCore, address: Address): Bound {
  const same = core.ports.filter(
    (port) => port.port === address.port && isDatagram(port.type) === isDatagram(address.type),
  );
  const taken = !isUnix(address.type) && same.some((port) => port.host === address.host && port.type === address.type);
  if (taken) return { fd: -1, port: address.port, error: EADDRINUSE };
  // Where a port of ours serves IPv4 already, "::" is left with IPv6.
  return bindListener(
    address,
    false,
    same.some((port) => port.host === '0.0.0.0'),
  );
}
