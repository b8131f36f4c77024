/** How a script gets its ports: bound in the first process, taken over in the others. */
import {
  SWOOLE_ERROR_NAME_TOO_LONG,
  SWOOLE_ERROR_SERVER_INVALID_LISTEN_PORT,
  SWOOLE_ERROR_SERVER_TOO_MANY_LISTEN_PORT,
  SWOOLE_ERROR_WRONG_OPERATION,
  SWOOLE_SSL,
} from '../../constants.ts';
import { isDatagram, isUnix } from '../../reactor/port.ts';
import { PORTS_MAX } from '../../shm/layout.ts';
import { EADDRINUSE } from '../../sys/constants.ts';
import { earlierAnswer, inheritedFromSystemd, inheritedPort } from '../start/inherit.ts';
import { type Script, warn } from '../state/script.ts';
import type { Address, Bound } from './address.ts';
import { bindListener, checkAddress, HOST_BYTES_MAX, listenFailure } from './listen.ts';
import { newPort, type PortState } from './port-state.ts';
import { isSystemd, systemdSockets } from './systemd.ts';

/** The server's own port; with "SYSTEMD" each socket that systemd has opened, as a port. */
export function addFirstPorts(script: Script, host: string, port: number, sockType: number): void {
  if (!isSystemd(host, port) || earlierAnswer(script) !== null) {
    addPort(script, host, port, sockType);
    return;
  }
  for (const socket of inheritedFromSystemd(script) ?? systemdSockets(sockType, script.logger)) {
    script.attempts.push(socket);
    script.ports.push(newPort(script.events, script.ports.length, socket, socket));
  }
}

/** Binds (in the first process) or takes over (in a child) the next port. */
function addPort(script: Script, host: string, port: number, sockType: number): PortState {
  const address = checkAddress(host, port, sockType);
  const bound = inheritedPort(script, address) ?? bindOnce(script, address);
  script.attempts.push({ ...address, ...bound, asked: address.port });
  const added = newPort(script.events, script.ports.length, address, bound);
  script.ports.push(added);
  return added;
}

/** listen(): a further port, or null, with the code set, when there is none. */
export function listenOnPort(script: Script, host: string, port: number, sockType: number): PortState | null {
  const refuse = (code: number, text: string): null => {
    warn(script, text);
    script.lastError.code = code;
    return null;
  };
  if (script.started) return refuse(SWOOLE_ERROR_WRONG_OPERATION, 'listen() must come before start()');
  if (typeof port === 'number' && (port < 0 || port > 65535) && !isUnix(sockType & ~SWOOLE_SSL))
    return refuse(SWOOLE_ERROR_SERVER_INVALID_LISTEN_PORT, `listen(): port ${port} is not between 0 and 65535`);
  if (typeof host === 'string' && Buffer.byteLength(host) > HOST_BYTES_MAX)
    return refuse(SWOOLE_ERROR_NAME_TOO_LONG, `listen(): "${host}" is longer than ${HOST_BYTES_MAX} bytes`);
  if (script.ports.length >= PORTS_MAX)
    return refuse(SWOOLE_ERROR_SERVER_TOO_MANY_LISTEN_PORT, `listen(): a server has at most ${PORTS_MAX} ports`);
  const added = addPort(script, host, port, sockType);
  if (added.bindError === 0) return added;
  script.ports.pop();
  return refuse(added.bindError, listenFailure(added, added.bindError));
}

/** Two sockets of ours could both be bound to one address: the kernel complains only when the second listens. */
function bindOnce(script: Script, address: Address): Bound {
  const same = script.ports.filter(
    (port) => port.port === address.port && isDatagram(port.type) === isDatagram(address.type),
  );
  const taken = !isUnix(address.type) && same.some((port) => port.host === address.host && port.type === address.type);
  if (taken) return { fd: -1, port: address.port, error: EADDRINUSE };
  // Where a port of ours serves IPv4 already, "::" is left with IPv6.
  return bindListener(
    address,
    false,
    same.some((port) => port.host === '0.0.0.0'),
  );
}
