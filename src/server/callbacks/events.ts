import type { ReloadResult } from '../../process/reload-result.ts';
import type { PacketInfo } from './event-objects.ts';

/** The events of a server, with their callbacks. Names are written as here or in any other case. */
export interface ServerEvents<Self> {
  /** The server is ready. In SWOOLE_PROCESS in the master, in SWOOLE_BASE in worker 0. */
  start: (server: Self) => unknown;
  /** The server is about to end; everything still runs. */
  beforeShutdown: (server: Self) => unknown;
  /** Everything has ended. */
  shutdown: (server: Self) => unknown;
  managerStart: (server: Self) => unknown;
  managerStop: (server: Self) => unknown;
  /** First event of every worker process. */
  workerStart: (server: Self, workerId: number) => unknown;
  /** Last event of a worker that ends normally. */
  workerStop: (server: Self, workerId: number) => unknown;
  /** A worker was told to stop but its loop is not empty yet: stop timers, close clients. Told again and again. */
  workerExit: (server: Self, workerId: number) => unknown;
  /** In the manager: a process has ended abnormally. */
  workerError: (server: Self, workerId: number, workerPid: number, exitCode: number, signal: number) => unknown;
  /**
   * In a task worker: what it answers is the result, unless that is undefined or null. Written as methods, this one and the
   * next two take callbacks that name the type of their data.
   */
  task(server: Self, taskId: number, sourceWorkerId: number, data: unknown): unknown;
  /** A task of this worker has a result. */
  finish(server: Self, taskId: number, result: unknown): unknown;
  /** Another process has sent a message. */
  pipeMessage(server: Self, sourceWorkerId: number, message: unknown): unknown;
  beforeReload: (server: Self) => unknown;
  /** All workers are new, or the reload was refused: `result.refused` tells why. */
  afterReload: (server: Self, result: ReloadResult) => unknown;
}

/** The events of a port. The server's own port is the fallback of the others. */
export interface PortEvents<Self> {
  connect: (server: Self, fd: number, reactorId: number) => unknown;
  receive: (server: Self, fd: number, reactorId: number, data: Buffer) => unknown;
  /** A datagram has come. Answer it with `server.sendto()`, or `server.send()` to the path of a Unix socket. */
  packet: (server: Self, data: Buffer, clientInfo: PacketInfo) => unknown;
  /** `reactorId` is negative when the server closed the connection. */
  close: (server: Self, fd: number, reactorId: number) => unknown;
  /** What waits for a slow reader has reached buffer_high_watermark. */
  bufferFull: (server: Self, fd: number) => unknown;
  /** It has fallen to buffer_low_watermark again. */
  bufferEmpty: (server: Self, fd: number) => unknown;
}

export interface Events<Self> extends ServerEvents<Self>, PortEvents<Self> {}

/** A registered callback whose event is known by where it is kept. */
export type AnyCallback = (...args: never[]) => unknown;
