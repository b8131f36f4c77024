/**
 * The socket of a port, as users reach it: its options and its multicast groups, before start() mostly. Methods that
 * node:dgram has as well have its names.
 *
 * The script runs again in every process, but the socket is one: what is set before start() is set by the first process.
 * In the others the same calls answer true and change nothing, so that `if (!socket.addMembership(…)) throw …` holds there too.
 */

import { badArgument } from '../errors.ts';
import {
  changeMembership,
  getSocketOption,
  type MulticastGroup,
  type SocketOption,
  setByNumbers,
  setSocketOption,
  speaksIPv6,
} from './ports/listening-socket.ts';
import type { PortState } from './ports/port-state.ts';
import type { Script } from './state/script.ts';
import { STAYS } from './stays.ts';

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

  /**
   * Sets an option to a number, or to yes or no. `false` where the kernel refuses, with its errno in `getLastError()`. The
   * option is a name, or level and number as PHP has them, of which MCAST_* take a group.
   */
  setOption(option: SocketOption, value: number | boolean): boolean;
  setOption(level: number, option: number, value: number | boolean | MulticastGroup): boolean;
  setOption(
    option: SocketOption | number,
    value: number | boolean,
    third?: number | boolean | MulticastGroup,
  ): boolean {
    if (typeof option !== 'number') return setSocketOption(this.#script, this.#port, option, value);
    return setByNumbers(this.#script, this.#port, option, value, third);
  }

  /** A boolean for options that are yes or no, else a number; `false` also where the kernel refuses. */
  getOption(option: SocketOption): boolean | number {
    return getSocketOption(this.#script, this.#port, option);
  }

  /**
   * Receives what is sent to a multicast group, over an interface given by name, number or one of its addresses; by default
   * the kernel chooses.
   */
  addMembership(group: string, networkInterface: string | number = 0): boolean {
    return changeMembership(this.#script, this.#port, true, group, networkInterface, null);
  }

  dropMembership(group: string, networkInterface: string | number = 0): boolean {
    return changeMembership(this.#script, this.#port, false, group, networkInterface, null);
  }

  /** As addMembership(), but receives only what one address sends to the group. */
  addSourceSpecificMembership(source: string, group: string, networkInterface: string | number = 0): boolean {
    return changeMembership(this.#script, this.#port, true, group, networkInterface, source);
  }

  dropSourceSpecificMembership(source: string, group: string, networkInterface: string | number = 0): boolean {
    return changeMembership(this.#script, this.#port, false, group, networkInterface, source);
  }

  /** How many routers a multicast packet of ours may pass, 0 to 255. */
  setMulticastTTL(ttl: number): boolean {
    return this.setOption(speaksIPv6(this.#port) ? 'IPV6_MULTICAST_HOPS' : 'IP_MULTICAST_TTL', ttl);
  }

  /** Whether this machine hears our multicast packets too. */
  setMulticastLoopback(flag: boolean): boolean {
    return this.setOption(speaksIPv6(this.#port) ? 'IPV6_MULTICAST_LOOP' : 'IP_MULTICAST_LOOP', flag);
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
}

/** PHP's function: `socket_set_option(server.getSocket(), SOL_SOCKET, SO_REUSEADDR, 1)`. */
export function socket_set_option(
  socket: ListenSocket | false,
  level: number,
  option: number,
  value: number | boolean | MulticastGroup,
): boolean {
  if (!(socket instanceof ListenSocket)) throw badArgument('socket', 'what getSocket() has answered', socket);
  return socket.setOption(level, option, value);
}
