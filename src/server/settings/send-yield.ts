/** Sending that waits for room: in PHP send() in a coroutine, here sendAsync(), which needs no setting. */
import {
  SWOOLE_DISPATCH_CO_CONN_LB,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IPMOD,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import type { SettingsContext } from './context.ts';
import { type Checked, type Flag, filled, type Rows, seconds, unused } from './row.ts';
import { secondsToMs } from './times.ts';

const SEND_ASYNC_WAITS = 'send never waits; await sendAsync, which waits for room with or without it';

export interface SendYieldKeys {
  /**
   * Accepted, but `send` never waits: `sendAsync` does, always. @default enable_coroutine
   * @deprecated No effect: send never waits; await sendAsync, which waits for room with or without it.
   */
  send_yield?: Flag;
  /** Seconds that `sendAsync` waits for room at most; 0 = no limit. @default 60 */
  send_timeout?: number;
}

export const SEND_YIELD_ROWS = {
  send_yield: unused({ type: { kind: 'bool' } }, SEND_ASYNC_WAITS),
  send_timeout: seconds(60),
} satisfies Rows<SendYieldKeys>;

export interface SendYieldSlice {
  sendYield: boolean;
  /** 0 = no limit. */
  sendTimeoutMs: number;
}

export function resolveSendYield(
  values: Checked<SendYieldKeys>,
  context: SettingsContext,
  dispatchMode: number,
  enableCoroutine: boolean,
  warnings: string[],
): SendYieldSlice {
  const set = filled(SEND_YIELD_ROWS, values);
  return {
    sendYield: mayYield(values.send_yield, context, dispatchMode, enableCoroutine, warnings),
    sendTimeoutMs: secondsToMs(set.send_timeout),
  };
}

function mayYield(
  wanted: boolean | undefined,
  context: SettingsContext,
  dispatchMode: number,
  enableCoroutine: boolean,
  warnings: string[],
): boolean {
  if (maySendYield(dispatchMode)) return wanted ?? enableCoroutine;
  if (wanted) warnings.push('send_yield needs dispatch_mode 2, 4 or 8: it is off.');
  // By default it is on wherever dispatching plays no part.
  return wanted === undefined && context.mode !== SWOOLE_PROCESS && enableCoroutine;
}

/**
 * Where send_yield can be on. SWOOLE_DISPATCH_UIDMOD is none of them, as in Swoole: there bind() gives a connection another
 * worker.
 */
export function maySendYield(mode: number): boolean {
  return mode === SWOOLE_DISPATCH_FDMOD || mode === SWOOLE_DISPATCH_IPMOD || mode === SWOOLE_DISPATCH_CO_CONN_LB;
}
