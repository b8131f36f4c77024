/** A program that does nothing about a server that did not start has failed, as its exit code tells. */

const FAILED = 1;

/** The exit code was set here, and not by the program. */
let isOurs = false;

/** start() answers false. */
export function exitAsFailed(): void {
  if (process.exitCode !== undefined) return;
  process.exitCode = FAILED;
  isOurs = true;
}

/** The program tries another server. */
export function forgetFailure(): void {
  if (isOurs && process.exitCode === FAILED) process.exitCode = undefined;
  isOurs = false;
}
