/**
 * The user's callbacks, as the processes see them: finds the one for an event and gives it its arguments. What happens to
 * one that fails: callback-runner.ts.
 */
import { SWOOLE_PROCESS } from '../../constants.ts';
import type { Application } from '../../process/application.ts';
import type { TaskInHand } from '../../process/task-in-hand.ts';
import {
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_CLOSED_HERE,
  OWNER,
  PORT,
  RECEIVE_TIME,
} from '../../shm/connections.ts';
import { internalsOf } from '../port.ts';
import type { Server } from '../server.ts';
import type { ServerCore } from '../state/core.ts';
import { TaskCallbacks } from '../tasks/task-callbacks.ts';
import { CallbackRunner } from './callback-runner.ts';
import { Event as ConnectionEvent, PipeMessage, StatusInfo } from './event-objects.ts';
import type { Events } from './events.ts';
import { PacketCallbacks } from './packets.ts';

type Callback<Name extends keyof Events> = Events[Name];

/** What `close` gets for the reactor when it was the server that closed. */
const CLOSED_BY_SERVER = -1;

export class ServerApplication implements Application {
  private readonly core: ServerCore;
  private readonly server: Server;
  /** By port index. */
  private readonly onConnect: (Callback<'connect'> | null)[];
  private readonly onReceive: (Callback<'receive'> | null)[];
  private readonly onClose: (Callback<'close'> | null)[];
  private readonly onBufferFull: (Callback<'bufferFull'> | null)[];
  private readonly onBufferEmpty: (Callback<'bufferEmpty'> | null)[];
  private readonly packets: PacketCallbacks;
  private readonly runner: CallbackRunner;
  private readonly tasks: TaskCallbacks;
  /** By slot, so that those whose close event went elsewhere give way to the next connection there. */
  private readonly certificates = new Map<number, { serial: number; certificate: string }>();

  constructor(core: ServerCore) {
    this.core = core;
    this.server = core.server;
    this.runner = new CallbackRunner(core);
    this.tasks = new TaskCallbacks(core, this.runner);
    this.onConnect = this.forPorts('connect');
    this.onReceive = this.forPorts('receive');
    this.onClose = this.forPorts('close');
    this.onBufferFull = this.forPorts('bufferFull');
    this.onBufferEmpty = this.forPorts('bufferEmpty');
    this.packets = new PacketCallbacks(core);
    if (core.settings!.eventObject) this.useEventObjects();
  }

  /** The callback of each port: its own, else the server's. */
  private forPorts<Name extends 'connect' | 'receive' | 'close' | 'bufferFull' | 'bufferEmpty'>(
    event: Name,
  ): (Callback<Name> | null)[] {
    const { mode, dispatcher, ports } = this.core;
    // Where a client's coming and going is not told, close() runs no callback either: counts would not come out even.
    if (event !== 'receive' && mode === SWOOLE_PROCESS && !dispatcher!.events) return ports.map(() => null);
    const primary = ports[0];
    return ports.map((port) => {
      const own = internalsOf(port).callbacks.get(event) ?? internalsOf(primary).callbacks.get(event);
      return own as Callback<Name> | null;
    });
  }

  private useEventObjects(): void {
    type ObjectCallback = (server: Server, event: ConnectionEvent) => unknown;
    const wrap = <T>(list: (T | null)[], make: (call: ObjectCallback) => T): void => {
      for (let i = 0; i < list.length; i++) {
        const callback = list[i];
        if (callback !== null) list[i] = make(callback as unknown as ObjectCallback);
      }
    };
    wrap(
      this.onConnect,
      (call) => (server, fd, reactorId) => call(server, new ConnectionEvent(fd, reactorId, 0, null)),
    );
    wrap(this.onClose, (call) => (server, fd, reactorId) => call(server, new ConnectionEvent(fd, reactorId, 0, null)));
    wrap(
      this.onReceive,
      (call) => (server, fd, reactorId, data) =>
        call(server, new ConnectionEvent(fd, reactorId, this.receiveTime(fd), data)),
    );
  }

  private receiveTime(fd: number): number {
    const { connections } = this.core.runtime!;
    const slot = connections.findAny(fd);
    return slot === -1 ? 0 : connections.numbers[connections.numberBase(slot) + RECEIVE_TIME];
  }

  /** The certificate of a client whose connect event came to this process; undefined where it has none. */
  certificateOf(slot: number, serial: number): string | undefined {
    const held = this.certificates.get(slot);
    return held?.serial === serial ? held.certificate : undefined;
  }

  // ---- events of connections --------------------------------------------------------------------------------------

  connect(slot: number, serial: number, certificate: string | null): void {
    if (certificate !== null) this.certificates.set(slot, { serial, certificate });
    const { words } = this.core.runtime!.connections;
    const base = this.core.runtime!.connections.wordBase(slot);
    const callback = this.onConnect[words[base + PORT]];
    if (callback === null) return;
    const fd = this.core.runtime!.connections.fdOf(serial);
    this.runner.call('connect', fd, () => callback(this.server, fd, words[base + OWNER]));
  }

  receive(slot: number, serial: number, data: Buffer): void {
    const { connections } = this.core.runtime!;
    const { words } = connections;
    const base = connections.wordBase(slot);
    const callback = this.onReceive[words[base + PORT]];
    if (callback === null) return;
    const fd = connections.fdOf(serial);
    try {
      const result = callback(this.server, fd, words[base + OWNER], data);
      if (typeof result === 'object' && result !== null)
        this.runner.track('receive', fd, result, () => this.server.close(fd));
    } catch (error) {
      this.runner.failed('receive', fd, error);
      this.server.close(fd);
    }
  }

  close(slot: number, serial: number): void {
    const { connections, lane, wire } = this.core.runtime!;
    // When close() of ours came first, its callback has run and the owner was told.
    if (!connections.takeClose(slot, serial, lane)) return;
    this.runClose(slot, serial, connections.words[connections.wordBase(slot) + OWNER]);
    wire.finishClose(slot, serial, false);
  }

  closeRequested(slot: number, serial: number, reset: boolean): void {
    const { connections, lane, wire } = this.core.runtime!;
    if (connections.takeClose(slot, serial, lane)) {
      connections.setFlags(slot, FLAG_CLOSED_HERE);
      this.runClose(slot, serial, CLOSED_BY_SERVER);
    } else if (!reset) return;
    wire.finishClose(slot, serial, reset);
  }

  private runClose(slot: number, serial: number, reactorId: number): void {
    const { connections } = this.core.runtime!;
    const callback = this.onClose[connections.words[connections.wordBase(slot) + PORT]];
    if (callback !== null) {
      const fd = connections.fdOf(serial);
      this.runner.call('close', fd, () => callback(this.server, fd, reactorId));
    }
    connections.setFlags(slot, FLAG_CLOSE_DONE);
    this.certificates.delete(slot);
  }

  bufferFull(slot: number, serial: number): void {
    this.bufferEvent('bufferFull', this.onBufferFull, slot, serial);
  }
  bufferEmpty(slot: number, serial: number): void {
    this.bufferEvent('bufferEmpty', this.onBufferEmpty, slot, serial);
  }
  private bufferEvent(event: string, list: (Callback<'bufferFull'> | null)[], slot: number, serial: number): void {
    const { connections } = this.core.runtime!;
    const callback = list[connections.words[connections.wordBase(slot) + PORT]];
    // Its output may outlive the close callback, which is the last one of a connection.
    if (callback === null || (connections.flags(slot) & FLAG_CLOSE_TAKEN) !== 0) return;
    const fd = connections.fdOf(serial);
    this.runner.call(event, fd, () => callback(this.server, fd));
  }

  packet(portIndex: number, data: Buffer, address: string, port: number, seconds: number): void {
    try {
      const result = this.packets.call(portIndex, data, address, port, seconds);
      if (typeof result === 'object' && result !== null) this.runner.track('packet', 0, result, null);
    } catch (error) {
      this.runner.failed('packet', 0, error);
    }
  }

  // ---- between processes ------------------------------------------------------------------------------------------

  task(task: TaskInHand): Promise<void> | undefined {
    return this.tasks.run(task);
  }

  taskResult(taskId: number, taskWorkerId: number, life: number, flags: number, seconds: number, value: unknown): void {
    this.core.tasks?.result(taskId, taskWorkerId, life, flags, seconds, value);
  }

  noMoreResults(): void {
    this.core.tasks?.noMoreResults();
    this.core.commands.noMoreReplies();
  }

  /** Inside of it, finish() has no task to answer. */
  pipeMessage(sourceId: number, value: unknown, seconds: number): void {
    this.tasks.withoutTask(() => {
      if (this.core.settings!.eventObject) void this.fire('pipeMessage', new PipeMessage(sourceId, seconds, value));
      else void this.fire('pipeMessage', sourceId, value);
    });
  }

  command(request: number, inbox: number, life: number, value: unknown): void {
    this.core.commands.run(request, inbox, life, value);
  }
  commandReply(request: number, life: number, code: number, value: unknown): void {
    this.core.commands.reply(request, life, code, value);
  }

  // ---- events of the server ---------------------------------------------------------------------------------------

  private fire(event: keyof Events, ...args: unknown[]): Promise<void> | undefined {
    const callback = this.core.callbacks.get(event) as ((...args: unknown[]) => unknown) | null;
    if (callback === null) return undefined;
    return this.runner.call(event, 0, () => callback(this.server, ...args));
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
  afterReload(): void {
    void this.fire('afterReload');
  }
  workerStart(workerId: number): void {
    this.core.lastError = 0;
    this.core.workerPid = process.pid;
    void this.fire('workerStart', workerId);
  }
  workerStop(workerId: number): void | Promise<void> {
    return this.fire('workerStop', workerId);
  }
  workerExit(workerId: number): void {
    void this.fire('workerExit', workerId);
  }
  workerError(workerId: number, pid: number, exitCode: number, signal: number): void {
    if (this.core.settings!.eventObject) void this.fire('workerError', new StatusInfo(workerId, pid, exitCode, signal));
    else void this.fire('workerError', workerId, pid, exitCode, signal);
  }
}
