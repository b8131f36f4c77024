/** sendfile and sendwait as users call them: everything that can be known in the calling process is checked here. */

import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  SWOOLE_BASE,
  SWOOLE_ERROR_INVALID_PARAMS,
  SWOOLE_ERROR_NAME_TOO_LONG,
  SWOOLE_ERROR_NO_PAYLOAD,
  SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW,
  SWOOLE_ERROR_SERVER_IS_NOT_REGULAR_FILE,
  SWOOLE_ERROR_SERVER_SEND_IN_MASTER,
  SWOOLE_ERROR_SESSION_NOT_EXIST,
  SWOOLE_ERROR_SYSTEM_CALL_FAIL,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import { badArgument } from '../../errors.ts';
import { rootDirectory } from '../../process/roles/privileges.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { FLAG_CLOSE_TAKEN, FLAG_PEER_GONE, FLAGS, OWNER, QUEUED_FILES } from '../../shm/connections.ts';
import { SENDS_OVERFLOWED } from '../../shm/counters.ts';
import { isBytes } from '../../sys/memory.ts';
import type { Member } from '../state/member.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { badSession, closedCode, goneCode } from './closed-code.ts';
import { countResponse } from './responses.ts';

/** What one message between Swoole's processes has room for; longer paths than PATH_MAX fail in stat() anyway. */
const PATH_BYTES_MAX = 8100;
/** Files that may wait for one connection: each costs a little memory, and some of them a descriptor. */
const FILES_QUEUED_MAX = 1024;

export function sendFile(member: Member, fd: number, filename: string, offset: number, length: number): boolean {
  const { script, runtime } = member;
  if (typeof filename !== 'string') throw badArgument('filename', 'a string', filename);
  if (!Number.isSafeInteger(offset)) throw badArgument('offset', 'a whole number', offset);
  if (!Number.isSafeInteger(length)) throw badArgument('length', 'a whole number', length);
  if (offset < 0 || length < 0) {
    warn(script, `sendfile(): offset ${offset} and length ${length} must not be negative`);
    return false;
  }
  if (typeof fd !== 'number' || fd <= 0) return badSession(script, 'sendfile', fd);
  if (script.mode === SWOOLE_PROCESS && runtime.role === 'master')
    return fail(script, SWOOLE_ERROR_SERVER_SEND_IN_MASTER);
  if (Buffer.byteLength(filename) > PATH_BYTES_MAX) return fail(script, SWOOLE_ERROR_NAME_TOO_LONG);
  const size = readableSize(script, filename);
  if (size === -1) return false;
  if (size <= offset) return fail(script, SWOOLE_ERROR_SYSTEM_CALL_FAIL);
  if (length > size - offset) return fail(script, SWOOLE_ERROR_INVALID_PARAMS);

  const slot = sendableSlot(member, fd);
  if (slot === -1) return false;
  const { words } = runtime.connections;
  const base = runtime.connections.wordBase(slot);
  if (words[base + QUEUED_FILES] >= FILES_QUEUED_MAX) {
    runtime.counters.add(SENDS_OVERFLOWED, 1);
    return fail(script, SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
  }
  const path = pathForOwner(runtime, filename);
  if (path === null) return fail(script, SWOOLE_ERROR_SYSTEM_CALL_FAIL);
  const bytes = length === 0 ? size - offset : length;
  runtime.wire.sendFile(slot, runtime.connections.serialOf(fd), path, offset, bytes);
  countResponse(runtime.counters, bytes);
  return true;
}

/** Size of a file that this process may read; -1, with the code set, for anything else. */
function readableSize(script: Script, filename: string): number {
  try {
    const stats = statSync(filename, { throwIfNoEntry: false });
    if (stats === undefined) {
      fail(script, SWOOLE_ERROR_SYSTEM_CALL_FAIL);
      return -1;
    }
    if (!stats.isFile()) {
      fail(script, SWOOLE_ERROR_SERVER_IS_NOT_REGULAR_FILE);
      return -1;
    }
    // The owner of the socket may be root where we are not: it must not lend us its eyes.
    accessSync(filename, constants.R_OK);
    return stats.size;
  } catch {
    // A path with a zero byte, one too long, a directory that may not be entered, a file that may not be read.
    fail(script, SWOOLE_ERROR_SYSTEM_CALL_FAIL);
    return -1;
  }
}

/** The absolute path by which the owner of the socket finds the file; null when the file has gone meanwhile. */
function pathForOwner(runtime: Runtime, filename: string): string | null {
  const path = resolve(filename);
  const root = rootDirectory();
  if (root === '' || runtime.segment.layout.reactorCount === 0) return path;
  try {
    // The owner lives outside of our root directory, where a symbolic link would lead elsewhere.
    return join(root, realpathSync(path));
  } catch {
    return null;
  }
}

export async function sendWait(member: Member, fd: number, data: string | Uint8Array): Promise<boolean> {
  const { script, runtime, workerId, taskworker } = member;
  if (typeof data !== 'string' && !isBytes(data)) {
    throw badArgument('data', 'a string or a Uint8Array', data);
  }
  if (script.mode !== SWOOLE_BASE || workerId < 0 || taskworker) {
    warn(script, 'sendwait() works in the event workers of SWOOLE_BASE only: use send()');
    return false;
  }
  if (data.length === 0) return fail(script, SWOOLE_ERROR_NO_PAYLOAD);
  if (typeof fd !== 'number' || fd <= 0) return badSession(script, 'sendwait', fd);
  const slot = sendableSlot(member, fd);
  if (slot === -1) return false;
  const { words } = runtime.connections;
  const base = runtime.connections.wordBase(slot);
  const sent = runtime.wire.sendWait(slot, runtime.connections.serialOf(fd), data);
  if (sent !== null) return sent;
  warn(script, `sendwait(): connection ${fd} belongs to worker ${words[base + OWNER]}: only that can wait for it`);
  return fail(script, SWOOLE_ERROR_SESSION_NOT_EXIST);
}

/** The slot of a connection that can still be sent to; -1, with the code set, when there is none. */
function sendableSlot({ script, runtime, waitingSends }: Member, fd: number): number {
  const { connections } = runtime;
  const slot = connections.find(fd);
  if (slot === -1) {
    fail(script, goneCode(connections, fd));
    return -1;
  }
  const flags = connections.words[connections.wordBase(slot) + FLAGS];
  const closed = (flags & (FLAG_CLOSE_TAKEN | FLAG_PEER_GONE)) !== 0;
  if (!closed && !waitingSends.has(connections.serialOf(fd))) return slot;
  // It would overtake what waits.
  fail(script, closed ? closedCode(flags) : SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW);
  return -1;
}
