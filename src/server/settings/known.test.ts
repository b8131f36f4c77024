import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { KNOWN_SETTINGS } from './known.ts';

/** Every name that Swoole 6.2.1 documents or reads, including the ones it removed. */
const SWOOLE_NAMES = `
  worker_num reactor_num single_thread task_worker_num task_ipc_mode message_queue_key task_tmpdir
  task_max_request task_max_request_grace task_enable_coroutine task_use_object task_object event_object
  max_request max_request_grace max_wait_time reload_async daemonize pid_file user group chroot open_cpu_affinity
  cpu_affinity_ignore bootstrap init_arguments enable_coroutine dispatch_mode dispatch_func enable_unsafe_event
  discard_timeout_request enable_delay_receive enable_reuse_port max_connection max_conn max_concurrency
  worker_max_concurrency start_session_id heartbeat_check_interval heartbeat_idle_time max_idle_time
  max_queued_bytes send_yield send_timeout backlog socket_buffer_size output_buffer_size buffer_output_size
  input_buffer_size buffer_input_size buffer_high_watermark buffer_low_watermark kernel_socket_recv_buffer_size
  kernel_socket_send_buffer_size open_tcp_nodelay open_tcp_keepalive tcp_keepidle tcp_keepinterval tcp_keepcount
  tcp_user_timeout tcp_defer_accept tcp_fastopen open_eof_check open_eof_split package_eof open_length_check
  package_length_type package_length_offset package_body_offset package_body_start package_length_func
  package_max_length open_http_protocol open_http2_protocol open_websocket_protocol open_mqtt_protocol
  open_redis_protocol http_parse_cookie http_parse_post http_parse_files http_compression http_compression_level
  compression_level http_gzip_level http_compression_min_length compression_min_length http_compression_types
  compression_types websocket_compression upload_tmp_dir upload_max_filesize enable_static_handler document_root
  static_handler_locations http_autoindex http_index_files url_rewrite_rules http2_header_table_size
  http2_enable_push http2_max_concurrent_streams http2_init_window_size http2_max_frame_size
  http2_max_header_list_size http2_max_headers websocket_subprotocol websocket_mask open_websocket_close_frame
  open_websocket_ping_frame open_websocket_pong_frame ssl_cert_file ssl_key_file ssl_sni_certs ssl_protocols
  ssl_ciphers ssl_prefer_server_ciphers ssl_ecdh_curve ssl_dhparam ssl_verify_peer ssl_allow_self_signed
  ssl_client_cert_file ssl_cafile ssl_capath ssl_verify_depth ssl_compress ssl_passphrase ssl_method log_file
  log_level log_date_format log_date_with_microseconds log_rotation stats_file stats_timer_interval admin_server
  debug_mode trace_flags display_errors print_backtrace_on_error request_slowlog_file request_slowlog_timeout
  dns_server socket_dns_timeout socket_connect_timeout socket_write_timeout socket_send_timeout
  socket_read_timeout socket_recv_timeout socket_timeout max_coroutine max_coro_num enable_deadlock_check
  hook_flags enable_preemptive_scheduler c_stack_size stack_size name_resolver dns_cache_expire
  dns_cache_capacity aio_core_worker_num aio_worker_num aio_max_wait_time aio_max_idle_time iouring_entries
  iouring_workers iouring_flag thread_num min_thread_num max_thread_num enable_signalfd enable_kqueue wait_signal
  dns_cache_refresh_time socket_dontwait dns_lookup_random use_async_resolver
`
  .trim()
  .split(/\s+/);
const OWN_NAMES = [
  'entry_script',
  'receive_in_order',
  'command_timeout',
  'proxy_protocol',
  'proxy_protocol_from',
  'reload_timeout',
  'reload_worker_num',
  'package_timeout',
  'max_output_memory',
];

describe('the table of settings', () => {
  it('knows every name of Swoole and our own, and no other', () => {
    assert.deepEqual([...KNOWN_SETTINGS.keys()].sort(), [...SWOOLE_NAMES, ...OWN_NAMES].sort());
  });

  it('lists each setting under all of its names, the canonical one first', () => {
    for (const [name, setting] of KNOWN_SETTINGS) {
      assert.ok(setting.names.includes(name as never), name);
      assert.equal(setting.names[0], setting.canonical);
      for (const other of setting.names) assert.equal(KNOWN_SETTINGS.get(other), setting);
    }
  });

  it('has the aliases of Swoole', () => {
    const groups = [...new Set(KNOWN_SETTINGS.values())].filter(({ names }) => names.length > 1);
    assert.deepEqual(groups.map(({ names }) => names.join(' ')).sort(), [
      'c_stack_size stack_size',
      'http_compression_level compression_level http_gzip_level',
      'http_compression_min_length compression_min_length',
      'http_compression_types compression_types',
      'input_buffer_size buffer_input_size',
      'max_connection max_conn',
      'max_coroutine max_coro_num',
      'output_buffer_size buffer_output_size',
      'package_body_offset package_body_start',
      'socket_read_timeout socket_recv_timeout',
      'socket_write_timeout socket_send_timeout',
      'task_use_object task_object',
    ]);
  });

  it('has settings of the kernel that work', () => {
    const real = `reactor_num single_thread chroot open_cpu_affinity cpu_affinity_ignore kernel_socket_recv_buffer_size
      kernel_socket_send_buffer_size tcp_keepidle tcp_keepinterval tcp_keepcount tcp_user_timeout tcp_fastopen
      tcp_defer_accept message_queue_key task_ipc_mode`;
    for (const name of real.split(/\s+/)) assert.equal(KNOWN_SETTINGS.get(name)?.noEffect, undefined, name);
  });

  it('says why a setting has no effect, in a clause that a sentence can end with', () => {
    for (const [name, { noEffect }] of KNOWN_SETTINGS) {
      if (noEffect !== undefined) assert.match(noEffect, /^\S.{9,}[^.]$/, name);
    }
  });

  it('has ranges that are not empty', () => {
    for (const [name, { type }] of KNOWN_SETTINGS) {
      if ('min' in type) assert.ok(type.min < type.max, name);
    }
  });

  it('is where code learns their names: elsewhere it goes by what they have become', () => {
    const root = new URL('../../', import.meta.url);
    // Counters of stats() that are called as settings are, and the one setting of a Process.
    const others = [
      'shm/stats.ts: worker_num',
      'shm/stats-shape.ts: task_worker_num',
      'shm/stats-shape.ts: worker_num',
      'shm/stats.ts: task_worker_num',
      'child/process.ts: enable_coroutine',
    ];
    const found = new Set<string>();
    for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (!path.endsWith('.ts') || path.endsWith('.test.ts') || path.startsWith('server/settings/')) continue;
      for (const [name] of codeOf(readFileSync(new URL(path, root), 'utf8')).matchAll(/\b[a-z0-9]+_\w+/g)) {
        if (KNOWN_SETTINGS.has(name)) found.add(`${path}: ${name}`);
      }
    }
    assert.deepEqual([...found].sort(), others.sort());
  });
});

/** Without comments, and without strings: messages may name settings. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''")
    .replace(/\/\/.*$/gm, '');
}
