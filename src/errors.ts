import { inspect } from 'node:util';

/**
 * Every code a TswooleError can carry, with what it means. Programs may depend on these strings: a code is never
 * renamed, and the documentation lists this table.
 */
export const TSWOOLE_ERROR_CODES = {
  ERR_ARGUMENT: 'an argument has the wrong type or an impossible value',
  ERR_CALLBACK_MISSING: 'start() was called without a callback that a port or a setting needs',
  ERR_SETTING_TYPE: 'a setting has a value of the wrong type',
  ERR_SETTING_UNKNOWN: 'a setting of this name does not exist',
  ERR_SETTING_VALUE: 'a setting has the right type but an impossible value',
  ERR_STATE: 'a call came at a time or in a process where it makes no sense',
  ERR_UNSUPPORTED: 'something that Swoole has and this implementation leaves out',
} as const;

export type TswooleErrorCode = keyof typeof TSWOOLE_ERROR_CODES;

export interface TswooleErrorDetails {
  /** The setting, argument or event that is wrong. */
  key?: string;
  /** What would have been right, in words. */
  expected?: string;
  /** What was there instead, as `describeValue` puts it. */
  got?: string;
  cause?: unknown;
}

/**
 * A mistake in the program: a wrong type, a call at the wrong time, an unknown setting. What can go wrong while the
 * program is right (a full buffer, a connection that went away) is `false` and `getLastError()` instead.
 */
export class TswooleError extends Error {
  readonly code: TswooleErrorCode;
  // Declared only: what is not told is not there, and does not clutter what Node prints for an uncaught error.
  declare readonly key?: string;
  declare readonly expected?: string;
  declare readonly got?: string;

  static {
    TswooleError.prototype.name = 'TswooleError';
  }

  constructor(code: TswooleErrorCode, message: string, details: TswooleErrorDetails = {}) {
    const { cause, ...told } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.assign(this, told);
  }
}

/** `subject`: how the message calls the argument, where its name alone would not tell. */
export function badArgument(key: string, expected: string, value: unknown, subject = key): TswooleError {
  const got = describeValue(value);
  return new TswooleError('ERR_ARGUMENT', `${subject} must be ${expected}, got ${got}`, { key, expected, got });
}

/**
 * Why the last call failed that answered `false`: what can go wrong while the program is right. An errno, or one of the
 * SWOOLE_ERROR_* constants.
 */
export class LastError {
  code = 0;

  fail(code: number): false {
    this.code = code;
    return false;
  }
}

const DESCRIPTION_CHARS_MAX = 60;

/** A value in a few words for an error message: `the string "4"`, `an array of 2`, `a Map`. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `the string ${shorten(JSON.stringify(value))}`;
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value);
    case 'bigint':
      return `the bigint ${shorten(String(value))}n`;
    case 'symbol':
      return 'a symbol';
    case 'function':
      return 'a function';
    case 'object':
      try {
        return describeObject(value);
      } catch {
        // A getter or a Proxy of the user's that throws must not hide the mistake that is being told.
        return 'an object';
      }
  }
}

/** What was thrown, for the log: the stack of an error. It may be anything, and is never asked for what could throw again. */
export function describeError(error: unknown): string {
  try {
    if (error instanceof Error) return String(error.stack ?? error.message);
    return typeof error === 'string' ? error : inspect(error);
  } catch {
    return 'something that cannot be shown';
  }
}

function describeObject(value: object | null): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  const name: unknown = value.constructor?.name;
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
  return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${shorten(name)}`;
}

function shorten(text: string): string {
  return text.length <= DESCRIPTION_CHARS_MAX ? text : `${text.slice(0, DESCRIPTION_CHARS_MAX)}…`;
}
