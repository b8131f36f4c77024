/** Binding of listening sockets: what the user calls host and port, and what the kernel says to it. */
import { getSystemErrorMessage } from 'node:util';
import { SWOOLE_SOCK_TCP, SWOOLE_SOCK_TCP6, SWOOLE_SSL } from '../constants.ts';
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
} from '../sys/constants.ts';
import { bindTo, closeDescriptor, listenOn, localPort, openSocket, setOption } from '../sys/socket.ts';
import { describeValue, TswooleError } from './errors.ts';
import type { ResolvedPortSettings } from './settings.ts';

const HOST_CHARS_MAX = 107;

export interface Bound {
  /** -1 when it failed. */
  fd: number;
  port: number;
  /** 0 or an errno. */
  error: number;
}

export interface Address {
  host: string;
  port: number;
  /** SWOOLE_SOCK_*, without SWOOLE_SSL. */
  type: number;
}

/** Checks what cannot depend on the machine: types and ranges. */
export function checkAddress(host: unknown, port: unknown, sockType: unknown): Address {
  if (typeof host !== 'string' || host === '') throw badArgument('host', 'an IP address such as "127.0.0.1"', host);
  if (host.length > HOST_CHARS_MAX) throw badArgument('host', `at most ${HOST_CHARS_MAX} characters`, host);
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535)
    throw badArgument('port', 'a whole number from 0 to 65535', port);
  if (typeof sockType !== 'number') throw badArgument('sockType', 'a SWOOLE_SOCK_* constant', sockType);
  const type = sockType & ~SWOOLE_SSL;
  if (type !== SWOOLE_SOCK_TCP && type !== SWOOLE_SOCK_TCP6) {
    throw new TswooleError(
      'ERR_UNSUPPORTED',
      `socket type ${sockType} is not supported yet: use SWOOLE_SOCK_TCP or SWOOLE_SOCK_TCP6`,
      { key: 'sockType' },
    );
  }
  if ((sockType & SWOOLE_SSL) !== 0) {
    throw new TswooleError(
      'ERR_UNSUPPORTED',
      'TLS (SWOOLE_SSL) is not supported yet: put a TLS terminator in front, or use a plain port',
      { key: 'sockType' },
    );
  }
  return { host, port, type };
}

function badArgument(key: string, expected: string, got: unknown): TswooleError {
  return new TswooleError('ERR_ARGUMENT', `${key} must be ${expected}, got ${describeValue(got)}`, {
    key,
    expected,
    got: describeValue(got),
  });
}

/** Opens and binds a socket. */
export function bindListener(address: Address, reusePort: boolean): Bound {
  const family = address.type === SWOOLE_SOCK_TCP6 ? AF_INET6 : AF_INET;
  const fd = openSocket(family, SOCK_STREAM);
  if (fd < 0) return { fd: -1, port: address.port, error: -fd };
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  // A "::" listener also serves IPv4 clients, whatever the machine's default is.
  if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const error = bindTo(fd, {
    family,
    host: address.host === 'localhost' ? loopback(family) : address.host,
    port: address.port,
  });
  if (error !== 0) {
    closeDescriptor(fd);
    return { fd: -1, port: address.port, error };
  }
  return { fd, port: localPort(fd), error: 0 };
}

function loopback(family: number): string {
  return family === AF_INET6 ? '::1' : '127.0.0.1';
}

/** Starts listening; answers 0 or an errno. */
export function startListening(fd: number, settings: ResolvedPortSettings): number {
  if (settings.tcpDeferAcceptSeconds > 0) setOption(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, settings.tcpDeferAcceptSeconds);
  if (settings.tcpFastopen) setOption(fd, IPPROTO_TCP, TCP_FASTOPEN, settings.backlog);
  return listenOn(fd, settings.backlog);
}

/** "cannot listen on 127.0.0.1:80: permission denied (EACCES 13)", with a hint where there is one. */
export function listenFailure(host: string, port: number, error: number): string {
  const hint =
    error === 98
      ? '; another program listens there: stop it or choose another port'
      : error === 13
        ? '; ports below 1024 need root or CAP_NET_BIND_SERVICE'
        : error === 99
          ? '; no interface of this machine has that address'
          : '';
  return `cannot listen on ${host.includes(':') ? `[${host}]` : host}:${port}: ${getSystemErrorMessage(-error)} (errno ${error})${hint}`;
}
