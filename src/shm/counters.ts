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
/** So many have room in a lane's block; see lanes.ts. */
export const FREQUENT_MAX = 24;

// ---- what is counted when something goes another way than it should ---------------------------------------------------

/** Theirs are the numbers from this on, and so many. */
export const RARE_FIRST = 32;
export const RARE_MAX = 128;

function rareCounter(place: number): RareCounter {
  return (RARE_FIRST + place) as unknown as RareCounter;
}

export const RINGS_FULL = rareCounter(0);
export const MESSAGES_WAITED = rareCounter(1);
export const MESSAGES_WAITING = rareCounter(2);

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
  dispatch_count: row(DISPATCHES, 'packages', 'that workers have taken'),
  request_count: row(REQUESTS, 'packages', 'whose callback has returned; tasks do not count'),
  response_count: row(RESPONSES, 'calls', 'of `send` that were successful'),
  total_recv_bytes: row(RECEIVED_BYTES, 'bytes', 'read from clients'),
  total_send_bytes: row(SENT_BYTES, 'bytes', 'accepted by `send`'),
  message_count: row(MESSAGES, 'messages', 'that processes have sent to each other'),
  message_wait_count: row(MESSAGES_WAITED, 'messages', 'that found no room, and waited in the memory of their senders'),
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
} as const satisfies Record<string, Row>;

const GAUGES = {
  message_wait_num: row(MESSAGES_WAITING, 'messages', 'that found no room, and wait in the memory of their senders'),
  task_held_num: row(TASKS_HELD, 'tasks', 'that found no room, and wait in the memory of their senders'),
} as const satisfies Record<string, Row>;

const LIVES = {
  worker_request_count: row(LIFE_REQUESTS, 'packages', 'whose callback has returned; of a task worker its tasks'),
  worker_response_count: row(LIFE_RESPONSES, 'calls', 'of `send` that were successful'),
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
