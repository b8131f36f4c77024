import { closeSync, constants, fstatSync, openSync, type Stats, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { EAGAIN, EBADF } from '../sys/constants.ts';
import { sendNow, waitWritable } from '../sys/socket-pair.ts';

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
const FILE_MODE = 0o666;
/** A pipe that is said to be writable takes so much at once. */
const PIPE_BUF = 4096;

/** Opens a log file; throws what openSync() throws. It may be a pipe with a name, which must not make us wait either. */
export function openLogFile(path: string): number {
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, FILE_MODE);
}

/** Writes without waiting to what was opened that way: how many bytes were taken, or minus the errno. */
export function writeToFile(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    return minusErrno(error);
  }
}

/**
 * A descriptor that we were given, most often standard output. It may be a pipe, a terminal or a socket that nobody reads,
 * and it blocks: whoever else has it relies on that, so it must stay so. Writing to it never waits all the same: a pipe or
 * terminal is opened a second time, for us alone, and a socket is told with each write.
 */
export class Sink {
  private readonly fd: number;
  /** What `own` was opened for: the descriptor may become another file. */
  private preparedFor = '';
  /** The same file, not blocking; or -1. */
  private own = -1;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** How many bytes were taken, or minus the errno. */
  write(bytes: Uint8Array): number {
    const stats = this.look();
    if (stats === null) return -EBADF;
    if (stats.isSocket()) return sendNow(this.fd, bytes);
    if (this.own !== -1) return writeToFile(this.own, bytes);
    if (!this.mayWait(stats)) return writeToFile(this.fd, bytes);
    // It could not be opened again (another user's, no /proc). Who writes to it besides us may still be faster.
    if (waitWritable(this.fd, 0) !== 0) return -EAGAIN;
    return writeToFile(this.fd, bytes.length > PIPE_BUF ? bytes.subarray(0, PIPE_BUF) : bytes);
  }

  /** Opens the second one, while that is allowed: the process may become another user's. */
  prepare(): void {
    this.look();
  }

  private mayWait(stats: Stats): boolean {
    return stats.isFIFO() || (stats.isCharacterDevice() && isatty(this.fd));
  }

  /** What the descriptor is now; null when it is closed. */
  private look(): Stats | null {
    let stats: Stats;
    try {
      stats = fstatSync(this.fd);
    } catch {
      this.forget();
      return null;
    }
    const identity = `${stats.dev}:${stats.ino}`;
    if (identity === this.preparedFor) return stats;
    this.forget();
    this.preparedFor = identity;
    if (this.mayWait(stats)) this.own = openAgain(this.fd);
    return stats;
  }

  private forget(): void {
    this.preparedFor = '';
    if (this.own === -1) return;
    closeSync(this.own);
    this.own = -1;
  }
}

/** The file behind a descriptor, opened for writing without waiting; or -1. */
function openAgain(fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return -1;
  }
}

function minusErrno(error: unknown): number {
  return (error as NodeJS.ErrnoException).errno ?? -EBADF;
}
