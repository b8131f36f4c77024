import type { FramingConfig } from '../protocol/framer.ts';

/** What a reactor must know of a listening port. Plain data but for framing functions, so it can be sent to a thread. */
export interface ReactorPort {
  /** Index among the server's ports. */
  index: number;
  /** The listening socket, or -1 when this reactor does not accept on it. */
  listener: number;
  socketType: number;
  framing: FramingConfig;
  /** Bytes that may wait for one connection. */
  socketBufferSize: number;
  bufferHighWatermark: number;
  bufferLowWatermark: number;
  heartbeatIdleMs: number;
  maxIdleMs: number;
  socketOptions: SocketOptions;
}

export interface SocketOptions {
  nodelay: boolean;
  keepalive: boolean;
  keepIdleSeconds: number;
  keepIntervalSeconds: number;
  keepCount: number;
  userTimeoutMs: number;
  /** 0: the kernel's own. */
  receiveBufferBytes: number;
  sendBufferBytes: number;
}
