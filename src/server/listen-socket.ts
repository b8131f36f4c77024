/**
 * The socket of a port, as users reach it: its options and its multicast groups, before start() mostly. Methods that
 * node:dgram has as well have its names.
 *
 * The script runs again in every process, but the socket is one: what is set before start() is set by the first process.
 * In the others the same calls answer true and change nothing, so that `if (!socket.addMembership(…)) throw …` holds there too.
 */

import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { SWOOLE_SOCK_TCP6, SWOOLE_SOCK_UDP6 } from '../constants.ts';
import { badArgument } from '../errors.ts';
import { isFirst } from '../process/this-process.ts';
import {
  MCAST_JOIN_GROUP,
  MCAST_JOIN_SOURCE_GROUP,
  MCAST_LEAVE_GROUP,
  MCAST_LEAVE_SOURCE_GROUP,
} from '../sys/constants.ts';
import { changeGroup, interfaceIndex } from '../sys/datagram.ts';
import { readOption, setOption } from '../sys/socket.ts';
import { SOCKET_OPTIONS, type SocketOptionName, type SocketOptionNumbers } from '../sys/socket-options.ts';
import type { PortState } from './ports/port-state.ts';
import { daemonAttempts } from './state/boot-record.ts';
import { fail, type Script } from './state/script.ts';
import { STAYS } from './stays.ts';

const ENODEV = 19;

/** A name as in the Linux headers, or the numbers of level and option. */
export type SocketOption = SocketOptionName | readonly [level: number, option: number];

export class ListenSocket {
  readonly #script: Script;
  readonly #port: PortState;
  protected readonly stays = STAYS;

  constructor(script: Script, port: PortState) {
    this.#script = script;
    this.#port = port;
  }

  /** The descriptor in this process; -1 where it does not have the socket. */
  get fd(): number {
    return this.#port.fd;
  }

  /** Sets an option to a number, or to yes or no. `false` where the kernel refuses, with its errno in `getLastError()`. */
  setOption(option: SocketOption, value: number | boolean): boolean {
    const { level, option: number } = numbersOf(option);
    const wanted = typeof value === 'boolean' ? Number(value) : value;
    if (!Number.isInteger(wanted)) throw badArgument('value', 'a whole number or a boolean', value);
    // Sockets that are bound anew later, one for each worker, get it as well.
    if (!this.#script.started) this.#port.socketOptions.push([level, number, wanted]);
    if (this.#isReplay()) return true;
    return this.#answer(setOption(this.fd, level, number, wanted));
  }

  /** A boolean for options that are yes or no, else a number; `false` also where the kernel refuses. */
  getOption(option: SocketOption): boolean | number {
    const { level, option: number, isFlag } = numbersOf(option);
    const answer = { value: 0 };
    if (!this.#answer(readOption(this.fd, level, number, answer))) return false;
    return isFlag ? answer.value !== 0 : answer.value;
  }

  /**
   * Receives what is sent to a multicast group, over an interface given by name, number or one of its addresses; by default
   * the kernel chooses.
   */
  addMembership(group: string, networkInterface: string | number = 0): boolean {
    return this.#changeGroup(MCAST_JOIN_GROUP, group, networkInterface, null);
  }

  dropMembership(group: string, networkInterface: string | number = 0): boolean {
    return this.#changeGroup(MCAST_LEAVE_GROUP, group, networkInterface, null);
  }

  /** As addMembership(), but receives only what one address sends to the group. */
  addSourceSpecificMembership(source: string, group: string, networkInterface: string | number = 0): boolean {
    return this.#changeGroup(MCAST_JOIN_SOURCE_GROUP, group, networkInterface, source);
  }

  dropSourceSpecificMembership(source: string, group: string, networkInterface: string | number = 0): boolean {
    return this.#changeGroup(MCAST_LEAVE_SOURCE_GROUP, group, networkInterface, source);
  }

  /** How many routers a multicast packet of ours may pass, 0 to 255. */
  setMulticastTTL(ttl: number): boolean {
    return this.setOption(this.#isIPv6 ? 'IPV6_MULTICAST_HOPS' : 'IP_MULTICAST_TTL', ttl);
  }

  /** Whether this machine hears our multicast packets too. */
  setMulticastLoopback(flag: boolean): boolean {
    return this.setOption(this.#isIPv6 ? 'IPV6_MULTICAST_LOOP' : 'IP_MULTICAST_LOOP', flag);
  }

  setBroadcast(flag: boolean): boolean {
    return this.setOption('SO_BROADCAST', flag);
  }

  /** The kernel doubles it, for its own book-keeping, and cuts it at the machine's limit. */
  setRecvBufferSize(bytes: number): boolean {
    return this.setOption('SO_RCVBUF', bytes);
  }

  setSendBufferSize(bytes: number): boolean {
    return this.setOption('SO_SNDBUF', bytes);
  }

  get #isIPv6(): boolean {
    const { type } = this.#port;
    return type === SWOOLE_SOCK_TCP6 || type === SWOOLE_SOCK_UDP6;
  }

  #changeGroup(option: number, group: string, networkInterface: string | number, source: string | null): boolean {
    if (typeof group !== 'string' || isIP(group) === 0)
      throw badArgument('group', 'an IPv4 or IPv6 multicast address', group);
    if (typeof networkInterface !== 'string' && !(Number.isInteger(networkInterface) && networkInterface >= 0))
      throw badArgument('networkInterface', 'the name, number or address of a network interface', networkInterface);
    if (source !== null && (typeof source !== 'string' || isIP(source) !== isIP(group)))
      throw badArgument('source', 'an address of the same kind as the group', source);
    if (this.#isReplay()) return true;
    const index = interfaceIndex(nameOf(networkInterface));
    if (index === -1) return this.#answer(ENODEV);
    return this.#answer(changeGroup(this.fd, option, { group, interfaceIndex: index, source }));
  }

  /** True exactly when another process has done the same already, to the same socket. */
  #isReplay(): boolean {
    const script = this.#script;
    return !script.started && !(isFirst() && daemonAttempts(script.place) === null);
  }

  #answer(error: number): boolean {
    return error === 0 || fail(this.#script, error);
  }
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
