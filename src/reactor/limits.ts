/** Limits of one turn of the loop, so that no connection and no queue can keep the others waiting. */
import { RING_BYTES } from '../shm/layout.ts';

/** Events taken from the kernel at once. */
export const EVENTS_MAX = 512;
/** Connections accepted for one readiness event, as Swoole does. */
export const ACCEPTS_MAX = 64;
/** The most that one read takes, and so the longest unframed `receive`. */
export const READ_BYTES = 65536;
/**
 * What all connections bring in one turn. With less, clients run out of answers and fall asleep while the next turn is
 * read, and waking one is what costs most.
 */
export const TURN_READ_BYTES = 1024 * 1024;
/** Workers that sleep are told of what they have after so much of it, not only at the end of the turn. */
export const TELL_BYTES = 256 * 1024;
/** The least room in a worker's ring that is worth a read. */
export const READ_LEAST_BYTES = 4096;
/** Messages handled from one ring before the others, and the sockets, have their turn. */
export const MESSAGES_MAX = 1024;
/** Output of one turn that is gathered before it is handed to the kernel. */
export const TURN_BUFFER_BYTES = 256 * 1024;
/** A message longer than this is not copied into the turn buffer but sent at once. */
export const GATHER_BYTES = 4096;
/** After the process ran out of descriptors, accepting rests this long. */
export const ACCEPT_PAUSE_MS = 1000;
/** A load balancer that does not send its PROXY protocol header within this time is closed: it sends it at once. */
export const PROXY_WAIT_MS = 5000;
/** How often idle connections, dead workers and the like are looked for. */
export const TICK_MS = 1000;
/** What waited for slow readers is given back to the system after so much of it, */
export const GIVE_BACK_BYTES = 16 * 1024 * 1024;
/** as soon as no more than this went in the time between two looks at it. */
export const GIVE_BACK_QUIET_BYTES = 1024 * 1024;
/** The smallest chunk of queued output, so that many small sends to a slow reader share one. */
export const CHUNK_BYTES = 16384;
/** What one connection sends of a file before the others that send files have their turn. */
export const FILE_QUANTUM_BYTES = 512 * 1024;
/** What all connections send of files in one turn: about a millisecond's worth, so that nobody else waits longer. */
export const FILE_TURN_BYTES = 4 * 1024 * 1024;
/** How much of a file is read at once where the kernel cannot send it by itself. */
export const FILE_COPY_BYTES = 65536;
/** Files that wait for one connection beyond this are opened only when it is their turn: descriptors are few. */
export const FILES_OPEN_MAX = 16;
/** A connection that is closed while output waits is given up when its peer took nothing for this long. */
export const CLOSE_STALL_MS = 60_000;
/** A connection whose peer has left is freed without its close callback when its worker is gone, and no other is there, so long. */
export const WORKER_GONE_MS = 2000;
/** Connections whose receiver cannot take more are tried again at least this often. */
export const BLOCKED_RETRY_MS = 10;

/** Datagrams taken from the kernel in one call. More would save little, and a worker that dies in BASE loses them. */
export const DATAGRAM_BATCH = 16;
/** Calls for one socket in one turn. */
export const DATAGRAM_BATCHES_MAX = 4;
/** The longest that UDP can carry, over IPv4 or IPv6. */
export const UDP_BYTES_MAX = 65535;
/** The longest datagram that a Unix socket takes. A sender needs a socket buffer of several times the default for it. */
export const UNIX_DATAGRAM_BYTES_MAX = 1024 * 1024;
/** What datagrams leave of a worker's ring to its connections. */
export const PACKET_RESERVE_BYTES = RING_BYTES / 8;
/** UDP for a worker whose ring has been full for so long is dropped, so that others who use the socket do not wait. */
export const PACKET_STALL_MS = 100;
/**
 * After work a loop looks again this many times, for 15 to 30 µs in all, letting others of its processor run in between,
 * before it sleeps: what comes next is under way already, often, and then neither side pays for going to sleep, ringing and
 * waking up. On a virtual machine waking a processor takes as long as this.
 */
export const LINGER_TURNS = 32;

/** A client that has not finished its TLS handshake after this is no client. */
export const HANDSHAKE_MS = 10_000;
/** Steps of handshakes in one turn: one takes a millisecond and more, and whoever is in already must not wait for a crowd. */
export const HANDSHAKES_MAX = 8;
/** How much is encrypted at once: four records, as long as TLS has them. */
export const SEAL_BYTES = 65536;
/** Renegotiations, changes of keys and the like that one TLS connection may ask for in so long. */
export const TLS_REPLIES_MAX = 16;
export const TLS_REPLIES_MS = 60_000;
/** How often sockets that only wait for their peer are looked at. */
export const LINGER_CHECK_MS = 20;
/** Such a socket is given up when its peer took nothing for this long, */
export const LINGER_STALL_MS = 5_000;
/** and in any case after this long. */
export const LINGER_MAX_MS = 60_000;
/** A slot is used again only behind this many others, so that whoever still holds its old id finds it free for a while. */
export const SLOT_REST = 64;
