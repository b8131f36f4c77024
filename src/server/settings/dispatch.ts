/** Which worker a connection's data goes to. */
import {
  SWOOLE_DISPATCH_CONCURRENT_LB,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IDLE_WORKER,
  SWOOLE_DISPATCH_STREAM,
  SWOOLE_DISPATCH_USERFUNC,
} from '../../constants.ts';
import type { DispatchSettings } from '../../reactor/dispatch.ts';
import { type Checked, type Flag, FUNCTION, filled, flag, type Rows, U8_MAX, whole } from './row.ts';

export interface DispatchKeys {
  /** How connections find their worker (SWOOLE_PROCESS), SWOOLE_DISPATCH_FDMOD and so on. @default 2 */
  dispatch_mode?: number;
  /**
   * Chooses the worker id instead of dispatch_mode (SWOOLE_PROCESS); synchronous. Negative results and null are the
   * SWOOLE_DISPATCH_RESULT_* values. @default none
   */
  dispatch_func?(server: unknown, fd: number, type: number, data?: Buffer): number | null;
  /** Fire connect and close in the dispatch modes that cannot keep their order. @default false */
  enable_unsafe_event?: Flag;
  /** Drop data of connections that are gone by the time a worker takes it, in those modes. @default false */
  discard_timeout_request?: Flag;
}

/** The worker choice of `dispatch_func`. */
export type DispatchFunction = NonNullable<DispatchKeys['dispatch_func']>;

export const DISPATCH_ROWS = {
  dispatch_mode: whole({ max: U8_MAX, default: SWOOLE_DISPATCH_FDMOD }),
  dispatch_func: FUNCTION,
  enable_unsafe_event: flag(),
  discard_timeout_request: flag(),
} satisfies Rows<DispatchKeys>;

export interface DispatchSlice {
  /** Its mode is 1 to 10 without 7: modes that behave as 3 are 3 here. */
  dispatch: DispatchSettings;
  dispatchFunc: DispatchFunction | null;
  discardTimeoutRequest: boolean;
}

export function resolveDispatch(values: Checked<DispatchKeys>, workerCount: number, warnings: string[]): DispatchSlice {
  const set = filled(DISPATCH_ROWS, values);
  return {
    dispatch: {
      mode: resolveMode(set.dispatch_mode, hasDispatchFunction(set), warnings),
      workerCount,
      unsafeEvents: set.enable_unsafe_event,
    },
    dispatchFunc: set.dispatch_func ?? null,
    discardTimeoutRequest: set.discard_timeout_request,
  };
}

/** True exactly when a function of the user has to run beside the sockets. */
export function hasDispatchFunction(values: Checked<DispatchKeys>): boolean {
  return values.dispatch_func !== undefined;
}

function resolveMode(mode: number, hasFunction: boolean, warnings: string[]): number {
  if (mode === SWOOLE_DISPATCH_USERFUNC) return hasFunction ? mode : SWOOLE_DISPATCH_IDLE_WORKER;
  if (mode >= 1 && mode <= SWOOLE_DISPATCH_CONCURRENT_LB && mode !== SWOOLE_DISPATCH_STREAM) return mode;
  warnings.push(`dispatch_mode ${mode} does not exist (any more): it works as ${SWOOLE_DISPATCH_IDLE_WORKER}.`);
  return SWOOLE_DISPATCH_IDLE_WORKER;
}
