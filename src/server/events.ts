import type { PortObjectEvents, ServerObjectEvents } from './event-objects.ts';
import type { PacketInfo } from './packets.ts';
import type { Server } from './server.ts';

type Result = void | Promise<void>;

/** The events of a server, with their callbacks. Names are written as here or in any other case. */
export interface ServerEvents {
  /** The server is ready. In SWOOLE_PROCESS in the master, in SWOOLE_BASE in worker 0. */
  start: (server: Server) => Result;
  /** The server is about to end; everything still runs. */
  beforeShutdown: (server: Server) => Result;
  /** Everything has ended. */
  shutdown: (server: Server) => Result;
  managerStart: (server: Server) => Result;
  managerStop: (server: Server) => Result;
  /** First event of every worker process. */
  workerStart: (server: Server, workerId: number) => Result;
  /** Last event of a worker that ends normally. */
  workerStop: (server: Server, workerId: number) => Result;
  /** A worker was told to stop but its loop is not empty yet: stop timers, close clients. Told again and again. */
  workerExit: (server: Server, workerId: number) => Result;
  /** In the manager: a process has ended abnormally. */
  workerError: (server: Server, workerId: number, workerPid: number, exitCode: number, signal: number) => Result;
  /**
   * In a task worker: what it answers is the result, unless that is undefined or null. Written as methods, this one and the
   * next two take callbacks that name the type of their data.
   */
  task(server: Server, taskId: number, sourceWorkerId: number, data: unknown): unknown;
  /** A task of this worker has a result. */
  finish(server: Server, taskId: number, result: unknown): Result;
  /** Another process has sent a message. */
  pipeMessage(server: Server, sourceWorkerId: number, message: unknown): Result;
  beforeReload: (server: Server) => Result;
  afterReload: (server: Server) => Result;
}

/** The events of a port. The server's own port is the fallback of the others. */
export interface PortEvents {
  connect: (server: Server, fd: number, reactorId: number) => Result;
  receive: (server: Server, fd: number, reactorId: number, data: Buffer) => Result;
  /** A datagram has come. Answer it with `server.sendto()`, or `server.send()` to the path of a Unix socket. */
  packet: (server: Server, data: Buffer, clientInfo: PacketInfo) => Result;
  /** `reactorId` is negative when the server closed the connection. */
  close: (server: Server, fd: number, reactorId: number) => Result;
  /** What waits for a slow reader has reached buffer_high_watermark. */
  bufferFull: (server: Server, fd: number) => Result;
  /** It has fallen to buffer_low_watermark again. */
  bufferEmpty: (server: Server, fd: number) => Result;
}

export interface Events extends ServerEvents, PortEvents {}

type ByLowerName<Map> = { [Name in keyof Map as Lowercase<Name & string>]: Map[Name] };
/** The callback of an event by its name in any case; never for a name that is no event. */
export type CallbackOf<Map, Name extends string> =
  Lowercase<Name> extends keyof ByLowerName<Map> ? ByLowerName<Map>[Lowercase<Name>] : never;

export type ServerCallback<Name extends string> = CallbackOf<Events, Name>;
export type ServerObjectCallback<Name extends string> = CallbackOf<ServerObjectEvents & PortObjectEvents, Name>;
export type PortCallback<Name extends string> = CallbackOf<PortEvents, Name>;
export type PortObjectCallback<Name extends string> = CallbackOf<PortObjectEvents, Name>;

/** A registered callback whose event is known by where it is kept. */
export type AnyCallback = (...args: never[]) => unknown;

const SERVER_EVENTS = [
  'start',
  'beforeShutdown',
  'shutdown',
  'managerStart',
  'managerStop',
  'workerStart',
  'workerStop',
  'workerExit',
  'workerError',
  'task',
  'finish',
  'pipeMessage',
  'beforeReload',
  'afterReload',
] as const satisfies (keyof ServerEvents)[];

const PORT_EVENTS = [
  'connect',
  'receive',
  'packet',
  'close',
  'bufferFull',
  'bufferEmpty',
] as const satisfies (keyof PortEvents)[];

const SERVER_NAMES = new Set<string>(SERVER_EVENTS.map((name) => name.toLowerCase()));
const PORT_NAMES = new Set<string>(PORT_EVENTS.map((name) => name.toLowerCase()));

export function isServerEvent(lowerName: string): boolean {
  return SERVER_NAMES.has(lowerName);
}
export function isPortEvent(lowerName: string): boolean {
  return PORT_NAMES.has(lowerName);
}
