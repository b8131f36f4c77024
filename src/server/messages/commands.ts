/** Commands: functions of the user that any process of the server can be asked to run. */
import {
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_OPERATION_NOT_SUPPORT,
  SWOOLE_ERROR_SERVER_INVALID_COMMAND,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
  SWOOLE_SERVER_COMMAND_EVENT_WORKER,
  SWOOLE_SERVER_COMMAND_MANAGER,
  SWOOLE_SERVER_COMMAND_MASTER,
  SWOOLE_SERVER_COMMAND_REACTOR_THREAD,
  SWOOLE_SERVER_COMMAND_TASK_WORKER,
} from '../../constants.ts';
import { describeError, describeValue, TswooleError } from '../../errors.ts';
import type { Runtime } from '../../process/runtime.ts';
import { inboxOfLane, MANAGER_INBOX, MASTER_INBOX, reactorInbox, workerInbox } from '../../shm/layout.ts';
import { postLetter } from '../../shm/letter.ts';
import { COMMAND, COMMAND_REPLY } from '../../shm/messages.ts';
import type { Server } from '../server.ts';
import { isFirst } from '../start/boot-record.ts';
import type { ServerCore } from '../state/core.ts';
import { taskAtHand } from '../tasks/task-callbacks.ts';

/** `data` is the JSON text of what command() was given; the answer is text, JSON as a rule. */
export type CommandCallback = (server: Server, data: string) => string | Promise<string>;

interface Command {
  types: number;
  callback: CommandCallback;
}

const TYPES_ALL =
  SWOOLE_SERVER_COMMAND_MASTER |
  SWOOLE_SERVER_COMMAND_REACTOR_THREAD |
  SWOOLE_SERVER_COMMAND_EVENT_WORKER |
  SWOOLE_SERVER_COMMAND_TASK_WORKER |
  SWOOLE_SERVER_COMMAND_MANAGER;
const ID_MAX = 0xffffffff;

/** What stands in place of an answer that a callback did not give. */
const FAILED = JSON.stringify({ data: 'failed to call function', code: -1 });
const WRONG_TYPE = JSON.stringify({ data: 'wrong return type', code: -2 });

/** In place of an inbox: the process that asks. */
const HERE = Number.MAX_SAFE_INTEGER;
/** Code of a reply: the command was run, or the process does not know it. */
const RAN = 0;

export class Commands {
  private readonly coreOf: () => ServerCore;
  private readonly byName = new Map<string, Command>();
  private readonly waiting = new Map<number, (code: number, text: string) => void>();
  private nextRequest = 0;
  /** Answers go to the next process of this worker id. */
  private cutOff = false;

  /** A part of the core, which is not complete yet. */
  constructor(coreOf: () => ServerCore) {
    this.coreOf = coreOf;
  }
  private get core(): ServerCore {
    return this.coreOf();
  }

  add(name: string, types: number, callback: CommandCallback): boolean {
    const { core } = this;
    if (typeof name !== 'string' || name === '')
      throw new TswooleError('ERR_ARGUMENT', `a command has a name, got ${describeValue(name)}`, {
        key: 'name',
      });
    if (typeof callback !== 'function') {
      throw new TswooleError(
        'ERR_ARGUMENT',
        `the callback of command "${name}" must be a function, got ${describeValue(callback)}`,
        {
          key: 'callback',
        },
      );
    }
    if (core.started) return this.refuse(`addCommand(): "${name}" comes after start()`);
    if (!Number.isInteger(types) || types <= 0 || (types & ~TYPES_ALL) !== 0)
      return this.refuse(`addCommand(): ${describeValue(types)} is not made of SWOOLE_SERVER_COMMAND_*`);
    if (this.byName.has(name)) return this.refuse(`addCommand(): there is a command "${name}" already`);
    this.byName.set(name, { types, callback });
    return true;
  }

  /** True exactly when a reactor thread must know the user's callbacks. */
  get needReactors(): boolean {
    return [...this.byName.values()].some(({ types }) => (types & SWOOLE_SERVER_COMMAND_REACTOR_THREAD) !== 0);
  }

  /** The same script runs in every process: what it does wrong before start() is told once. */
  private refuse(text: string): false {
    if (this.core.started || isFirst(this.core)) this.core.logger.log(SWOOLE_LOG_WARNING, text);
    return false;
  }

  // ---- asking -----------------------------------------------------------------------------------------------------

  async command(name: string, id: number, type: number, data: unknown, decode: boolean): Promise<unknown> {
    const { core } = this;
    const runtime = core.runtime!;
    const json = textOf(data);
    if (!Number.isInteger(id) || id < 0 || id > ID_MAX || json === undefined)
      return this.fail(SWOOLE_ERROR_INVALID_PARAMS);
    const command = this.byName.get(name);
    if (command === undefined) return this.fail(SWOOLE_ERROR_SERVER_INVALID_COMMAND);
    const target = this.target(runtime, command, id, type);
    if (target < 0) return this.fail(-target);
    if (target !== HERE && this.wouldWaitForItself()) {
      core.logger.log(
        SWOOLE_LOG_WARNING,
        `command(): the answer to "${name}" would come behind the task that waits for it: set task_enable_coroutine`,
      );
      return this.fail(SWOOLE_ERROR_WRONG_OPERATION);
    }
    const text = target === HERE ? await this.askHere(name, json) : await this.ask(runtime, target, name, json);
    if (text === false) return false;
    if (!decode) return text;
    try {
      return JSON.parse(text);
    } catch {
      return this.fail(SWOOLE_ERROR_INVALID_PARAMS);
    }
  }

  /** A task worker that runs one task at a time reads nothing before that is over. */
  private wouldWaitForItself(): boolean {
    const task = taskAtHand();
    return task !== null && !task.isOver && !this.core.settings!.taskEnableCoroutine;
  }

  /** The inbox of the process that is meant, HERE, or a negative error number. */
  private target(runtime: Runtime, command: Command, id: number, type: number): number {
    const { core } = this;
    const { layout } = runtime.segment;
    const inProcess = core.mode === SWOOLE_PROCESS;
    // In BASE worker 0 is what the master is elsewhere; behind the last reactor thread stands the master's own.
    if (inProcess && type === SWOOLE_SERVER_COMMAND_REACTOR_THREAD && id === layout.reactorCount)
      type = SWOOLE_SERVER_COMMAND_MASTER;
    const accepted = (types: number): boolean => (command.types & types) !== 0;
    const ofWorkerZero = !inProcess && type === SWOOLE_SERVER_COMMAND_EVENT_WORKER && id === 0;
    if (!accepted(ofWorkerZero ? type | SWOOLE_SERVER_COMMAND_MASTER : type))
      return -SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
    const outside = -SWOOLE_ERROR_INVALID_PARAMS;
    switch (type) {
      case SWOOLE_SERVER_COMMAND_MASTER:
        if (inProcess) return this.inboxOrHere(runtime, MASTER_INBOX);
        return this.inboxOrHere(runtime, workerInbox(layout, 0));
      case SWOOLE_SERVER_COMMAND_MANAGER:
        return core.alone ? -SWOOLE_ERROR_OPERATION_NOT_SUPPORT : this.inboxOrHere(runtime, MANAGER_INBOX);
      case SWOOLE_SERVER_COMMAND_REACTOR_THREAD:
        if (!inProcess) return -SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
        return id < layout.reactorCount ? reactorInbox(id) : outside;
      case SWOOLE_SERVER_COMMAND_EVENT_WORKER:
        return id < layout.workerCount ? this.inboxOrHere(runtime, workerInbox(layout, id)) : outside;
      case SWOOLE_SERVER_COMMAND_TASK_WORKER:
        if (id >= layout.taskWorkerCount) return outside;
        return this.inboxOrHere(runtime, workerInbox(layout, layout.workerCount + id));
      default:
        return outside;
    }
  }

  private inboxOrHere(runtime: Runtime, inbox: number): number {
    return inbox === inboxOfLane(runtime.segment.layout, runtime.lane) ? HERE : inbox;
  }

  /** A callback that never answers is no other in this process than elsewhere. */
  private askHere(name: string, json: string): Promise<string | false> {
    const { commandTimeoutMs } = this.core.settings!;
    if (commandTimeoutMs === 0) return this.answer(name, json);
    return new Promise((resolve) => {
      // Nobody else is waited for: this is no reason for the process to live.
      const timer = setTimeout(() => resolve(this.fail(SWOOLE_ERROR_CO_TIMEDOUT)), commandTimeoutMs).unref();
      void this.answer(name, json).then((text) => {
        clearTimeout(timer);
        resolve(text);
      });
    });
  }

  private ask(runtime: Runtime, inbox: number, name: string, json: string): Promise<string | false> {
    const request = this.nextRequest;
    this.nextRequest = (request + 1) & 0x7fffffff;
    const { commandTimeoutMs } = this.core.settings!;
    return new Promise((resolve) => {
      const timer =
        commandTimeoutMs === 0 ? null : setTimeout(() => settle(SWOOLE_ERROR_CO_TIMEDOUT, ''), commandTimeoutMs);
      const settle = (code: number, text: string): void => {
        if (timer !== null) clearTimeout(timer);
        this.waiting.delete(request);
        resolve(code === RAN ? text : this.fail(code));
      };
      this.waiting.set(request, settle);
      const own = inboxOfLane(runtime.segment.layout, runtime.lane);
      postLetter(runtime.outbox.to(inbox), COMMAND, request, own, runtime.life, 0, `${name}\n${json}`, 'a command');
      runtime.sent();
      // Not in this turn: whoever asks again and again would keep the loop from everything else.
      if (this.cutOff) setImmediate(() => settle(SWOOLE_ERROR_CO_CANCELED, ''));
    });
  }

  /** Who waits for an answer is told now, and not when its time is up. */
  noMoreReplies(): void {
    this.cutOff = true;
    for (const settle of this.waiting.values()) settle(SWOOLE_ERROR_CO_CANCELED, '');
  }

  reply(request: number, life: number, code: number, text: unknown): void {
    // Of a command that the process before us has sent, or that was given up.
    if (life === this.core.runtime?.life) this.waiting.get(request)?.(code, String(text));
  }

  // ---- answering --------------------------------------------------------------------------------------------------

  /** Runs a command for another process. */
  run(request: number, inbox: number, life: number, value: unknown): void {
    const runtime = this.core.runtime!;
    const [name, json] = partsOf(String(value));
    const send = (code: number, answer: string): void => {
      postLetter(runtime.outbox.to(inbox), COMMAND_REPLY, request, 0, life, code, answer, 'an answer');
      runtime.turn.touch();
    };
    if (!this.byName.has(name)) send(SWOOLE_ERROR_SERVER_INVALID_COMMAND, '');
    else void this.answer(name, json).then((answer) => send(RAN, answer));
  }

  /** The same in a reactor thread, which waits for no promise. */
  runNow(request: string): { code: number; answer: string } {
    const [name, json] = partsOf(request);
    const command = this.byName.get(name);
    if (command === undefined) return { code: SWOOLE_ERROR_SERVER_INVALID_COMMAND, answer: '' };
    try {
      const answer: unknown = command.callback(this.core.server, json);
      if (typeof answer === 'string') return { code: RAN, answer };
      this.refuse(`command "${name}" must answer text at once in a reactor thread, got ${describeValue(answer)}`);
      return { code: RAN, answer: WRONG_TYPE };
    } catch (error) {
      return { code: RAN, answer: this.failed(name, error) };
    }
  }

  private async answer(name: string, json: string): Promise<string> {
    try {
      const answer: unknown = await this.byName.get(name)!.callback(this.core.server, json);
      return typeof answer === 'string' ? answer : WRONG_TYPE;
    } catch (error) {
      return this.failed(name, error);
    }
  }

  private failed(name: string, error: unknown): string {
    this.core.logger.log(SWOOLE_LOG_WARNING, `the callback of command "${name}" failed: ${describeError(error)}`);
    return FAILED;
  }

  private fail(code: number): false {
    this.core.lastError = code;
    return false;
  }
}

/** A command travels as its name, a line break, and JSON, which has no line breaks. */
function partsOf(request: string): [name: string, json: string] {
  const end = request.lastIndexOf('\n');
  return [request.slice(0, end), request.slice(end + 1)];
}

/** As JSON; undefined for what has none. */
function textOf(data: unknown): string | undefined {
  try {
    return JSON.stringify(data);
  } catch {
    return undefined;
  }
}
