/**
 * What is counted: one row for each counter. From these rows come the places in shared memory, `stats()` and its type, and
 * the page of the documentation. To count something new, add its number and its row, and count.
 *
 * Each process counts by itself, in the block of its lane (lanes.ts); who reads adds up.
 */

/**
 * total: grows for ever, in all processes together; what a dead process has counted stays.
 * gauge: how many there are now, in all processes together; those of a dead process are no more.
 * life: of one process, from its beginning on.
 */
export type CounterKind = 'total' | 'gauge' | 'life';

/** Everything that is said of a counter anywhere. */
export interface Counter {
  id: number | RareCounter;
  /** Its name in `stats()`. */
  label: string;
  kind: CounterKind;
  unit: string;
  help: string;
}

declare const rare: unique symbol;
/**
 * The number of a counter whose place is not in the block that every lane has. No number for the compiler, because the
 * base of a lane plus it would be a place of somebody else's.
 */
export interface RareCounter {
  readonly [rare]: true;
}

// ---- what is counted all the time: numbers[base + REQUESTS] and so on -------------------------------------------------

export const REQUESTS = 0;
export const RESPONSES = 1;
export const DISPATCHES = 2;
export const RECEIVED_BYTES = 3;
export const SENT_BYTES = 4;
export const ACCEPTED = 5;
export const CLOSED = 6;
export const ABORTED = 7;
export const LIFE_REQUESTS = 8;
export const LIFE_RESPONSES = 9;
export const LIFE_DISPATCHES = 10;
export const CALLBACKS_NOW = 11;
export const CALLBACKS_PEAK = 12;
export const TASKS_SENT = 13;
export const TASKS_BEGUN = 14;
export const TASKS_LOST = 15;
export const TASKS_HELD = 16;
export const MESSAGES = 17;
export const DOORBELLS = 18;
export const SLEEPS_SKIPPED = 19;
export const TASKING = 20;
/** So many have room in a lane's block; see lanes.ts. */
export const FREQUENT_MAX = 24;

// ---- what is counted when something goes another way than it should ---------------------------------------------------

/** Theirs are the numbers from this on, and so many. */
export const RARE_FIRST = 32;
export const RARE_MAX = 128;

function rareCounter(place: number): RareCounter {
  return (RARE_FIRST + place) as unknown as RareCounter;
}

export const REFUSED = rareCounter(0);
export const ACCEPTS_FAILED = rareCounter(1);
export const HANDSHAKES_FAILED = rareCounter(2);
export const REKEYS_REFUSED = rareCounter(3);
export const PROXY_REFUSED = rareCounter(4);
export const MALFORMED = rareCounter(5);
export const HEARTBEATS_MISSED = rareCounter(6);
export const IDLE_CLOSED = rareCounter(7);
export const LOST = rareCounter(8);
export const CLOSES_STALLED = rareCounter(9);
export const CLOSES_ORPHANED = rareCounter(10);
export const DISPATCHES_DISCARDED = rareCounter(11);
export const LATE_PACKAGES = rareCounter(12);
export const BLOCKS = rareCounter(13);
export const RECEIVES_RETRIED = rareCounter(14);
export const DATAGRAMS_DROPPED = rareCounter(15);
export const DATAGRAM_BLOCKS = rareCounter(16);
export const DATAGRAMS_FAILED = rareCounter(17);
export const SENDS_OVERFLOWED = rareCounter(18);
export const SENDS_LATE = rareCounter(19);
export const SENDS_WAITED = rareCounter(20);
export const SENDS_RETRIED = rareCounter(21);
export const FILES_FAILED = rareCounter(22);
export const SENDTO_FAILED = rareCounter(23);
export const MESSAGES_WAITED = rareCounter(24);
export const MESSAGES_BROKEN = rareCounter(25);
export const RINGS_FULL = rareCounter(26);
export const TASKS_UNIDLE = rareCounter(27);
export const TASKS_WAITED = rareCounter(28);
export const TASKS_EXPIRED = rareCounter(29);
export const TASKS_DAMAGED = rareCounter(30);
export const RESULTS_DROPPED = rareCounter(31);
export const COMMANDS_EXPIRED = rareCounter(32);
export const CALLBACKS_FAILED = rareCounter(33);
export const RESTARTS = rareCounter(34);
export const CRASHES = rareCounter(35);
export const STARTS_FAILED = rareCounter(36);
export const KILLS = rareCounter(37);
export const MANAGER_RESTARTS = rareCounter(38);
export const RELOADS = rareCounter(39);
export const RELOADS_REFUSED = rareCounter(40);
export const BLOCKED = rareCounter(41);
export const MESSAGES_WAITING = rareCounter(42);
export const SENDS_HELD = rareCounter(43);
export const PACKAGES_EXPIRED = rareCounter(44);
export const OUTPUT_REFUSED = rareCounter(45);
export const OUTPUT_WAITING = rareCounter(46);

// ---- the rows -------------------------------------------------------------------------------------------------------

type Row = Pick<Counter, 'id' | 'unit' | 'help'>;

function row(id: Counter['id'], unit: string, help: string): Row {
  return { id, unit, help };
}

const TOTALS = {
  accept_count: row(ACCEPTED, 'connections', 'accepted so far'),
  close_count: row(CLOSED, 'connections', 'closed so far'),
  abort_count: row(
    ABORTED,
    'connections',
    'refused because of `max_connection`, or ended before their TLS handshake was done',
  ),
  refuse_count: row(REFUSED, 'connections', 'refused because of `max_connection`'),
  accept_error_count: row(
    ACCEPTS_FAILED,
    'times',
    'that the kernel could not give a connection, as without free descriptors',
  ),
  handshake_error_count: row(HANDSHAKES_FAILED, 'connections', 'that ended before their TLS handshake was done'),
  rekey_close_count: row(REKEYS_REFUSED, 'connections', 'closed because they asked for new TLS keys again and again'),
  proxy_error_count: row(PROXY_REFUSED, 'connections', 'closed because they had no valid PROXY protocol header'),
  malformed_count: row(MALFORMED, 'connections', 'closed because of a package that cannot be accepted'),
  heartbeat_close_count: row(HEARTBEATS_MISSED, 'connections', 'closed because of `heartbeat_idle_time`'),
  idle_close_count: row(IDLE_CLOSED, 'connections', 'closed because of `max_idle_time`'),
  package_timeout_count: row(PACKAGES_EXPIRED, 'connections', 'closed because of `package_timeout`'),
  lost_count: row(LOST, 'connections', 'that ended with an error, as a reset'),
  close_stall_count: row(
    CLOSES_STALLED,
    'connections',
    'closed although their clients had not taken everything, and took no more',
  ),
  close_orphan_count: row(
    CLOSES_ORPHANED,
    'connections',
    'closed in the place of a worker that died over it or is gone',
  ),
  dispatch_count: row(DISPATCHES, 'packages', 'that workers have taken'),
  request_count: row(REQUESTS, 'packages', 'whose callback has returned; tasks do not count'),
  response_count: row(RESPONSES, 'calls', 'of `send`, `sendto` and `sendfile` that were successful'),
  dispatch_discard_count: row(
    DISPATCHES_DISCARDED,
    'packages',
    'that `dispatch_func` did not want, or had no worker for',
  ),
  late_package_count: row(LATE_PACKAGES, 'packages', 'dropped because their connection was closed'),
  block_count: row(BLOCKS, 'times', 'that reading from a connection stopped because its worker could take no more'),
  recv_retry_count: row(RECEIVES_RETRIED, 'times', 'that reading from a connection was interrupted, and tried again'),
  datagram_drop_count: row(
    DATAGRAMS_DROPPED,
    'datagrams',
    'dropped because they were too long, or their worker took none',
  ),
  datagram_block_count: row(
    DATAGRAM_BLOCKS,
    'times',
    'that reading datagrams stopped because a worker could take no more',
  ),
  datagram_error_count: row(DATAGRAMS_FAILED, 'times', 'that the kernel could not give datagrams'),
  send_overflow_count: row(
    SENDS_OVERFLOWED,
    'calls',
    'of `send` or `sendfile` refused with 1008: too much waits for the client',
  ),
  send_hold_count: row(SENDS_HELD, 'calls', 'of `sendAsync` that waited for room'),
  output_memory_count: row(OUTPUT_REFUSED, 'times', 'that `max_output_memory` refused a message'),
  late_send_count: row(SENDS_LATE, 'messages', 'dropped because their connection had ended'),
  send_wait_count: row(
    SENDS_WAITED,
    'times',
    'that a socket did not take all, and the rest waits for the client to read',
  ),
  send_retry_count: row(
    SENDS_RETRIED,
    'times',
    'that sending was interrupted, or the kernel had no memory for it, and was tried again',
  ),
  sendfile_error_count: row(FILES_FAILED, 'files', 'that could not be sent to their end'),
  sendto_error_count: row(SENDTO_FAILED, 'calls', 'of `sendto` that the kernel refused'),
  total_recv_bytes: row(RECEIVED_BYTES, 'bytes', 'read from clients, and of datagrams'),
  total_send_bytes: row(SENT_BYTES, 'bytes', 'accepted by `send`, `sendto` and `sendfile`'),
  message_count: row(MESSAGES, 'messages', 'that processes have sent to each other'),
  message_wait_count: row(MESSAGES_WAITED, 'messages', 'that found no room, and waited in the memory of their senders'),
  message_broken_count: row(
    MESSAGES_BROKEN,
    'messages',
    'dropped because the process that had read the beginning of them died',
  ),
  ring_full_count: row(RINGS_FULL, 'times', 'that a ring between two processes was full, and refused something'),
  doorbell_count: row(DOORBELLS, 'times', 'that a process woke another one that slept'),
  sleep_skip_count: row(
    SLEEPS_SKIPPED,
    'times',
    'that a process was about to sleep, and found that something had come',
  ),
  task_count: row(TASKS_SENT, 'tasks', 'that were sent'),
  task_begin_count: row(TASKS_BEGUN, 'tasks', 'that task workers have begun'),
  task_lost_count: row(
    TASKS_LOST,
    'tasks',
    'that nobody will ever begin: they died with a process, or their queue has gone',
  ),
  task_busy_count: row(TASKS_UNIDLE, 'tasks', 'for which no task worker was idle'),
  task_wait_count: row(TASKS_WAITED, 'tasks', 'that found no room, and waited in the memory of their senders'),
  task_timeout_count: row(TASKS_EXPIRED, 'tasks', 'whose result did not come in time'),
  task_damage_count: row(
    TASKS_DAMAGED,
    'times',
    'that the message queue of the tasks held what is no task, or was gone',
  ),
  result_drop_count: row(RESULTS_DROPPED, 'results', 'of tasks dropped because nobody waited for them'),
  command_timeout_count: row(COMMANDS_EXPIRED, 'commands', 'whose answer did not come in time'),
  callback_error_count: row(CALLBACKS_FAILED, 'callbacks', 'that threw, or whose promise rejected'),
  worker_restart_count: row(
    RESTARTS,
    'processes',
    'started in the place of another: by a reload, after `max_request`, after a crash',
  ),
  worker_error_count: row(CRASHES, 'processes', 'that ended abnormally'),
  worker_start_error_count: row(
    STARTS_FAILED,
    'processes',
    'that could not be started, or ended as soon as they had begun',
  ),
  worker_kill_count: row(KILLS, 'processes', 'that did not end within `max_wait_time`, and were made to'),
  manager_restart_count: row(MANAGER_RESTARTS, 'managers', 'started in the place of one that died'),
  reload_count: row(RELOADS, 'reloads', 'begun'),
  reload_refuse_count: row(RELOADS_REFUSED, 'reloads', 'refused: one was under way, or the new workers did not start'),
} as const satisfies Record<string, Row>;

const GAUGES = {
  tasking_num: row(TASKING, 'task workers', 'that work on a task'),
  output_wait_num: row(OUTPUT_WAITING, 'bytes', 'that wait for clients to read'),
  block_num: row(BLOCKED, 'connections', 'that are not read from because their worker can take no more'),
  message_wait_num: row(MESSAGES_WAITING, 'messages', 'that found no room, and wait in the memory of their senders'),
  task_held_num: row(TASKS_HELD, 'tasks', 'that found no room, and wait in the memory of their senders'),
} as const satisfies Record<string, Row>;

const LIVES = {
  worker_request_count: row(LIFE_REQUESTS, 'packages', 'whose callback has returned; of a task worker its tasks'),
  worker_response_count: row(LIFE_RESPONSES, 'calls', 'of `send` and its kin that were successful'),
  worker_dispatch_count: row(LIFE_DISPATCHES, 'packages', 'that it has taken'),
  coroutine_num: row(CALLBACKS_NOW, 'async callbacks', 'that are not finished'),
  coroutine_peek_num: row(CALLBACKS_PEAK, 'async callbacks', 'that were unfinished at a time, at most'),
} as const satisfies Record<string, Row>;

export type CounterLabel = keyof typeof TOTALS | keyof typeof GAUGES | keyof typeof LIVES;

function counters(kind: CounterKind, rows: Record<string, Row>): Counter[] {
  return Object.entries(rows).map(([label, row]) => ({ label, kind, ...row }));
}

export const COUNTERS: readonly Counter[] = [
  ...counters('total', TOTALS),
  ...counters('gauge', GAUGES),
  ...counters('life', LIVES),
];
