/** What close() decides: who runs the close callback of a connection. */
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_SESSION_CLOSED,
  SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT,
  SWOOLE_ERROR_SESSION_CLOSING,
} from '../../constants.ts';
import type { Application } from '../../process/application.ts';
import { keepsWorker } from '../../reactor/dispatch.ts';
import { FLAG_CLOSE_DONE, FLAG_CLOSE_TAKEN, OWNER } from '../../shm/connections.ts';
import { workerInbox } from '../../shm/layout.ts';
import { CLOSE_REQUEST, RESET_REQUEST } from '../../shm/messages.ts';
import { guardedDispatch } from '../callbacks/user-functions.ts';
import type { Member } from '../state/member.ts';
import { fail } from '../state/script.ts';
import { endedCode, goneCode } from './closed-code.ts';

/** The type that dispatch_func is told when a connection is to be closed. */
const DISPATCH_CLOSE = 4;

/** A member that runs close callbacks. */
export interface Closer extends Member {
  readonly application: Pick<Application, 'closeRequested'>;
}

export function close(closer: Closer, fd: number, reset: boolean): boolean {
  const { connections } = closer.runtime;
  const slot = connections.find(fd);
  if (slot === -1) return fail(closer.script, goneCode(connections, fd));
  return closeSlot(closer, slot, connections.serialOf(fd), reset);
}

export function closeSlot(closer: Closer, slot: number, serial: number, reset: boolean): boolean {
  const { script, runtime, application, workerId } = closer;
  const flags = runtime.connections.flags(slot);
  if ((flags & FLAG_CLOSE_TAKEN) !== 0) {
    if ((flags & FLAG_CLOSE_DONE) === 0) return fail(script, SWOOLE_ERROR_SESSION_CLOSING);
    if (!reset) return fail(script, closedAlready(flags));
    runtime.wire.finishClose(slot, serial, true);
    return true;
  }
  const worker = closingWorker(closer, slot, serial);
  if (worker === workerId) application.closeRequested(slot, serial, reset);
  else runtime.tell(workerInbox(runtime.segment.layout, worker), reset ? RESET_REQUEST : CLOSE_REQUEST, slot, serial);
  return true;
}

/** What waits for the client is still sent, or was to be. */
function closedAlready(flags: number): number {
  const code = endedCode(flags);
  return code === SWOOLE_ERROR_SESSION_CLOSED_BY_CLIENT ? code : SWOOLE_ERROR_SESSION_CLOSED;
}

/** The worker that runs a connection's close callback. */
function closingWorker(member: Member, slot: number, serial: number): number {
  const { script, settings, dispatcher, workerId, taskworker } = member;
  const { connections, segment } = member.runtime;
  if (script.mode === SWOOLE_BASE) return connections.words[connections.wordBase(slot) + OWNER];
  const { dispatchFunc } = settings;
  if (dispatchFunc !== null) {
    const answer = guardedDispatch(script, dispatchFunc)(connections.fdOf(serial), DISPATCH_CLOSE, null);
    if (Number.isInteger(answer) && answer >= 0 && answer < segment.layout.workerCount) return answer;
  }
  if (!keepsWorker(dispatcher.mode) && workerId >= 0 && !taskworker) return workerId;
  return dispatcher.owner(slot);
}
