import {
  SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT,
  SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER,
  SWOOLE_ERROR_SESSION_CLOSING,
  SWOOLE_ERROR_SESSION_INVALID_ID,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
} from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import {
  type ConnectionTable,
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_CLOSED_HERE,
  FLAG_PEER_ENDED,
} from '../../shm/connections.ts';
import { fail, type Script, warn } from '../state/script.ts';

/** Why nothing can be sent to a connection, from its flags, of which FLAG_CLOSE_TAKEN or FLAG_PEER_GONE is set. */
export function closedCode(flags: number): number {
  if ((flags & FLAG_CLOSE_TAKEN) === 0) return SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT;
  return (flags & FLAG_CLOSE_DONE) === 0 ? SWOOLE_ERROR_SESSION_CLOSING : endedCode(flags);
}

/** Who has ended a connection. What the server ends of its own accord, for silence or malformed data, it has closed as well. */
export function endedCode(flags: number): number {
  const byPeer = (flags & (FLAG_PEER_ENDED | FLAG_CLOSED_HERE)) === FLAG_PEER_ENDED;
  return byPeer ? SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT : SWOOLE_ERROR_SESSION_CLOSED_BY_SERVER;
}

/** Why find() does not know an id. Who has ended the connection is told for as long as nobody else has its slot. */
export function goneCode(connections: ConnectionTable, fd: number): number {
  const slot = connections.findAny(fd);
  const flags = slot === -1 ? 0 : connections.flags(slot);
  // A handshake that came to nothing was never a connection, and a worker that died has told nobody of the end.
  return (flags & FLAG_CLOSE_DONE) === 0 ? SWOOLE_ERROR_SESSION_NOT_EXIST : endedCode(flags);
}

/** What is no id of a connection at all. */
export function badSession(script: Script, method: string, fd: unknown, serverSocket = -1): false {
  // The keys of an object are text.
  const hint = typeof fd === 'string' ? ', which is a number' : '';
  const about = serverSocket === -1 ? '' : ` through socket ${serverSocket}`;
  warn(script, `${method}(): ${describeValue(fd)} is not the id of a connection${hint}${about}`);
  return fail(script, SWOOLE_ERROR_SESSION_INVALID_ID);
}
