import { spawn } from 'node:child_process';
import { carriedOptions } from '../process/life/run-again.ts';
import { warn } from './failure.ts';
import { scriptToRun } from './family.ts';
import { isReplaying, ownRecord, recordVariable } from './replay.ts';
import { isInServer } from './server-part.ts';

let isDaemon = false;

/**
 * Goes to the background: the script runs again in a session of its own, daemon() answers true there, and this process
 * ends. `pipe`: the pipe of a child that becomes a daemon, or null.
 */
export function becomeDaemon(nochdir: boolean, noclose: boolean, pipe: number | null): boolean {
  if (isReplaying()) return true;
  if (isDaemon) return true;
  const record = ownRecord();
  if (record?.daemon === true) {
    isDaemon = true;
    if (!nochdir) process.chdir('/');
    return true;
  }
  if (isInServer()) {
    warn('a process of a running server cannot become a daemon: use the setting daemonize');
    return false;
  }
  const standard = noclose ? 'inherit' : 'ignore';
  const child = spawn(process.execPath, [...carriedOptions(0), scriptToRun(), ...process.argv.slice(2)], {
    detached: true,
    stdio: [standard, standard, standard, ...(pipe === null ? [] : [pipe])],
    env: {
      ...process.env,
      ...recordVariable({ path: [], pids: {}, ...record, hasPipe: pipe !== null, daemon: true }),
    },
  });
  child.once('error', () => {});
  if (child.pid === undefined) return false;
  process.exit(0);
}
