import { badArgument } from '../errors.ts';
import { isReplaying } from './replay.ts';

/** What `ps` and `top` show. The kernel has room for as much as the command line was long. */
export function swoole_set_process_name(process_name: string): boolean {
  if (typeof process_name !== 'string') throw badArgument('process_name', 'a string', process_name);
  // On its way to its place a process has not come so far.
  if (!isReplaying()) process.title = process_name;
  return true;
}
