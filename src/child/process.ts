/** Swoole's `Process`: a child that runs a callback, with a pipe between it and who has constructed it. */

import { SWOOLE_MSGQUEUE_BALANCE } from '../constants.ts';
import { badArgument, describeValue, TswooleError } from '../errors.ts';
import { EINVAL } from '../sys/constants.ts';
import { execute } from '../sys/process.ts';
import { becomeDaemon } from './daemon.ts';
import { ProcessFailure, warn } from './failure.ts';
import { lookForChild, type WaitStatus, waitForChild } from './family.ts';
import { nextNumber, ProcessLife, pipeToParent } from './life.ts';
import {
  PIPE_BYTES,
  PIPE_MASTER,
  PIPE_MESSAGES,
  PIPE_NONE,
  PIPE_READ,
  PIPE_WORKER,
  PIPE_WRITE,
  type PipeEnds,
  ProcessPipe,
} from './pipe.ts';
import { millisecondsOf, type PipeSocket } from './pipe-socket.ts';
import { swoole_set_process_name } from './process-name.ts';
import { bindToCpus, boundCpus, priorityOf, setPriorityOf } from './processors.ts';
import { IPC_NOWAIT, ProcessQueue, type QueueStatus } from './queue.ts';
import { isReplaying, leaveReplayOfServer } from './replay.ts';
import { isRunningMaster } from './server-part.ts';
import { alarm, handleSignal, kill, type SignalNumber } from './signals.ts';

/** Runs in the child. With a promise the child ends when it settles. */
export type ProcessCallback = (process: Process) => unknown;

export interface ProcessSettings {
  enable_coroutine?: boolean;
}

/** What the server does with a process that was added to it. */
export interface ServerSide {
  readonly redirect: boolean;
  /** PIPE_NONE, PIPE_BYTES or PIPE_MESSAGES. */
  readonly pipeType: number;
  /** The server starts it: start() answers `false` from here on. Answers false when start() was called before. */
  add(): boolean;
  /** Two ends, closed on exec; null without a pipe. Throws a SystemError when the kernel refuses. */
  createPipe(): PipeEnds | null;
  /** This process holds the parent's end; -1 where there is no pipe. Takes the descriptor over, and changes the id. */
  attach(fd: number, id: number): void;
  /** What tells the pid, in processes that are not the child. */
  followPid(pidOf: () => number): void;
  /** This process is the child, and holds its end. See `ProcessLife.runInServer`. */
  runAsChild(fd: number, id: number): Promise<void>;
}

let openServerSide: (process: Process) => ServerSide;

export function serverSideOf(process: Process): ServerSide {
  return openServerSide(process);
}

export class Process {
  static readonly IPC_NOWAIT = IPC_NOWAIT;
  static readonly PIPE_MASTER = PIPE_MASTER;
  static readonly PIPE_WORKER = PIPE_WORKER;
  static readonly PIPE_READ = PIPE_READ;
  static readonly PIPE_WRITE = PIPE_WRITE;

  static {
    openServerSide = (process) => process.#serverSide();
  }

  readonly callback: ProcessCallback;
  /** Counts from 1 in the order of construction; in a server the worker id. */
  id: number;
  /** The id and key of useQueue(); -1 before it. */
  msgQueueId = -1;
  msgQueueKey = -1;

  readonly #failure: ProcessFailure;
  readonly #pipe: ProcessPipe;
  readonly #queue: ProcessQueue;
  readonly #life: ProcessLife;

  constructor(
    callback: ProcessCallback,
    redirect_stdin_and_stdout: boolean | number = false,
    pipe_type = 2,
    enable_coroutine: boolean | number = false,
  ) {
    if (typeof callback !== 'function') throw badArgument('callback', 'a function', callback);
    if (![PIPE_NONE, PIPE_BYTES, PIPE_MESSAGES].includes(pipe_type))
      throw badArgument('pipe_type', '0 (none), 1 (bytes) or 2 (messages)', pipe_type);
    if (isRunningMaster())
      throw new TswooleError('ERR_STATE', 'a Process cannot be constructed in the running master of a server');
    this.callback = callback;
    const redirect = Boolean(redirect_stdin_and_stdout);
    this.#failure = new ProcessFailure(nextNumber());
    this.#pipe = new ProcessPipe(redirect ? PIPE_BYTES : pipe_type, this.#failure);
    this.#queue = new ProcessQueue(this.#failure);
    const run = (): unknown => this.callback(this);
    this.#life = new ProcessLife(run, this.#pipe, this.#failure, redirect, Boolean(enable_coroutine));
    this.id = this.#life.number;
  }

  /** 0 before it was started. In the child its own. */
  get pid(): number {
    return this.#life.pid;
  }

  /** The descriptor of our end of the pipe, for `Event`; -1 without one. */
  get pipe(): number {
    return this.#pipe.end()?.fd ?? -1;
  }

  /** Why the last method of this object answered `false`: an errno. */
  getLastError(): number {
    return this.#failure.code;
  }

  /**
   * Starts the child: its pid, or `false`. Node cannot fork: the child runs the script again, with the same options and
   * arguments, up to this call. There it runs the callback, and nothing behind this call. What the script does before is
   * done again in the child.
   */
  start(): number | false {
    return this.#life.start();
  }

  /**
   * Sends over the pipe: the number of bytes, or `false`. Holds this process until there is room, for setTimeout() seconds
   * at most, unless setBlocking(false) was called. `exportSocket().send()` waits without holding anybody.
   */
  write(data: string | Uint8Array): number | false {
    return this.#pipe.write(data);
  }

  /** The next message, or of a stream what has arrived, at most `size` bytes (8192). Waits as setTimeout() says. */
  read(size?: number): Promise<Buffer | false> {
    return this.#pipe.read(size);
  }

  /** Our end of the pipe, to await. The same object each time; its close() leaves the pipe as it is. `false`: no pipe. */
  exportSocket(): PipeSocket | false {
    return this.#pipe.export();
  }

  /** 0: closes the pipe. PIPE_READ, PIPE_WRITE: one direction. PIPE_MASTER, PIPE_WORKER: the parent's or child's end. */
  close(which = 0): boolean {
    return this.#pipe.close(which);
  }

  /** Ends the child. `false` where this is not the child. */
  exit(status = 0): false {
    if (!this.#life.isInside) return this.#failure.refuse(EINVAL, 'exit() is for the child');
    const possible = Number.isInteger(status) && status >= 0 && status <= 255;
    if (!possible) warn(`an exit code is a whole number from 0 to 255, got ${describeValue(status)}`);
    process.exit(possible ? status : 1);
  }

  /**
   * Another program takes the child over, which keeps its pid, and standard input and output: with
   * redirect_stdin_and_stdout these are the pipe. `false` when it cannot be run, or where this is not the child.
   */
  exec(execfile: string, args: readonly (string | number)[] = []): false {
    if (typeof execfile !== 'string') throw badArgument('execfile', 'the path of a program', execfile);
    if (!Array.isArray(args)) throw badArgument('args', 'an array of strings', args);
    const strings = Array.from(args, (each: unknown) => {
      if (typeof each === 'string' || typeof each === 'number') return String(each);
      throw badArgument('args', 'an array of strings and numbers', each);
    });
    if ([execfile, ...strings].some((text) => text.includes('\0')))
      throw badArgument('args', 'strings without zero bytes', args);
    if (!this.#life.isInside) return this.#failure.refuse(EINVAL, 'exec() is for the child: it would end this process');
    return this.#failure.refuse(execute(execfile, strings), `cannot run ${execfile}`);
  }

  /** What `ps` shows. The kernel has room for as much as the command line was long. */
  name(process_name: string): boolean {
    return swoole_set_process_name(process_name);
  }

  /** How many seconds read() and write() wait; -1: as long as it takes. */
  setTimeout(seconds: number): boolean {
    millisecondsOf(seconds);
    this.#pipe.timeout = seconds;
    return true;
  }

  /** Whether read() and write() wait at all. */
  setBlocking(blocking: boolean): void {
    this.#pipe.blocking = Boolean(blocking);
  }

  set(settings: ProcessSettings): void {
    if (typeof settings !== 'object' || settings === null) throw badArgument('settings', 'an object', settings);
    if (settings.enable_coroutine !== undefined) this.#life.enableCoroutine = Boolean(settings.enable_coroutine);
  }

  /**
   * Opens a System V message queue, which all processes share that open the same key; 0: a key made of the script's path.
   * `mode`: SWOOLE_MSGQUEUE_BALANCE (whoever is first gets a message) or SWOOLE_MSGQUEUE_ORIENT (each has its own), with
   * Process.IPC_NOWAIT not to wait. `capacity`: how many bytes the queue may hold.
   */
  useQueue(key = 0, mode: number = SWOOLE_MSGQUEUE_BALANCE, capacity = -1): boolean {
    const opened = this.#queue.use(key, mode, capacity);
    if (opened === false) return false;
    this.msgQueueId = opened.id;
    this.msgQueueKey = opened.key;
    return true;
  }

  /** Puts a message into the queue. Waits for room, in the order of the calls, unless IPC_NOWAIT was given. */
  push(data: string | Uint8Array): Promise<boolean> {
    return this.#queue.push(this.id, data);
  }

  /** The next message of the queue; of one longer than `size` the rest is lost. Waits unless IPC_NOWAIT was given. */
  pop(size?: number): Promise<Buffer | false> {
    return this.#queue.pop(this.id, size);
  }

  statQueue(): QueueStatus | false {
    return this.#queue.status();
  }

  /** Removes the queue, for everybody. Until then it stays in the kernel, also when all processes have ended. */
  freeQueue(): boolean {
    return this.#queue.free();
  }

  /**
   * `which`: PRIO_PROCESS, of which `who` is this child unless another pid is given, or PRIO_PGRP and PRIO_USER, which need
   * the id of a group or user in `who` (0: our own). From -20, the first, to 19.
   */
  setPriority(which: number, priority: number, who: number | null = null): boolean {
    return setPriorityOf(this.#failure, this.pid, which, priority, who);
  }

  getPriority(which: number, who: number | null = null): number | false {
    return priorityOf(this.#failure, this.pid, which, who);
  }

  /** Sends a signal; with 0 only asks whether the process exists. */
  static kill(pid: number, signal_no: SignalNumber = 'SIGTERM'): boolean {
    return kill(pid, signal_no);
  }

  /**
   * The next child that has ended. Waits for one, or with `false` answers at once; `false` when there is none. Children
   * of Node's `child_process` are not told of.
   */
  static async wait(blocking = true): Promise<WaitStatus | false> {
    if (isReplaying()) return false;
    return blocking ? waitForChild() : lookForChild();
  }

  /** Calls back on a signal: one callback for each, null takes it away. Does not keep the process alive. */
  static signal(signal_no: SignalNumber, callback: ((signal: number) => unknown) | null): boolean {
    return handleSignal(signal_no, callback);
  }

  /**
   * Sends this process SIGALRM every `usec` microseconds (with type 1 SIGVTALRM, 2 SIGPROF, by processor time); a number
   * below 1 ends it. Without a callback for the signal it ends the process.
   */
  static alarm(usec: number, type = 0): boolean {
    return alarm(usec, type);
  }

  /**
   * Puts this process into the background. It ends, and the script runs again, without a terminal: call this first of
   * all. With `false` the directory becomes /, and input and output nothing.
   */
  static daemon(nochdir = true, noclose = true): boolean {
    return becomeDaemon(nochdir, noclose, pipeToParent());
  }

  /** Ties this process to processors. */
  static setAffinity(cpu_settings: readonly number[]): boolean {
    return bindToCpus(cpu_settings);
  }

  static getAffinity(): number[] | false {
    return boundCpus();
  }

  #serverSide(): ServerSide {
    const life = this.#life;
    const pipe = this.#pipe;
    return {
      redirect: life.redirect,
      pipeType: pipe.type,
      add: () => life.add(),
      createPipe: () => (pipe.type === PIPE_NONE ? null : pipe.create()),
      attach: (fd, id) => {
        leaveReplayOfServer();
        pipe.attach(fd, false);
        this.id = id;
      },
      followPid: (pidOf) => life.followPid(pidOf),
      runAsChild: (fd, id) => {
        this.id = id;
        return life.runInServer(fd);
      },
    };
  }
}
