import {
  SWOOLE_ERROR_SESSION_CLOSED,
  SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT,
  SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_INVALID_ID,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
} from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import { type ConnectionTable, FLAG_CLOSE_DONE, FLAG_CLOSE_TAKEN, FLAG_CLOSED_HERE } from '../../shm/connections.ts';
import { fail, type Script, warn } from '../state/script.ts';

/** Why nothing can be sent to a connection, from its flags, of which FLAG_CLOSE_TAKEN or FLAG_PEER_GONE is set. */
export function closedCode(flags: number): number {
  if ((flags & FLAG_CLOSE_TAKEN) === 0) return SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT;
  if ((flags & FLAG_CLOSE_DONE) === 0) return SWOOLE_ERROR_SESSION_CLOSING;
  return (flags & FLAG_CLOSED_HERE) !== 0 ? SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER : SWOOLE_ERROR_SESSION_CLOSED;
}

/**
 * Why nothing can be sent to an id that find() does not know. That the server itself has closed the connection is told for
 * as long as nobody else has its slot: without output that waits, close() frees it at once.
 */
export function goneCode(connections: ConnectionTable, fd: number): number {
  const slot = connections.findAny(fd);
  const closedHere = slot !== -1 && (connections.flags(slot) & FLAG_CLOSED_HERE) !== 0;
  return closedHere ? SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER : SWOOLE_ERROR_SESSION_NOT_EXIST;
}

/** What is no id of a connection at all. */
export function badSession(script: Script, method: string, fd: unknown, serverSocket = -1): false {
  // The keys of an object are text.
  const hint = typeof fd === 'string' ? ', which is a number' : '';
  const about = serverSocket === -1 ? '' : ` through socket ${serverSocket}`;
  warn(script, `${method}(): ${describeValue(fd)} is not the id of a connection${hint}${about}`);
  return fail(script, SWOOLE_ERROR_SESSION_INVALID_ID);
}
