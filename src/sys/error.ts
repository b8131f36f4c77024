import { errno, strerror } from './libc.ts';

/** A system call failed where failure is not part of normal work. */
export class SystemError extends Error {
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, number: number, about = '') {
    super(`${syscall}${about === '' ? '' : ` ${about}`}: ${strerror(number)} (errno ${number})`);
    this.name = 'SystemError';
    this.errno = number;
    this.syscall = syscall;
  }
}

/** What an errno means, in words. */
export function errorText(error: number): string {
  return strerror(error);
}

/** Passes a result through, or throws with the errno when the call answered -1. */
export function must(syscall: string, result: number, about = ''): number {
  if (result === -1) throw new SystemError(syscall, errno(), about);
  return result;
}
