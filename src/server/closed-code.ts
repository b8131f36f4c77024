import {
  SWOOLE_ERROR_SESSION_CLOSED,
  SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT,
  SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER,
  SWOOLE_ERROR_SESSION_CLOSING,
} from '../constants.ts';
import { FLAG_CLOSE_DONE, FLAG_CLOSE_TAKEN, FLAG_CLOSED_HERE } from '../shm/connections.ts';

/** Why nothing can be sent to a connection, from its flags, of which FLAG_CLOSE_TAKEN or FLAG_PEER_GONE is set. */
export function closedCode(flags: number): number {
  if ((flags & FLAG_CLOSE_TAKEN) === 0) return SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT;
  if ((flags & FLAG_CLOSE_DONE) === 0) return SWOOLE_ERROR_SESSION_CLOSING;
  return (flags & FLAG_CLOSED_HERE) !== 0 ? SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER : SWOOLE_ERROR_SESSION_CLOSED;
}
