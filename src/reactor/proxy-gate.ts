/**
 * The way in for connections of a load balancer that speaks the PROXY protocol. Such a socket waits here, unknown to
 * everybody, until its header has come; then it is a connection like any other, with the address of the real client. The
 * header is looked at (MSG_PEEK) until it is whole, and only then taken out, to the byte: what follows, a TLS handshake
 * or a package, is found in the socket by whoever reads next.
 */

import { type AddressRange, isInRanges, mapIPv4 } from '../protocol/ip-address.ts';
import { PROXY_BINARY_BYTES_MAX, type ProxyHeader, parseProxyHeader } from '../protocol/proxy.ts';
import { PROXY_REFUSED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EINTR,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLRDHUP,
  MSG_PEEK,
} from '../sys/constants.ts';
import type { Epoll } from '../sys/epoll.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { Region } from '../sys/memory.ts';
import { formatIPv6 } from '../sys/socket.ts';
import { PROXY_WAIT_MS } from './limits.ts';
import type { Notice } from './notice.ts';
import type { ReactorPort } from './port.ts';

/** What epoll carries for our sockets, beside their index among the guests. */
export const PROXY_GATE = -0x7ffffffe;
/** The part of a sockaddr that counts: family, port, address. */
export const SOCKADDR_BYTES = 28;

/** A socket whose header has not come. */
interface Guest {
  fd: number;
  port: ReactorPort;
  /** On the clock of the host. */
  since: number;
  /** The load balancer's sockaddr. */
  address: Uint8Array;
  /** Its place among the guests; -1 while epoll does not know the socket. */
  index: number;
}

export interface ProxyGateHost {
  /** As in TurnClock. */
  readonly now: number;
  readonly counters: LaneCounters;
  readonly badHeaders: Notice;
  /** The socket is a connection of the peer with this sockaddr. */
  admit(fd: number, port: ReactorPort, address: Uint8Array): void;
}

export class ProxyGate {
  private readonly kernel: Kernel;
  private readonly epoll: Epoll;
  private readonly scratch: Region;
  private readonly host: ProxyGateHost;
  private readonly guests: (Guest | undefined)[] = [];
  private readonly freeIndexes: number[] = [];
  /** How many wait. */
  count = 0;

  constructor(kernel: Kernel, epoll: Epoll, scratch: Region, host: ProxyGateHost) {
    this.kernel = kernel;
    this.epoll = epoll;
    this.scratch = scratch;
    this.host = host;
  }

  /** True exactly when connections from this peer begin with a header. */
  expects(ranges: readonly AddressRange[], address: Uint8Array): boolean {
    const family = address[0] | (address[1] << 8);
    if (family === AF_INET) return isInRanges(ranges, mapIPv4(address.subarray(4, 8)));
    return family === AF_INET6 && isInRanges(ranges, address.subarray(8, 24));
  }

  /** Takes an accepted socket. A header that is there already lets it through at once. */
  enter(fd: number, port: ReactorPort, address: Uint8Array): void {
    const guest: Guest = { fd, port, since: this.host.now, address: address.slice(0, SOCKADDR_BYTES), index: -1 };
    if (this.look(guest)) return;
    const index = this.freeIndexes.pop() ?? this.guests.length;
    const error = this.epoll.add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, PROXY_GATE, index);
    if (error !== 0) {
      this.freeIndexes.push(index);
      this.refuse(guest, `epoll_ctl() failed with errno ${error}`);
      return;
    }
    guest.index = index;
    this.guests[index] = guest;
    this.count++;
  }

  /** Something has come, or the peer has gone. */
  event(index: number, events: number): void {
    const guest = this.guests[index];
    if (guest === undefined || this.look(guest)) return;
    // Looking does not show the end behind a part of a header.
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) this.drop(guest);
  }

  private forget(guest: Guest): void {
    if (guest.index === -1) return;
    this.guests[guest.index] = undefined;
    this.freeIndexes.push(guest.index);
    this.count--;
    guest.index = -1;
  }

  private drop(guest: Guest): void {
    this.forget(guest);
    this.kernel.close(guest.fd);
  }

  /** Answers true when the socket is not ours any more: it went through, or was closed. */
  private look(guest: Guest): boolean {
    const { kernel, scratch, host } = this;
    const count = kernel.recv(guest.fd, scratch.at(0, PROXY_BINARY_BYTES_MAX), PROXY_BINARY_BYTES_MAX, MSG_PEEK);
    if (count <= 0) {
      if (count < 0) {
        const error = kernel.errno();
        if (error === EAGAIN || error === EINTR) return false;
      }
      // Load balancers look whether we live by connecting and leaving.
      this.drop(guest);
      return true;
    }
    const result = parseProxyHeader(scratch.u8, count);
    if (result === null) return false;
    if (typeof result === 'string') {
      this.refuse(guest, result);
      return true;
    }
    const taken = kernel.recv(guest.fd, scratch.at(0, result.length), result.length, 0);
    if (taken !== result.length) {
      this.refuse(guest, `${taken} of its ${result.length} bytes could be read`);
      return true;
    }
    // Its reactor, which may be another one, watches it anew; what is left in the socket shows there.
    if (guest.index !== -1) this.epoll.remove(guest.fd);
    // Before code of the user's hears of it, which may end the server and so close the gate.
    this.forget(guest);
    host.admit(guest.fd, guest.port, result.address === null ? guest.address : sockaddrOf(result));
    return true;
  }

  private refuse(guest: Guest, why: string): void {
    this.host.counters.add(PROXY_REFUSED, 1);
    this.host.badHeaders.tell(
      `a connection from ${addressText(guest.address)} has no valid PROXY protocol header, closing it: ${why}`,
    );
    this.drop(guest);
  }

  /** Closes those that have waited too long. */
  tick(): void {
    if (this.count === 0) return;
    for (const guest of this.guests)
      if (guest !== undefined && this.host.now - guest.since >= PROXY_WAIT_MS)
        this.refuse(guest, `it did not come within ${PROXY_WAIT_MS / 1000} s`);
  }

  /** Closes all that wait, without a word. */
  close(): void {
    for (const guest of this.guests) if (guest !== undefined) this.drop(guest);
  }
}

function sockaddrOf({ address, port }: ProxyHeader): Uint8Array {
  const bytes = new Uint8Array(SOCKADDR_BYTES);
  const four = address!.length === 4;
  bytes[0] = four ? AF_INET : AF_INET6;
  bytes[2] = port >> 8;
  bytes[3] = port & 255;
  bytes.set(address!, four ? 4 : 8);
  return bytes;
}

function addressText(address: Uint8Array): string {
  return address[0] === AF_INET ? address.subarray(4, 8).join('.') : formatIPv6(address, 8);
}
