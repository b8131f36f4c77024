/** WebSocket: known and checked, and without effect until there is a server for it. */
import { type Checked, type Flag, filled, flag, type Rows, text, unused } from './row.ts';

const NO_WEBSOCKET = 'WebSocket is not implemented yet';
const RAW_BYTES = 'WebSocket is not implemented yet; unless packages end by eof or length, the port delivers raw bytes';

export interface WebsocketPortKeys {
  /**
   * Speak WebSocket as well; turns open_http_protocol on. @default false (true for WebSocket.Server)
   * @deprecated No effect: WebSocket is not implemented yet; unless packages end by eof or length, the port delivers raw bytes.
   */
  open_websocket_protocol?: Flag;
  /**
   * Sub-protocol to agree on when a client offers it. @default none
   * @deprecated No effect: WebSocket is not implemented yet.
   */
  websocket_subprotocol?: string;
  /**
   * Give close frames to `message`. @default false
   * @deprecated No effect: WebSocket is not implemented yet.
   */
  open_websocket_close_frame?: Flag;
  /**
   * Give pings to `message`, which then must answer them. @default false
   * @deprecated No effect: WebSocket is not implemented yet.
   */
  open_websocket_ping_frame?: Flag;
  /**
   * Give pongs to `message`. @default false
   * @deprecated No effect: WebSocket is not implemented yet.
   */
  open_websocket_pong_frame?: Flag;
}

export interface WebsocketKeys {
  /**
   * Offer permessage-deflate to WebSocket clients. @default false
   * @deprecated No effect: WebSocket is not implemented yet.
   */
  websocket_compression?: Flag;
}

export const WEBSOCKET_PORT_ROWS = {
  open_websocket_protocol: unused(flag(), RAW_BYTES),
  websocket_subprotocol: unused(text(), NO_WEBSOCKET),
  open_websocket_close_frame: unused(flag(), NO_WEBSOCKET),
  open_websocket_ping_frame: unused(flag(), NO_WEBSOCKET),
  open_websocket_pong_frame: unused(flag(), NO_WEBSOCKET),
} satisfies Rows<WebsocketPortKeys>;

export const WEBSOCKET_ROWS = {
  websocket_compression: unused(flag(), NO_WEBSOCKET),
} satisfies Rows<WebsocketKeys>;

export interface WebsocketPortSlice {
  openWebsocket: boolean;
  /** '' = none. */
  websocketSubprotocol: string;
  openWebsocketCloseFrame: boolean;
  openWebsocketPingFrame: boolean;
  openWebsocketPongFrame: boolean;
}

export interface WebsocketSlice {
  websocketCompression: boolean;
}

export function resolvePortWebsocket(values: Checked<WebsocketPortKeys>): WebsocketPortSlice {
  const set = filled(WEBSOCKET_PORT_ROWS, values);
  return {
    openWebsocket: set.open_websocket_protocol,
    websocketSubprotocol: set.websocket_subprotocol ?? '',
    openWebsocketCloseFrame: set.open_websocket_close_frame,
    openWebsocketPingFrame: set.open_websocket_ping_frame,
    openWebsocketPongFrame: set.open_websocket_pong_frame,
  };
}

export function resolveWebsocket(values: Checked<WebsocketKeys>): WebsocketSlice {
  return { websocketCompression: filled(WEBSOCKET_ROWS, values).websocket_compression };
}
