/** Paths of files that are opened when the process may have gone to another directory. */
import { resolve } from 'node:path';
import type { ProcessKeys } from './process.ts';
import type { Checked } from './row.ts';

export type RootKeys = Pick<ProcessKeys, 'chroot'>;

/** Of a file that workers open: where the server was started, unless they have a root of their own by then. */
export function workerPath(path: string, { chroot }: Checked<RootKeys>): string {
  return chroot ? path : resolve(path);
}
