import type { LengthType } from '../../protocol/length.ts';

/** A boolean setting. Swoole's manual writes 0 and 1 as often as false and true. */
export type Flag = boolean | 0 | 1;

/** A number of bytes, or a string with the suffix K, M or G: `8388608`, `'8M'`. */
export type Size = number | string;

/** A letter of PHP's `pack()` that stands for an integer. */
export type PackageLengthType = LengthType;

/** Tells the length of the package that `data` begins with: 0 = more data is needed, negative = close. */
export type PackageLengthFunction = (data: Buffer) => number;

/** One certificate of `ssl_sni_certs`. */
export interface SniCertificate {
  /** Path of the certificate chain (PEM). */
  ssl_cert_file: string;
  /** Path of the private key (PEM). */
  ssl_key_file: string;
}

/**
 * What `port.set` takes. In `server.set` the same keys go to the primary port, and to every port that never had a
 * `set` of its own.
 */
export interface PortSettings {
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
  /** Close a connection that sent nothing for this many seconds. @default 0 (never) */
  heartbeat_idle_time?: number;
  /** Close a connection that neither sent nor received for this many seconds (a fraction is fine). @default 0 (never) */
  max_idle_time?: number;
  /** Take the client's address from the PROXY protocol header, version 1 or 2, that a load balancer sends first. @default false */
  proxy_protocol?: Flag;
  /** The load balancers: addresses and CIDR ranges. Connections from elsewhere begin without a header. @default none (required) */
  proxy_protocol_from?: string[];

  /** A package ends where the received data ends with `package_eof`. @default false */
  open_eof_check?: Flag;
  /** Cut the data at every `package_eof`; turns open_eof_check on. @default false */
  open_eof_split?: Flag;
  /** The end mark of a package, 1 to 8 bytes. @default '\r\n\r\n' */
  package_eof?: string | Uint8Array;
  /** A package begins with a header that tells its length. @default false */
  open_length_check?: Flag;
  /** Type of the length field, a letter of PHP's pack(). @default 'N' */
  package_length_type?: PackageLengthType;
  /** Bytes before the length field, 0 to 8152. @default 0 */
  package_length_offset?: number;
  /** Bytes that the length field does not count, 0 to 8152: a package has this plus the length field's value. @default 4 */
  package_body_offset?: number;
  /** The same as package_body_offset. */
  package_body_start?: number;
  /** Finds the length of a package where a length field is not enough; synchronous. @default none */
  package_length_func?: PackageLengthFunction;
  /** Bytes of the largest package; at least 64 KiB. @default 2M */
  package_max_length?: Size;
  /** Speak HTTP/1. @default false (true for Http.Server) */
  open_http_protocol?: Flag;
  /** Speak HTTP/2 as well; turns open_http_protocol on. @default false */
  open_http2_protocol?: Flag;
  /** Speak WebSocket as well; turns open_http_protocol on. @default false (true for WebSocket.Server) */
  open_websocket_protocol?: Flag;
  /** Cut the data into MQTT packets. @default false */
  open_mqtt_protocol?: Flag;
  /** Cut the data into Redis requests. @default false (true for Redis.Server) */
  open_redis_protocol?: Flag;

  /** Sub-protocol to agree on when a client offers it. @default none */
  websocket_subprotocol?: string;
  /** No effect: a server never masks its frames. */
  websocket_mask?: Flag;
  /** Give close frames to `message`. @default false */
  open_websocket_close_frame?: Flag;
  /** Give pings to `message`, which then must answer them. @default false */
  open_websocket_ping_frame?: Flag;
  /** Give pongs to `message`. @default false */
  open_websocket_pong_frame?: Flag;

  /** Path of the certificate chain (PEM). */
  ssl_cert_file?: string;
  /** Path of the private key (PEM). */
  ssl_key_file?: string;
  /** Pass phrase of the private key. @default none */
  ssl_passphrase?: string;
  /** Certificates by host name; `*.example.org` stands for one label. @default none */
  ssl_sni_certs?: Record<string, SniCertificate>;
  /** Allowed protocol versions, SWOOLE_SSL_TLSv1_2 | … @default 0 (TLS 1.2 and 1.3) */
  ssl_protocols?: number;
  /** Cipher list in OpenSSL's form; '' = OpenSSL's own. @default 'EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH' */
  ssl_ciphers?: string;
  /** The server's order of ciphers decides. @default true */
  ssl_prefer_server_ciphers?: Flag;
  /** Curves for the key exchange. @default 'auto' */
  ssl_ecdh_curve?: string;
  /** Path of the Diffie-Hellman parameters (PEM). @default none */
  ssl_dhparam?: string;
  /** Demand a valid client certificate. @default false */
  ssl_verify_peer?: Flag;
  /** Accept self-signed client certificates. @default false */
  ssl_allow_self_signed?: Flag;
  /** Path of the authorities of client certificates (PEM); makes the server ask for one. @default none */
  ssl_client_cert_file?: string;
  /** Path of a bundle of authorities (PEM). @default none */
  ssl_cafile?: string;
  /** Directory of authorities. @default none */
  ssl_capath?: string;
  /** Longest chain of a client certificate. @default 0 (OpenSSL's) */
  ssl_verify_depth?: number;
  /** No effect: TLS compression is unsafe and left out of OpenSSL builds. */
  ssl_compress?: Flag;
  /** No effect: removed from Swoole; use ssl_protocols. */
  ssl_method?: number;
}

/** What `server.set` takes. All of it must be set before `start`. */
export interface ServerSettings extends PortSettings {
  /** Event workers; 0 = one for each CPU. @default the number of CPUs; 1 with SWOOLE_BASE */
  worker_num?: number;
  /** Reactor threads of the master (SWOOLE_PROCESS); 0 = one for each CPU. @default the number of CPUs, at most 8 */
  reactor_num?: number;
  /** One reactor thread only (SWOOLE_PROCESS). @default false; true with dispatch_func or package_length_func */
  single_thread?: Flag;
  /** Task workers; with more than 0 the `task` callback is needed. @default 0 */
  task_worker_num?: number;
  /** How tasks travel: 1 = to one worker, 2 = message queue, 3 = message queue that any task worker reads. @default 1 */
  task_ipc_mode?: 1 | 2 | 3;
  /** System V key for task_ipc_mode 2 and 3; tasks then survive a restart. @default 0 (a private queue) */
  message_queue_key?: number;
  /** Directory for large payloads. @default '/tmp' */
  task_tmpdir?: string;
  /** Tasks after which a task worker is replaced. @default 0 (never) */
  task_max_request?: number;
  /** A random number up to this is added to task_max_request. @default half of it when it is above 10, else 0 */
  task_max_request_grace?: number;
  /** Several tasks at a time in one task worker; `task` gets a Task object. @default false */
  task_enable_coroutine?: Flag;
  /** `task` gets a Task object. @default false */
  task_use_object?: Flag;
  /** The same as task_use_object. */
  task_object?: Flag;
  /** All callbacks get objects; includes task_use_object. @default false */
  event_object?: Flag;
  /** Requests after which an event worker is replaced. @default 0 (never) */
  max_request?: number;
  /** A random number up to this is added to max_request. @default half of it when it is above 10, else 0 */
  max_request_grace?: number;
  /** Seconds that a stopping worker may take; 0 = it ends at once. @default 3 */
  max_wait_time?: number;
  /** Stop and reload workers gracefully; always so while enable_coroutine is true. @default true */
  reload_async?: Flag;
  /** Run in the background. The working directory becomes `/`: use absolute paths. @default false */
  daemonize?: Flag;
  /** File that holds the main process' id while the server runs. @default none */
  pid_file?: string;
  /** Name of the user that workers run as (needs root). @default none */
  user?: string;
  /** Name of the group that workers run as (needs root). @default none */
  group?: string;
  /** Directory that becomes the root of the workers' file system (needs root). @default none */
  chroot?: string;
  /** Bind each worker to a CPU. @default false */
  open_cpu_affinity?: Flag;
  /** CPUs that open_cpu_affinity leaves free; fewer than there are. @default none */
  cpu_affinity_ignore?: number[];
  /** Script that worker threads run (SWOOLE_THREAD). @default the main script */
  bootstrap?: string;
  /** Called once in the main thread; every worker thread gets its result (SWOOLE_THREAD). @default none */
  init_arguments?: () => unknown[];
  /** Decides the defaults of reload_async and send_yield; asynchronous callbacks work in either case. @default true */
  enable_coroutine?: Flag;
  /** Script that child processes run, as `cluster.setupPrimary({ exec })`. @default the main script */
  entry_script?: string;
  /** Seconds that `command` waits for an answer (a fraction is fine); 0 = no limit. @default 5 */
  command_timeout?: number;

  /** How connections find their worker (SWOOLE_PROCESS), SWOOLE_DISPATCH_FDMOD and so on. @default 2 */
  dispatch_mode?: number;
  /**
   * Chooses the worker id instead of dispatch_mode (SWOOLE_PROCESS); synchronous. Negative results and null are the
   * SWOOLE_DISPATCH_RESULT_* values. @default none
   */
  dispatch_func?(server: unknown, fd: number, type: number, data?: Buffer): number | null;
  /** Fire connect and close in the dispatch modes that cannot keep their order. @default false */
  enable_unsafe_event?: Flag;
  /** Drop data of connections that are gone by the time a worker takes it, in those modes. @default false */
  discard_timeout_request?: Flag;
  /** Read from a connection only after `confirm`. @default false */
  enable_delay_receive?: Flag;
  /** Listen with SO_REUSEPORT; with SWOOLE_BASE each worker then has its own listener. @default false */
  enable_reuse_port?: Flag;
  /** Connections at a time; 0 = the default. @default the limit of open files, at most 100000 */
  max_connection?: number;
  /** The same as max_connection. */
  max_conn?: number;
  /** HTTP requests at a time in the whole server; more get 503. @default 4294967295 */
  max_concurrency?: number;
  /** HTTP requests at a time in one worker; more wait. @default max_concurrency */
  worker_max_concurrency?: number;
  /** The first connection's `fd` is this plus 1. @default 0 */
  start_session_id?: number;
  /** Seconds between two looks at idle connections. @default 0 (off, or half of heartbeat_idle_time) */
  heartbeat_check_interval?: number;
  /** Bytes a connection may have on the way to its worker before reading pauses (SWOOLE_PROCESS). @default 0 (no limit) */
  max_queued_bytes?: Size;
  /** Accepted, but `send` never waits: it answers `false`, and bufferEmpty tells when to go on. @default enable_coroutine */
  send_yield?: Flag;
  /** The limit of that wait: no effect, for the same reason. @default 0 */
  send_timeout?: number;
  /** Bytes of the largest `send`. @default 2M */
  output_buffer_size?: Size;
  /** The same as output_buffer_size. */
  buffer_output_size?: Size;
  /** No effect: Swoole reads it and never uses it. */
  input_buffer_size?: Size;
  /** The same as input_buffer_size. */
  buffer_input_size?: Size;

  /** Fill `request.cookie`. @default true */
  http_parse_cookie?: Flag;
  /** Fill `request.post` from url-encoded bodies. @default true */
  http_parse_post?: Flag;
  /** Build nested `request.files` from names like `a[b]`. @default false */
  http_parse_files?: Flag;
  /** Compress responses for clients that accept it. @default true */
  http_compression?: Flag;
  /** Compression level; what it means depends on the method. @default 1 */
  http_compression_level?: number;
  /** The same as http_compression_level. */
  compression_level?: number;
  /** The same as http_compression_level. */
  http_gzip_level?: number;
  /** Bytes of the smallest body that is compressed. @default 20 */
  http_compression_min_length?: Size;
  /** The same as http_compression_min_length. */
  compression_min_length?: Size;
  /** Compress only these Content-Types, compared letter by letter; turns http_compression on. @default all */
  http_compression_types?: string[];
  /** The same as http_compression_types. */
  compression_types?: string[];
  /** Offer permessage-deflate to WebSocket clients. @default false */
  websocket_compression?: Flag;
  /** Directory for uploaded files, created when it is missing. @default '/tmp' */
  upload_tmp_dir?: string;
  /** Bytes of the largest file of a body above package_max_length; 0 = such bodies get 413. @default 0 */
  upload_max_filesize?: Size;
  /** Serve files below document_root before workers see the request. @default false */
  enable_static_handler?: Flag;
  /** Directory of those files. @default none */
  document_root?: string;
  /** URL prefixes, each beginning with `/`, below which every file is served and a missing one is 404. @default none */
  static_handler_locations?: string[];
  /** Answer with a listing for a directory. @default false */
  http_autoindex?: Flag;
  /** Names to look for in a directory, first match wins. @default none */
  http_index_files?: string[];
  /** Rewrites of static URLs: a prefix, or a regular expression between tildes, to its replacement. @default none */
  url_rewrite_rules?: Record<string, string>;
  /** HTTP/2 SETTINGS_HEADER_TABLE_SIZE, in bytes. @default 4096 */
  http2_header_table_size?: Size;
  /** No effect: a server never sends this setting. */
  http2_enable_push?: number;
  /** HTTP/2 SETTINGS_MAX_CONCURRENT_STREAMS; more are refused. @default 128 */
  http2_max_concurrent_streams?: number;
  /** HTTP/2 SETTINGS_INITIAL_WINDOW_SIZE, in bytes. @default 65535 */
  http2_init_window_size?: Size;
  /** HTTP/2 SETTINGS_MAX_FRAME_SIZE, in bytes. @default 16384 */
  http2_max_frame_size?: Size;
  /** HTTP/2 SETTINGS_MAX_HEADER_LIST_SIZE, in bytes. @default 4294967295 */
  http2_max_header_list_size?: Size;
  /** Header fields in one HTTP/2 request; more close the connection. @default 1000 */
  http2_max_headers?: number;

  /** File that the log is appended to. @default standard output */
  log_file?: string;
  /** The lowest level that is logged, SWOOLE_LOG_INFO and so on. @default 2 */
  log_level?: number;
  /** The date of a log line, in strftime's form, at most 127 bytes long. @default '%F %T' */
  log_date_format?: string;
  /** Add microseconds to the date. @default false */
  log_date_with_microseconds?: Flag;
  /** How often a new log file begins, SWOOLE_LOG_ROTATION_DAILY and so on. @default 0 (never) */
  log_rotation?: number;
  /** File that worker 0 writes `stats()` to: `.json` or lines of `key: value`. @default none */
  stats_file?: string;
  /** Milliseconds between two writes of stats_file. @default 1000 */
  stats_timer_interval?: number;
  /** No effect yet: `host:port` of Swoole's HTTP administration interface. */
  admin_server?: string;
  /** Log everything, as log_level 0. @default false */
  debug_mode?: Flag;
  /** `address` or `address:port` of the name server that look-ups use. @default the system's */
  dns_server?: string;

  /** No effect: it selects trace points of Swoole's C++ code. */
  trace_flags?: number;
  /** No effect: it belongs to PHP's error display. */
  display_errors?: Flag;
  /** No effect: it belongs to Swoole's C++ code. */
  print_backtrace_on_error?: Flag;
  /** No effect: removed from Swoole. */
  request_slowlog_file?: string;
  /** No effect: removed from Swoole. */
  request_slowlog_timeout?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  socket_dns_timeout?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  socket_connect_timeout?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  socket_write_timeout?: number;
  /** The same as socket_write_timeout. */
  socket_send_timeout?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  socket_read_timeout?: number;
  /** The same as socket_read_timeout. */
  socket_recv_timeout?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  socket_timeout?: number;
  /** No effect: it belongs to PHP coroutines. */
  max_coroutine?: number;
  /** The same as max_coroutine. */
  max_coro_num?: number;
  /** No effect: it belongs to PHP coroutines. */
  enable_deadlock_check?: Flag;
  /** No effect: it belongs to PHP coroutines. */
  hook_flags?: number;
  /** No effect: it belongs to PHP coroutines. */
  enable_preemptive_scheduler?: Flag;
  /** No effect: it belongs to PHP coroutines. */
  c_stack_size?: Size;
  /** The same as c_stack_size. */
  stack_size?: Size;
  /** No effect: it belongs to Swoole's coroutine clients. */
  name_resolver?: unknown;
  /** No effect: it belongs to Swoole's coroutine clients. */
  dns_cache_expire?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  dns_cache_capacity?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  aio_core_worker_num?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  aio_worker_num?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  aio_max_wait_time?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  aio_max_idle_time?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  thread_num?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  min_thread_num?: number;
  /** No effect: it belongs to Swoole's thread pool. */
  max_thread_num?: number;
  /** No effect: it belongs to Swoole's io_uring engine. */
  iouring_entries?: number;
  /** No effect: it belongs to Swoole's io_uring engine. */
  iouring_workers?: number;
  /** No effect: it belongs to Swoole's io_uring engine. */
  iouring_flag?: number;
  /** No effect: it belongs to Swoole's event loop. */
  enable_signalfd?: Flag;
  /** No effect: it belongs to Swoole's event loop. */
  enable_kqueue?: Flag;
  /** No effect: it belongs to Swoole's event loop. */
  wait_signal?: Flag;
  /** No effect: it belongs to Swoole's event loop. */
  socket_dontwait?: Flag;
  /** No effect: it belongs to Swoole's coroutine clients. */
  dns_cache_refresh_time?: number;
  /** No effect: it belongs to Swoole's coroutine clients. */
  dns_lookup_random?: Flag;
  /** No effect: it belongs to Swoole's coroutine clients. */
  use_async_resolver?: Flag;
}

export type SettingKey = keyof ServerSettings;

type Normalised<Value> = unknown extends Value
  ? Value
  : [Flag] extends [NonNullable<Value>]
    ? boolean
    : [Size] extends [NonNullable<Value>]
      ? number
      : Value;

/** Settings after `validateSettings`: a flag is a boolean and a size a number of bytes. */
export type NormalisedSettings = { [Key in keyof ServerSettings]?: Normalised<ServerSettings[Key]> };

/** The worker choice of `dispatch_func`. */
export type DispatchFunction = NonNullable<ServerSettings['dispatch_func']>;
