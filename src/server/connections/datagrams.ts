/**
 * Datagrams that the server sends. Every process holds the datagram sockets and hands its packets to the kernel itself: what
 * the kernel says to each is the answer.
 */

import {
  SWOOLE_ERROR_BAD_HOST_ADDR,
  SWOOLE_ERROR_BAD_IPV6_ADDRESS,
  SWOOLE_ERROR_BAD_PORT,
  SWOOLE_ERROR_NO_PAYLOAD,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
} from '../../constants.ts';
import { badArgument, describeValue } from '../../errors.ts';
import { SENDTO_FAILED } from '../../shm/counters.ts';
import { aimIPv4, aimIPv6, aimUnix, sendDatagram } from '../../sys/datagram.ts';
import { isBytes } from '../../sys/memory.ts';
import { packetOrigin } from '../callbacks/packet-origin.ts';
import type { Member } from '../state/member.ts';
import { fail, type Script, warn } from '../state/script.ts';
import { countResponse } from './responses.ts';

const SLASH = 47;

/** True exactly when the text is where a Unix socket can be: a path, or a name that begins with a zero byte. */
export function isSocketPath(text: string): boolean {
  const first = text.charCodeAt(0);
  return first === SLASH || first === 0;
}

/** Sends one datagram; `host` is an IPv4 or IPv6 address, or the path of a Unix socket (then `port` does not matter). */
export function sendTo(
  { script, runtime }: Member,
  host: string,
  port: number,
  data: string | Uint8Array,
  serverSocket: number,
): boolean {
  if (typeof host !== 'string') throw badArgument('the address', 'a string', host, 'the address of sendto()');
  if (typeof data !== 'string' && !isBytes(data))
    throw badArgument('the data', 'a string or a Uint8Array', data, 'the data of sendto()');
  if (data.length === 0) return fail(script, SWOOLE_ERROR_NO_PAYLOAD);
  const type = isSocketPath(host) ? SWOOLE_SOCK_UNIX_DGRAM : host.includes(':') ? SWOOLE_SOCK_UDP6 : SWOOLE_SOCK_UDP;
  // First, because it needs no line in the log: peers without an address, as many as like, can make a program come here.
  const error = aim(type, host, port);
  if (error !== 0) return fail(script, error);
  const fd = socketOf(script, type, serverSocket);
  if (fd === -1) return false;
  const errno = sendDatagram(fd, data);
  if (errno === 0) {
    countResponse(runtime.counters, typeof data === 'string' ? Buffer.byteLength(data) : data.length);
    return true;
  }
  runtime.counters.add(SENDTO_FAILED, 1);
  return fail(script, errno);
}

/**
 * The socket to send with: the one that is named, or the one that the packet came to whose callback runs, or that of the
 * first port of this type; else -1.
 */
function socketOf(script: Script, type: number, serverSocket: number): number {
  const origin = serverSocket === -1 ? packetOrigin.getStore() : undefined;
  const own = origin === undefined ? undefined : script.ports[origin];
  if (own !== undefined && own.type === type && own.fd !== -1) return own.fd;
  for (const { type: each, fd } of script.ports)
    if (each === type && fd !== -1 && (serverSocket === -1 || serverSocket === fd)) return fd;
  const what =
    serverSocket === -1 ? 'the server has no port of' : `socket ${describeValue(serverSocket)} is not a port of`;
  warn(script, `sendto(): ${what} ${TYPE_NAMES[type]}, which is needed for this address`);
  return -1;
}

const TYPE_NAMES: Record<number, string> = {
  [SWOOLE_SOCK_UDP]: 'SWOOLE_SOCK_UDP',
  [SWOOLE_SOCK_UDP6]: 'SWOOLE_SOCK_UDP6',
  [SWOOLE_SOCK_UNIX_DGRAM]: 'SWOOLE_SOCK_UNIX_DGRAM',
};

/** Answers 0 or the code of what is wrong with the address. */
function aim(type: number, host: string, port: number): number {
  if (type === SWOOLE_SOCK_UNIX_DGRAM) return aimUnix(host) ? 0 : SWOOLE_ERROR_BAD_HOST_ADDR;
  if (!(Number.isInteger(port) && port >= 0 && port <= 65535)) return SWOOLE_ERROR_BAD_PORT;
  if (type === SWOOLE_SOCK_UDP) return aimIPv4(host, port) ? 0 : SWOOLE_ERROR_BAD_HOST_ADDR;
  return aimIPv6(host, port) ? 0 : SWOOLE_ERROR_BAD_IPV6_ADDRESS;
}
