import { describeValue, TswooleError } from '../../errors.ts';
import type { FramingConfig } from '../../protocol/framer.ts';
import { type AddressRange, parseAddressRange } from '../../protocol/ip-address.ts';
import type { TlsConfig } from '../../reactor/tls-context.ts';
import type { NormalisedSettings, SniCertificate } from './settings-keys.ts';
import { I32_MAX } from './settings-table.ts';

const BACKLOG = 512;
const SOCKET_BUFFER_BYTES = 8 * 1024 ** 2;
const HIGH_WATERMARK_SHARE = 0.8;
const PACKAGE_BYTES_MAX = 2 * 1024 ** 2;
/** Smaller limits are raised: one read may bring this much, and it must fit. */
const PACKAGE_BYTES_MAX_MIN = 65536;
const EOF = '\r\n\r\n';
const LENGTH_TYPE = 'N';
const BODY_OFFSET = 4;
const KEEP_IDLE_SECONDS = 3600;
const KEEP_INTERVAL_SECONDS = 60;
const KEEP_COUNT = 5;
const CIPHERS = 'EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH';

/** How a port cuts what arrives into packages, with the ways that `protocol` does not know (yet). */
export type Framing = FramingConfig | { kind: 'http'; max: number };

/** The ssl_* settings of a port; null = not set. They count on ports made with SWOOLE_SSL only. */
export type ResolvedSslSettings = Omit<TlsConfig, 'applicationProtocols' | 'ticketKeys'>;

export interface ResolvedPortSettings {
  backlog: number;
  /** Bytes that may wait on one connection. */
  socketBufferSize: number;
  bufferHighWatermark: number;
  bufferLowWatermark: number;
  /** SO_RCVBUF and SO_SNDBUF in bytes; 0 = leave the kernel's. */
  kernelReceiveBufferSize: number;
  kernelSendBufferSize: number;
  openTcpNodelay: boolean;
  openTcpKeepalive: boolean;
  /** The four are in the units that setsockopt takes. */
  tcpKeepIdleSeconds: number;
  tcpKeepIntervalSeconds: number;
  tcpKeepCount: number;
  tcpUserTimeoutMs: number;
  /** 0 = off. */
  tcpDeferAcceptSeconds: number;
  tcpFastopen: boolean;
  /** 0 = never; see also `settleHeartbeat`. */
  heartbeatIdleMs: number;
  /** 0 = never. */
  maxIdleMs: number;
  /** Whose connections begin with a header of the PROXY protocol; null = nobody's. */
  proxyFrom: AddressRange[] | null;
  framing: Framing;
  packageMaxLength: number;
  /** True exactly when the port may speak it, HTTP/2 and WebSocket beside HTTP/1. */
  openHttp: boolean;
  openHttp2: boolean;
  openWebsocket: boolean;
  /** '' = none. */
  websocketSubprotocol: string;
  openWebsocketCloseFrame: boolean;
  openWebsocketPingFrame: boolean;
  openWebsocketPongFrame: boolean;
  ssl: ResolvedSslSettings;
  /** Sentences for the log at WARNING level. */
  warnings: string[];
}

/** What a port does with its settings: its own, or the server's when it never had a `set` of its own. */
export function resolvePortSettings(values: NormalisedSettings): ResolvedPortSettings {
  const warnings: string[] = [];
  const socketBufferSize = unlimitedUnlessPositive(values.socket_buffer_size ?? SOCKET_BUFFER_BYTES);
  const packageMaxLength = resolvePackageMaxLength(values.package_max_length ?? PACKAGE_BYTES_MAX, warnings);
  const openHttp2 = values.open_http2_protocol ?? false;
  const openWebsocket = values.open_websocket_protocol ?? false;
  const openHttp = openHttp2 || openWebsocket || (values.open_http_protocol ?? false);
  return {
    backlog: values.backlog ?? BACKLOG,
    socketBufferSize,
    bufferHighWatermark: values.buffer_high_watermark || Math.floor(socketBufferSize * HIGH_WATERMARK_SHARE),
    bufferLowWatermark: values.buffer_low_watermark ?? 0,
    kernelReceiveBufferSize: resolveKernelBufferSize(values.kernel_socket_recv_buffer_size),
    kernelSendBufferSize: resolveKernelBufferSize(values.kernel_socket_send_buffer_size),
    openTcpNodelay: values.open_tcp_nodelay ?? true,
    openTcpKeepalive: values.open_tcp_keepalive ?? false,
    tcpKeepIdleSeconds: values.tcp_keepidle ?? KEEP_IDLE_SECONDS,
    tcpKeepIntervalSeconds: values.tcp_keepinterval ?? KEEP_INTERVAL_SECONDS,
    tcpKeepCount: values.tcp_keepcount ?? KEEP_COUNT,
    tcpUserTimeoutMs: values.tcp_user_timeout ?? 0,
    tcpDeferAcceptSeconds: values.tcp_defer_accept ?? 0,
    tcpFastopen: values.tcp_fastopen ?? false,
    heartbeatIdleMs: (values.heartbeat_idle_time ?? 0) * 1000,
    maxIdleMs: secondsToMs(values.max_idle_time ?? 0),
    proxyFrom: values.proxy_protocol ? resolveProxyFrom(values.proxy_protocol_from ?? []) : null,
    framing: resolveFraming(values, openHttp, packageMaxLength),
    packageMaxLength,
    openHttp,
    openHttp2,
    openWebsocket,
    websocketSubprotocol: values.websocket_subprotocol ?? '',
    openWebsocketCloseFrame: values.open_websocket_close_frame ?? false,
    openWebsocketPingFrame: values.open_websocket_ping_frame ?? false,
    openWebsocketPongFrame: values.open_websocket_pong_frame ?? false,
    ssl: resolveSsl(values),
    warnings,
  };
}

function resolvePackageMaxLength(bytes: number, warnings: string[]): number {
  if (bytes >= PACKAGE_BYTES_MAX_MIN) return bytes;
  warnings.push(`package_max_length ${bytes} is below the smallest possible: ${PACKAGE_BYTES_MAX_MIN} is used.`);
  return PACKAGE_BYTES_MAX_MIN;
}

/** Absent is not the same as 0: a size of 0 or less asks for the largest. */
function resolveKernelBufferSize(bytes: number | undefined): number {
  return bytes === undefined ? 0 : unlimitedUnlessPositive(bytes);
}

function unlimitedUnlessPositive(bytes: number): number {
  return bytes > 0 ? bytes : I32_MAX;
}

/** A time that is not 0 stays above 0, which would mean "never" or "no limit". */
export function secondsToMs(seconds: number): number {
  return seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000));
}

/** When several are on, the first in this order counts (Swoole's order). */
function resolveFraming(values: NormalisedSettings, openHttp: boolean, max: number): Framing {
  const split = values.open_eof_split ?? false;
  if (split || values.open_eof_check) return { kind: 'eof', eof: eofBytes(values.package_eof ?? EOF), split, max };
  if (values.open_length_check) return resolveLengthFraming(values, max);
  if (openHttp) return { kind: 'http', max };
  if (values.open_mqtt_protocol) return { kind: 'mqtt', max };
  if (values.open_redis_protocol) return { kind: 'redis', max };
  return { kind: 'raw' };
}

/** A copy: the user may use the array again. */
function eofBytes(eof: string | Uint8Array): Uint8Array {
  return typeof eof === 'string' ? new TextEncoder().encode(eof) : Uint8Array.from(eof);
}

/** Without a list everybody could pretend to be anybody. */
function resolveProxyFrom(texts: string[]): AddressRange[] {
  const key = 'proxy_protocol_from';
  const expected = 'addresses or CIDR ranges of load balancers, such as ["10.0.0.0/8", "::1"]';
  const failure = (got: string): TswooleError =>
    new TswooleError('ERR_SETTING_VALUE', `The setting "${key}" wants ${expected}, but got ${got}.`, {
      key,
      expected,
      got,
    });
  if (texts.length === 0) throw failure('none, while proxy_protocol is on');
  return texts.map((text) => {
    const range = parseAddressRange(text);
    if (range === null) throw failure(describeValue(text));
    return range;
  });
}

function resolveLengthFraming(values: NormalisedSettings, max: number): Framing {
  const call = values.package_length_func;
  if (call !== undefined) return { kind: 'lengthFunction', call, max };
  return {
    kind: 'length',
    type: values.package_length_type ?? LENGTH_TYPE,
    lengthOffset: values.package_length_offset ?? 0,
    bodyOffset: values.package_body_offset ?? BODY_OFFSET,
    max,
  };
}

function resolveSsl(values: NormalisedSettings): ResolvedSslSettings {
  return {
    certFile: values.ssl_cert_file ?? null,
    keyFile: values.ssl_key_file ?? null,
    passphrase: values.ssl_passphrase ?? null,
    sniCertificates: resolveSniCertificates(values.ssl_sni_certs ?? {}),
    protocols: values.ssl_protocols ?? 0,
    ciphers: values.ssl_ciphers ?? CIPHERS,
    preferServerCiphers: values.ssl_prefer_server_ciphers ?? true,
    ecdhCurve: values.ssl_ecdh_curve ?? 'auto',
    dhparam: values.ssl_dhparam ?? null,
    verifyPeer: values.ssl_verify_peer ?? false,
    allowSelfSigned: values.ssl_allow_self_signed ?? false,
    clientCertFile: values.ssl_client_cert_file ?? null,
    caFile: values.ssl_cafile ?? null,
    caPath: values.ssl_capath ?? null,
    verifyDepth: values.ssl_verify_depth ?? 0,
  };
}

function resolveSniCertificates(
  certificates: Record<string, SniCertificate>,
): Map<string, { certFile: string; keyFile: string }> {
  const entries = Object.entries(certificates);
  return new Map(entries.map(([host, pair]) => [host, { certFile: pair.ssl_cert_file, keyFile: pair.ssl_key_file }]));
}

export interface Heartbeat {
  /** Time between two looks at idle connections; 0 = off. */
  checkIntervalMs: number;
  /** For each port in order, the silence after which a connection is closed; 0 = never. */
  idleMs: number[];
}

/**
 * Brings the server's check interval and the idle times of all its ports together, once all ports are known: a port
 * without an idle time gets twice the interval, and the interval is at most half of the shortest idle time.
 */
export function settleHeartbeat(checkIntervalMs: number, portIdleMs: readonly number[]): Heartbeat {
  const idleMs = portIdleMs.map((ms) => (ms === 0 ? checkIntervalMs * 2 : ms));
  let settledMs = checkIntervalMs;
  for (const ms of idleMs) {
    const neededMs = heartbeatIntervalFor(ms);
    if (settledMs === 0 || (neededMs !== 0 && neededMs < settledMs)) settledMs = neededMs;
  }
  return { checkIntervalMs: settledMs, idleMs };
}

/** Half of an idle time in whole seconds, at least one; 0 for an idle time of 0. */
export function heartbeatIntervalFor(idleMs: number): number {
  return idleMs === 0 ? 0 : Math.max(1, Math.floor(idleMs / 2000)) * 1000;
}
