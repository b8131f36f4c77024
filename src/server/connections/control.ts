/** Reading from a connection, its user id, and its place among the idle ones. */
import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_SESSION_NOT_EXIST } from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import {
  type ConnectionTable,
  F64_RECEIVED_AT,
  FLAG_PAUSED,
  FLAG_PROTECTED,
  PORT,
  UID,
} from '../../shm/connections.ts';
import { monotonicNow } from '../../sys/clock.ts';
import type { Member } from '../state/member.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { type Closer, close } from './close.ts';
import { openSlot, visitConnections } from './visible.ts';

const UID_MIN = -2147483648;
const UID_MAX = 4294967295;

export function pause(member: Member, fd: number): boolean {
  const slot = openSlot(member, fd);
  if (slot === -1) return unknown(member);
  const { connections, wire } = member.runtime;
  const serial = connections.serialOf(fd);
  if (setFlag(connections, slot, serial, FLAG_PAUSED) === null) return unknown(member);
  wire.pause(slot, serial);
  return true;
}

export function resume(member: Member, fd: number): boolean {
  return readAgain(member, fd, false);
}

export function confirm(member: Member, fd: number): boolean {
  return readAgain(member, fd, true);
}

function readAgain(member: Member, fd: number, mustBePaused: boolean): boolean {
  const slot = openSlot(member, fd);
  if (slot === -1) return unknown(member);
  const { connections, wire } = member.runtime;
  const serial = connections.serialOf(fd);
  const wasPaused = clearFlag(connections, slot, serial, FLAG_PAUSED);
  if (wasPaused === null) return unknown(member);
  if (mustBePaused && !wasPaused) return false;
  wire.resume(slot, serial);
  return true;
}

function unknown({ script }: Member): false {
  return fail(script, SWOOLE_ERROR_SESSION_NOT_EXIST);
}

export function protect(member: Member, fd: number, isProtected: boolean): boolean {
  const slot = openSlot(member, fd);
  if (slot === -1) return false;
  const { connections } = member.runtime;
  const change = isProtected ? setFlag : clearFlag;
  return change(connections, slot, connections.serialOf(fd), FLAG_PROTECTED) !== null;
}

/**
 * Answers whether the flag was set before. Null, and nothing has changed, where the slot has become another connection's since
 * we looked: its owner is another process.
 */
function setFlag(connections: ConnectionTable, slot: number, serial: number, flag: number): boolean | null {
  const wasSet = (connections.setFlags(slot, flag) & flag) !== 0;
  if (connections.holds(slot, serial)) return wasSet;
  if (!wasSet) connections.clearFlags(slot, flag);
  return null;
}

function clearFlag(connections: ConnectionTable, slot: number, serial: number, flag: number): boolean | null {
  const wasSet = (connections.clearFlags(slot, flag) & flag) !== 0;
  if (connections.holds(slot, serial)) return wasSet;
  if (wasSet) connections.setFlags(slot, flag);
  return null;
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
  const word = connections.wordBase(slot) + UID;
  if (Atomics.compareExchange(connections.words, word, 0, uid | 0) !== 0) return false;
  if (connections.holds(slot, connections.serialOf(fd))) return true;
  // As in setFlag().
  Atomics.compareExchange(connections.words, word, uid | 0, 0);
  return false;
}

/** Those of all workers that have been silent for longer than their port allows; false where nobody looks for silent ones. */
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
  const silent: number[] = [];
  visitConnections(member, -1, -1, (fd, slot) => {
    if ((connections.flags(slot) & FLAG_PROTECTED) !== 0) return;
    const { heartbeatIdleMs } = portSettings[connections.words[connections.wordBase(slot) + PORT]].reactor;
    const idleMs = now - connections.numbers[connections.numberBase(slot) + F64_RECEIVED_AT];
    if (heartbeatIdleMs > 0 && idleMs > heartbeatIdleMs) silent.push(fd);
  });
  return silent.sort((a, b) => a - b);
}
