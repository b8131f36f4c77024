/** Files as a reactor sends them. Failures are errnos, because callers live with them. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { EINVAL, EIO, ENXIO } from './constants.ts';
import { dup3, errno, lseek } from './libc.ts';

/** Whatever took the file's place since its sender looked must not make us wait: a pipe, a terminal. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const SEEK_SET = 0;

/** Opens a regular file, positioned at `offset`; answers the descriptor, or minus the errno (EINVAL for what is no file). */
export function openFile(path: string, offset: number): number {
  let fd = -1;
  try {
    fd = openSync(path, FLAGS);
    if (!fstatSync(fd).isFile()) {
      closeFile(fd);
      return -EINVAL;
    }
  } catch (error) {
    if (fd !== -1) closeFile(fd);
    return (error as NodeJS.ErrnoException).errno ?? -ENXIO;
  }
  if (lseek(fd, offset, SEEK_SET) !== -1) return fd;
  const failure = errno();
  closeFile(fd);
  return -failure;
}

/** Reads from the file's position on; answers how many bytes there were, or minus the errno. */
export function readFilePart(fd: number, target: Uint8Array, length: number): number {
  try {
    return readSync(fd, target, 0, length, null);
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -EIO;
  }
}

export function closeFile(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Linux has let the descriptor go in any case, and nothing was written that could be lost.
  }
}

/** Standard output and error of this process, and of its children, go to the file from now on. */
export function redirectOutput(fd: number): void {
  for (const standard of [1, 2]) dup3(fd, standard, 0);
}
