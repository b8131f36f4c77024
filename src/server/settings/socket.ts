/** Sockets of a port: their queue, their buffers, and what the kernel is told. */
import type { SocketSettings } from '../../reactor/settings.ts';
import {
  type Checked,
  type Flag,
  filled,
  flag,
  I32_MAX,
  I32_MIN,
  type Rows,
  type Size,
  size,
  U16_MAX,
  whole,
} from './row.ts';

const HIGH_WATERMARK_SHARE = 0.8;
/** The kernel's own limits: setsockopt refuses what is beyond, and the option would silently stay unset. */
const KEEP_SECONDS = { min: 1, max: 32767, outside: 'ignore-below' } as const;
const KEEP_COUNT = { min: 1, max: 127, outside: 'ignore-below' } as const;

export interface SocketPortKeys {
  /** Length of the queue of connections that wait to be accepted. @default 512 */
  backlog?: number;
  /** Bytes that may wait to be sent on one connection; 0 or less = unlimited. @default 8M */
  socket_buffer_size?: Size;
  /** Waiting bytes at which `bufferFull` fires. @default 0.8 × socket_buffer_size */
  buffer_high_watermark?: Size;
  /** Waiting bytes at which `bufferEmpty` fires. @default 0 */
  buffer_low_watermark?: Size;
  /** The kernel's receive buffer of a socket (SO_RCVBUF), in bytes; 0 or less = as large as possible. @default the kernel's */
  kernel_socket_recv_buffer_size?: Size;
  /** The kernel's send buffer of a socket (SO_SNDBUF), in bytes; 0 or less = as large as possible. @default the kernel's */
  kernel_socket_send_buffer_size?: Size;
  /** Send small packets at once (TCP_NODELAY). @default true */
  open_tcp_nodelay?: Flag;
  /** Let the kernel probe silent connections (SO_KEEPALIVE). @default false */
  open_tcp_keepalive?: Flag;
  /** Seconds of silence before the first probe. @default 3600 */
  tcp_keepidle?: number;
  /** Seconds between two probes. @default 60 */
  tcp_keepinterval?: number;
  /** Unanswered probes after which the connection is dead. @default 5 */
  tcp_keepcount?: number;
  /** Milliseconds that sent data may stay unacknowledged; works with open_tcp_keepalive. @default 0 (the kernel's) */
  tcp_user_timeout?: number;
  /** Seconds in which a connection is accepted only once data has arrived (TCP_DEFER_ACCEPT). @default 0 (at once) */
  tcp_defer_accept?: number;
  /** Accept data in the first packet of a connection (TCP_FASTOPEN). @default false */
  tcp_fastopen?: Flag;
}

export const SOCKET_PORT_ROWS = {
  backlog: whole({ max: U16_MAX, default: 512 }),
  socket_buffer_size: size({ min: I32_MIN, max: I32_MAX, default: 8 * 1024 ** 2 }),
  buffer_high_watermark: size(),
  buffer_low_watermark: size({ default: 0 }),
  kernel_socket_recv_buffer_size: size({ min: I32_MIN, max: I32_MAX }),
  kernel_socket_send_buffer_size: size({ min: I32_MIN, max: I32_MAX }),
  open_tcp_nodelay: flag(true),
  open_tcp_keepalive: flag(),
  tcp_keepidle: whole({ ...KEEP_SECONDS, default: 3600 }),
  tcp_keepinterval: whole({ ...KEEP_SECONDS, default: 60 }),
  tcp_keepcount: whole({ ...KEEP_COUNT, default: 5 }),
  tcp_user_timeout: whole({ max: I32_MAX, default: 0 }),
  tcp_defer_accept: whole({ max: I32_MAX, default: 0 }),
  tcp_fastopen: flag(),
} satisfies Rows<SocketPortKeys>;

/** What only the listening socket is told. */
export interface ListenPortSlice {
  backlog: number;
  /** In seconds; 0 = off. */
  tcpDeferAccept: number;
  tcpFastopen: boolean;
}

export function resolvePortListen(values: Checked<SocketPortKeys>): ListenPortSlice {
  const set = filled(SOCKET_PORT_ROWS, values);
  return { backlog: set.backlog, tcpDeferAccept: set.tcp_defer_accept, tcpFastopen: set.tcp_fastopen };
}

export function resolvePortSocket(values: Checked<SocketPortKeys>): SocketSettings {
  const set = filled(SOCKET_PORT_ROWS, values);
  const socketBufferSize = unlimitedUnlessPositive(set.socket_buffer_size);
  return {
    socketBufferSize,
    bufferHighWatermark: set.buffer_high_watermark || Math.floor(socketBufferSize * HIGH_WATERMARK_SHARE),
    bufferLowWatermark: set.buffer_low_watermark,
    socketOptions: {
      nodelay: set.open_tcp_nodelay,
      keepalive: set.open_tcp_keepalive,
      keepIdleSeconds: set.tcp_keepidle,
      keepIntervalSeconds: set.tcp_keepinterval,
      keepCount: set.tcp_keepcount,
      userTimeoutMs: set.open_tcp_keepalive ? set.tcp_user_timeout : 0,
      receiveBufferBytes: resolveKernelBufferSize(set.kernel_socket_recv_buffer_size),
      sendBufferBytes: resolveKernelBufferSize(set.kernel_socket_send_buffer_size),
    },
  };
}

/** Absent is not the same as 0: a size of 0 or less asks for the largest. */
function resolveKernelBufferSize(bytes: number | undefined): number {
  return bytes === undefined ? 0 : unlimitedUnlessPositive(bytes);
}

function unlimitedUnlessPositive(bytes: number): number {
  return bytes > 0 ? bytes : I32_MAX;
}
