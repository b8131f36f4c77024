/**
 * The life of a `Process`: in the parent it starts the child, in the child it runs the callback, and ends. The child comes to
 * its place by repeating the script: see replay.ts.
 */
import { Event } from '../loop/event.ts';
import { Timer } from '../loop/timer.ts';
import { isAlive } from '../process/life/alive.ts';
import { FIRST_INHERITED_FD } from '../process/life/inheritance.ts';
import { EAGAIN, EINVAL } from '../sys/constants.ts';
import { becomeStandard, closeOnExec } from '../sys/socket-pair.ts';
import type { ProcessFailure } from './failure.ts';
import { isRunning, startAgain } from './family.ts';
import type { ProcessPipe } from './pipe.ts';
import { endScript, leaveReplayOfServer, nextStep, ownRecord } from './replay.ts';
import { isInServer } from './server-part.ts';
import { forgetSignals } from './signals.ts';

/** After an error that was reported, and taken by a handler of the user's, the child ends all the same. */
const FAILED_EXIT_MS = 5;
const FAILED = Symbol('the callback has failed');

/** All that were constructed in this run of the script: a child finds its own by its place here. */
const constructed: ProcessLife[] = [];
/** The one that this process is the child of. */
let inside: ProcessLife | null = null;

/** The number that the next one has: its place in the order of construction, from 1. */
export function nextNumber(): number {
  return constructed.length + 1;
}

/** The descriptor of the pipe to our parent; null where this process is nobody's child, or has none. */
export function pipeToParent(): number | null {
  return inside?.pipe.end()?.fd ?? null;
}

export class ProcessLife {
  readonly number: number;
  readonly pipe: ProcessPipe;
  /** Standard input and output of the child are the pipe. */
  readonly redirect: boolean;
  /** The child ends when Node's loop is empty, and not when its callback is over. */
  enableCoroutine: boolean;
  private readonly run: () => unknown;
  private readonly failure: ProcessFailure;
  private pidOf: () => number = () => 0;
  /** The server starts it. */
  private isAdded = false;
  private startCalled = false;
  /** True in a child for those that its parent had started before: they run, and their pipe is the parent's. */
  private isSibling = false;

  /** `run` calls the user's callback. */
  constructor(
    run: () => unknown,
    pipe: ProcessPipe,
    failure: ProcessFailure,
    redirect: boolean,
    enableCoroutine: boolean,
  ) {
    this.run = run;
    this.pipe = pipe;
    this.failure = failure;
    this.redirect = redirect;
    this.enableCoroutine = enableCoroutine;
    this.number = constructed.push(this);
  }

  /** 0 before it was started. In the child its own. */
  get pid(): number {
    return this.pidOf();
  }

  /** Whether this process is the child. */
  get isInside(): boolean {
    return inside === this;
  }

  /** What tells the pid, where others start the child. */
  followPid(pidOf: () => number): void {
    this.pidOf = pidOf;
  }

  /** The server starts it: start() answers `false` from here on. Answers false when start() was called before. */
  add(): boolean {
    this.isAdded = !this.startCalled;
    if (this.isAdded) this.pipe.leaveToOthers();
    return this.isAdded;
  }

  start(): number | false {
    if (this.isAdded) return this.failure.refuse(EINVAL, 'the server starts this process, not start()');
    this.startCalled = true;
    switch (nextStep(this.number)) {
      case 'nothing':
        this.setPid(ownRecord()?.pids[this.number] ?? 0);
        return this.pid === 0 ? false : this.pid;
      case 'become':
        return this.become();
      case 'pass':
        this.setPid(ownRecord()?.pids[this.number] ?? 0);
        this.call();
        return endScript();
      case 'start':
        return this.launch();
    }
  }

  /**
   * This process is the child that a server has started: ties standard input and output to the pipe if that was asked for,
   * and runs the callback. Resolves when the process may end (the callback has returned and its promise has settled; with
   * enable_coroutine when Node's loop is empty), rejects when the callback has failed.
   */
  async runInServer(fd: number): Promise<void> {
    this.enter(fd);
    // Where Node writes to a terminal it does so by a descriptor of its own: that output stays there.
    if (this.redirect) becomeStandard(fd);
    await this.settled(this.run());
  }

  private setPid(pid: number): void {
    this.pidOf = () => pid;
  }

  private launch(): number | false {
    if (isInServer())
      return this.failure.refuse(
        EINVAL,
        'a process of a server starts none: give it to addProcess() before the server starts',
      );
    if (isRunning(this.pid) || (this.isSibling && isAlive(this.pid)))
      return this.failure.refuse(EINVAL, 'the process runs already');
    const end = this.pipe.endForChild();
    const path = [...(ownRecord()?.path ?? []), this.number];
    const pids: Record<number, number> = {};
    for (const { number, pid } of constructed) if (pid !== 0) pids[number] = pid;
    const result = startAgain({ path, pids, hasPipe: end !== null, daemon: false }, end, this.redirect);
    if (typeof result !== 'number') {
      const { errno } = result as NodeJS.ErrnoException;
      return this.failure.refuse(Math.abs(errno ?? EAGAIN), `cannot start the process: ${result.message}`);
    }
    this.pipe.closeChildEnd();
    this.setPid(result);
    return result;
  }

  private become(): never {
    // What the replayed script has set up is its parent's.
    Timer.clearAll();
    Event.exit();
    forgetSignals();
    for (const each of constructed) {
      each.isSibling = each !== this && each.pid !== 0;
      if (each.isSibling) each.pipe.leaveToOthers();
    }
    this.enter(ownRecord()?.hasPipe === true ? FIRST_INHERITED_FD : -1);
    const result = this.call();
    const isOver = !this.enableCoroutine && !isPromise(result) && result !== FAILED;
    if (isOver && process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
    if (result !== FAILED) this.settled(result).then(leave, failLikeNode);
    return endScript();
  }

  private enter(fd: number): void {
    leaveReplayOfServer();
    inside = this;
    this.setPid(process.pid);
    this.pipe.attach(fd, true);
    if (fd !== -1) closeOnExec(fd);
  }

  private call(): unknown {
    try {
      return this.run();
    } catch (error) {
      failLikeNode(error);
      return FAILED;
    }
  }

  private async settled(result: unknown): Promise<void> {
    const empty = new Promise<void>((resolve) => process.once('beforeExit', () => resolve()));
    await Promise.race([result, empty]);
    if (this.enableCoroutine) await empty;
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
