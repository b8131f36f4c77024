/** The options of a listening socket, and the multicast groups that it hears. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { SWOOLE_SOCK_TCP6, SWOOLE_SOCK_UDP6 } from '../../constants.ts';
import { badArgument } from '../../errors.ts';
import { isFirst } from '../../process/life/this-process.ts';
import {
  MCAST_JOIN_GROUP,
  MCAST_JOIN_SOURCE_GROUP,
  MCAST_LEAVE_GROUP,
  MCAST_LEAVE_SOURCE_GROUP,
} from '../../sys/constants.ts';
import { changeGroup, interfaceIndex } from '../../sys/datagram.ts';
import { readOption, setOption } from '../../sys/socket.ts';
import { SOCKET_OPTIONS, type SocketOptionName, type SocketOptionNumbers } from '../../sys/socket-options.ts';
import { daemonAttempts } from '../state/boot-record.ts';
import { fail, type Script } from '../state/script.ts';
import type { PortState } from './port-state.ts';

const ENODEV = 19;

/** A name as in the Linux headers, or the numbers of level and option. */
export type SocketOption = SocketOptionName | readonly [level: number, option: number];

export function setSocketOption(
  script: Script,
  port: PortState,
  option: SocketOption,
  value: number | boolean,
): boolean {
  const { level, option: number } = numbersOf(option);
  const wanted = typeof value === 'boolean' ? Number(value) : value;
  if (!Number.isInteger(wanted)) throw badArgument('value', 'a whole number or a boolean', value);
  // Sockets that are bound anew later, one for each worker, get it as well.
  if (!script.started) port.socketOptions.push([level, number, wanted]);
  return isReplay(script) || answer(script, setOption(port.fd, level, number, wanted));
}

/** As PHP has it: level and option are numbers, and the value of MCAST_* is a group. */
export interface MulticastGroup {
  group: string;
  /** Name, number or one of the addresses of a network interface; 0: the kernel chooses. */
  interface?: string | number;
  /** With MCAST_JOIN_SOURCE_GROUP and MCAST_LEAVE_SOURCE_GROUP. */
  source?: string;
}

export function setByNumbers(script: Script, port: PortState, level: number, option: unknown, value: unknown): boolean {
  if (typeof option !== 'number') throw badArgument('option', 'the number of an option', option);
  if (typeof value === 'number' || typeof value === 'boolean')
    return setSocketOption(script, port, [level, option], value);
  const joins = option === MCAST_JOIN_GROUP || option === MCAST_JOIN_SOURCE_GROUP;
  const leaves = option === MCAST_LEAVE_GROUP || option === MCAST_LEAVE_SOURCE_GROUP;
  if (typeof value !== 'object' || value === null || !(joins || leaves))
    throw badArgument('value', 'a whole number or a boolean; with MCAST_* { group, interface }', value);
  const { group, interface: networkInterface = 0, source } = value as MulticastGroup;
  const ofSource = option === MCAST_JOIN_SOURCE_GROUP || option === MCAST_LEAVE_SOURCE_GROUP;
  if (ofSource && source === undefined) throw badArgument('source', 'an address', source);
  return changeMembership(script, port, joins, group, networkInterface, ofSource ? (source ?? null) : null);
}

export function getSocketOption(script: Script, port: PortState, option: SocketOption): boolean | number {
  const { level, option: number, isFlag } = numbersOf(option);
  const found = { value: 0 };
  if (!answer(script, readOption(port.fd, level, number, found))) return false;
  return isFlag ? found.value !== 0 : found.value;
}

/** With a source: what only that sends to the group. */
export function changeMembership(
  script: Script,
  port: PortState,
  joins: boolean,
  group: string,
  networkInterface: string | number,
  source: string | null,
): boolean {
  if (typeof group !== 'string' || isIP(group) === 0)
    throw badArgument('group', 'an IPv4 or IPv6 multicast address', group);
  if (typeof networkInterface !== 'string' && !(Number.isInteger(networkInterface) && networkInterface >= 0))
    throw badArgument('networkInterface', 'the name, number or address of a network interface', networkInterface);
  if (source !== null && (typeof source !== 'string' || isIP(source) !== isIP(group)))
    throw badArgument('source', 'an address of the same kind as the group', source);
  if (isReplay(script)) return true;
  const index = interfaceIndex(nameOf(networkInterface));
  if (index === -1) return fail(script, ENODEV);
  const [join, leave] =
    source === null ? [MCAST_JOIN_GROUP, MCAST_LEAVE_GROUP] : [MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_SOURCE_GROUP];
  return answer(script, changeGroup(port.fd, joins ? join : leave, { group, interfaceIndex: index, source }));
}

export function speaksIPv6({ type }: PortState): boolean {
  return type === SWOOLE_SOCK_TCP6 || type === SWOOLE_SOCK_UDP6;
}

/**
 * True exactly when another process has done the same already, to the same socket: the script runs again in every process,
 * but what is set before start() is set by the first.
 */
function isReplay(script: Script): boolean {
  return !script.started && !(isFirst() && daemonAttempts(script.place) === null);
}

function answer(script: Script, error: number): boolean {
  return error === 0 || fail(script, error);
}

function numbersOf(option: SocketOption): SocketOptionNumbers {
  if (typeof option === 'string') {
    if (Object.hasOwn(SOCKET_OPTIONS, option)) return SOCKET_OPTIONS[option];
    throw badArgument('option', `one of ${Object.keys(SOCKET_OPTIONS).join(', ')}, or [level, number]`, option);
  }
  if (!Array.isArray(option) || option.length !== 2 || !option.every((each) => Number.isInteger(each)))
    throw badArgument('option', 'a name, or [level, number]', option);
  const [level, number] = option as readonly [number, number];
  return { level, option: number, isFlag: false };
}

/** An interface that was given by one of its addresses, as node:dgram has it, by its name. */
function nameOf(networkInterface: string | number): string | number {
  if (typeof networkInterface === 'number') return networkInterface;
  // Link-local addresses carry their interface.
  const percent = networkInterface.indexOf('%');
  if (percent !== -1) return networkInterface.slice(percent + 1);
  if (isIP(networkInterface) === 0) return networkInterface;
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    if (addresses?.some(({ address }) => address === networkInterface)) return name;
  return '';
}
