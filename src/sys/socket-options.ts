/** Socket options by the names of the Linux headers. The numbers are those of x86-64 and arm64, which agree on all of them. */
import { IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET } from './constants.ts';

export interface SocketOptionNumbers {
  level: number;
  option: number;
  /** True exactly when the value is yes or no. */
  isFlag: boolean;
}

const flag = (level: number, option: number): SocketOptionNumbers => ({ level, option, isFlag: true });
const number = (level: number, option: number): SocketOptionNumbers => ({ level, option, isFlag: false });

export const SOCKET_OPTIONS = {
  SO_REUSEADDR: flag(SOL_SOCKET, 2),
  SO_TYPE: number(SOL_SOCKET, 3),
  SO_ERROR: number(SOL_SOCKET, 4),
  SO_DONTROUTE: flag(SOL_SOCKET, 5),
  SO_BROADCAST: flag(SOL_SOCKET, 6),
  SO_SNDBUF: number(SOL_SOCKET, 7),
  SO_RCVBUF: number(SOL_SOCKET, 8),
  SO_KEEPALIVE: flag(SOL_SOCKET, 9),
  SO_OOBINLINE: flag(SOL_SOCKET, 10),
  SO_PRIORITY: number(SOL_SOCKET, 12),
  SO_REUSEPORT: flag(SOL_SOCKET, 15),
  SO_RCVLOWAT: number(SOL_SOCKET, 18),
  SO_ACCEPTCONN: flag(SOL_SOCKET, 30),
  /** Like SO_SNDBUF and SO_RCVBUF, beyond the machine's limit; for root. */
  SO_SNDBUFFORCE: number(SOL_SOCKET, 32),
  SO_RCVBUFFORCE: number(SOL_SOCKET, 33),
  SO_MARK: number(SOL_SOCKET, 36),
  SO_PROTOCOL: number(SOL_SOCKET, 38),
  SO_DOMAIN: number(SOL_SOCKET, 39),
  SO_BUSY_POLL: number(SOL_SOCKET, 46),
  SO_INCOMING_CPU: number(SOL_SOCKET, 49),
  IP_TOS: number(IPPROTO_IP, 1),
  IP_TTL: number(IPPROTO_IP, 2),
  IP_FREEBIND: flag(IPPROTO_IP, 15),
  IP_TRANSPARENT: flag(IPPROTO_IP, 19),
  IP_MULTICAST_TTL: number(IPPROTO_IP, 33),
  IP_MULTICAST_LOOP: flag(IPPROTO_IP, 34),
  IP_MULTICAST_ALL: flag(IPPROTO_IP, 49),
  IPV6_UNICAST_HOPS: number(IPPROTO_IPV6, 16),
  /** The number of the interface that multicast goes out by. */
  IPV6_MULTICAST_IF: number(IPPROTO_IPV6, 17),
  IPV6_MULTICAST_HOPS: number(IPPROTO_IPV6, 18),
  IPV6_MULTICAST_LOOP: flag(IPPROTO_IPV6, 19),
  IPV6_V6ONLY: flag(IPPROTO_IPV6, 26),
  IPV6_MULTICAST_ALL: flag(IPPROTO_IPV6, 29),
  IPV6_TCLASS: number(IPPROTO_IPV6, 67),
  TCP_NODELAY: flag(IPPROTO_TCP, 1),
  TCP_MAXSEG: number(IPPROTO_TCP, 2),
  TCP_CORK: flag(IPPROTO_TCP, 3),
  TCP_KEEPIDLE: number(IPPROTO_TCP, 4),
  TCP_KEEPINTVL: number(IPPROTO_TCP, 5),
  TCP_KEEPCNT: number(IPPROTO_TCP, 6),
  TCP_DEFER_ACCEPT: number(IPPROTO_TCP, 9),
  TCP_QUICKACK: flag(IPPROTO_TCP, 12),
  TCP_USER_TIMEOUT: number(IPPROTO_TCP, 18),
  TCP_FASTOPEN: number(IPPROTO_TCP, 23),
} as const satisfies Record<string, SocketOptionNumbers>;

export type SocketOptionName = keyof typeof SOCKET_OPTIONS;
