import { spawn } from 'node:child_process';
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { FIRST_INHERITED_FD } from '../../process/life/inheritance.ts';
import { scriptOf } from '../../process/life/run-again.ts';
import { DAEMON_VARIABLE } from '../../process/life/this-process.ts';
import type { DaemonRecord } from '../state/boot-record.ts';
import type { Script } from '../state/script.ts';
import { placeOf } from './inherit.ts';

/**
 * Goes to the background: the script runs again in a session of its own, with the sockets that are bound already and its
 * output in the log file, and this process ends. Never returns.
 */
export function becomeDaemon(script: Script): never {
  let next = FIRST_INHERITED_FD;
  const record: DaemonRecord = {
    place: placeOf(script),
    attempts: script.attempts.map((attempt) => ({ ...attempt, fd: attempt.error === 0 ? next++ : -1 })),
  };
  // The log may have found no file to open, or one whose name has a date.
  const output = script.logger.hasFile ? script.logger.fd : 'ignore';
  const child = spawn(process.execPath, [...process.execArgv, scriptOf(null), ...process.argv.slice(2)], {
    detached: true,
    stdio: ['ignore', output, output, ...script.ports.map((port) => port.fd)],
    env: { ...process.env, [DAEMON_VARIABLE]: JSON.stringify(record) },
  });
  if (child.pid === undefined) {
    script.logger.log(SWOOLE_LOG_ERROR, `cannot start the daemon: ${process.execPath} does not start`);
    process.exit(1);
  }
  process.exit(0);
}
