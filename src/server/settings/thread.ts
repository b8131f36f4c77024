/** SWOOLE_THREAD: known and checked, and without effect until there is that mode. */
import { type Checked, FUNCTION, type Rows, text, unused } from './row.ts';

const NO_THREADS = 'SWOOLE_THREAD is not implemented yet; use SWOOLE_PROCESS or SWOOLE_BASE';

export interface ThreadKeys {
  /**
   * Script that worker threads run (SWOOLE_THREAD). @default the main script
   * @deprecated No effect: SWOOLE_THREAD is not implemented yet; use SWOOLE_PROCESS or SWOOLE_BASE.
   */
  bootstrap?: string;
  /**
   * Called once in the main thread; every worker thread gets its result (SWOOLE_THREAD). @default none
   * @deprecated No effect: SWOOLE_THREAD is not implemented yet; use SWOOLE_PROCESS or SWOOLE_BASE.
   */
  init_arguments?: () => unknown[];
}

export const THREAD_ROWS = {
  bootstrap: unused(text(), NO_THREADS),
  init_arguments: unused(FUNCTION, NO_THREADS),
} satisfies Rows<ThreadKeys>;

export interface ThreadSlice {
  bootstrap: string | null;
  initArguments: (() => unknown[]) | null;
}

export function resolveThread(values: Checked<ThreadKeys>): ThreadSlice {
  return { bootstrap: values.bootstrap || null, initArguments: values.init_arguments ?? null };
}
