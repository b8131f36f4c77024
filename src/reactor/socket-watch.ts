import { EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from '../sys/constants.ts';
import type { Epoll } from '../sys/epoll.ts';
import type { Connection } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { isUnix } from './port.ts';

const WATCHED = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
/**
 * A Unix socket is announced as writable each time its peer has read something, not only after a refusal: so it is watched
 * for that only while output waits.
 */
const WATCHED_UNIX = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;

/** What epoll is to tell of the sockets of connections. It tells it with their place in the pool and their serial. */
export class SocketWatch {
  private readonly epoll: Epoll;
  private readonly connections: ConnectionPool;

  constructor(epoll: Epoll, connections: ConnectionPool) {
    this.epoll = epoll;
    this.connections = connections;
  }

  /** From now on, for its whole life. Answers 0 or an errno. */
  begin(connection: Connection): number {
    const { fd, serial, port, output } = connection;
    // Some output may wait already.
    const events = isUnix(port.socketType) && output === null ? WATCHED_UNIX : WATCHED;
    return this.epoll.add(fd, events, this.connections.localOf(connection), serial);
  }

  outputBegun(connection: Connection): void {
    if (isUnix(connection.port.socketType)) this.change(connection, WATCHED);
  }

  outputDone(connection: Connection): void {
    if (isUnix(connection.port.socketType)) this.change(connection, WATCHED_UNIX);
  }

  private change(connection: Connection, events: number): void {
    this.epoll.modify(connection.fd, events, this.connections.localOf(connection), connection.serial);
  }
}
