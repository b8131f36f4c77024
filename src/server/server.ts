import type { Process } from '../child/process.ts';
import { SWOOLE_BASE, SWOOLE_ERROR_WRONG_OPERATION, SWOOLE_SOCK_TCP } from '../constants.ts';
import { TswooleError } from '../errors.ts';
import { Event } from '../loop/event.ts';
import { asFunction, type MethodOf } from '../loop/method.ts';
import { type AfterCallback, type TickCallback, Timer } from '../loop/timer.ts';
import type { ReloadResult } from '../process/reload-result.ts';
import { WORD_MANAGER_PID, WORD_MASTER_PID } from '../shm/segment.ts';
import { readStats } from '../shm/stats.ts';
import type { Stats } from '../shm/stats-shape.ts';
import type { ObjectEvents } from './callbacks/event-objects.ts';
import type {
  AnyCallback,
  Events as EventsOf,
  PortEvents as PortEventsOf,
  ServerEvents as ServerEventsOf,
} from './callbacks/events.ts';
import type { CallbackOf, EventName, NameOf, ObjectCallbackOf } from './callbacks/on.ts';
import { registerForServer } from './callbacks/register.ts';
import { ConnectionList } from './connection-list.ts';
import { type ClientInfo, clientInfo } from './connections/client-info.ts';
import { close } from './connections/close.ts';
import { bind, confirm, heartbeat, isUid, pause, protect, resume } from './connections/control.ts';
import { sendTo } from './connections/datagrams.ts';
import { type ConnectionOrPath, send, sendAsync } from './connections/send.ts';
import { sendFile, sendWait } from './connections/send-file.ts';
import { connectionPage, openSlot } from './connections/visible.ts';
import { openState } from './internal.ts';
import type { ListenSocket } from './listen-socket.ts';
import { addCommand } from './messages/add-command.ts';
import type { CommandCallback as CommandCallbackOf } from './messages/command-table.ts';
import { sendMessage } from './messages/pipe-messages.ts';
import { Port as PortOf } from './port.ts';
import { addFirstPorts, listenOnPort } from './ports/add-port.ts';
import { stopWorker } from './processes/stop-worker.ts';
import { addProcess } from './processes/user-processes.ts';
import { setForServer } from './settings/apply.ts';
import type { ServerSettings, SettledSettings } from './settings/settings.ts';
import { startServer } from './start/start.ts';
import { keepAsNewest, newScript } from './state/new-script.ts';
import type { Running, ServerState } from './state/running.ts';
import { fail, warnNotRunning } from './state/script.ts';
import { workerPid, workerStatus } from './status/workers.ts';
import type { FinishCallback as FinishCallbackOf } from './tasks/tasks.ts';

// What is of one kind of server, for users of this one.
export type Events<Self = Server> = EventsOf<Self>;
export type ServerEvents<Self = Server> = ServerEventsOf<Self>;
export type PortEvents<Self = Server> = PortEventsOf<Self>;
export type FinishCallback<Self = Server, Result = unknown> = FinishCallbackOf<Self, Result>;
export type CommandCallback<Self = Server> = CommandCallbackOf<Self>;
export type Port<Self = Server> = PortOf<Self>;
export const Port = PortOf;

const ANY_HOST = '0.0.0.0';
/** What stands for a port that is not there. */
const NO_PORT = -1;
/** Seconds. */
const TASK_TIMEOUT = 0.5;
const PAGE_SIZE = 10;

/**
 * A server with many processes: a master with reactor threads, a manager, workers. What is documented of Swoole's
 * `Swoole\Server` holds here. The script that makes it runs once in every process, and `start()` there takes the role.
 */
export class Server {
  static {
    openState((server) => (server as Server).#state);
  }

  readonly #state: ServerState;
  readonly #ports: PortOf<this>[];
  /** The connections that this process can see; iterate over it, or ask `count()`. */
  readonly connections: ConnectionList;

  /**
   * Binds at once, so that `server.port` is known; a port that cannot be bound makes `start()` resolve `false`.
   *
   * @param host an IPv4 or IPv6 address, a path, or "SYSTEMD" with port 0 for the sockets of systemd's unit; by default all
   * IPv4 addresses of the machine
   * @param port 0 lets the kernel choose
   * @param mode SWOOLE_BASE (workers own their connections) or SWOOLE_PROCESS (the master does)
   * @param sockType one of SWOOLE_SOCK_*, or-ed with SWOOLE_SSL for TLS
   */
  constructor(
    host: string | null = ANY_HOST,
    port: number | null = 0,
    mode: number | null = SWOOLE_BASE,
    sockType: number | null = SWOOLE_SOCK_TCP,
  ) {
    const script = newScript(this, mode ?? SWOOLE_BASE);
    const state: ServerState = { script, running: null };
    this.#state = state;
    this.connections = new ConnectionList(state, -1);
    addFirstPorts(script, host ?? ANY_HOST, port ?? 0, sockType ?? SWOOLE_SOCK_TCP);
    this.#ports = script.ports.map((each) => new PortOf<this>(state, each));
    keepAsNewest(script);
  }

  // ---- before start -----------------------------------------------------------------------------------------------

  /** Merges settings into those set before. They take effect at `start()`. */
  set(settings: ServerSettings): boolean {
    return setForServer(this.#state.script, settings);
  }

  /**
   * Registers the callback of an event, in place of an earlier one. The name may be written in any case. The callback is a
   * function, or an object with the name of one of its methods.
   */
  on<
    Name extends string = NameOf<EventsOf<this>>,
    Callback extends ObjectCallbackOf<ObjectEvents<this>, Name> = never,
    Method extends string = never,
  >(
    event: EventName<EventsOf<this>, Name>,
    callback: CallbackOf<EventsOf<this>, Name> | Callback | MethodOf<CallbackOf<EventsOf<this>, Name>, Method>,
  ): boolean {
    return registerForServer(this.#state.script, event, callback);
  }

  /** The callback registered for an event, or null. */
  getCallback(event: string): AnyCallback | null {
    return this.#state.script.callbacks.get(event) ?? this.#ports[0].getCallback(event);
  }

  /**
   * Listens on a further port, with settings and callbacks of its own where it is given some. `sockType` is one of
   * SWOOLE_SOCK_*, SWOOLE_SOCK_TCP by default.
   */
  listen(host: string, port: number, sockType?: number | null): PortOf<this> | false {
    const added = listenOnPort(this.#state.script, host, port, sockType ?? SWOOLE_SOCK_TCP);
    if (added === null) return false;
    return this.#ports[this.#ports.push(new PortOf<this>(this.#state, added)) - 1];
  }
  addListener(host: string, port: number, sockType?: number | null): PortOf<this> | false {
    return this.listen(host, port, sockType);
  }
  addlistener(host: string, port: number, sockType?: number | null): PortOf<this> | false {
    return this.listen(host, port, sockType);
  }

  /** The listening socket of the port with this number (0: the server's own), or `false` when there is none. */
  getSocket(port: number | null = 0): ListenSocket | false {
    const ports = this.#ports;
    return (port === 0 || port === null ? ports[0] : ports.find((each) => each.port === port))?.getSocket() ?? false;
  }

  /**
   * Starts everything. In the first process it resolves `true` when the server has been shut down, or `false` when it
   * could not start; in every other process it becomes that process's role and never resolves.
   */
  start(): Promise<boolean> {
    return startServer(this.#state);
  }

  // ---- the life of the server -------------------------------------------------------------------------------------

  /** Ends the whole server. Works in every process; returns before it is done. */
  shutdown(): boolean {
    const running = this.#running('shutdown');
    return running === null ? fail(this.#state.script, SWOOLE_ERROR_WRONG_OPERATION) : running.control.shutdown();
  }

  /** Replaces all workers (or the task workers only) by new ones, without closing a connection in SWOOLE_PROCESS. */
  reload(onlyReloadTaskworker: boolean | null = false): boolean {
    return this.#running('reload')?.control.reload(onlyReloadTaskworker ?? false) ?? false;
  }

  /** As reload(), and tells how it went: `refused` is null, or why the old workers serve on. Never rejects. */
  async reloadAsync(onlyReloadTaskworker: boolean | null = false): Promise<ReloadResult> {
    const running = this.#running('reloadAsync');
    if (running === null) return { generation: 0, seconds: 0, longestStall: 0, refused: 'the server does not run' };
    return running.control.reloadAsync(onlyReloadTaskworker ?? false);
  }

  /** Stops a worker, which is then replaced: -1 is the current one. With `waitEvent` it first finishes what it has begun. */
  stop(workerId: number | null = -1, waitEvent: boolean | null = false): boolean {
    const running = this.#running('stop');
    return running !== null && stopWorker(running, workerId ?? -1, waitEvent ?? false);
  }

  // ---- data -------------------------------------------------------------------------------------------------------

  /**
   * Queues data for a connection; the pieces of two sends never mix. `false` with a code in `getLastError()` means that
   * nothing of it is sent: the connection is closed or unknown, too much waits for it already (1008), or the data is
   * longer than `buffer_output_size` (1202). `true` is no promise for a process that is killed (SIGKILL): what it has sent
   * beyond the 4 MiB of its ring waits in its own memory. Given the path of a Unix socket, sends one datagram there, as sendto() does.
   */
  send<To extends number | string>(
    fd: ConnectionOrPath<To>,
    data: string | Uint8Array,
    serverSocket: number | null = -1,
  ): boolean {
    const running = this.#running('send');
    return running !== null && send(running, fd, data, serverSocket ?? -1);
  }

  /**
   * As send(), but where that would answer 1008 it waits for room: resolves `true` when the data is queued, in order with
   * what this process sends otherwise, and `false` with a code when it will not be: the connection has ended, `timeout`
   * seconds have passed (10018; by default `send_timeout`), more than 1,024 sends or `socket_buffer_size` bytes wait for the
   * connection already (1008), or the process ends (10017). While something waits, send() is `false` with 1008.
   */
  async sendAsync(fd: number, data: string | Uint8Array, timeout: number | null = null): Promise<boolean> {
    const running = this.#running('sendAsync');
    return running !== null && sendAsync(running, fd, data, timeout);
  }

  /**
   * Sends one datagram from this process, to an IP address and port or to the path of a Unix socket, which has no port:
   * `undefined` will do, as `packet` tells it. `serverSocket` is the socket to send with, as `packet` has told it; by default
   * the one of the packet whose callback calls it, else that of the first port of the right family. `false` where the kernel
   * refuses: `getLastError()` is then its errno, such as 11 (EAGAIN) for a full buffer.
   */
  sendto(
    ip: string,
    port: number | null | undefined,
    data: string | Uint8Array,
    serverSocket: number | null = -1,
  ): boolean {
    const running = this.#running('sendto');
    return running !== null && sendTo(running, ip, port ?? NO_PORT, data, serverSocket ?? -1);
  }

  /**
   * Queues a part of a file for a connection, in order with what send() queues; `length` 0 means to its end. The kernel
   * sends it from where it lies, so even a big one takes no memory and does not count for `socket_buffer_size`. `false`
   * with a code in `getLastError()` when the file cannot be read or the connection is closed or unknown.
   */
  sendfile(fd: number, filename: string, offset: number | null = 0, length: number | null = 0): boolean {
    const running = this.#running('sendfile');
    return running !== null && sendFile(running, fd, filename, offset ?? 0, length ?? 0);
  }

  /**
   * Sends data in order behind what was sent before, without a limit on its size, and resolves `true` when all of it is
   * with the kernel, `false` when that cannot be: the connection ended first, or is unknown. Only in event workers of
   * SWOOLE_BASE, for their own connections.
   */
  async sendwait(fd: number, data: string | Uint8Array): Promise<boolean> {
    const running = this.#running('sendwait');
    return running !== null && sendWait(running, fd, data);
  }

  /** Closes a connection: the close callback runs, then what is queued is sent. With `reset` it is dropped instead. */
  close(fd: number, reset: boolean | null = false): boolean {
    const running = this.#running('close');
    return running !== null && close(running, fd, reset ?? false);
  }

  /** True exactly when the connection is open and nobody has begun to close it. */
  exists(fd: number): boolean {
    const { running } = this.#state;
    return running !== null && openSlot(running, fd) !== -1;
  }
  exist(fd: number): boolean {
    return this.exists(fd);
  }

  /** Stops reading from a connection; sending goes on. */
  pause(fd: number): boolean {
    const running = this.#running('pause');
    return running !== null && pause(running, fd);
  }

  /** Reads from a paused connection again. */
  resume(fd: number): boolean {
    const running = this.#running('resume');
    return running !== null && resume(running, fd);
  }

  /** With `enable_delay_receive`: begins to read from a new connection. `false` when it is read from already. */
  confirm(fd: number): boolean {
    const running = this.#running('confirm');
    return running !== null && confirm(running, fd);
  }

  /** Keeps the connection from being closed for being idle. */
  protect(fd: number, isProtected: boolean | null = true): boolean {
    const running = this.#running('protect');
    return running !== null && protect(running, fd, isProtected ?? true);
  }

  /** Ties a connection to a user id, once. With dispatch_mode 5, all connections of an id go to one worker. */
  bind(fd: number, uid: number): boolean {
    if (!isUid(this.#state.script, uid)) return false;
    const running = this.#running('bind');
    return running !== null && bind(running, fd, uid);
  }

  /** Ids of the connections that have been silent for longer than `heartbeat_idle_time`, which are closed by default. */
  heartbeat(ifCloseConnection: boolean | null = true): number[] | false {
    const running = this.#running('heartbeat');
    return running !== null && heartbeat(running, ifCloseConnection ?? true);
  }

  // ---- tasks and messages -----------------------------------------------------------------------------------------

  /**
   * Gives a task to a task worker: to the one with this index, or to an idle one. Answers the id of the task, which counts
   * from 0 in each process, or `false`. Its result comes to `finishCallback`, else to the `finish` event; where the task
   * worker dies over it, the callback gets `false`. In other processes than event workers nobody is answered. The result
   * has the type that the callback names.
   */
  task<Result = unknown, Method extends string = never>(
    data: unknown,
    dstWorkerId?: number | null,
    finishCallback?: FinishCallbackOf<this, Result> | MethodOf<FinishCallbackOf<this, Result>, Method> | null,
  ): number | false {
    const running = this.#running('task');
    if (running === null) return false;
    const call = finishCallback ?? null;
    return running.tasks.task(data, dstWorkerId ?? -1, call === null ? null : asFunction(call));
  }

  /**
   * Gives a task to a task worker and waits for its result. `false` with a code in `getLastError()`: not in time (10018),
   * or the task worker has died over it (9003). A timeout of 0 is none. In event workers only.
   */
  async taskwait<Result = unknown>(
    data: unknown,
    timeout: number | null = TASK_TIMEOUT,
    dstWorkerId: number | null = -1,
  ): Promise<Result | false> {
    return (await (this.#running('taskwait')?.tasks.wait(data, timeout ?? TASK_TIMEOUT, dstWorkerId ?? -1) ?? false)) as
      | Result
      | false;
  }

  /** As taskwait(), but blocks the whole process until the answer is there or the time is up. */
  taskwaitSync<Result = unknown>(
    data: unknown,
    timeout: number | null = TASK_TIMEOUT,
    dstWorkerId: number | null = -1,
  ): Result | false {
    return (this.#running('taskwaitSync')?.tasks.waitSync(data, timeout ?? TASK_TIMEOUT, dstWorkerId ?? -1) ?? false) as
      | Result
      | false;
  }

  /**
   * Gives out up to 1,024 tasks and waits for all results, in the order of the tasks. The places of those that did not come
   * in time stay empty; those of failed ones are `false`. In event workers only.
   */
  async taskWaitMulti<Result = unknown>(
    tasks: readonly unknown[],
    timeout: number | null = TASK_TIMEOUT,
  ): Promise<(Result | false)[] | false> {
    const all = await (this.#running('taskWaitMulti')?.tasks.waitAll(
      'taskWaitMulti',
      tasks,
      timeout ?? TASK_TIMEOUT,
      true,
    ) ?? false);
    return all as (Result | false)[] | false;
  }

  /** As taskWaitMulti(), but the places of those that did not come in time are `false` too. */
  async taskCo<Result = unknown>(
    tasks: readonly unknown[],
    timeout: number | null = TASK_TIMEOUT,
  ): Promise<(Result | false)[] | false> {
    const all = await (this.#running('taskCo')?.tasks.waitAll('taskCo', tasks, timeout ?? TASK_TIMEOUT, false) ??
      false);
    return all as (Result | false)[] | false;
  }

  /** In a task: sends a result to the worker that asked. May be called several times; also by what a task has begun. */
  finish(data: unknown): boolean {
    return this.#running('finish')?.tasks.finish(data) ?? false;
  }

  /** Sends a value to a worker, task worker or user process, whose `pipeMessage` event gets it. */
  sendMessage(message: unknown, workerId: number): boolean {
    const running = this.#running('sendMessage');
    return running !== null && sendMessage(running, message, workerId);
  }

  /**
   * Before start(): a process of the user's that lives as long as the server and is started again whenever it ends. Answers
   * its number among them, from 0; its worker id follows those of the task workers.
   */
  addProcess(process: Process): number | false {
    return addProcess(this.#state.script, process);
  }

  /**
   * Before start(): names a function that processes of these types (SWOOLE_SERVER_COMMAND_*, or-ed) run when they are asked
   * to. It gets JSON and answers text, JSON as a rule.
   */
  addCommand<Method extends string = never>(
    name: string,
    acceptedProcessTypes: number,
    callback: CommandCallbackOf<this> | MethodOf<CommandCallbackOf<this>, Method>,
  ): boolean {
    const call = asFunction(callback) as CommandCallbackOf<object>;
    return addCommand(this.#state.script, name, acceptedProcessTypes, call);
  }

  /**
   * Asks a process to run a command, and resolves what it has answered, decoded from JSON unless told otherwise. `false`
   * with a code in `getLastError()`: unknown (9012), not for such a process (507), no such process (505), or not in
   * `command_timeout` (10018).
   */
  command<Answer = unknown>(
    name: string,
    processId: number,
    processType: number,
    data: unknown,
    jsonDecode?: true | null,
  ): Promise<Answer | false>;
  command(
    name: string,
    processId: number,
    processType: number,
    data: unknown,
    jsonDecode: false,
  ): Promise<string | false>;
  command(
    name: string,
    processId: number,
    processType: number,
    data: unknown,
    jsonDecode: boolean | null | undefined,
  ): Promise<unknown>;
  async command(
    name: string,
    processId: number,
    processType: number,
    data: unknown,
    jsonDecode: boolean | null = true,
  ): Promise<unknown> {
    const commands = this.#running('command')?.commands;
    return (await commands?.command(name, processId, processType, data, jsonDecode ?? true)) ?? false;
  }

  // ---- timers -----------------------------------------------------------------------------------------------------

  /** Timer.tick() */
  tick<Args extends unknown[], Method extends string = never>(
    ms: number,
    callback: TickCallback<Args> | MethodOf<TickCallback<Args>, Method>,
    ...args: Args
  ): number | false {
    return Timer.tick(ms, callback, ...args);
  }
  /** Timer.after() */
  after<Args extends unknown[], Method extends string = never>(
    ms: number,
    callback: AfterCallback<Args> | MethodOf<AfterCallback<Args>, Method>,
    ...args: Args
  ): number | false {
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
  getClientInfo(fd: number, _reactorId: number | null = -1, ignoreError: boolean | null = false): ClientInfo | false {
    const running = this.#runningOrEnded('getClientInfo');
    return running !== null && clientInfo(running, fd, ignoreError ?? false);
  }
  connection_info(fd: number, reactorId: number | null = -1, ignoreError: boolean | null = false): ClientInfo | false {
    return this.getClientInfo(fd, reactorId, ignoreError);
  }

  /** The next connections behind `startFd`, in ascending order; an empty array at the end. */
  getClientList(startFd: number | null = 0, pageSize: number | null = PAGE_SIZE): number[] | false {
    const running = this.#runningOrEnded('getClientList');
    return running !== null && connectionPage(running, startFd ?? 0, pageSize ?? PAGE_SIZE);
  }
  connection_list(startFd: number | null = 0, pageSize: number | null = PAGE_SIZE): number[] | false {
    return this.getClientList(startFd, pageSize);
  }

  /** Counters of the server and of this process. Throws before the server runs: there is nothing that could be counted. */
  stats(): Stats {
    const { running } = this.#state;
    if (running === null)
      throw new TswooleError('ERR_STATE', 'stats(): the server is not running; its callbacks may ask, and a timer');
    return readStats(running.segment, running.runtime.lane);
  }

  /** The code of the last failed call of this process. */
  getLastError(): number {
    return this.#state.script.lastError.code;
  }

  getWorkerId(): number | false {
    const { worker_id } = this;
    return worker_id !== -1 && worker_id;
  }

  /** Process id of a worker, task worker or user process; -1 is this process, and `false` in one that is none of them. */
  getWorkerPid(workerId: number | null = -1): number | false {
    const { running } = this.#state;
    return running !== null && workerPid(running, workerId ?? -1);
  }

  /** SWOOLE_WORKER_BUSY, _IDLE or _EXIT. */
  getWorkerStatus(workerId: number | null = -1): number | false {
    const { running } = this.#state;
    return running !== null && workerStatus(running, workerId ?? -1);
  }

  getManagerPid(): number {
    return this.#state.running?.segment.load(WORD_MANAGER_PID) ?? 0;
  }
  getMasterPid(): number {
    return this.#state.running?.segment.load(WORD_MASTER_PID) ?? 0;
  }

  // ---- properties -------------------------------------------------------------------------------------------------

  /** All settings, merged. From start() on those are there which `SettledSettings` has, whether they were set or not. */
  get setting(): SettledSettings {
    return this.#state.script.setting as SettledSettings;
  }
  /** All ports; the first is the server's own. */
  get ports(): readonly PortOf<this>[] {
    return this.#ports;
  }
  get host(): string {
    return this.#ports[0].host;
  }
  get port(): number {
    return this.#ports[0].port;
  }
  /** SWOOLE_SOCK_* of the server's own port. */
  get type(): number {
    return this.#ports[0].type;
  }
  get ssl(): boolean {
    return this.#ports[0].ssl;
  }
  /** SWOOLE_BASE or SWOOLE_PROCESS. */
  get mode(): number {
    return this.#state.script.mode;
  }
  get master_pid(): number {
    return this.getMasterPid();
  }
  get manager_pid(): number {
    return this.getManagerPid();
  }
  /** Id of this worker; -1 in other processes. */
  get worker_id(): number {
    return this.#state.running?.workerId ?? -1;
  }
  get worker_pid(): number {
    return this.#state.script.workerPid;
  }
  /** True exactly in a task worker. */
  get taskworker(): boolean {
    return this.#state.running?.taskworker ?? false;
  }

  // ---- helpers ----------------------------------------------------------------------------------------------------

  /** For what does something: null, and a warning, before the server runs and when it has ended. */
  #running(method: string): Running | null {
    const { running, script } = this.#state;
    if (running !== null && !script.ended) return running;
    warnNotRunning(script, method);
    return null;
  }

  /** For what only looks: the last state can still be asked for when the server has ended. */
  #runningOrEnded(method: string): Running | null {
    const { running, script } = this.#state;
    if (running === null) warnNotRunning(script, method);
    return running;
  }
}
