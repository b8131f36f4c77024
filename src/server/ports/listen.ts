/** Binding of listening sockets: what the user calls host and port, and what the kernel says to it. */
import { getSystemErrorMessage } from 'node:util';
import {
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
} from '../../constants.ts';
import { badArgument, TswooleError } from '../../errors.ts';
import { isDatagram, isUnix } from '../../reactor/port.ts';
import type { SocketSettings } from '../../reactor/settings.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
} from '../../sys/constants.ts';
import { bindTo, closeDescriptor, listenOn, localPort, openSocket, setOption } from '../../sys/socket.ts';
import type { ResolvedPortSettings } from '../settings/settings.ts';
import type { Address, Bound } from './address.ts';
import type { PortState } from './port-state.ts';
import { bindToPath, socketFileOf } from './socket-file.ts';

/** A path longer than this has no room in the kernel's address; other hosts are never that long. */
export const HOST_BYTES_MAX = 107;

/** Checks what cannot depend on the machine: types and ranges. */
export function checkAddress(host: unknown, port: unknown, sockType: unknown): Address {
  if (typeof host !== 'string' || host === '') throw badArgument('host', 'an IP address such as "127.0.0.1"', host);
  if (Buffer.byteLength(host) > HOST_BYTES_MAX) throw badArgument('host', `at most ${HOST_BYTES_MAX} bytes long`, host);
  if (host.includes('\0')) throw badArgument('host', 'without a zero byte', host);
  if (typeof sockType === 'number' && isUnix(sockType & ~SWOOLE_SSL)) port = 0;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535)
    throw badArgument('port', 'a whole number from 0 to 65535', port);
  if (typeof sockType !== 'number') throw badArgument('sockType', 'a SWOOLE_SOCK_* constant', sockType);
  const type = sockType & ~SWOOLE_SSL;
  if (!(type >= SWOOLE_SOCK_TCP && type <= SWOOLE_SOCK_UNIX_DGRAM)) {
    throw new TswooleError(
      'ERR_UNSUPPORTED',
      `socket type ${sockType} is not supported: use SWOOLE_SOCK_TCP, _TCP6, _UDP, _UDP6, _UNIX_STREAM or _UNIX_DGRAM`,
      { key: 'sockType' },
    );
  }
  if (isDatagram(type) && (sockType & SWOOLE_SSL) !== 0) {
    throw new TswooleError('ERR_UNSUPPORTED', 'TLS over datagrams (DTLS) is not supported: leave SWOOLE_SSL out', {
      key: 'sockType',
    });
  }
  return { host, port, type, ssl: (sockType & SWOOLE_SSL) !== 0 };
}

/** Opens and binds a socket. `ipv6Only` leaves IPv4 clients of a "::" port to another port of ours. */
export function bindListener(address: Address, reusePort: boolean, ipv6Only = false): Bound {
  const { type, host, port } = address;
  const family = familyOf(type);
  const fd = openSocket(family, isDatagram(type) ? SOCK_DGRAM : SOCK_STREAM);
  if (fd < 0) return { fd: -1, port, error: -fd };
  if (family === AF_UNIX) {
    const error = bindToPath(fd, host);
    if (error === 0) return { fd, port: 0, error: 0, file: socketFileOf(host) };
    closeDescriptor(fd);
    return { fd: -1, port: 0, error };
  }
  // Two UDP sockets with this option could both be bound to one address, and the second would silently get all.
  if (!isDatagram(type)) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  // A "::" listener also serves IPv4 clients, whatever the machine's default is.
  if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, ipv6Only ? 1 : 0);
  const error = bindTo(fd, { family, host: host === 'localhost' ? loopback(family) : host, port });
  if (error !== 0) {
    closeDescriptor(fd);
    return { fd: -1, port, error };
  }
  return { fd, port: localPort(fd), error: 0 };
}

function familyOf(type: number): number {
  switch (type) {
    case SWOOLE_SOCK_UNIX_STREAM:
    case SWOOLE_SOCK_UNIX_DGRAM:
      return AF_UNIX;
    case SWOOLE_SOCK_TCP6:
    case SWOOLE_SOCK_UDP6:
      return AF_INET6;
    default:
      return AF_INET;
  }
}

function loopback(family: number): string {
  return family === AF_INET6 ? '::1' : '127.0.0.1';
}

/**
 * True exactly when enable_reuse_port gives each worker a socket of its own. Datagrams come to one socket that all share:
 * one more, which only holds the port, would get its part of them and never read it.
 */
export function isSpread({ type, activated }: PortState): boolean {
  return !isDatagram(type) && !isUnix(type) && !activated;
}

/** Gives a socket what the settings say and makes it listen, where there is something to listen to. 0 or an errno. */
export function startListening(port: PortState, settings: ResolvedPortSettings): number {
  const { type, fd, socketOptions } = port;
  if (isDatagram(type)) setBuffers(fd, settings.reactor, socketOptions);
  // A socket may have been bound anew since the user set them.
  else if (isSpread(port)) for (const [level, option, value] of socketOptions) setOption(fd, level, option, value);
  if (isDatagram(type)) return 0;
  if (!isUnix(type)) {
    if (settings.tcpDeferAccept > 0) setOption(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, settings.tcpDeferAccept);
    if (settings.tcpFastopen) setOption(fd, IPPROTO_TCP, TCP_FASTOPEN, settings.backlog);
  }
  return listenOn(fd, settings.backlog);
}

/** Datagrams wait in the kernel only. What the user has set through getSocket() stays. */
function setBuffers(fd: number, settings: SocketSettings, chosen: PortState['socketOptions']): void {
  const { socketBufferSize, socketOptions } = settings;
  const set = (option: number, bytes: number): void => {
    if (chosen.some((each) => each[0] === SOL_SOCKET && each[1] === option)) return;
    setOption(fd, SOL_SOCKET, option, bytes);
  };
  set(SO_RCVBUF, socketOptions.receiveBufferBytes || socketBufferSize);
  set(SO_SNDBUF, socketOptions.sendBufferBytes || socketBufferSize);
}

/** "cannot listen on 127.0.0.1:80: permission denied (EACCES 13)", with a hint where there is one. */
export function listenFailure({ host, port, type }: Address, error: number): string {
  const where = isUnix(type) ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const hint = (isUnix(type) ? PATH_HINTS : IP_HINTS)[error] ?? '';
  return `cannot listen on ${where}: ${getSystemErrorMessage(-error)} (errno ${error})${hint}`;
}

const IP_HINTS: Record<number, string | undefined> = {
  13: '; ports below 1024 need root or CAP_NET_BIND_SERVICE',
  22: '; the host is an IPv4 address, with SWOOLE_SOCK_TCP6 and _UDP6 an IPv6 address: names are not resolved',
  98: '; another program or another port of this server is there: stop it or choose another port',
  99: '; no interface of this machine has that address',
};
const PATH_HINTS: Record<number, string | undefined> = {
  2: '; the directory does not exist',
  13: '; this user may not write into the directory',
  98: '; another program uses that path, or a file that is no socket stands there: end it or choose another path',
};
