/** The log. */
import { resolve } from 'node:path';
import {
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_SINGLE,
} from '../../constants.ts';
import { DEFAULT_DATE_FORMAT, type LogSettings } from '../../log/log.ts';
import { type Checked, type Flag, filled, flag, I32_MAX, I32_MIN, type Rows, text, whole } from './row.ts';

export interface LogKeys {
  /** File that the log is appended to. @default standard output */
  log_file?: string;
  /** The lowest level that is logged, SWOOLE_LOG_INFO and so on. @default 2 */
  log_level?: number;
  /** The date of a log line, in strftime's form, at most 127 bytes long. @default '%F %T' */
  log_date_format?: string;
  /** Add microseconds to the date. @default false */
  log_date_with_microseconds?: Flag;
  /** How often a new log file begins, SWOOLE_LOG_ROTATION_DAILY and so on. @default 0 (never) */
  log_rotation?: number;
  /** Log everything, as log_level 0. @default false */
  debug_mode?: Flag;
}

export const LOG_ROWS = {
  log_file: text(),
  log_level: whole({ max: 6, default: SWOOLE_LOG_INFO }),
  log_date_format: text({ default: DEFAULT_DATE_FORMAT }),
  log_date_with_microseconds: flag(),
  log_rotation: whole({ min: I32_MIN, max: I32_MAX, default: SWOOLE_LOG_ROTATION_SINGLE }),
  debug_mode: flag(),
} satisfies Rows<LogKeys>;

/** The log is opened before `start`, so `set` uses this on its own as well. */
export function resolveLog(values: Checked<LogKeys>): LogSettings {
  const set = filled(LOG_ROWS, values);
  const rotation = set.log_rotation;
  const rotationKnown = rotation >= SWOOLE_LOG_ROTATION_SINGLE && rotation <= SWOOLE_LOG_ROTATION_EVERY_MINUTE;
  return {
    // Opened again and again, also after the working directory has changed.
    file: set.log_file ? resolve(set.log_file) : null,
    level: set.debug_mode ? SWOOLE_LOG_DEBUG : set.log_level,
    dateFormat: set.log_date_format,
    dateWithMicroseconds: set.log_date_with_microseconds,
    rotation: rotationKnown ? rotation : SWOOLE_LOG_ROTATION_DAILY,
  };
}
