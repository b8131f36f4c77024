/**
 * What `server.stats()` tells. Written for editors, which show these comments: a test compares them with the rows of counters.ts
 * and stats.ts.
 */
export interface Stats {
  // What has happened: counted from start() on, in all processes together.

  /** connections accepted so far */
  accept_count: number;
  /** connections closed so far */
  close_count: number;
  /** connections refused because of `max_connection`, or ended before their TLS handshake was done */
  abort_count: number;
  /** connections refused because of `max_connection` */
  refuse_count: number;
  /** times that the kernel could not give a connection, as without free descriptors */
  accept_error_count: number;
  /** connections that ended before their TLS handshake was done */
  handshake_error_count: number;
  /** connections closed because they asked for new TLS keys again and again */
  rekey_close_count: number;
  /** connections closed because they had no valid PROXY protocol header */
  proxy_error_count: number;
  /** connections closed because of a package that cannot be accepted */
  malformed_count: number;
  /** connections closed because of `heartbeat_idle_time` */
  heartbeat_close_count: number;
  /** connections closed because of `max_idle_time` */
  idle_close_count: number;
  /** connections closed because of `package_timeout` */
  package_timeout_count: number;
  /** connections that ended with an error, as a reset */
  lost_count: number;
  /** connections closed although their clients had not taken everything, and took no more */
  close_stall_count: number;
  /** connections closed in the place of a worker that died over it or is gone */
  close_orphan_count: number;
  /** packages that workers have taken */
  dispatch_count: number;
  /** packages whose callback has returned; tasks do not count */
  request_count: number;
  /** calls of `send`, `sendto` and `sendfile` that were successful */
  response_count: number;
  /** packages that `dispatch_func` did not want, or had no worker for */
  dispatch_discard_count: number;
  /** packages dropped because their connection was closed */
  late_package_count: number;
  /** times that reading from a connection stopped because its worker could take no more */
  block_count: number;
  /** times that reading from a connection was interrupted, and tried again */
  recv_retry_count: number;
  /** datagrams dropped because they were too long, or their worker took none */
  datagram_drop_count: number;
  /** times that reading datagrams stopped because a worker could take no more */
  datagram_block_count: number;
  /** times that the kernel could not give datagrams */
  datagram_error_count: number;
  /** calls of `send` or `sendfile` refused with 1008: too much waits for the client */
  send_overflow_count: number;
  /** calls of `sendAsync` that waited for room */
  send_hold_count: number;
  /** times that `max_output_memory` refused a message */
  output_memory_count: number;
  /** messages dropped because their connection had ended */
  late_send_count: number;
  /** times that a socket did not take all, and the rest waits for the client to read */
  send_wait_count: number;
  /** times that sending was interrupted, or the kernel had no memory for it, and was tried again */
  send_retry_count: number;
  /** files that could not be sent to their end */
  sendfile_error_count: number;
  /** calls of `sendto` that the kernel refused */
  sendto_error_count: number;
  /** bytes read from clients, and of datagrams */
  total_recv_bytes: number;
  /** bytes accepted by `send`, `sendto` and `sendfile` */
  total_send_bytes: number;
  /** messages that processes have sent to each other */
  message_count: number;
  /** messages that found no room, and waited in the memory of their senders */
  message_wait_count: number;
  /** messages dropped because the process that had read the beginning of them died */
  message_broken_count: number;
  /** times that a ring between two processes was full, and refused something */
  ring_full_count: number;
  /** times that a process woke another one that slept */
  doorbell_count: number;
  /** times that a process was about to sleep, and found that something had come */
  sleep_skip_count: number;
  /** tasks that were sent */
  task_count: number;
  /** tasks that task workers have begun */
  task_begin_count: number;
  /** tasks that nobody will ever begin: they died with a process, or their queue has gone */
  task_lost_count: number;
  /** tasks for which no task worker was idle */
  task_busy_count: number;
  /** tasks that found no room, and waited in the memory of their senders */
  task_wait_count: number;
  /** tasks whose result did not come in time */
  task_timeout_count: number;
  /** times that the message queue of the tasks held what is no task, or was gone */
  task_damage_count: number;
  /** results of tasks dropped because nobody waited for them */
  result_drop_count: number;
  /** commands whose answer did not come in time */
  command_timeout_count: number;
  /** callbacks that threw, or whose promise rejected */
  callback_error_count: number;
  /** processes started in the place of another: by a reload, after `max_request`, after a crash */
  worker_restart_count: number;
  /** processes that ended abnormally */
  worker_error_count: number;
  /** processes that could not be started, or ended as soon as they had begun */
  worker_start_error_count: number;
  /** processes that did not end within `max_wait_time`, and were made to */
  worker_kill_count: number;
  /** managers started in the place of one that died */
  manager_restart_count: number;
  /** reloads begun */
  reload_count: number;
  /** reloads refused: one was under way, or the new workers did not start */
  reload_refuse_count: number;

  // What there is now.

  /** seconds since 1970, when the server was started */
  start_time: number;
  /** of the workers: 1, and one more with each reload that was not refused */
  generation: number;
  /** connections that are open */
  connection_num: number;
  /** workers as configured */
  worker_num: number;
  /** task workers as configured */
  task_worker_num: number;
  /** user processes as added */
  user_worker_num: number;
  /** workers that are not inside a callback */
  idle_worker_num: number;
  /** task workers that have nothing to do */
  task_idle_worker_num: number;
  /** tasks that were sent and not begun */
  task_queue_num: number;
  /** bytes of tasks in rings, or in the message queue */
  task_queue_bytes: number;
  /** the last connection id given out */
  session_round: number;
  /** the lowest listening descriptor */
  min_fd: number;
  /** the highest descriptor of a connection so far */
  max_fd: number;
  /** the number of the next message between processes */
  pipe_packet_msg_id: number;
  /** requests under way; 0 until there is HTTP */
  concurrency: number;
  /** requests under way in this process; 0 until there is HTTP */
  worker_concurrency: number;
  /** task workers that work on a task */
  tasking_num: number;
  /** bytes that wait for clients to read */
  output_wait_num: number;
  /** connections that are not read from because their worker can take no more */
  block_num: number;
  /** messages that found no room, and wait in the memory of their senders */
  message_wait_num: number;
  /** tasks that found no room, and wait in the memory of their senders */
  task_held_num: number;

  // Of the process that asks, from its beginning on.

  /** packages whose callback has returned; of a task worker its tasks */
  worker_request_count: number;
  /** calls of `send` and its kin that were successful */
  worker_response_count: number;
  /** packages that it has taken */
  worker_dispatch_count: number;
  /** async callbacks that are not finished */
  coroutine_num: number;
  /** async callbacks that were unfinished at a time, at most */
  coroutine_peek_num: number;
}
