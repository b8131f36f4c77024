import { EOF_BYTES_MAX } from '../../protocol/eof.ts';
import { LENGTH_TYPE_BYTES } from '../../protocol/length.ts';
import { SWOOLE_IPC_BYTES } from '../../protocol/swoole-limits.ts';
import type { SettingKey } from './settings-keys.ts';

/** What a number outside its range does: becomes the nearest that is inside, is left out, or is an error. */
export type Outside = 'clamp' | 'ignore-below' | 'throw';

/** The forms a value may have. Numbers carry their range, both ends included. */
export type SettingType =
  | { kind: 'any' }
  | { kind: 'bool' }
  | { kind: 'bytes'; min: number; max: number }
  | { kind: 'certificates' }
  | { kind: 'float'; min: number; max: number; outside: Outside }
  | { kind: 'function' }
  | { kind: 'int'; min: number; max: number; outside: Outside }
  | { kind: 'intList'; min: number; max: number }
  | { kind: 'choice'; choices: readonly (number | string)[] }
  | { kind: 'size'; min: number; max: number; outside: Outside }
  | { kind: 'string'; bytesMax: number }
  | { kind: 'stringList' }
  | { kind: 'stringMap' };

/** Whom a setting belongs to. Process-wide ones (log, HTTP/2, name server) are set through the server. */
export type SettingScope = 'server' | 'port';

export interface SettingSpec {
  type: SettingType;
  scope: SettingScope;
  /** Why the setting means nothing here; absent when it works. */
  noEffect?: string;
}

interface AliasSpec {
  aliasOf: SettingKey;
}

export interface KnownSetting extends SettingSpec {
  /** The name that the resolve functions read. */
  canonical: SettingKey;
  /** Every name of the setting, the canonical one first. */
  names: SettingKey[];
}

const U8_MAX = 0xff;
const U16_MAX = 0xffff;
export const U32_MAX = 0xffffffff;
export const I32_MAX = 0x7fffffff;
const I32_MIN = -0x80000000;

/** Offsets must lie in what one message between processes carries. */
const PACKAGE_OFFSET_MAX = SWOOLE_IPC_BYTES;
/** PATH_MAX less its terminating zero. */
const PATH_BYTES_MAX = 4095;

/** The letters of `pack()` that Swoole reads a length with. */
const PACKAGE_LENGTH_TYPES = Object.keys(LENGTH_TYPE_BYTES);

const BOOL: SettingType = { kind: 'bool' };
const FUNCTION: SettingType = { kind: 'function' };
const STRING: SettingType = { kind: 'string', bytesMax: Number.POSITIVE_INFINITY };
const STRING_LIST: SettingType = { kind: 'stringList' };
const int = (min: number, max: number, outside: Outside = 'clamp'): SettingType => ({ kind: 'int', min, max, outside });
const size = (min: number, max: number, outside: Outside = 'clamp'): SettingType => ({
  kind: 'size',
  min,
  max,
  outside,
});
const seconds = (): SettingType => ({ kind: 'float', min: 0, max: I32_MAX, outside: 'clamp' });
const U8 = int(0, U8_MAX);
const U16 = int(0, U16_MAX);
const U32 = int(0, U32_MAX);
const SIZE_U32 = size(0, U32_MAX);
/** A size where 0 and less stand for "as much as possible". */
const SIZE_I32 = size(I32_MIN, I32_MAX);
const OFFSET = int(0, PACKAGE_OFFSET_MAX, 'throw');

const server = (type: SettingType): SettingSpec => ({ type, scope: 'server' });
const port = (type: SettingType): SettingSpec => ({ type, scope: 'port' });
const alias = (aliasOf: SettingKey): AliasSpec => ({ aliasOf });
const serverNoEffect = (noEffect: string): SettingSpec => ({ type: { kind: 'any' }, scope: 'server', noEffect });
const portNoEffect = (noEffect: string): SettingSpec => ({ type: { kind: 'any' }, scope: 'port', noEffect });

const COROUTINES = serverNoEffect('it belongs to PHP coroutines; JavaScript has promises');
const CLIENTS = serverNoEffect("it belongs to Swoole's coroutine clients; use Node's own clients and their options");
const THREAD_POOL = serverNoEffect("it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE");
const IO_URING = serverNoEffect("it belongs to Swoole's io_uring engine");
const EVENT_LOOP = serverNoEffect("it belongs to Swoole's event loop; this one is built on epoll");
const CPP_DEBUGGING = serverNoEffect("it belongs to Swoole's C++ code; use log_level and Node's own diagnostics");
const SLOW_LOG = serverNoEffect('Swoole removed it in 4.4.8');

const TABLE = {
  worker_num: server(U32),
  reactor_num: server(U16),
  single_thread: server(BOOL),
  task_worker_num: server(U32),
  task_ipc_mode: server({ kind: 'choice', choices: [1, 2, 3] }),
  message_queue_key: server(int(0, I32_MAX)),
  task_tmpdir: server(STRING),
  task_max_request: server(U32),
  task_max_request_grace: server(U32),
  task_enable_coroutine: server(BOOL),
  task_use_object: server(BOOL),
  task_object: alias('task_use_object'),
  event_object: server(BOOL),
  max_request: server(U32),
  max_request_grace: server(U32),
  max_wait_time: server(U32),
  reload_async: server(BOOL),
  daemonize: server(BOOL),
  pid_file: server(STRING),
  user: server(STRING),
  group: server(STRING),
  chroot: server(STRING),
  open_cpu_affinity: server(BOOL),
  cpu_affinity_ignore: server({ kind: 'intList', min: 0, max: U16_MAX }),
  bootstrap: server(STRING),
  init_arguments: server(FUNCTION),
  enable_coroutine: server(BOOL),
  entry_script: server(STRING),
  command_timeout: server(seconds()),

  dispatch_mode: server(U8),
  dispatch_func: server(FUNCTION),
  enable_unsafe_event: server(BOOL),
  discard_timeout_request: server(BOOL),
  enable_delay_receive: server(BOOL),
  enable_reuse_port: server(BOOL),
  max_connection: server(U32),
  max_conn: alias('max_connection'),
  max_concurrency: server(int(1, U32_MAX)),
  worker_max_concurrency: server(int(1, U32_MAX)),
  start_session_id: server(U32),
  heartbeat_check_interval: server(U16),
  heartbeat_idle_time: port(U16),
  max_idle_time: port(seconds()),
  proxy_protocol: port(BOOL),
  proxy_protocol_from: port(STRING_LIST),
  max_queued_bytes: server(SIZE_U32),
  send_yield: server(BOOL),
  send_timeout: server(seconds()),

  backlog: port(U16),
  socket_buffer_size: port(SIZE_I32),
  output_buffer_size: server(SIZE_U32),
  buffer_output_size: alias('output_buffer_size'),
  input_buffer_size: serverNoEffect('Swoole reads it and never uses it; see package_max_length'),
  buffer_input_size: alias('input_buffer_size'),
  buffer_high_watermark: port(SIZE_U32),
  buffer_low_watermark: port(SIZE_U32),
  kernel_socket_recv_buffer_size: port(SIZE_I32),
  kernel_socket_send_buffer_size: port(SIZE_I32),
  open_tcp_nodelay: port(BOOL),
  open_tcp_keepalive: port(BOOL),
  // The kernel's own limits: setsockopt refuses what is beyond, and the option would silently stay unset.
  tcp_keepidle: port(int(1, 32767, 'ignore-below')),
  tcp_keepinterval: port(int(1, 32767, 'ignore-below')),
  tcp_keepcount: port(int(1, 127, 'ignore-below')),
  tcp_user_timeout: port(int(0, I32_MAX)),
  tcp_defer_accept: port(int(0, I32_MAX)),
  tcp_fastopen: port(BOOL),

  open_eof_check: port(BOOL),
  open_eof_split: port(BOOL),
  package_eof: port({ kind: 'bytes', min: 1, max: EOF_BYTES_MAX }),
  open_length_check: port(BOOL),
  package_length_type: port({ kind: 'choice', choices: PACKAGE_LENGTH_TYPES }),
  package_length_offset: port(OFFSET),
  package_body_offset: port(OFFSET),
  package_body_start: alias('package_body_offset'),
  package_length_func: port(FUNCTION),
  package_max_length: port(SIZE_U32),
  open_http_protocol: port(BOOL),
  open_http2_protocol: port(BOOL),
  open_websocket_protocol: port(BOOL),
  open_mqtt_protocol: port(BOOL),
  open_redis_protocol: port(BOOL),

  http_parse_cookie: server(BOOL),
  http_parse_post: server(BOOL),
  http_parse_files: server(BOOL),
  http_compression: server(BOOL),
  http_compression_level: server(U8),
  compression_level: alias('http_compression_level'),
  http_gzip_level: alias('http_compression_level'),
  http_compression_min_length: server(size(0, U32_MAX, 'ignore-below')),
  compression_min_length: alias('http_compression_min_length'),
  http_compression_types: server(STRING_LIST),
  compression_types: alias('http_compression_types'),
  websocket_compression: server(BOOL),
  upload_tmp_dir: server(STRING),
  upload_max_filesize: server(size(0, Number.MAX_SAFE_INTEGER, 'ignore-below')),
  enable_static_handler: server(BOOL),
  document_root: server({ kind: 'string', bytesMax: PATH_BYTES_MAX }),
  static_handler_locations: server(STRING_LIST),
  http_autoindex: server(BOOL),
  http_index_files: server(STRING_LIST),
  url_rewrite_rules: server({ kind: 'stringMap' }),
  // RFC 9113 §6.5.2 bounds the window and the frame; a peer would end the connection over a value outside.
  http2_header_table_size: server(size(0, U32_MAX, 'ignore-below')),
  http2_enable_push: serverNoEffect('a server never sends this HTTP/2 setting'),
  http2_max_concurrent_streams: server(int(0, U32_MAX, 'ignore-below')),
  http2_init_window_size: server(size(0, I32_MAX, 'ignore-below')),
  http2_max_frame_size: server(size(16384, 16777215, 'ignore-below')),
  http2_max_header_list_size: server(size(0, U32_MAX, 'ignore-below')),
  http2_max_headers: server(int(1, U32_MAX, 'ignore-below')),

  websocket_subprotocol: port(STRING),
  websocket_mask: portNoEffect('a server never masks its frames (RFC 6455 §5.1)'),
  open_websocket_close_frame: port(BOOL),
  open_websocket_ping_frame: port(BOOL),
  open_websocket_pong_frame: port(BOOL),

  ssl_cert_file: port(STRING),
  ssl_key_file: port(STRING),
  ssl_passphrase: port(STRING),
  ssl_sni_certs: port({ kind: 'certificates' }),
  ssl_protocols: port(int(0, I32_MAX)),
  ssl_ciphers: port(STRING),
  ssl_prefer_server_ciphers: port(BOOL),
  ssl_ecdh_curve: port(STRING),
  ssl_dhparam: port(STRING),
  ssl_verify_peer: port(BOOL),
  ssl_allow_self_signed: port(BOOL),
  ssl_client_cert_file: port(STRING),
  ssl_cafile: port(STRING),
  ssl_capath: port(STRING),
  ssl_verify_depth: port(U8),
  ssl_compress: portNoEffect('TLS compression is unsafe (CRIME) and left out of OpenSSL builds'),
  ssl_method: portNoEffect('Swoole removed it in 4.5.4; use ssl_protocols'),

  log_file: server(STRING),
  log_level: server(int(0, 6)),
  log_date_format: server(STRING),
  log_date_with_microseconds: server(BOOL),
  log_rotation: server(int(I32_MIN, I32_MAX)),
  stats_file: server(STRING),
  stats_timer_interval: server(int(1, I32_MAX)),
  admin_server: serverNoEffect("Swoole's HTTP administration interface is not part of this implementation"),
  debug_mode: server(BOOL),
  dns_server: server(STRING),

  trace_flags: CPP_DEBUGGING,
  print_backtrace_on_error: CPP_DEBUGGING,
  display_errors: serverNoEffect("it belongs to PHP's error display"),
  request_slowlog_file: SLOW_LOG,
  request_slowlog_timeout: SLOW_LOG,
  socket_dns_timeout: CLIENTS,
  socket_connect_timeout: CLIENTS,
  socket_write_timeout: CLIENTS,
  socket_send_timeout: alias('socket_write_timeout'),
  socket_read_timeout: CLIENTS,
  socket_recv_timeout: alias('socket_read_timeout'),
  socket_timeout: CLIENTS,
  max_coroutine: COROUTINES,
  max_coro_num: alias('max_coroutine'),
  enable_deadlock_check: COROUTINES,
  hook_flags: COROUTINES,
  enable_preemptive_scheduler: COROUTINES,
  c_stack_size: COROUTINES,
  stack_size: alias('c_stack_size'),
  name_resolver: CLIENTS,
  dns_cache_expire: CLIENTS,
  dns_cache_capacity: CLIENTS,
  dns_cache_refresh_time: CLIENTS,
  dns_lookup_random: CLIENTS,
  use_async_resolver: CLIENTS,
  aio_core_worker_num: THREAD_POOL,
  aio_worker_num: THREAD_POOL,
  aio_max_wait_time: THREAD_POOL,
  aio_max_idle_time: THREAD_POOL,
  thread_num: THREAD_POOL,
  min_thread_num: THREAD_POOL,
  max_thread_num: THREAD_POOL,
  iouring_entries: IO_URING,
  iouring_workers: IO_URING,
  iouring_flag: IO_URING,
  enable_signalfd: EVENT_LOOP,
  enable_kqueue: EVENT_LOOP,
  wait_signal: EVENT_LOOP,
  socket_dontwait: EVENT_LOOP,
} satisfies Record<SettingKey, SettingSpec | AliasSpec>;

/** Every setting that Swoole knows, and ours, by each of its names. A Map, so that no key can reach a prototype. */
export const KNOWN_SETTINGS: ReadonlyMap<string, KnownSetting> = indexByName();

/** Linear, because every process runs it at its start. An alias may stand before or behind its canonical name. */
function indexByName(): Map<string, KnownSetting> {
  const known = new Map<string, KnownSetting>();
  const aliases: [SettingKey, string][] = [];
  for (const [key, spec] of Object.entries(TABLE) as [SettingKey, SettingSpec | AliasSpec][]) {
    if ('aliasOf' in spec) aliases.push([key, spec.aliasOf]);
    else known.set(key, { ...spec, canonical: key, names: [key] });
  }
  for (const [alias, key] of aliases) {
    const setting = known.get(key)!;
    setting.names.push(alias);
    known.set(alias, setting);
  }
  return known;
}
