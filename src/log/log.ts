import { closeSync } from 'node:fs';
import {
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_SYSTEM_CALL_FAIL,
  SWOOLE_LOG_DEBUG,
  SWOOLE_LOG_ERROR,
  SWOOLE_LOG_INFO,
  SWOOLE_LOG_NONE,
  SWOOLE_LOG_NOTICE,
  SWOOLE_LOG_ROTATION_DAILY,
  SWOOLE_LOG_ROTATION_EVERY_MINUTE,
  SWOOLE_LOG_ROTATION_HOURLY,
  SWOOLE_LOG_ROTATION_MONTHLY,
  SWOOLE_LOG_ROTATION_SINGLE,
  SWOOLE_LOG_TRACE,
  SWOOLE_LOG_WARNING,
} from '../constants.ts';
import { EAGAIN, EINTR } from '../sys/constants.ts';
import { openLogFile, Sink, writeToFile } from './sink.ts';
import { strftime } from './strftime.ts';

/** What stands before the process id: master, manager, event worker, task worker, user process, other. */
export type RoleSymbol = '#' | '$' | '*' | '^' | '@' | '%';

export interface LogSettings {
  /** Path of the log file; null = standard output. */
  file: string | null;
  /** The lowest level that is written, SWOOLE_LOG_*. */
  level: number;
  /** The date in strftime's form. */
  dateFormat: string;
  dateWithMicroseconds: boolean;
  /** SWOOLE_LOG_ROTATION_*. */
  rotation: number;
}

export const DEFAULT_DATE_FORMAT = '%F %T';
const DATE_BYTES_MAX = 127;
const STDOUT_FD = 1;

/**
 * A pipe, terminal or socket that is full gets this long to make room, in steps of a millisecond; after that the line is
 * dropped, because a server must not stand still for its log.
 */
const FULL_RETRIES_MAX = 50;
/** And it gets that no more often than this. */
const PATIENCE_MS = 10_000;
const sleepCell = new Int32Array(new SharedArrayBuffer(4));

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  [SWOOLE_LOG_DEBUG]: 'DEBUG',
  [SWOOLE_LOG_TRACE]: 'TRACE',
  [SWOOLE_LOG_INFO]: 'INFO',
  [SWOOLE_LOG_NOTICE]: 'NOTICE',
  [SWOOLE_LOG_WARNING]: 'WARNING',
  [SWOOLE_LOG_ERROR]: 'ERROR',
};

const ROTATION_SUFFIXES: Readonly<Record<number, string>> = {
  [SWOOLE_LOG_ROTATION_MONTHLY]: '.%Y%m',
  [SWOOLE_LOG_ROTATION_DAILY]: '.%Y%m%d',
  [SWOOLE_LOG_ROTATION_HOURLY]: '.%Y%m%d%H',
  [SWOOLE_LOG_ROTATION_EVERY_MINUTE]: '.%Y%m%d%H%M',
};

/**
 * The log of one process. Lines look as Swoole's: `[date <symbol><pid>.<worker id>]\t<LEVEL>\t<text>`. Writing is
 * synchronous, so that the last line before a crash is there. It never throws, and never waits for a reader that does not
 * read: a line that cannot be written is lost, and the next one that can tells how many were.
 */
export class Logger {
  droppedLines = 0;
  /** Those that nobody was told of. */
  private untoldLines = 0;

  private symbol: RoleSymbol = '%';
  private pid = process.pid;
  private workerId = 0;
  private levelMin = SWOOLE_LOG_INFO;
  private dateFormat = DEFAULT_DATE_FORMAT;
  private dateWithMicroseconds = false;
  private rotation = SWOOLE_LOG_ROTATION_SINGLE;

  /** Invariant: `openPath` is null exactly when `openFd` is `fallbackFd`. */
  private file: string | null = null;
  private openPath: string | null = null;
  private openFd: number;
  private readonly fallbackFd: number;
  private readonly fallback: Sink;

  /** True exactly when a part of a line was written whose rest was lost. */
  private torn = false;
  /** When a reader that does not keep up was last waited for, on the clock of performance.now(). */
  private waitedAt = Number.NEGATIVE_INFINITY;

  /** The date of the last line and the second it belongs to: many lines share one. */
  private date = '';
  private dateSecond = Number.NaN;
  private readonly clock: () => number;
  private readonly loggedOnce = new Set<string>();

  /** `fallbackFd` is written to while no file is open; `clock` tells the time in milliseconds, with a fraction. */
  constructor(fallbackFd = STDOUT_FD, clock: () => number = preciseNow) {
    this.fallbackFd = fallbackFd;
    this.fallback = new Sink(fallbackFd);
    this.openFd = fallbackFd;
    this.clock = clock;
  }

  /** Told of every file that is opened from now on, before the one in use until then is closed. */
  onOpen: ((fd: number) => void) | null = null;

  /** The file in use, or standard output: where a daemon's own output should go. */
  get fd(): number {
    return this.openFd;
  }

  /** True exactly when a file is open. */
  get hasFile(): boolean {
    return this.openPath !== null;
  }

  get level(): number {
    return this.levelMin;
  }

  /** Takes over what is given and keeps the rest. */
  configure(settings: Partial<LogSettings>): void {
    if (settings.level !== undefined) this.levelMin = settings.level;
    if (settings.dateWithMicroseconds !== undefined) this.dateWithMicroseconds = settings.dateWithMicroseconds;
    if (settings.dateFormat !== undefined) this.setDateFormat(settings.dateFormat);
    const file = settings.file === undefined ? this.file : settings.file;
    const rotation = settings.rotation ?? this.rotation;
    if (file === this.file && rotation === this.rotation) return;
    this.file = file;
    this.rotation = rotation;
    this.reopen();
  }

  setRole(symbol: RoleSymbol, workerId: number, pid: number = process.pid): void {
    this.symbol = symbol;
    this.workerId = workerId;
    this.pid = pid;
    this.fallback.prepare();
  }

  /** `errorCode` is a SWOOLE_ERROR_* number that the line should show. */
  log(level: number, text: string, errorCode = 0): void {
    if (level < this.levelMin || level >= SWOOLE_LOG_NONE) return;
    const nowMs = this.clock();
    const date = new Date(nowMs);
    this.rotate(date);
    let lines = this.formatLine(level, text, errorCode, nowMs, date);
    if (this.untoldLines !== 0) {
      const lost = `${this.untoldLines} lines of the log were lost here: they could not be written`;
      lines = this.formatLine(SWOOLE_LOG_WARNING, lost, 0, nowMs, date) + lines;
    }
    if (this.torn) lines = `\n${lines}`;
    this.write(Buffer.from(lines));
  }

  /** Logs the first time `key` is seen; true when it did. For keys that the program writes, not ones that grow. */
  once(key: string, level: number, text: string, errorCode = 0): boolean {
    if (this.loggedOnce.has(key)) return false;
    this.loggedOnce.add(key);
    this.log(level, text, errorCode);
    return true;
  }

  /** Opens the file anew after somebody moved it away. The old one stays in use when that fails. */
  reopen(): void {
    if (this.file === null) this.close();
    else this.open(this.pathAt(new Date(this.clock())));
  }

  /** Back to the fallback descriptor. */
  close(): void {
    this.file = null;
    this.use(this.fallbackFd, null);
  }

  private setDateFormat(format: string): void {
    const bytes = Buffer.byteLength(strftime(format, new Date(this.clock())));
    if (bytes === 0 || bytes > DATE_BYTES_MAX) {
      const text = `log_date_format makes a date of ${bytes} bytes, which must be 1 to ${DATE_BYTES_MAX}: it is ignored.`;
      this.log(SWOOLE_LOG_WARNING, text, SWOOLE_ERROR_INVALID_PARAMS);
      return;
    }
    this.dateFormat = format;
    this.dateSecond = Number.NaN;
  }

  private pathAt(date: Date): string {
    const suffix = ROTATION_SUFFIXES[this.rotation];
    return suffix === undefined ? this.file! : this.file! + strftime(suffix, date);
  }

  private rotate(date: Date): void {
    if (this.rotation === SWOOLE_LOG_ROTATION_SINGLE || this.openPath === null) return;
    const path = this.pathAt(date);
    if (path !== this.openPath) this.open(path);
  }

  private open(path: string): void {
    let fd: number;
    try {
      fd = openLogFile(path);
    } catch (error) {
      // Settled before the warning is written, which would otherwise try to rotate again.
      if (this.openPath !== null) this.openPath = path;
      const target = this.openPath === null ? 'standard output' : 'the file that is open';
      this.log(SWOOLE_LOG_WARNING, `${errorText(error)}: the log goes on to ${target}.`, SWOOLE_ERROR_SYSTEM_CALL_FAIL);
      return;
    }
    this.use(fd, path);
  }

  private use(fd: number, path: string | null): void {
    const old = this.openFd;
    this.openFd = fd;
    this.openPath = path;
    if (path !== null) this.onOpen?.(fd);
    if (old === this.fallbackFd || old === fd) return;
    try {
      closeSync(old);
    } catch {
      // A disk may tell only now that it could not keep what was written; there is nobody to tell it to.
    }
  }

  private formatLine(level: number, text: string, errorCode: number, nowMs: number, date: Date): string {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.dateSecond) {
      this.date = strftime(this.dateFormat, date);
      this.dateSecond = second;
    }
    const microseconds = this.dateWithMicroseconds ? formatMicroseconds(nowMs - second * 1000) : '';
    const name = LEVEL_NAMES[level] ?? 'INFO';
    const code = errorCode === 0 ? '' : `(error ${errorCode}): `;
    return `[${this.date}${microseconds} ${this.symbol}${this.pid}.${this.workerId}]\t${name}\t${code}${text}\n`;
  }

  /** One write for a whole line, so that lines of several processes do not mix. */
  private write(bytes: Buffer): void {
    let offset = 0;
    let retriesLeft = performance.now() - this.waitedAt < PATIENCE_MS ? 0 : FULL_RETRIES_MAX;
    while (offset < bytes.length) {
      const rest = offset === 0 ? bytes : bytes.subarray(offset);
      const count = this.openPath === null ? this.fallback.write(rest) : writeToFile(this.openFd, rest);
      if (count >= 0) offset += count;
      else if (count === -EAGAIN && retriesLeft-- > 0) {
        this.waitedAt = performance.now();
        Atomics.wait(sleepCell, 0, 0, 1);
      } else if (count !== -EINTR) {
        // EAGAIN: its reader does not keep up. EPIPE: nobody reads any more. ENOSPC, EDQUOT, EFBIG: the disk is full.
        // EBADF, EIO: it is gone.
        this.torn ||= offset !== 0;
        this.droppedLines++;
        this.untoldLines++;
        return;
      }
    }
    this.torn = false;
    this.untoldLines = 0;
  }
}

function formatMicroseconds(msInSecond: number): string {
  const microseconds = Math.min(Math.round(msInSecond * 1000), 999_999);
  return `<.${String(microseconds).padStart(6, '0')}>`;
}

/**
 * The wall clock with a fraction of a millisecond. `performance` does not follow a clock that was set anew, so it only
 * refines what `Date` says.
 */
function preciseNow(): number {
  const wall = Date.now();
  const precise = performance.timeOrigin + performance.now();
  return Math.abs(precise - wall) < 2 ? precise : wall;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
