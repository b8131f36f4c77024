import { SWOOLE_DISPATCH_CO_CONN_LB, SWOOLE_DISPATCH_UIDMOD } from '../../constants.ts';
import {
  CLOSE_ERRNO,
  DISPATCHED_BYTES,
  F64_CONNECT_TIME,
  F64_RECEIVE_TIME,
  F64_SEND_TIME,
  F64_TAKEN_TIME,
  FLAG_CLOSE_DONE,
  LISTENER,
  OWNER,
  PORT,
  QUEUED_BYTES,
  REMOTE_PORT,
  SERIAL,
  SOCKET,
  TAKEN_BYTES,
  UID,
  WORKER,
} from '../../shm/connections.ts';
import type { Member } from '../state/member.ts';

/** What is known of a connection. */
export interface ClientInfo {
  /** The user id of bind(); only when bound, or with dispatch_mode 5. */
  uid?: number;
  /** The worker that the connection is tied to, where it is. */
  worker_id?: number;
  /** Port that the client connected to. */
  server_port: number;
  /** Descriptor of the listening socket. */
  server_fd: number;
  /** Descriptor of the connection's socket in the process that owns it. */
  socket_fd: number;
  /** SWOOLE_SOCK_*. */
  socket_type: number;
  remote_port: number;
  remote_ip: string;
  reactor_id: number;
  /** Seconds since 1970, whole. */
  connect_time: number;
  last_time: number;
  /** Seconds since 1970, with a fraction; 0 = never. */
  last_recv_time: number;
  last_send_time: number;
  last_dispatch_time: number;
  /**
   * The client's certificate, as PEM: on TLS ports with ssl_client_cert_file, in the process that handled the connect
   * event.
   */
  ssl_client_cert?: string;
  /** WEBSOCKET_STATUS_*; only of connections to a port that speaks WebSocket. */
  websocket_status?: number;
  /** errno of an abnormal end. */
  close_errno: number;
  /** Bytes that were received but not taken by a worker yet. */
  recv_queued_bytes: number;
  /** Bytes that wait for the client to take them. */
  send_queued_bytes: number;
}

/** With `ignoreError` also of one that has just been closed. */
export function clientInfo(member: Member, fd: number, ignoreError: boolean): ClientInfo | false {
  const { connections } = member.runtime;
  const slot = ignoreError ? connections.findAny(fd) : connections.find(fd);
  if (slot === -1) return false;
  // Inside the close callback it still exists; once that has returned it does not.
  if (!ignoreError && (connections.flags(slot) & FLAG_CLOSE_DONE) !== 0) return false;
  const info = readClientInfo(member, slot);
  // Its owner, another process, may have given the slot to the next one meanwhile.
  return Atomics.load(connections.words, connections.wordBase(slot) + SERIAL) === connections.serialOf(fd) && info;
}

function readClientInfo({ script, settings, runtime, certificates }: Member, slot: number): ClientInfo {
  const { connections, wire } = runtime;
  const { words, numbers } = connections;
  const base = connections.wordBase(slot);
  const times = connections.numberBase(slot);
  const port = script.ports[words[base + PORT]];
  const received = numbers[times + F64_RECEIVE_TIME];
  const uid = words[base + UID] >>> 0;
  const worker = words[base + WORKER];
  const mode = settings.dispatch.mode;
  const certificate = certificates.of(slot, words[base + SERIAL]);
  return {
    ...(uid !== 0 || mode === SWOOLE_DISPATCH_UIDMOD ? { uid } : {}),
    ...(worker > 0 || mode === SWOOLE_DISPATCH_CO_CONN_LB ? { worker_id: worker } : {}),
    server_port: port.port,
    server_fd: words[base + LISTENER],
    socket_fd: words[base + SOCKET],
    socket_type: port.type,
    remote_port: words[base + REMOTE_PORT],
    remote_ip: connections.remoteIp(base),
    reactor_id: words[base + OWNER],
    connect_time: Math.floor(numbers[times + F64_CONNECT_TIME]),
    last_time: Math.floor(received),
    last_recv_time: received,
    last_send_time: numbers[times + F64_SEND_TIME],
    last_dispatch_time: numbers[times + F64_TAKEN_TIME],
    close_errno: words[base + CLOSE_ERRNO],
    recv_queued_bytes: Math.max(0, (words[base + DISPATCHED_BYTES] - words[base + TAKEN_BYTES]) | 0),
    send_queued_bytes: words[base + QUEUED_BYTES] + wire.waitingBytes(slot),
    ...(certificate === undefined ? {} : { ssl_client_cert: certificate }),
  };
}
