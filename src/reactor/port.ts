import {
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SOCK_UNIX_STREAM,
} from '../constants.ts';
import type { FramingConfig } from '../protocol/framer.ts';
import type { ReactorPortSettings } from './settings.ts';
import type { TlsConfig } from './tls-context.ts';

/** True exactly when the socket type brings packets, not connections. */
export function isDatagram(socketType: number): boolean {
  return socketType === SWOOLE_SOCK_UDP || socketType === SWOOLE_SOCK_UDP6 || socketType === SWOOLE_SOCK_UNIX_DGRAM;
}

/** True exactly when the socket type is TCP, over IPv4 or IPv6. */
export function isTcp(socketType: number): boolean {
  return socketType === SWOOLE_SOCK_TCP || socketType === SWOOLE_SOCK_TCP6;
}

/** True exactly when the address is a path. */
export function isUnix(socketType: number): boolean {
  return socketType === SWOOLE_SOCK_UNIX_STREAM || socketType === SWOOLE_SOCK_UNIX_DGRAM;
}

/** What a reactor must know of a listening port. Plain data but for framing functions, so it can be sent to a thread. */
export interface ReactorPort extends ReactorPortSettings {
  /** Index among the server's ports. */
  index: number;
  /** The listening socket, or -1 when this reactor does not accept on it. */
  listener: number;
  socketType: number;
  framing: FramingConfig;
  /** What a connection may switch to: number 1 and so on. */
  otherFramings: readonly FramingConfig[];
  /** Null for a plain port. */
  tls: TlsConfig | null;
}
