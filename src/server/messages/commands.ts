/** Asking processes to run commands, and running them: both sides of command(). */

import {
  SWOOLE_ERROR_CO_CANCELED,
  SWOOLE_ERROR_CO_TIMEDOUT,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_OPERATION_NOT_SUPPORT,
  SWOOLE_ERROR_SERVER_INVALID_COMMAND,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_PROCESS,
  SWOOLE_SERVER_COMMAND_EVENT_WORKER,
  SWOOLE_SERVER_COMMAND_MANAGER,
  SWOOLE_SERVER_COMMAND_MASTER,
  SWOOLE_SERVER_COMMAND_REACTOR_THREAD,
  SWOOLE_SERVER_COMMAND_TASK_WORKER,
} from '../../constants.ts';
import { describeError, describeValue } from '../../errors.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { COMMANDS_EXPIRED } from '../../shm/counters.ts';
import { inboxOfLane, MANAGER_INBOX, MASTER_INBOX, reactorInbox, workerInbox } from '../../shm/layout.ts';
import { postLetter } from '../../shm/letter.ts';
import { COMMAND, COMMAND_REPLY } from '../../shm/messages.ts';
import type { Member } from '../state/member.ts';
import { isAlone } from '../state/plan.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { taskAtHand } from '../tasks/task-callbacks.ts';
import type { CommandCallback, CommandTable } from './command-table.ts';

const ID_MAX = 0xffffffff;

/** What stands in place of an answer that a callback did not give. */
const FAILED = JSON.stringify({ data: 'failed to call function', code: -1 });
const WRONG_TYPE = JSON.stringify({ data: 'wrong return type', code: -2 });

/** In place of an inbox: the process that asks. */
const HERE = Number.MAX_SAFE_INTEGER;
/** Code of a reply: the command was run, or the process does not know it. */
const RAN = 0;

export class Commands {
  private readonly member: Member;
  private readonly script: Script;
  private readonly runtime: Runtime;
  private readonly table: CommandTable;
  private readonly waiting = new Map<number, (code: number, text: string) => void>();
  private nextRequest = 0;
  /** Answers go to the next process of this worker id. */
  private cutOff = false;

  constructor(member: Member) {
    this.member = member;
    this.script = member.script;
    this.runtime = member.runtime;
    this.table = member.script.commands;
  }

  // ---- asking -----------------------------------------------------------------------------------------------------

  async command(name: string, id: number, type: number, data: unknown, decode: boolean): Promise<unknown> {
    const json = textOf(data);
    if (!Number.isInteger(id) || id < 0 || id > ID_MAX || json === undefined)
      return fail(this.script, SWOOLE_ERROR_INVALID_PARAMS);
    const command = this.table.get(name);
    if (command === undefined) return fail(this.script, SWOOLE_ERROR_SERVER_INVALID_COMMAND);
    const target = this.target(command.types, id, type);
    if (target < 0) return fail(this.script, -target);
    if (target !== HERE && this.wouldWaitForItself()) {
      warn(
        this.script,
        `command(): the answer to "${name}" would come behind the task that waits for it: set task_enable_coroutine`,
      );
      return fail(this.script, SWOOLE_ERROR_WRONG_OPERATION);
    }
    const text =
      target === HERE ? await this.askHere(command.callback, name, json) : await this.ask(target, name, json);
    if (text === false) return false;
    if (!decode) return text;
    try {
      return JSON.parse(text);
    } catch {
      return fail(this.script, SWOOLE_ERROR_INVALID_PARAMS);
    }
  }

  /** A task worker that runs one task at a time reads nothing before that is over. */
  private wouldWaitForItself(): boolean {
    const task = taskAtHand();
    return task !== null && !task.isOver && !this.member.settings.taskEnableCoroutine;
  }

  /** The inbox of the process that is meant, HERE, or a negative error number. */
  private target(acceptedTypes: number, id: number, type: number): number {
    const { layout } = this.runtime.segment;
    const inProcess = this.script.mode === SWOOLE_PROCESS;
    const alone = isAlone(this.member);
    // Behind the last reactor thread stands the master's own.
    if (inProcess && type === SWOOLE_SERVER_COMMAND_REACTOR_THREAD && id === layout.reactorCount)
      type = SWOOLE_SERVER_COMMAND_MASTER;
    const accepted = (types: number): boolean => (acceptedTypes & types) !== 0;
    const ofMaster = alone && type === SWOOLE_SERVER_COMMAND_EVENT_WORKER && id === 0;
    if (!accepted(ofMaster ? type | SWOOLE_SERVER_COMMAND_MASTER : type)) return -SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
    const outside = -SWOOLE_ERROR_INVALID_PARAMS;
    switch (type) {
      case SWOOLE_SERVER_COMMAND_MASTER:
        if (inProcess) return this.inboxOrHere(MASTER_INBOX);
        // The first process: it is the manager, where there is something to manage, else the worker.
        return this.inboxOrHere(alone ? workerInbox(layout, 0) : MANAGER_INBOX);
      case SWOOLE_SERVER_COMMAND_MANAGER:
        return alone ? -SWOOLE_ERROR_OPERATION_NOT_SUPPORT : this.inboxOrHere(MANAGER_INBOX);
      case SWOOLE_SERVER_COMMAND_REACTOR_THREAD:
        if (!inProcess) return -SWOOLE_ERROR_OPERATION_NOT_SUPPORT;
        return id < layout.reactorCount ? reactorInbox(id) : outside;
      case SWOOLE_SERVER_COMMAND_EVENT_WORKER:
        return id < layout.workerCount ? this.inboxOrHere(workerInbox(layout, id)) : outside;
      case SWOOLE_SERVER_COMMAND_TASK_WORKER:
        if (id >= layout.taskWorkerCount) return outside;
        return this.inboxOrHere(workerInbox(layout, layout.workerCount + id));
      default:
        return outside;
    }
  }

  private inboxOrHere(inbox: number): number {
    const { runtime } = this;
    return inbox === inboxOfLane(runtime.segment.layout, runtime.lane) ? HERE : inbox;
  }

  /** A callback that never answers is no other in this process than elsewhere. */
  private askHere(callback: CommandCallback<object>, name: string, json: string): Promise<string | false> {
    const { commandTimeoutMs } = this.member.settings;
    if (commandTimeoutMs === 0) return this.answer(callback, name, json);
    return new Promise((resolve) => {
      // Nobody else is waited for: this is no reason for the process to live.
      const timer = setTimeout(() => {
        this.member.runtime.counters.add(COMMANDS_EXPIRED, 1);
        resolve(fail(this.script, SWOOLE_ERROR_CO_TIMEDOUT));
      }, commandTimeoutMs).unref();
      void this.answer(callback, name, json).then((text) => {
        clearTimeout(timer);
        resolve(text);
      });
    });
  }

  private ask(inbox: number, name: string, json: string): Promise<string | false> {
    const { runtime } = this;
    const request = this.nextRequest;
    this.nextRequest = (request + 1) & 0x7fffffff;
    const { commandTimeoutMs } = this.member.settings;
    return new Promise((resolve) => {
      const timer =
        commandTimeoutMs === 0
          ? null
          : setTimeout(() => {
              runtime.counters.add(COMMANDS_EXPIRED, 1);
              settle(SWOOLE_ERROR_CO_TIMEDOUT, '');
            }, commandTimeoutMs);
      const settle = (code: number, text: string): void => {
        if (timer !== null) clearTimeout(timer);
        this.waiting.delete(request);
        resolve(code === RAN ? text : fail(this.script, code));
      };
      this.waiting.set(request, settle);
      const own = inboxOfLane(runtime.segment.layout, runtime.lane);
      runtime.blocker.expect();
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
    if (this.runtime.keepForHeir({ kind: COMMAND_REPLY, a: request, b: 0, life, flags: code, value: text })) return;
    // Of a command that the process before us has sent, or that was given up.
    if (life === this.runtime.life) this.waiting.get(request)?.(code, String(text));
  }

  // ---- answering --------------------------------------------------------------------------------------------------

  /** Runs a command for another process. */
  run(request: number, inbox: number, life: number, value: unknown): void {
    const { runtime } = this;
    const [name, json] = partsOf(String(value));
    const send = (code: number, answer: string): void => {
      postLetter(runtime.outbox.to(inbox), COMMAND_REPLY, request, 0, life, code, answer, 'an answer');
      runtime.turn.touch();
    };
    const command = this.table.get(name);
    if (command === undefined) send(SWOOLE_ERROR_SERVER_INVALID_COMMAND, '');
    else void this.answer(command.callback, name, json).then((answer) => send(RAN, answer));
  }

  private async answer(callback: CommandCallback<object>, name: string, json: string): Promise<string> {
    try {
      const answer: unknown = await callback(this.script.self, json);
      return typeof answer === 'string' ? answer : WRONG_TYPE;
    } catch (error) {
      return failed(this.script, name, error);
    }
  }
}

/** Runs a command in a reactor thread, which waits for no promise. */
export function runCommandNow(script: Script, request: string): { code: number; answer: string } {
  const [name, json] = partsOf(request);
  const command = script.commands.get(name);
  if (command === undefined) return { code: SWOOLE_ERROR_SERVER_INVALID_COMMAND, answer: '' };
  try {
    const answer: unknown = command.callback(script.self, json);
    if (typeof answer === 'string') return { code: RAN, answer };
    warn(script, `command "${name}" must answer text at once in a reactor thread, got ${describeValue(answer)}`);
    return { code: RAN, answer: WRONG_TYPE };
  } catch (error) {
    return { code: RAN, answer: failed(script, name, error) };
  }
}

function failed(script: Script, name: string, error: unknown): string {
  warn(script, `the callback of command "${name}" failed: ${describeError(error)}`);
  return FAILED;
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
