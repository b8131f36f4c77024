import type { ReloadResult } from './reload-result.ts';
import type { TaskInHand } from './way/task-in-hand.ts';

/**
 * The user's side of a process, as the processes see it: the callbacks, called at the right time. Implemented by the
 * server room; nothing here knows how events are registered or what arguments users get.
 */
export interface Application {
  /** `certificate` is the client's, as PEM, where its port asks for one. */
  connect(slot: number, serial: number, certificate: string | null): void;
  receive(slot: number, serial: number, data: Buffer): void;
  /**
   * Runs the close callback of a connection that ended from outside, unless it has run; `reactorId` tells who closed. False
   * where it has to wait for another callback of the connection: the end is then told to the owner later.
   */
  close(slot: number, serial: number): boolean;
  /** Data of a connection has come that is closed already: it is dropped. */
  dropLate(serial: number): void;
  /** No worker was idle for data that was to go to one. */
  noIdleWorker(): void;
  /** True while callbacks are under way that others of their connections wait for. */
  isUnderWay(): boolean;
  /** Somebody in another process asked for the connection to be closed. */
  closeRequested(slot: number, serial: number, reset: boolean): void;
  bufferFull(slot: number, serial: number): void;
  bufferEmpty(slot: number, serial: number): void;
  /** A datagram came; `port` is 0 and `address` a path where the socket is a Unix one. `seconds`: when it was received. */
  packet(portIndex: number, data: Buffer, address: string, port: number, seconds: number): void;

  /** The connections of this process end with it: protocols say goodbye on them. */
  retire(): void;
  /** They go on in the next process of this worker. Answers what that must know of them, or null. */
  handOver(): unknown;
  /** What the process before this one has answered there. */
  takeOver(handed: unknown): void;

  /** Runs the task callback. A promise is answered where the task takes longer; it never rejects. */
  task(task: TaskInHand): Promise<void> | undefined;
  /** A task of this process was answered, or failed (flags). `life` is that of the process that asked. */
  taskResult(taskId: number, taskWorkerId: number, life: number, flags: number, seconds: number, value: unknown): void;
  /** Sends that wait for room in this process are given up, and what wants to wait after that. */
  giveUpSends(): void;
  /** Results and answers that this process still waits for will not come to it. */
  noMoreResults(): void;
  pipeMessage(sourceId: number, value: unknown, seconds: number): void;
  /** Runs a command for the process that reads the inbox, and answers it. */
  command(request: number, inbox: number, life: number, value: unknown): void;
  commandReply(request: number, life: number, code: number, value: unknown): void;

  /** Events without a connection. They never throw; a promise is answered where somebody may wait for it. */
  start(): void;
  beforeShutdown(): void;
  shutdown(): void | Promise<void>;
  managerStart(): void;
  managerStop(): void;
  beforeReload(): void;
  afterReload(result: ReloadResult): void;
  /** Answers what this process has asked of the manager. */
  reloaded(request: number, life: number, value: unknown): void;
  /** In the master: what this process has asked of the manager will not be answered. */
  managerDied(): void;
  /** Answers null, or in a line why the callback has failed; a promise, which never rejects, where it takes longer. */
  workerStart(workerId: number): string | null | Promise<string | null>;
  workerStop(workerId: number): void | Promise<void>;
  workerExit(workerId: number): void;
  workerError(workerId: number, pid: number, exitCode: number, signal: number): void;
}
