/** What send() decides: whether a connection still takes data, and how much of it. */
import {
  SWOOLE_ERROR_BAD_HOST_ADDR,
  SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE,
  SWOOLE_ERROR_NO_PAYLOAD,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_SOCK_UNIX_DGRAM,
} from '../../constants.ts';
import { badArgument, describeValue, TswooleError } from '../../errors.ts';
import { FLAG_CLOSE_TAKEN, FLAG_OVERFLOW, FLAG_PEER_GONE, FLAGS, PORT, QUEUED_BYTES } from '../../shm/connections.ts';
import { OUTPUT_REFUSED, SENDS_HELD, SENDS_OVERFLOWED } from '../../shm/counters.ts';
import { isBytes } from '../../sys/memory.ts';
import type { Member } from '../state/member.ts';
import { fail } from '../state/script.ts';
import { badSession, closedCode, goneCode } from './closed-code.ts';
import { isSocketPath, sendTo } from './datagrams.ts';
import { outputMemoryIsFull } from './output-memory.ts';
import { countResponse } from './responses.ts';

/** A number written as text is no path. Where only the program knows the text, it must be one. */
export type ConnectionOrPath<To extends number | string> = To extends `${number}` ? number : To;

export function send(member: Member, fd: number | string, data: string | Uint8Array, serverSocket: number): boolean {
  const { script, runtime } = member;
  checkData(data, 'send');
  if (data.length === 0) return fail(script, SWOOLE_ERROR_NO_PAYLOAD);
  if (typeof fd === 'string' && script.ports.some((port) => port.type === SWOOLE_SOCK_UNIX_DGRAM)) {
    // The peer of a packet may have no path, or one that begins at a directory of its own.
    if (!isSocketPath(fd)) return fail(script, SWOOLE_ERROR_BAD_HOST_ADDR);
    return sendTo(member, fd, 0, data, serverSocket);
  }
  if (typeof fd !== 'number' || fd <= 0) return badSession(script, 'send', fd, serverSocket);
  const { connections } = runtime;
  const slot = connections.find(fd);
  if (slot === -1) return fail(script, goneCode(connections, fd));
  return sendToSlot(member, slot, connections.serialOf(fd), data);
}

function checkData(data: unknown, method: string): void {
  if (typeof data === 'string' || isBytes(data)) return;
  throw new TswooleError('ERR_ARGUMENT', `${method}() takes a string or a Uint8Array, got ${describeValue(data)}`, {
    key: 'data',
  });
}

/**
 * Queues data for the connection in a slot; what is queued for an earlier or later one there is dropped by its owner, which
 * compares the serial. Never empty data.
 */
export function sendToSlot(member: Member, slot: number, serial: number, data: string | Uint8Array): boolean {
  const code = member.waitingSends.has(serial)
    ? SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW
    : queueForSlot(member, slot, serial, data);
  if (code === 0) return true;
  if (code === SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW) member.runtime.counters.add(SENDS_OVERFLOWED, 1);
  return fail(member.script, code);
}

/** Answers 0, or the code of why it cannot. */
function queueForSlot(member: Member, slot: number, serial: number, data: string | Uint8Array): number {
  const { runtime, settings, portSettings } = member;
  const { words } = runtime.connections;
  const base = runtime.connections.wordBase(slot);
  const flags = words[base + FLAGS];
  if ((flags & (FLAG_CLOSE_TAKEN | FLAG_PEER_GONE)) !== 0) return closedCode(flags);

  const limit = portSettings[words[base + PORT]].reactor.socketBufferSize;
  const queued = words[base + QUEUED_BYTES] + runtime.wire.waitingBytes(slot);
  const length = lengthOf(data);
  if (length > settings.bufferOutputSize) return SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE;
  if (queued + length > limit && overflows(member, slot, length, limit)) return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
  // Who reads all that it is sent does not suffer for those who do not.
  if (queued > 0 && outputMemoryIsFull(member, length) && overflows(member, slot, length, length)) {
    runtime.counters.add(OUTPUT_REFUSED, 1);
    return SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW;
  }

  runtime.wire.send(slot, serial, data);
  countResponse(runtime.counters, length);
  return 0;
}

function lengthOf(data: string | Uint8Array): number {
  return typeof data === 'string' ? Buffer.byteLength(data) : data.length;
}

/** For what waits in WaitingSends: sends it now, behind all that was sent before. Answers 0 or a code. */
export function sendWaiting(member: Member, fd: number, data: string | Uint8Array): number {
  const { connections } = member.runtime;
  const slot = connections.find(fd);
  return slot === -1 ? goneCode(connections, fd) : queueForSlot(member, slot, connections.serialOf(fd), data);
}

/** As send(); where that would be too much, it waits for room. `timeout` in seconds, 0: without a limit. */
export async function sendAsync(
  member: Member,
  fd: number | string,
  data: string | Uint8Array,
  timeout: number | null,
): Promise<boolean> {
  const { script, runtime, settings, portSettings, waitingSends } = member;
  checkData(data, 'sendAsync');
  if (timeout !== null && (typeof timeout !== 'number' || Number.isNaN(timeout)))
    throw badArgument('the timeout of sendAsync()', 'a number of seconds', timeout, 'timeout');
  const { connections } = runtime;
  const slot = connections.find(fd as number);
  // Where nothing could wait, it is told as by send().
  if (slot === -1 || data.length === 0) return send(member, fd, data, -1);
  const serial = connections.serialOf(fd as number);
  const limit = portSettings[connections.words[connections.wordBase(slot) + PORT]].reactor.socketBufferSize;
  const bytes = lengthOf(data);
  // There will never be room for it.
  if (bytes > Math.min(limit, settings.bufferOutputSize)) return fail(script, SWOOLE_ERROR_DATA_LENGTH_TOO_LARGE);
  let code = waitingSends.has(serial) ? SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW : queueForSlot(member, slot, serial, data);
  if (code === SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW) {
    runtime.counters.add(SENDS_HELD, 1);
    const ms = timeout === null ? settings.sendTimeoutMs : Math.max(0, timeout * 1000);
    code = await waitingSends.add(fd as number, serial, data, bytes, limit, ms);
  }
  return code === 0 || fail(script, code);
}

/**
 * Asks for bufferEmpty, then looks once more: the owner of the socket may have emptied the queue just before, and would
 * then have nothing to tell.
 */
function overflows({ runtime }: Member, slot: number, length: number, limit: number): boolean {
  const { connections, wire } = runtime;
  connections.setFlags(slot, FLAG_OVERFLOW);
  const queued = Atomics.load(connections.words, connections.wordBase(slot) + QUEUED_BYTES) + wire.waitingBytes(slot);
  if (queued + length > limit) return true;
  connections.clearFlags(slot, FLAG_OVERFLOW);
  return false;
}
