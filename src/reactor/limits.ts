/** Limits of one turn of the loop, so that no connection and no queue can keep the others waiting. */

/** Events taken from the kernel at once. */
export const EVENTS_MAX = 512;
/** Connections accepted for one readiness event, as the peer does. */
export const ACCEPTS_MAX = 64;
/** The most that one read takes, and so the longest unframed `receive`. */
export const READ_BYTES = 65536;
/** The least room in a worker's ring that is worth a read. */
export const READ_LEAST_BYTES = 4096;
/** Messages handled from one ring before the others, and the sockets, have their turn. */
export const MESSAGES_MAX = 1024;
/** Output of one turn that is gathered before it is handed to the kernel. */
export const TURN_BUFFER_BYTES = 256 * 1024;
/** A message longer than this is not copied into the turn buffer but sent at once. */
export const GATHER_BYTES = 4096;
/** Messages for one connection that go to the kernel in one call. */
export const GATHER_MAX = 64;
/** After the process ran out of descriptors, accepting rests this long. */
export const ACCEPT_PAUSE_MS = 1000;
/** How often idle connections, dead workers and the like are looked for. */
export const TICK_MS = 1000;
/** The smallest chunk of queued output, so that many small sends to a slow reader share one. */
export const CHUNK_BYTES = 16384;
/** A connection that is closed while output waits is given up when its peer took nothing for this long. */
export const CLOSE_STALL_MS = 60_000;
/** Connections whose receiver cannot take more are tried again at least this often. */
export const BLOCKED_RETRY_MS = 10;
