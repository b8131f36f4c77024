import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import type { ServerCore } from '../state/core.ts';

/** Whoever finds the file may send a signal at once: so it is written when this process listens to them. */
export function writePidFile(core: ServerCore): void {
  const { pidFile } = core.settings!;
  if (pidFile === null) return;
  try {
    writeFileSync(pidFile, `${process.pid}`);
  } catch (error) {
    core.logger.log(SWOOLE_LOG_WARNING, `cannot write pid_file: ${(error as Error).message}`);
  }
}

/** At the end, unless a server that was started in our place has written its own there. */
export function removePidFile(core: ServerCore): void {
  const { pidFile } = core.settings!;
  if (pidFile === null) return;
  try {
    if (readFileSync(pidFile, 'utf8') === `${process.pid}`) rmSync(pidFile, { force: true });
  } catch {
    // It is gone already; or a server of one process with `user` has no right to it any more: it stays, as Swoole's would.
  }
}
