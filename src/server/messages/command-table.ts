/** Commands: functions of the user that any process of the server can be asked to run. Here is what the script has named. */
import {
  SWOOLE_SERVER_COMMAND_EVENT_WORKER,
  SWOOLE_SERVER_COMMAND_MANAGER,
  SWOOLE_SERVER_COMMAND_MASTER,
  SWOOLE_SERVER_COMMAND_REACTOR_THREAD,
  SWOOLE_SERVER_COMMAND_TASK_WORKER,
} from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';

/** `data` is the JSON text of what command() was given; the answer is text, JSON as a rule. */
export type CommandCallback<Self> = (server: Self, data: string) => string | Promise<string>;

interface Command {
  readonly types: number;
  readonly callback: CommandCallback<object>;
}

const TYPES_ALL =
  SWOOLE_SERVER_COMMAND_MASTER |
  SWOOLE_SERVER_COMMAND_REACTOR_THREAD |
  SWOOLE_SERVER_COMMAND_EVENT_WORKER |
  SWOOLE_SERVER_COMMAND_TASK_WORKER |
  SWOOLE_SERVER_COMMAND_MANAGER;

/** Throws on what cannot be a command at all. */
export function checkCommand(name: unknown, callback: unknown): void {
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
}

export class CommandTable {
  private readonly byName = new Map<string, Command>();

  /** Answers why a command cannot be added, or null when it was. */
  add(name: string, types: number, callback: CommandCallback<object>): string | null {
    if (!Number.isInteger(types) || types <= 0 || (types & ~TYPES_ALL) !== 0)
      return `${describeValue(types)} is not made of SWOOLE_SERVER_COMMAND_*`;
    if (this.byName.has(name)) return `there is a command "${name}" already`;
    this.byName.set(name, { types, callback });
    return null;
  }

  get(name: string): Command | undefined {
    return this.byName.get(name);
  }

  /** What each is called, and where it may run. */
  get types(): [name: string, types: number][] {
    return [...this.byName].map(([name, { types }]) => [name, types]);
  }

  /** True exactly when a reactor thread must know the user's callbacks. */
  get needReactors(): boolean {
    return [...this.byName.values()].some(({ types }) => (types & SWOOLE_SERVER_COMMAND_REACTOR_THREAD) !== 0);
  }
}
