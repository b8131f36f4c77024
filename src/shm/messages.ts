/**
 * What processes tell each other through rings. In messages about a connection, a is its slot and b its serial: who finds
 * another serial in the slot knows that the connection has ended meanwhile, and ignores the message.
 *
 * The tens of a kind say what it is about: see isForOwner and isLetter. Besides, the order of the numbers means nothing.
 */

// From the owner of connections to an event worker.
/** The payload is the client's certificate (PEM), where a TLS port asks for one. */
export const CONNECT = 1;
export const DATA = 2;
/** The peer left, or the owner gives the connection up: run the close callback, then answer FINISH_CLOSE. */
export const CLOSE = 3;
export const BUFFER_FULL = 4;
export const BUFFER_EMPTY = 5;
/** A datagram. a: port index, b: bytes of the peer's address; the payload is that of packet-message.ts. */
export const PACKET = 6;

// From anybody to the owner of connections (a reactor, or a worker in BASE).
export const SEND = 10;
/** The close callback has run: send what is queued, then close. */
export const FINISH_CLOSE = 11;
/** The same without sending what is queued. */
export const RESET = 12;
export const PAUSE = 13;
export const RESUME = 14;
/** A part of a file, in order with what is sent otherwise; the payload is that of file-message.ts. */
export const SENDFILE = 15;

export function isForOwner(kind: number): boolean {
  return kind >= SEND && kind < SEND + 10;
}

// From anybody to the event worker that runs a connection's callbacks.
export const CLOSE_REQUEST = 20;
export const RESET_REQUEST = 21;

// Between reactors and the master's main thread.
/** a: descriptor, b: port index, payload: the serial of its session (4 bytes), the peer's sockaddr. */
export const HAND_OVER = 30;
export const STOP_ACCEPTING = 31;
/** Send what is queued, as far as peers take it, then end. */
export const FINISH = 32;
export const FINISHED = 33;
export const START_ACCEPTING = 34;
/** Reads the certificates of TLS ports again, for new connections. */
export const RELOAD_CERTIFICATES = 35;
/** To the master: data was to go to an idle worker, and there was none. */
export const NO_IDLE_WORKER = 36;
/** Accept nobody until START_ACCEPTING comes again. */
export const PAUSE_ACCEPTING = 37;

// Between processes of one server.
/** To a worker; b: 1 = end gracefully even where the settings say otherwise. */
export const STOP_WORKER = 40;
/** To the manager; a: worker id, b: its life. The worker takes no more work: its replacement can start. */
export const WORKER_STOPPING = 41;
/** To the manager; a: worker id, b: its life. A worker is ready to serve. */
export const WORKER_READY = 42;
/** To the manager; a: 1 = task workers only. */
export const RELOAD = 43;
/** To the master, or to the manager in BASE. */
export const SHUTDOWN = 44;
export const REOPEN_LOG = 45;
/** To the master: the manager has spawned everybody. */
export const MANAGER_READY = 46;
/** To a task worker: there is something in the message queue. */
export const TASK_QUEUED = 47;
/** To the manager; a: worker id, b: its life. It has started: as soon as the id is its own it takes what comes. */
export const WORKER_STANDS_BY = 48;
/** To the manager; a: worker id, b: its life. Its workerStart has failed; the payload says how, in a line. */
export const WORKER_FAILED = 49;

/** To the manager; a: worker id, b: its life. It is to be told to stop as soon as its successor stands by. */
export const RECYCLE = 60;

// Letters (letter.ts): values from process to process.
/** To a task worker. a: task id, b: worker id of the source; -1 where nobody waits for an answer. */
export const TASK = 50;
/** To the source of a task. a: task id, b: worker id of the task worker. */
export const RESULT = 51;
/** To a worker, task worker or user process. a: worker id of the sender. */
export const PIPE_MESSAGE = 52;
/** To any process. a: number of the request, b: inbox of the one that asks. */
export const COMMAND = 53;
/** a: number of the request. */
export const COMMAND_REPLY = 54;
/** From a worker to the next one of its id, before that reads anything else: what it must know of its connections. */
export const SESSIONS = 55;
/** To the manager. a: number of the request, b: inbox of the one that asks; true = task workers only. */
export const RELOAD_ASKED = 56;
/** How the reload went that a process has asked for. a: number of the request. */
export const RELOADED = 57;

/** A value, to be read with letter.ts. Every process gets letters; a TASK is for a task worker only. */
export function isLetter(kind: number): boolean {
  return kind >= TASK && kind < TASK + 10;
}
