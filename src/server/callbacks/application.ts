/**
 * The user's callbacks, as the processes see them: finds the one for an event and gives it its arguments. What happens to
 * one that fails: callback-runner.ts.
 */
import {
  SWOOLE_ERROR_SERVER_NO_IDLE_WORKER,
  SWOOLE_ERROR_SESSION_DISCARD_TIMEOUT_DATA,
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import type { Application } from '../../process/application.ts';
import type { ReloadResult } from '../../process/reload-result.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import type { TaskInHand } from '../../process/way/task-in-hand.ts';
import {
  F64_RECEIVE_TIME,
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_CLOSED_HERE,
  OWNER,
  PORT,
} from '../../shm/connections.ts';
import { LATE_PACKAGES } from '../../shm/counters.ts';
import type { Certificates } from '../connections/certificates.ts';
import { type Closer, close } from '../connections/close.ts';
import type { Commands } from '../messages/commands.ts';
import type { Reloads } from '../processes/reloads.ts';
import { Sessions } from '../sessions/sessions.ts';
import type { Member } from '../state/member.ts';
import type { Script } from '../state/script.ts';
import { TaskCallbacks } from '../tasks/task-callbacks.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { CallbackRunner } from './callback-runner.ts';
import { Event as ConnectionEvent, PipeMessage, StatusInfo } from './event-objects.ts';
import type { Events } from './events.ts';
import { InOrder } from './in-order.ts';
import { PacketCallbacks } from './packets.ts';

type Callback<Name extends keyof Events<object>> = Events<object>[Name];

/** What `close` gets for the reactor when it was the server that closed. */
const CLOSED_BY_SERVER = -1;

export class ServerApplication implements Application {
  private readonly member: Member;
  private readonly closer: Closer;
  private readonly script: Script;
  private readonly self: object;
  private readonly runtime: Runtime;
  private readonly certificates: Certificates;
  private readonly commands: Commands;
  private readonly reloads: Reloads;
  private readonly tasks: Tasks;
  /** By port index. */
  private readonly onConnect: (Callback<'connect'> | null)[];
  private readonly onReceive: (Callback<'receive'> | null)[];
  private readonly onClose: (Callback<'close'> | null)[];
  private readonly onBufferFull: (Callback<'bufferFull'> | null)[];
  private readonly onBufferEmpty: (Callback<'bufferEmpty'> | null)[];
  private readonly packets: PacketCallbacks;
  private readonly runner: CallbackRunner;
  /** Null where no port speaks a protocol. */
  private readonly sessions: Sessions | null;
  private readonly taskCallbacks: TaskCallbacks;
  /** Null without receive_in_order. */
  private readonly inOrder: InOrder | null;
  private readonly asObjects: boolean;

  constructor(member: Member, tasks: Tasks, commands: Commands, reloads: Reloads) {
    this.member = member;
    this.closer = { ...member, application: this };
    this.script = member.script;
    this.self = member.script.self;
    this.runtime = member.runtime;
    this.certificates = member.certificates;
    this.runner = member.runner;
    const speakers = this.script.ports.map((port) => port.speaker);
    this.sessions = speakers.some((speaker) => speaker !== null) ? new Sessions(this.closer, speakers) : null;
    this.tasks = tasks;
    this.commands = commands;
    this.reloads = reloads;
    this.taskCallbacks = new TaskCallbacks(member);
    this.inOrder = member.settings.receiveInOrder
      ? new InOrder(
          member.runtime,
          (slot, serial, data) => this.callReceive(slot, serial, data),
          (slot, serial) => this.callClose(slot, serial),
          (serial) => this.dropLate(serial),
        )
      : null;
    this.asObjects = member.settings.eventObject;
    this.onConnect = this.forPorts('connect');
    this.onReceive = this.forPorts('receive');
    this.onClose = this.forPorts('close');
    this.onBufferFull = this.forPorts('bufferFull');
    this.onBufferEmpty = this.forPorts('bufferEmpty');
    this.packets = new PacketCallbacks(member);
    if (this.asObjects) this.useEventObjects();
  }

  /** The callback of each port: its own, else the server's. */
  private forPorts<Name extends 'connect' | 'receive' | 'close' | 'bufferFull' | 'bufferEmpty'>(
    event: Name,
  ): (Callback<Name> | null)[] {
    const { mode, ports } = this.script;
    // Where a client's coming and going is not told, close() runs no callback either: counts would not come out even.
    if (event !== 'receive' && mode === SWOOLE_PROCESS && !this.member.dispatcher.events) return ports.map(() => null);
    const primary = ports[0].callbacks;
    return ports.map((port) => {
      if (event === 'receive' && port.speaker !== null) return null;
      return (port.callbacks.get(event) ?? primary.get(event)) as Callback<Name> | null;
    });
  }

  private useEventObjects(): void {
    type ObjectCallback = (self: object, event: ConnectionEvent) => unknown;
    const wrap = <T>(list: (T | null)[], make: (call: ObjectCallback) => T): void => {
      for (let i = 0; i < list.length; i++) {
        const callback = list[i];
        if (callback !== null) list[i] = make(callback as unknown as ObjectCallback);
      }
    };
    wrap(this.onConnect, (call) => (self, fd, reactorId) => call(self, new ConnectionEvent(fd, reactorId, 0, null)));
    wrap(this.onClose, (call) => (self, fd, reactorId) => call(self, new ConnectionEvent(fd, reactorId, 0, null)));
    wrap(
      this.onReceive,
      (call) => (self, fd, reactorId, data) =>
        call(self, new ConnectionEvent(fd, reactorId, this.receiveTime(fd), data)),
    );
  }

  private receiveTime(fd: number): number {
    const { connections } = this.runtime;
    const slot = connections.findAny(fd);
    return slot === -1 ? 0 : connections.numbers[connections.numberBase(slot) + F64_RECEIVE_TIME];
  }

  // ---- what is told without an event ------------------------------------------------------------------------------

  /** Where the user has asked to lose data, it is worth a warning each time. */
  dropLate(serial: number): void {
    const { script, runtime, settings } = this.member;
    const code = SWOOLE_ERROR_SESSION_DISCARD_TIMEOUT_DATA;
    runtime.counters.add(LATE_PACKAGES, 1);
    script.lastError.code = code;
    const level = settings.discardTimeoutRequest ? SWOOLE_LOG_WARNING : SWOOLE_LOG_DEBUG;
    const fd = runtime.connections.fdOf(serial);
    script.logger.log(level, `data of connection ${fd}, which is closed, is dropped`, code);
  }

  noIdleWorker(): void {
    const code = SWOOLE_ERROR_SERVER_NO_IDLE_WORKER;
    this.script.lastError.code = code;
    this.script.logger.log(SWOOLE_LOG_WARNING, 'no idle worker is available', code);
  }

  // ---- events of connections --------------------------------------------------------------------------------------

  connect(slot: number, serial: number, certificate: string | null): void {
    if (certificate !== null) this.certificates.keep(slot, serial, certificate);
    const { connections } = this.runtime;
    const { words } = connections;
    const base = connections.wordBase(slot);
    const callback = this.onConnect[words[base + PORT]];
    if (callback === null) return;
    const fd = connections.fdOf(serial);
    const promise = this.runner.call('connect', fd, () => callback(this.self, fd, words[base + OWNER]));
    if (promise !== undefined) this.inOrder?.begin(slot, serial, promise);
  }

  receive(slot: number, serial: number, data: Buffer): void {
    if (this.inOrder === null) this.callReceive(slot, serial, data);
    else this.inOrder.take(slot, serial, data);
  }

  private callReceive(slot: number, serial: number, data: Buffer): Promise<void> | undefined {
    const { connections } = this.runtime;
    const { words } = connections;
    const base = connections.wordBase(slot);
    const callback = this.onReceive[words[base + PORT]];
    if (callback === null) {
      this.sessions?.receive(slot, serial, data);
      return undefined;
    }
    const fd = connections.fdOf(serial);
    try {
      const result = callback(this.self, fd, words[base + OWNER], data);
      if (typeof result === 'object' && result !== null)
        return this.runner.track('receive', fd, result, () => void close(this.closer, fd, false));
    } catch (error) {
      this.runner.failed('receive', fd, error);
      close(this.closer, fd, false);
    }
    return undefined;
  }

  close(slot: number, serial: number): boolean {
    if (this.inOrder?.takeEnd(slot, serial) === true) return false;
    this.callClose(slot, serial);
    return true;
  }

  private callClose(slot: number, serial: number): void {
    const { connections, lane, wire } = this.runtime;
    // When close() of ours came first, its callback has run and the owner was told.
    if (!connections.takeClose(slot, serial, lane)) return;
    this.runClose(slot, serial, connections.words[connections.wordBase(slot) + OWNER]);
    wire.finishClose(slot, serial, false);
  }

  closeRequested(slot: number, serial: number, reset: boolean): void {
    const { connections, lane, wire } = this.runtime;
    if (connections.takeClose(slot, serial, lane)) {
      connections.setFlags(slot, FLAG_CLOSED_HERE);
      this.runClose(slot, serial, CLOSED_BY_SERVER);
    } else if (!reset) return;
    wire.finishClose(slot, serial, reset);
  }

  private runClose(slot: number, serial: number, reactorId: number): void {
    const { connections } = this.runtime;
    this.sessions?.closed(slot, serial);
    const callback = this.onClose[connections.words[connections.wordBase(slot) + PORT]];
    if (callback !== null) {
      const fd = connections.fdOf(serial);
      this.runner.call('close', fd, () => callback(this.self, fd, reactorId));
    }
    connections.setFlags(slot, FLAG_CLOSE_DONE);
    this.certificates.forget(slot);
  }

  bufferFull(slot: number, serial: number): void {
    this.bufferEvent('bufferFull', this.onBufferFull, slot, serial);
  }
  bufferEmpty(slot: number, serial: number): void {
    // Before the others: they were first.
    this.member.waitingSends.pump();
    this.sessions?.drained(slot, serial);
    this.bufferEvent('bufferEmpty', this.onBufferEmpty, slot, serial);
  }
  private bufferEvent(event: string, list: (Callback<'bufferFull'> | null)[], slot: number, serial: number): void {
    const { connections } = this.runtime;
    const callback = list[connections.words[connections.wordBase(slot) + PORT]];
    // Its output may outlive the close callback, which is the last one of a connection.
    if (callback === null || (connections.flags(slot) & FLAG_CLOSE_TAKEN) !== 0) return;
    const fd = connections.fdOf(serial);
    this.runner.call(event, fd, () => callback(this.self, fd));
  }

  packet(portIndex: number, data: Buffer, address: string, port: number, seconds: number): void {
    try {
      const result = this.packets.call(portIndex, data, address, port, seconds);
      if (typeof result === 'object' && result !== null) this.runner.track('packet', 0, result, null);
    } catch (error) {
      this.runner.failed('packet', 0, error);
    }
  }

  isUnderWay(): boolean {
    return this.inOrder?.busy === true;
  }

  giveUpSends(): void {
    this.member.waitingSends.end();
  }

  // ---- sessions at the end of a process ---------------------------------------------------------------------------

  retire(): void {
    this.reloads.noMoreAnswers();
    this.sessions?.retire();
  }
  handOver(): unknown {
    return this.sessions?.handOver() ?? null;
  }
  takeOver(handed: unknown): void {
    this.sessions?.takeOver(handed);
  }

  // ---- between processes ------------------------------------------------------------------------------------------

  task(task: TaskInHand): Promise<void> | undefined {
    return this.taskCallbacks.run(task);
  }

  taskResult(taskId: number, taskWorkerId: number, life: number, flags: number, seconds: number, value: unknown): void {
    this.tasks.result(taskId, taskWorkerId, life, flags, seconds, value);
  }

  noMoreResults(): void {
    this.tasks.noMoreResults();
    this.commands.noMoreReplies();
    this.reloads.noMoreAnswers();
  }

  /** Inside of it, finish() has no task to answer. */
  pipeMessage(sourceId: number, value: unknown, seconds: number): void {
    this.taskCallbacks.withoutTask(() => {
      if (this.asObjects) void this.fire('pipeMessage', new PipeMessage(sourceId, seconds, value));
      else void this.fire('pipeMessage', sourceId, value);
    });
  }

  command(request: number, inbox: number, life: number, value: unknown): void {
    this.commands.run(request, inbox, life, value);
  }
  commandReply(request: number, life: number, code: number, value: unknown): void {
    this.commands.reply(request, life, code, value);
  }

  // ---- events of the server ---------------------------------------------------------------------------------------

  private fire(event: keyof Events<object>, ...args: unknown[]): Promise<void> | undefined {
    const callback = this.script.callbacks.get(event) as ((...args: unknown[]) => unknown) | null;
    if (callback === null) return undefined;
    return this.runner.call(event, 0, () => callback(this.self, ...args));
  }

  start(): void {
    void this.fire('start');
  }
  beforeShutdown(): void {
    void this.fire('beforeShutdown');
  }
  shutdown(): void | Promise<void> {
    return this.fire('shutdown');
  }
  managerStart(): void {
    void this.fire('managerStart');
  }
  managerStop(): void {
    void this.fire('managerStop');
  }
  beforeReload(): void {
    void this.fire('beforeReload');
  }
  afterReload(result: ReloadResult): void {
    void this.fire('afterReload', result);
  }
  reloaded(request: number, life: number, value: unknown): void {
    this.reloads.answer(request, life, value);
  }
  managerDied(): void {
    this.reloads.managerDied();
  }
  workerStart(workerId: number): string | null | Promise<string | null> {
    this.script.lastError.code = 0;
    this.script.workerPid = process.pid;
    const callback = this.script.callbacks.get('workerStart') as Callback<'workerStart'> | null;
    return callback === null ? null : this.runner.outcome('workerStart', () => callback(this.self, workerId));
  }
  workerStop(workerId: number): void | Promise<void> {
    return this.fire('workerStop', workerId);
  }
  workerExit(workerId: number): void {
    void this.fire('workerExit', workerId);
  }
  workerError(workerId: number, pid: number, exitCode: number, signal: number): void {
    if (this.asObjects) void this.fire('workerError', new StatusInfo(workerId, pid, exitCode, signal));
    else void this.fire('workerError', workerId, pid, exitCode, signal);
  }
}
