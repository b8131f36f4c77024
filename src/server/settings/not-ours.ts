/**
 * Settings of PHP, of Swoole's coroutine clients and of its C++ code: known, so that a configuration can be taken over as
 * it is, and each answered with a notice.
 */
import { alias, type Flag, ignored, type RowsWithoutEffect, type Size } from './row.ts';

const COROUTINES = ignored('it belongs to PHP coroutines; JavaScript has promises');
const CLIENTS = ignored("it belongs to Swoole's coroutine clients; use Node's own clients and their options");
const THREAD_POOL = ignored("it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE");
const IO_URING = ignored("it belongs to Swoole's io_uring engine");
const EVENT_LOOP = ignored("it belongs to Swoole's event loop; this one is built on epoll");
const CPP_DEBUGGING = ignored("it belongs to Swoole's C++ code; use log_level and Node's own diagnostics");
const SLOW_LOG = ignored('Swoole removed it in 4.4.8');

export interface NotOurPortKeys {
  /**
   * Mask the frames of the server.
   * @deprecated No effect: a server never masks its frames (RFC 6455 §5.1).
   */
  websocket_mask?: Flag;
  /**
   * TLS compression.
   * @deprecated No effect: TLS compression is unsafe (CRIME) and left out of OpenSSL builds.
   */
  ssl_compress?: Flag;
  /**
   * Protocol version of TLS.
   * @deprecated No effect: Swoole removed it in 4.5.4; use ssl_protocols.
   */
  ssl_method?: number;
}

export interface NotOurKeys {
  /**
   * Bytes that are read ahead.
   * @deprecated No effect: Swoole reads it and never uses it; see package_max_length.
   */
  input_buffer_size?: Size;
  /**
   * The same as input_buffer_size.
   * @deprecated No effect: Swoole reads it and never uses it; see package_max_length.
   */
  buffer_input_size?: Size;
  /**
   * HTTP/2 SETTINGS_ENABLE_PUSH.
   * @deprecated No effect: a server never sends this HTTP/2 setting.
   */
  http2_enable_push?: number;
  /**
   * `host:port` of Swoole's HTTP administration interface.
   * @deprecated No effect: Swoole's HTTP administration interface is not part of this implementation.
   */
  admin_server?: string;
  /** @deprecated No effect: it belongs to Swoole's C++ code; use log_level and Node's own diagnostics. */
  trace_flags?: number;
  /** @deprecated No effect: it belongs to Swoole's C++ code; use log_level and Node's own diagnostics. */
  print_backtrace_on_error?: Flag;
  /** @deprecated No effect: it belongs to PHP's error display. */
  display_errors?: Flag;
  /** @deprecated No effect: Swoole removed it in 4.4.8. */
  request_slowlog_file?: string;
  /** @deprecated No effect: Swoole removed it in 4.4.8. */
  request_slowlog_timeout?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  socket_dns_timeout?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  socket_connect_timeout?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  socket_write_timeout?: number;
  /**
   * The same as socket_write_timeout.
   * @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options.
   */
  socket_send_timeout?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  socket_read_timeout?: number;
  /**
   * The same as socket_read_timeout.
   * @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options.
   */
  socket_recv_timeout?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  socket_timeout?: number;
  /** @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises. */
  max_coroutine?: number;
  /**
   * The same as max_coroutine.
   * @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises.
   */
  max_coro_num?: number;
  /** @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises. */
  enable_deadlock_check?: Flag;
  /** @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises. */
  hook_flags?: number;
  /** @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises. */
  enable_preemptive_scheduler?: Flag;
  /** @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises. */
  c_stack_size?: Size;
  /**
   * The same as c_stack_size.
   * @deprecated No effect: it belongs to PHP coroutines; JavaScript has promises.
   */
  stack_size?: Size;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  name_resolver?: unknown;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  dns_cache_expire?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  dns_cache_capacity?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  dns_cache_refresh_time?: number;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  dns_lookup_random?: Flag;
  /** @deprecated No effect: it belongs to Swoole's coroutine clients; use Node's own clients and their options. */
  use_async_resolver?: Flag;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  aio_core_worker_num?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  aio_worker_num?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  aio_max_wait_time?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  aio_max_idle_time?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  thread_num?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  min_thread_num?: number;
  /** @deprecated No effect: it belongs to Swoole's thread pool; Node's has UV_THREADPOOL_SIZE. */
  max_thread_num?: number;
  /** @deprecated No effect: it belongs to Swoole's io_uring engine. */
  iouring_entries?: number;
  /** @deprecated No effect: it belongs to Swoole's io_uring engine. */
  iouring_workers?: number;
  /** @deprecated No effect: it belongs to Swoole's io_uring engine. */
  iouring_flag?: number;
  /** @deprecated No effect: it belongs to Swoole's event loop; this one is built on epoll. */
  enable_signalfd?: Flag;
  /** @deprecated No effect: it belongs to Swoole's event loop; this one is built on epoll. */
  enable_kqueue?: Flag;
  /** @deprecated No effect: it belongs to Swoole's event loop; this one is built on epoll. */
  wait_signal?: Flag;
  /** @deprecated No effect: it belongs to Swoole's event loop; this one is built on epoll. */
  socket_dontwait?: Flag;
}

export const NOT_OUR_PORT_ROWS = {
  websocket_mask: ignored('a server never masks its frames (RFC 6455 §5.1)'),
  ssl_compress: ignored('TLS compression is unsafe (CRIME) and left out of OpenSSL builds'),
  ssl_method: ignored('Swoole removed it in 4.5.4; use ssl_protocols'),
} satisfies RowsWithoutEffect<NotOurPortKeys>;

export const NOT_OUR_ROWS = {
  input_buffer_size: ignored('Swoole reads it and never uses it; see package_max_length'),
  buffer_input_size: alias('input_buffer_size'),
  http2_enable_push: ignored('a server never sends this HTTP/2 setting'),
  admin_server: ignored("Swoole's HTTP administration interface is not part of this implementation"),
  trace_flags: CPP_DEBUGGING,
  print_backtrace_on_error: CPP_DEBUGGING,
  display_errors: ignored("it belongs to PHP's error display"),
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
} satisfies RowsWithoutEffect<NotOurKeys>;
