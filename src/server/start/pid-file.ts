import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Plan } from '../state/plan.ts';
import { warn } from '../state/script.ts';

/** Whoever finds the file may send a signal at once: so it is written when this process listens to them. */
export function writePidFile({ script, settings }: Plan): void {
  const { pidFile } = settings;
  if (pidFile === null) return;
  try {
    writeFileSync(pidFile, `${process.pid}`);
  } catch (error) {
    warn(script, `cannot write pid_file: ${(error as Error).message}`);
  }
}

/** At the end, unless a server that was started in our place has written its own there. */
export function removePidFile({ settings }: Plan): void {
  const { pidFile } = settings;
  if (pidFile === null) return;
  try {
    if (readFileSync(pidFile, 'utf8') === `${process.pid}`) rmSync(pidFile, { force: true });
  } catch {
    // It is gone already; or a server of one process with `user` has no right to it any more: it stays, as Swoole's would.
  }
}
