/** Swoole's `Process`: a child that runs a callback, with a pipe between it and who has constructed it. */

import { createRequire } from 'node:module';
import { PRIO_PROCESS, SWOOLE_MSGQUEUE_BALANCE, SWOOLE_MSGQUEUE_ORIENT } from '../constants.ts';
import { badArgument, describeValue, LastError, TswooleError } from '../errors.ts';
import { Event } from '../loop/event.ts';
import { Timer } from '../loop/timer.ts';
import { isAlive } from '../process/alive.ts';
import { FIRST_INHERITED_FD } from '../process/environment.ts';
import {
  EAGAIN,
  EBADF,
  EINVAL,
  EMSGSIZE,
  ENOENT,
  SHUT_RD,
  SHUT_WR,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../sys/constants.ts';
import { SystemError } from '../sys/error.ts';
import {
  findMessageQueue,
  keyOfPath,
  messageQueueStatus,
  openMessageQueue,
  removeMessageQueue,
  setMessageQueueLimit,
} from '../sys/message-queue.ts';
import { execute, getPriority, setPriority } from '../sys/process.ts';
import { closeDescriptor } from '../sys/socket.ts';
import {
  becomeStandard,
  closeOnExec,
  duplicate,
  openSocketPair,
  sendNow,
  shutdownSocket,
  waitWritable,
} from '../sys/socket-pair.ts';
import { isRunning, lookForChild, startAgain, type WaitStatus, waitForChild } from './family.ts';
import { bytesOf, millisecondsOf, PipeSocket, ReplayedPipeSocket } from './pipe-socket.ts';
import {
  alarm,
  becomeDaemon,
  bindToCpus,
  boundCpus,
  forgetSignals,
  handleSignal,
  isInServer,
  kill,
  releaseSignals,
  reserveSignals,
  type SignalNumber,
  warn,
} from './process-control.ts';
import { ProcessQueue } from './process-queue.ts';
import { endScript, isReplaying, leaveReplayOfServer, nextStep, ownRecord } from './replay.ts';

/** Runs in the child. With a promise the child ends when it settles. */
export type ProcessCallback = (process: Process) => unknown;

export interface ProcessSettings {
  enable_coroutine?: boolean;
}

export interface QueueStatus {
  /** Messages that wait in the queue. */
  queue_num: number;
  /** Bytes of all of them together. */
  queue_bytes: number;
}

/** What Swoole takes for the longest message of a queue; the kernel's own limit is less, by default 8192. */
const QUEUE_MESSAGE_MAX = 65536;
/** What read() reads of a stream. */
const READ_BYTES = 8192;
/** After an error that was reported, and taken by a handler of the user's, the child ends all the same. */
const FAILED_EXIT_MS = 5;

/** All that were constructed in this run of the script: a child finds its own by its place here. */
const constructed: Process[] = [];
/** The one that this process is the child of. */
let inside: Process | null = null;
let isMaster = false;

/** What the server needs of a process that was added to it. */
export interface ProcessInternals {
  readonly callback: ProcessCallback;
  readonly redirect: boolean;
  /** 0: none, 1: bytes, 2: messages. */
  readonly pipeType: number;
  readonly enableCoroutine: boolean;
  /** The server starts it: start() answers `false` from here on. Answers false when start() was called before. */
  add(): boolean;
  /** Two ends, closed on exec; null without a pipe. Throws a SystemError when the kernel refuses. */
  createPipe(): { parent: number; child: number } | null;
  /** This process holds that end; -1 where there is no pipe. Takes the descriptor over, and changes the id. */
  attach(end: 'parent' | 'child', fd: number, id: number): void;
  /**
   * This process is the child: ties standard input and output to the pipe if that was asked for, and runs the callback.
   * Resolves when the process may end (the callback has returned and its
   * promise has settled; with enable_coroutine when Node's loop is empty), rejects when the callback has failed.
   */
  runAsChild(fd: number, id: number): Promise<void>;
  /** What tells the pid, in processes that are not the child. */
  followPid(pidOf: () => number): void;
}

let openInternals: (process: Process) => ProcessInternals;

export function internalsOf(process: Process): ProcessInternals {
  return openInternals(process);
}

/**
 * This process has its role in a running server: from here on a Process acts, and does not repeat. The signals are the
 * server's. In a master no Process can be constructed any more.
 */
export function joinServer(options: { isMaster: boolean; signals: readonly NodeJS.Signals[] }): void {
  isMaster = options.isMaster;
  reserveSignals(options.signals);
  leaveReplayOfServer();
}

/** The server has ended in the first process. The next one may have processes of its own. */
export function leaveServer(): void {
  isMaster = false;
  releaseSignals();
}

export class Process {
  static readonly IPC_NOWAIT = 256;
  static readonly PIPE_MASTER = 1;
  static readonly PIPE_WORKER = 2;
  static readonly PIPE_READ = 3;
  static readonly PIPE_WRITE = 4;

  static {
    openInternals = (process) => process.#internals;
  }

  readonly callback: ProcessCallback;
  /** Counts from 1 in the order of construction; in a server the worker id. */
  id: number;
  /** The id and key of useQueue(); -1 before it. */
  msgQueueId = -1;
  msgQueueKey = -1;

  readonly #number: number;
  readonly #redirect: boolean;
  readonly #pipeType: number;
  readonly #internals: ProcessInternals;
  #enableCoroutine: boolean;
  #pid: number | (() => number) = 0;
  #added = false;
  #startCalled = false;
  /** Our end, and a second descriptor of it that exportSocket() gave away. */
  #pipe: PipeSocket | null = null;
  #exported: PipeSocket | null = null;
  /** The other end, until the child has it. */
  #childEnd = -1;
  #pipeClosed = false;
  /** True in a child for those that its parent had started before: they run, and their pipe is the parent's. */
  #isSibling = false;
  #timeout = -1;
  #blocking = true;
  #queue: ProcessQueue | null = null;
  #queueMode = SWOOLE_MSGQUEUE_BALANCE;
  readonly #lastError = new LastError();

  constructor(
    callback: ProcessCallback,
    redirect_stdin_and_stdout: boolean | number = false,
    pipe_type = 2,
    enable_coroutine: boolean | number = false,
  ) {
    if (typeof callback !== 'function') throw badArgument('callback', 'a function', callback);
    if (![0, 1, 2].includes(pipe_type))
      throw badArgument('pipe_type', '0 (none), 1 (bytes) or 2 (messages)', pipe_type);
    if (isMaster)
      throw new TswooleError('ERR_STATE', 'a Process cannot be constructed in the running master of a server');
    this.callback = callback;
    this.#redirect = Boolean(redirect_stdin_and_stdout);
    this.#pipeType = this.#redirect ? 1 : pipe_type;
    this.#enableCoroutine = Boolean(enable_coroutine);
    this.#number = constructed.push(this);
    this.id = this.#number;
    this.#internals = this.#makeInternals();
  }

  /** 0 before it was started. In the child its own. */
  get pid(): number {
    return typeof this.#pid === 'number' ? this.#pid : this.#pid();
  }

  /** The descriptor of our end of the pipe, for `Event`; -1 without one. */
  get pipe(): number {
    return this.#ownPipe()?.fd ?? -1;
  }

  /** Why the last method of this object answered `false`: an errno. */
  getLastError(): number {
    return this.#lastError.code;
  }

  /**
   * Starts the child: its pid, or `false`. Node cannot fork: the child runs the script again, with the same options and
   * arguments, up to this call. There it runs the callback, and nothing behind this call. What the script does before is
   * done again in the child.
   */
  start(): number | false {
    if (this.#added) return this.#refuse(EINVAL, 'the server starts this process, not start()');
    this.#startCalled = true;
    switch (nextStep(this.#number)) {
      case 'nothing':
        this.#pid = ownRecord()?.pids[this.#number] ?? 0;
        return this.pid === 0 ? false : this.pid;
      case 'become':
        return this.#become();
      case 'pass':
        this.#pid = ownRecord()?.pids[this.#number] ?? 0;
        this.#call();
        return endScript();
      case 'start':
        return this.#launch();
    }
  }

  /**
   * Sends over the pipe: the number of bytes, or `false`. Holds this process until there is room, for setTimeout() seconds
   * at most, unless setBlocking(false) was called. `exportSocket().send()` waits without holding anybody.
   */
  write(data: string | Uint8Array): number | false {
    const bytes = bytesOf(data);
    if (bytes.length === 0) return this.#refuse(EINVAL, 'there is nothing to write');
    if (isReplaying()) return bytes.length;
    const pipe = this.#ownPipe();
    if (pipe === null) return this.#refuse(EBADF, 'there is no pipe to write to');
    const deadline = performance.now() + millisecondsOf(this.#timeout);
    let sent = 0;
    for (;;) {
      const count = sendNow(pipe.fd, sent === 0 ? bytes : bytes.subarray(sent));
      if (count >= 0) sent += count;
      if (sent === bytes.length) return sent;
      if (count >= 0) continue;
      this.#lastError.code = -count;
      if (count !== -EAGAIN || !this.#blocking) break;
      const left = this.#timeout < 0 ? -1 : Math.max(0, deadline - performance.now());
      const error = waitWritable(pipe.fd, left);
      if (error === 0) continue;
      this.#lastError.code = error;
      break;
    }
    return sent > 0 ? sent : false;
  }

  /** The next message, or of a stream what has arrived, at most `size` bytes (8192). Waits as setTimeout() says. */
  async read(size?: number): Promise<Buffer | false> {
    if (isReplaying()) return false;
    const pipe = this.#ownPipe();
    if (pipe === null) return this.#refuse(EBADF, 'there is no pipe to read from');
    const found = await pipe.recv(
      size ?? (this.#pipeType === 1 ? READ_BYTES : undefined),
      this.#blocking ? this.#timeout : 0,
    );
    if (found === false) this.#lastError.code = pipe.errCode;
    return found;
  }

  /** Our end of the pipe, to await. The same object each time; its close() leaves the pipe as it is. `false`: no pipe. */
  exportSocket(): PipeSocket | false {
    if (this.#exported !== null && this.#exported.fd !== -1) return this.#exported;
    if (isReplaying() && this.#pipeType !== 0) {
      this.#exported ??= new ReplayedPipeSocket();
      return this.#exported;
    }
    const pipe = this.#ownPipe();
    if (pipe === null) return this.#refuse(EBADF, 'there is no pipe to export');
    const copy = duplicate(pipe.fd);
    if (copy < 0) return this.#fail(-copy);
    this.#exported = new PipeSocket(copy, this.#pipeType === 2);
    return this.#exported;
  }

  /** 0: closes the pipe. PIPE_READ, PIPE_WRITE: one direction. PIPE_MASTER, PIPE_WORKER: the parent's or child's end. */
  close(which = 0): boolean {
    if (![0, 1, 2, 3, 4].includes(which)) throw badArgument('which', '0 or one of Process.PIPE_*', which);
    if (isReplaying()) return true;
    const pipe = this.#ownPipe();
    if (pipe === null) return this.#refuse(EBADF, 'there is no pipe to close');
    if (which === Process.PIPE_READ || which === Process.PIPE_WRITE) {
      const error = shutdownSocket(pipe.fd, which === Process.PIPE_READ ? SHUT_RD : SHUT_WR);
      return error === 0 ? true : this.#fail(error);
    }
    const ours = inside === this ? Process.PIPE_WORKER : Process.PIPE_MASTER;
    if (which !== 0 && which !== ours) return this.#closeChildEnd() ? true : this.#fail(EBADF);
    if (which === 0) this.#closeChildEnd();
    this.#pipeClosed = true;
    pipe.close();
    return true;
  }

  /** Ends the child. `false` where this is not the child. */
  exit(status = 0): false {
    if (inside !== this) return this.#refuse(EINVAL, 'exit() is for the child');
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
    if (inside !== this) return this.#refuse(EINVAL, 'exec() is for the child: it would end this process');
    return this.#refuse(execute(execfile, strings), `cannot run ${execfile}`);
  }

  /** What `ps` shows. The kernel has room for as much as the command line was long. */
  name(process_name: string): boolean {
    if (typeof process_name !== 'string') throw badArgument('process_name', 'a string', process_name);
    if (isReplaying()) return true;
    process.title = process_name;
    return true;
  }

  /** How many seconds read() and write() wait; -1: as long as it takes. */
  setTimeout(seconds: number): boolean {
    millisecondsOf(seconds);
    this.#timeout = seconds;
    return true;
  }

  /** Whether read() and write() wait at all. */
  setBlocking(blocking: boolean): void {
    this.#blocking = Boolean(blocking);
  }

  set(settings: ProcessSettings): void {
    if (typeof settings !== 'object' || settings === null) throw badArgument('settings', 'an object', settings);
    if (settings.enable_coroutine !== undefined) this.#enableCoroutine = Boolean(settings.enable_coroutine);
  }

  /**
   * Opens a System V message queue, which all processes share that open the same key; 0: a key made of the script's path.
   * `mode`: SWOOLE_MSGQUEUE_BALANCE (whoever is first gets a message) or SWOOLE_MSGQUEUE_ORIENT (each has its own), with
   * Process.IPC_NOWAIT not to wait. `capacity`: how many bytes the queue may hold.
   */
  useQueue(key = 0, mode: number = SWOOLE_MSGQUEUE_BALANCE, capacity = -1): boolean {
    if (!Number.isInteger(key) || key > 2 ** 31 - 1) throw badArgument('key', 'a whole number below 2^31', key);
    const ipcMode = mode & ~Process.IPC_NOWAIT;
    if (ipcMode !== SWOOLE_MSGQUEUE_BALANCE && ipcMode !== SWOOLE_MSGQUEUE_ORIENT)
      throw badArgument('mode', 'SWOOLE_MSGQUEUE_BALANCE or SWOOLE_MSGQUEUE_ORIENT', mode);
    if (!Number.isInteger(capacity)) throw badArgument('capacity', 'a whole number of bytes', capacity);
    const found = key > 0 ? key : keyOfPath(scriptPath(), 1);
    // A child only finds what its parent has made. If that was freed meanwhile it is gone, as after a fork, and stays so.
    const opened = isReplaying() ? findMessageQueue(found) : openMessageQueue(found);
    if (opened < 0 && opened !== -ENOENT) return this.#fail(-opened);
    const id = opened === -ENOENT ? -1 : opened;
    if (capacity > 0 && !isReplaying()) {
      const error = setMessageQueueLimit(id, capacity);
      if (error !== 0) this.#refuse(error, `the queue cannot hold ${capacity} bytes`);
    }
    this.#queue = new ProcessQueue(id, (mode & Process.IPC_NOWAIT) === 0);
    this.#queueMode = ipcMode;
    this.msgQueueId = id;
    this.msgQueueKey = found;
    return true;
  }

  /** Puts a message into the queue. Waits for room, in the order of the calls, unless IPC_NOWAIT was given. */
  async push(data: string | Uint8Array): Promise<boolean> {
    const bytes = bytesOf(data);
    if (bytes.length === 0) return this.#refuse(EINVAL, 'there is nothing to push');
    if (bytes.length >= QUEUE_MESSAGE_MAX) return this.#refuse(EMSGSIZE, 'the message is too long for a queue');
    const queue = this.#queue;
    if (queue === null) return this.#refuse(EBADF, 'there is no queue: call useQueue() first');
    if (isReplaying()) return true;
    const pushed = await queue.push(this.id + 1, bytes);
    if (!pushed) this.#lastError.code = queue.lastError;
    return pushed;
  }

  /** The next message of the queue; of one longer than `size` the rest is lost. Waits unless IPC_NOWAIT was given. */
  async pop(size = QUEUE_MESSAGE_MAX): Promise<Buffer | false> {
    if (typeof size !== 'number' || Number.isNaN(size)) throw badArgument('size', 'a number of bytes', size);
    const queue = this.#queue;
    if (queue === null) return this.#refuse(EBADF, 'there is no queue: call useQueue() first');
    if (isReplaying()) return false;
    const bytesMax = size > 0 && size < QUEUE_MESSAGE_MAX ? Math.floor(size) : QUEUE_MESSAGE_MAX;
    const found = await queue.pop(this.#queueMode === SWOOLE_MSGQUEUE_BALANCE ? 0 : this.id + 1, bytesMax);
    if (found === false) this.#lastError.code = queue.lastError;
    return found;
  }

  statQueue(): QueueStatus | false {
    if (this.#queue === null) return this.#refuse(EBADF, 'there is no queue: call useQueue() first');
    const status = { count: 0, bytes: 0, limit: 0 };
    const error = messageQueueStatus(this.#queue.id, status);
    return error === 0 ? { queue_num: status.count, queue_bytes: status.bytes } : this.#fail(error);
  }

  /** Removes the queue, for everybody. Until then it stays in the kernel, also when all processes have ended. */
  freeQueue(): boolean {
    if (this.#queue === null) return this.#fail(EBADF);
    if (isReplaying()) return true;
    const error = removeMessageQueue(this.#queue.id);
    if (error !== 0) return this.#fail(error);
    this.#queue.end();
    this.#queue = null;
    return true;
  }

  /**
   * `which`: PRIO_PROCESS, of which `who` is this child unless another pid is given, or PRIO_PGRP and PRIO_USER, which need
   * the id of a group or user in `who` (0: our own). From -20, the first, to 19.
   */
  setPriority(which: number, priority: number, who: number | null = null): boolean {
    if (!Number.isInteger(priority)) throw badArgument('priority', 'a whole number', priority);
    const id = this.#who(which, who);
    if (id === null) return false;
    if (isReplaying()) return true;
    const error = setPriority(which, id, priority);
    return error === 0 ? true : this.#fail(error);
  }

  getPriority(which: number, who: number | null = null): number | false {
    const answer = { error: 0 };
    const id = this.#who(which, who);
    return id === null ? false : (getPriority(which, id, answer) ?? this.#fail(answer.error));
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
    const pipe = inside === null ? -1 : inside.pipe;
    return becomeDaemon(nochdir, noclose, pipe === -1 ? null : pipe);
  }

  /** Ties this process to processors. */
  static setAffinity(cpu_settings: readonly number[]): boolean {
    return bindToCpus(cpu_settings);
  }

  static getAffinity(): number[] | false {
    return boundCpus();
  }

  #launch(): number | false {
    if (isInServer())
      return this.#refuse(
        EINVAL,
        'a process of a server starts none: give it to addProcess() before the server starts',
      );
    if (isRunning(this.pid) || (this.#isSibling && isAlive(this.pid)))
      return this.#refuse(EINVAL, 'the process runs already');
    if (this.#pipe !== null && this.#childEnd === -1 && !this.#pipeClosed) {
      // The child of this end has ended: the next one has a pipe of its own.
      this.#pipe.close();
      this.#exported?.close();
      this.#pipe = null;
    }
    const hasPipe = this.#ownPipe() !== null;
    const path = [...(ownRecord()?.path ?? []), this.#number];
    const pids: Record<number, number> = {};
    for (const each of constructed) if (each.pid !== 0) pids[each.#number] = each.pid;
    const result = startAgain({ path, pids, hasPipe, daemon: false }, hasPipe ? this.#childEnd : null, this.#redirect);
    if (typeof result !== 'number') {
      const { errno } = result as NodeJS.ErrnoException;
      return this.#refuse(Math.abs(errno ?? EAGAIN), `cannot start the process: ${result.message}`);
    }
    this.#closeChildEnd();
    this.#pid = result;
    return result;
  }

  #become(): never {
    // What the replayed script has set up is its parent's.
    Timer.clearAll();
    Event.exit();
    forgetSignals();
    for (const each of constructed) {
      each.#isSibling = each !== this && each.pid !== 0;
      if (each.#isSibling) each.#pipeClosed = true;
    }
    this.#enter(ownRecord()?.hasPipe === true ? FIRST_INHERITED_FD : -1, this.id);
    const result = this.#call();
    const isOver = !this.#enableCoroutine && !isPromise(result) && result !== FAILED;
    if (isOver && process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
    if (result !== FAILED) this.#settled(result).then(leave, failLikeNode);
    return endScript();
  }

  #enter(fd: number, id: number): void {
    inside = this;
    this.#pid = process.pid;
    this.#attach(fd, id);
    if (fd !== -1) closeOnExec(fd);
  }

  #attach(fd: number, id: number): void {
    leaveReplayOfServer();
    this.#pipe?.close();
    this.#exported?.close();
    this.#closeChildEnd();
    this.#pipe = fd === -1 ? null : new PipeSocket(fd, this.#pipeType === 2);
    this.#pipeClosed = fd === -1;
    this.id = id;
  }

  #call(): unknown {
    try {
      return this.callback(this);
    } catch (error) {
      failLikeNode(error);
      return FAILED;
    }
  }

  async #settled(result: unknown): Promise<void> {
    const empty = new Promise<void>((resolve) => process.once('beforeExit', () => resolve()));
    if (!this.#enableCoroutine) return void (await Promise.race([result, empty]));
    await Promise.race([result, empty]);
    await empty;
  }

  /** Our end of the pipe, made when it is first asked for; null without one. */
  #ownPipe(): PipeSocket | null {
    if (this.#pipe !== null && this.#pipe.fd !== -1) return this.#pipe;
    if (this.#pipeType === 0 || this.#pipeClosed || this.#added || isReplaying()) return null;
    const { parent, child } = this.#createPipe();
    this.#childEnd = child;
    this.#pipe = new PipeSocket(parent, this.#pipeType === 2);
    return this.#pipe;
  }

  #createPipe(): { parent: number; child: number } {
    // Messages keep their bounds on SOCK_SEQPACKET as on Swoole's SOCK_DGRAM, and only the former tells of the other end's end.
    const pair = openSocketPair(this.#pipeType === 2 ? SOCK_SEQPACKET : SOCK_STREAM);
    if (typeof pair === 'number') throw new SystemError('socketpair', -pair);
    return { parent: pair[0], child: pair[1] };
  }

  #closeChildEnd(): boolean {
    if (this.#childEnd === -1) return false;
    closeDescriptor(this.#childEnd);
    this.#childEnd = -1;
    return true;
  }

  #who(which: number, who: number | null): number | null {
    if (![0, 1, 2].includes(which)) throw badArgument('which', 'PRIO_PROCESS, PRIO_PGRP or PRIO_USER', which);
    if (who !== null && !(Number.isInteger(who) && who >= 0)) throw badArgument('who', 'a whole number or null', who);
    if (who !== null) return who;
    if (which === PRIO_PROCESS) return this.pid;
    // All processes of a user are too many to be meant by nothing.
    this.#refuse(EINVAL, 'a priority of a group or user needs its id');
    return null;
  }

  #fail(error: number): false {
    return this.#lastError.fail(error);
  }

  #refuse(error: number, why: string): false {
    warn(`Process #${this.#number}: ${why}${error === 0 ? '' : ` (errno ${error})`}`);
    return this.#fail(error);
  }

  #makeInternals(): ProcessInternals {
    const self = this;
    return {
      callback: this.callback,
      redirect: this.#redirect,
      pipeType: this.#pipeType,
      get enableCoroutine() {
        return self.#enableCoroutine;
      },
      add: () => {
        this.#added = !this.#startCalled;
        return this.#added;
      },
      createPipe: () => (this.#pipeType === 0 ? null : this.#createPipe()),
      attach: (_end, fd, id) => this.#attach(fd, id),
      runAsChild: async (fd, id) => {
        this.#enter(fd, id);
        // Where Node writes to a terminal it does so by a descriptor of its own: that output stays there.
        if (this.#redirect) becomeStandard(fd);
        await this.#settled(this.callback(this));
      },
      followPid: (pidOf) => {
        this.#pid = pidOf;
      },
    };
  }
}

const FAILED = Symbol('the callback has failed');

/** The file that Node has found where the command names it without its ending. */
function scriptPath(): string {
  const path = process.argv[1] ?? '';
  try {
    return createRequire(import.meta.url).resolve(path);
  } catch {
    return path;
  }
}

function isPromise(value: unknown): boolean {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';
}

/** Output that a slow reader has not taken yet is not lost. */
async function leave(): Promise<void> {
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise<void>((resolve) => stream.write('', () => resolve()));
  process.exit();
}

/** An error of the callback is an uncaught error of the child, with all that Node does for one. */
function failLikeNode(error: unknown): void {
  setImmediate(() => {
    setTimeout(() => process.exit(process.exitCode || 1), FAILED_EXIT_MS);
    throw error;
  });
}
