/** What callbacks get in place of single arguments when `event_object` is on. */

import type { Task } from '../tasks/task.ts';

/** Where a datagram came from, and to which of our sockets. */
export interface PacketInfo {
  /** Descriptor of the socket that it came to, for sendto() and send() in this process. */
  server_socket: number;
  /** Port of that socket; 0 for Unix sockets. */
  server_port: number;
  /** IP address of the peer, or the path of its Unix socket: "" when it has none, and then it cannot be answered. */
  address: string;
  /** Port of the peer. Not there for Unix sockets. */
  port?: number;
  /** When it was received, in seconds since 1970. */
  dispatch_time: number;
}

/** Of connect and close, which have no data, and of receive. */
export class Event<Data extends Buffer | null = Buffer | null> {
  readonly fd: number;
  readonly reactor_id: number;
  /** When the data was received, in seconds; 0 where there is none. */
  readonly dispatch_time: number;
  readonly data: Data;

  constructor(fd: number, reactorId: number, dispatchTime: number, data: Data) {
    this.fd = fd;
    this.reactor_id = reactorId;
    this.dispatch_time = dispatchTime;
    this.data = data;
  }
}

/** Of packet. */
export class Packet {
  /** Descriptor of the socket that it came to, for sendto() in this process. */
  readonly server_socket: number;
  readonly server_port: number;
  /** When it was received, in seconds. */
  readonly dispatch_time: number;
  readonly address: string;
  /** 0 for Unix sockets. */
  readonly port: number;
  readonly data: Buffer;

  constructor(info: PacketInfo, port: number, data: Buffer) {
    this.server_socket = info.server_socket;
    this.server_port = info.server_port;
    this.dispatch_time = info.dispatch_time;
    this.address = info.address;
    this.port = port;
    this.data = data;
  }
}

/** Of workerError. */
export class StatusInfo {
  readonly worker_id: number;
  readonly worker_pid: number;
  /** As wait(2) gives it. */
  readonly status: number;
  readonly exit_code: number;
  readonly signal: number;

  constructor(workerId: number, workerPid: number, exitCode: number, signal: number) {
    this.worker_id = workerId;
    this.worker_pid = workerPid;
    this.status = (exitCode << 8) | signal;
    this.exit_code = exitCode;
    this.signal = signal;
  }
}

/** Of finish. */
export class TaskResult {
  readonly task_id: number;
  readonly task_worker_id: number;
  /** When it was sent, in seconds. */
  readonly dispatch_time: number;
  readonly data: unknown;

  constructor(taskId: number, taskWorkerId: number, seconds: number, data: unknown) {
    this.task_id = taskId;
    this.task_worker_id = taskWorkerId;
    this.dispatch_time = seconds;
    this.data = data;
  }
}

/** Of pipeMessage. */
export class PipeMessage {
  readonly source_worker_id: number;
  /** The sender's too, as Swoole has it. */
  readonly worker_id: number;
  /** When it was sent, in seconds. */
  readonly dispatch_time: number;
  readonly data: unknown;

  constructor(sourceId: number, seconds: number, data: unknown) {
    this.source_worker_id = sourceId;
    this.worker_id = sourceId;
    this.dispatch_time = seconds;
    this.data = data;
  }
}

export interface ServerObjectEvents<Self> {
  task: (server: Self, task: Task) => unknown;
  finish: (server: Self, result: TaskResult) => unknown;
  pipeMessage: (server: Self, message: PipeMessage) => unknown;
  workerError: (server: Self, info: StatusInfo) => unknown;
}

export interface PortObjectEvents<Self> {
  connect: (server: Self, event: Event<null>) => unknown;
  receive: (server: Self, event: Event<Buffer>) => unknown;
  close: (server: Self, event: Event<null>) => unknown;
  packet: (server: Self, packet: Packet) => unknown;
}

export interface ObjectEvents<Self> extends ServerObjectEvents<Self>, PortObjectEvents<Self> {}
