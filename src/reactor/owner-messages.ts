import { SENDS_LATE } from '../shm/counters.ts';
import { decodeFileMessage } from '../shm/file-message.ts';
import { FINISH_CLOSE, isForOwner, PAUSE, RESET, RESUME, SEND, SENDFILE } from '../shm/messages.ts';
import type { Message } from '../shm/ring.ts';
import type { Reactor } from './reactor.ts';

/**
 * Does what somebody asks of the owner of a connection, and releases the message. A connection that has ended meanwhile is
 * nobody's, and what was asked is forgotten. Answers false, having done nothing, when the message is of another kind.
 */
export function handleOwnerMessage(reactor: Reactor, message: Message): boolean {
  const { kind, a: slot, b: serial } = message;
  if (!isForOwner(kind)) return false;
  const connection = reactor.find(slot, serial);
  if (connection === null) {
    if (kind === SEND || kind === SENDFILE) reactor.counters.add(SENDS_LATE, 1);
    message.release();
    return true;
  }
  if (kind === SEND) {
    const { bytes, data, offset, length } = message;
    if (bytes !== null) reactor.send(connection, bytes, 0, length, 0);
    else reactor.send(connection, data.u8, offset, length, data.at(offset, length));
    message.release();
    return true;
  }
  if (kind === SENDFILE) {
    const { path, offset, length } = decodeFileMessage(message);
    message.release();
    reactor.sendFile(connection, path, offset, length);
    return true;
  }
  // Before what may run callbacks.
  message.release();
  switch (kind) {
    case FINISH_CLOSE:
      reactor.finishClose(connection, false);
      break;
    case RESET:
      reactor.finishClose(connection, true);
      break;
    case PAUSE:
      reactor.pause(connection);
      break;
    case RESUME:
      reactor.resume(connection);
      break;
  }
  return true;
}
