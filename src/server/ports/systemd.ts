/**
 * Sockets that systemd has opened for us: `new Server('SYSTEMD', 0)` listens on those of the unit's .socket file, and the
 * kernel keeps clients waiting there while the server is started again. They are LISTEN_FDS descriptors from
 * LISTEN_FDS_START (3) on, meant for the process LISTEN_PID. Only the first process looks: its children inherit.
 */
import {
  SWOOLE_LOG_WARNING,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
  SWOOLE_SOCK_UNIX_DGRAM,
  SWOOLE_SOCK_UNIX_STREAM,
  SWOOLE_SSL,
} from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import type { Logger } from '../../log/log.ts';
import { isDatagram } from '../../reactor/port.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SO_DOMAIN,
  SO_TYPE,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from '../../sys/constants.ts';
import { getOption, localAddress, makeOurs } from '../../sys/socket.ts';
import type { ListenAttempt } from './address.ts';

const FIRST_FD = 3;
const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDS_START', 'LISTEN_FDNAMES'] as const;
const TYPES = [
  [AF_INET, SOCK_STREAM, SWOOLE_SOCK_TCP],
  [AF_INET6, SOCK_STREAM, SWOOLE_SOCK_TCP6],
  [AF_INET, SOCK_DGRAM, SWOOLE_SOCK_UDP],
  [AF_INET6, SOCK_DGRAM, SWOOLE_SOCK_UDP6],
  [AF_UNIX, SOCK_STREAM, SWOOLE_SOCK_UNIX_STREAM],
  [AF_UNIX, SOCK_DGRAM, SWOOLE_SOCK_UNIX_DGRAM],
] as const;

export function isSystemd(host: unknown, port: unknown): boolean {
  return port === 0 && typeof host === 'string' && host.toUpperCase() === 'SYSTEMD';
}

/** The sockets, in their order. With SWOOLE_SSL in `sockType` those of streams speak TLS. */
export function systemdSockets(sockType: number, logger: Logger): ListenAttempt[] {
  const [pid, count, first] = VARIABLES.map((name) => process.env[name]);
  // What is ours is not our children's.
  for (const name of VARIABLES) delete process.env[name];
  if (count === undefined) throw failure('LISTEN_FDS is not set: start the program through a .socket unit of systemd');
  if (pid !== undefined && Number(pid) !== process.pid)
    throw failure(`LISTEN_PID is ${pid}, but this is process ${process.pid}: have the unit start node itself`);
  const start = first === undefined ? FIRST_FD : Number(first);
  if (!(Number.isInteger(Number(count)) && Number(count) > 0 && Number.isInteger(start) && start >= FIRST_FD))
    throw failure(`LISTEN_FDS is ${count}, LISTEN_FDS_START ${start}: numbers of descriptors are expected`);
  const sockets: ListenAttempt[] = [];
  for (let fd = start; fd < start + Number(count); fd++) {
    const socket = inspect(fd, sockType);
    if (socket === null) logger.log(SWOOLE_LOG_WARNING, `descriptor ${fd} of systemd is no socket that can be served`);
    else sockets.push(socket);
  }
  if (sockets.length === 0) throw failure('none of the descriptors is a socket that can be served');
  return sockets;
}

function failure(why: string): TswooleError {
  return new TswooleError('ERR_STATE', `failed to add systemd socket: ${why}`);
}

function inspect(fd: number, sockType: number): ListenAttempt | null {
  const family = getOption(fd, SOL_SOCKET, SO_DOMAIN);
  const kind = getOption(fd, SOL_SOCKET, SO_TYPE);
  const type = TYPES.find((each) => each[0] === family && each[1] === kind)?.[2];
  const address = localAddress(fd);
  if (type === undefined || address === null || makeOurs(fd) !== 0) return null;
  const ssl = (sockType & SWOOLE_SSL) !== 0 && !isDatagram(type);
  return { host: address.host, port: address.port, asked: address.port, type, ssl, fd, error: 0, activated: true };
}
