/** Reading from a connection, its user id, and its place among the idle ones. */
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_SESSION_NOT_EXIST } from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import { F64_RECEIVED_AT, FLAG_PAUSED, FLAG_PROTECTED, PORT, UID } from '../../shm/connections.ts';
import { monotonicNow } from '../../sys/clock.ts';
import type { Member } from '../state/member.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { type Closer, close } from './close.ts';
import { listConnections, openSlot } from './visible.ts';

const UID_MIN = -2147483648;
const UID_MAX = 4294967295;

export function pause(member: Member, fd: number): boolean {
  const slot = slotOrError(member, fd);
  if (slot === -1) return false;
  const { connections, wire } = member.runtime;
  connections.setFlags(slot, FLAG_PAUSED);
  wire.pause(slot, connections.serialOf(fd));
  return true;
}

export function resume(member: Member, fd: number): boolean {
  const slot = slotOrError(member, fd);
  if (slot === -1) return false;
  const { connections, wire } = member.runtime;
  connections.clearFlags(slot, FLAG_PAUSED);
  wire.resume(slot, connections.serialOf(fd));
  return true;
}

export function confirm(member: Member, fd: number): boolean {
  const slot = slotOrError(member, fd);
  if (slot === -1) return false;
  const { connections, wire } = member.runtime;
  if ((connections.clearFlags(slot, FLAG_PAUSED) & FLAG_PAUSED) === 0) return false;
  wire.resume(slot, connections.serialOf(fd));
  return true;
}

function slotOrError(member: Member, fd: number): number {
  const slot = openSlot(member, fd);
  if (slot === -1) fail(member.script, SWOOLE_ERROR_SESSION_NOT_EXIST);
  return slot;
}

export function protect(member: Member, fd: number, isProtected: boolean): boolean {
  const slot = openSlot(member, fd);
  if (slot === -1) return false;
  const { connections } = member.runtime;
  if (isProtected) connections.setFlags(slot, FLAG_PROTECTED);
  else connections.clearFlags(slot, FLAG_PROTECTED);
  return true;
}

/** True exactly when a connection can be bound to it; else a warning tells what it should be. 0 is who is not bound. */
export function isUid(script: Script, uid: number): boolean {
  if (Number.isInteger(uid) && uid >= UID_MIN && uid <= UID_MAX && uid !== 0) return true;
  const range = `between ${UID_MIN} and ${UID_MAX} other than 0`;
  warn(script, `bind(): uid ${describeValue(uid)} is not a whole number ${range}`);
  return fail(script, SWOOLE_ERROR_INVALID_PARAMS);
}

export function bind(member: Member, fd: number, uid: number): boolean {
  const slot = openSlot(member, fd);
  if (slot === -1) return false;
  const { connections } = member.runtime;
  return Atomics.compareExchange(connections.words, connections.wordBase(slot) + UID, 0, uid | 0) === 0;
}

/** Those that have been silent for longer than their port allows; false where nobody looks for silent ones. */
export function heartbeat(closer: Closer, closesThem: boolean): number[] | false {
  if (closer.settings.reactor.heartbeatCheckMs < 1) return false;
  const silent = silentConnections(closer);
  if (closesThem) for (const fd of silent) close(closer, fd, false);
  return silent;
}

function silentConnections(member: Member): number[] {
  const { portSettings } = member;
  const { connections } = member.runtime;
  const now = monotonicNow();
  return listConnections(member, -1).filter((fd) => {
    const slot = connections.find(fd);
    if (slot === -1 || (connections.flags(slot) & FLAG_PROTECTED) !== 0) return false;
    const { heartbeatIdleMs } = portSettings[connections.words[connections.wordBase(slot) + PORT]].reactor;
    const idleMs = now - connections.numbers[connections.numberBase(slot) + F64_RECEIVED_AT];
    return heartbeatIdleMs > 0 && idleMs > heartbeatIdleMs;
  });
}
