/** What a reactor is told of the settings: resolved by the server, and handed through as it is. Plain data. */
import type { AddressRange } from '../protocol/ip-address.ts';

/** What holds for all connections of a reactor. */
export interface ReactorSettings {
  maxConnections: number;
  /** Read nothing before confirm(). */
  delayReceive: boolean;
  /** Between two looks at idle connections; 0 = never. */
  heartbeatCheckMs: number;
  /** Bytes of a connection that may be on their way to its worker; 0 = no limit. */
  maxQueuedBytes: number;
}

/** What holds for the connections of one port. */
export interface ReactorPortSettings extends SocketSettings, IdleSettings {
  /** Whose connections begin with a header of the PROXY protocol; null where none do. */
  proxyFrom: readonly AddressRange[] | null;
}

export interface SocketSettings {
  /** Bytes that may wait for one connection. */
  socketBufferSize: number;
  bufferHighWatermark: number;
  bufferLowWatermark: number;
  socketOptions: SocketOptions;
}

/** In the units that setsockopt takes. */
export interface SocketOptions {
  nodelay: boolean;
  keepalive: boolean;
  keepIdleSeconds: number;
  keepIntervalSeconds: number;
  keepCount: number;
  /** 0: the kernel's own, here and below. */
  userTimeoutMs: number;
  receiveBufferBytes: number;
  sendBufferBytes: number;
}

export interface IdleSettings {
  /** 0 = never, here and below. */
  heartbeatIdleMs: number;
  maxIdleMs: number;
  /** From the first byte of a package to its last. */
  packageMs: number;
}
