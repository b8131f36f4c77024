/**
 * The file of a Unix socket: bind() makes it, nothing but us removes it. A file that a dead server left is replaced; one
 * behind which a socket still is, or that is no socket at all, is never touched.
 */
import { lstatSync, renameSync, rmSync, type Stats } from 'node:fs';
import { resolve } from 'node:path';
import { AF_UNIX, EADDRINUSE, ECONNREFUSED, SOCK_DGRAM } from '../../sys/constants.ts';
import { bindTo, closeDescriptor, connectTo, openSocket } from '../../sys/socket.ts';
import type { SocketFile } from './address.ts';

/** Binds the socket to a path, in place of a stale file if there is one. Answers 0 or an errno. */
export function bindToPath(fd: number, path: string): number {
  const address = { family: AF_UNIX, host: path, port: 0 };
  const error = bindTo(fd, address);
  if (error !== EADDRINUSE || !removeStale(path)) return error;
  return bindTo(fd, address);
}

/** Notes the file that bind() has just made. */
export function socketFileOf(path: string): SocketFile | null {
  const stat = lookAt(path);
  return stat === null ? null : { path: resolve(path), device: stat.dev, inode: stat.ino };
}

/** Removes the file at the end of the server, unless another one stands there now. */
export function removeSocketFile(file: SocketFile): void {
  const stat = lookAt(file.path);
  if (stat === null || stat.dev !== file.device || stat.ino !== file.inode) return;
  try {
    rmSync(file.path, { force: true });
  } catch {
    // The directory has become forbidden to us. The next server replaces the file.
  }
}

/** Removes a socket's file when no socket is behind it any more; answers true when the path is free now. */
function removeStale(path: string): boolean {
  const stale = lookAt(path);
  if (stale === null) return true;
  if (!stale.isSocket() || !isAbandoned(path)) return false;
  // Another server that starts now may have replaced it since we asked: so it is taken aside first, and looked at there.
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
    const taken = lookAt(aside);
    if (taken !== null && (taken.dev !== stale.dev || taken.ino !== stale.ino)) {
      renameSync(aside, path);
      return false;
    }
    rmSync(aside, { force: true });
    return true;
  } catch {
    return false;
  }
}

/**
 * True exactly when no process has a socket bound to the file. The question is asked with a datagram socket, whatever
 * type is expected there: connecting it disturbs nobody, and a stream socket that is bound but does not listen yet (a
 * server between its constructor and start()) answers with EPROTOTYPE, where a stream client would be refused.
 */
function isAbandoned(path: string): boolean {
  const probe = openSocket(AF_UNIX, SOCK_DGRAM);
  if (probe < 0) return false;
  const error = connectTo(probe, { family: AF_UNIX, host: path, port: 0 });
  closeDescriptor(probe);
  return error === ECONNREFUSED;
}

function lookAt(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
}
