/** Sockets as numbers: creating, binding, addresses, options. Failures are errnos, because callers live with them. */
import { isIPv4 } from 'node:net';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  ECONNABORTED,
  EINTR,
  EINVAL,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
  SIOCOUTQ,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from './constants.ts';
import * as libc from './libc.ts';
import { allocate } from './memory.ts';

/**
 *    0                 128        132       136
 *    +-----------------+----------+---------+----------------+
 *    | sockaddr, any   | its      | option  | linger {1, 0}  |
 *    | family          | length   | value   | two i32        |
 *    +-----------------+----------+---------+----------------+
 */
const scratch = allocate(4096);
const ADDRESS = scratch.address;
const ADDRESS_MAX = 128;
const LENGTH_WORD = 32;
const VALUE_WORD = 33;
const LINGER_WORD = 34;
const LENGTH = ADDRESS + LENGTH_WORD * 4;
const VALUE = ADDRESS + VALUE_WORD * 4;
scratch.i32[LINGER_WORD] = 1;

/** A path longer than this has no room in sockaddr_un, which also wants a closing zero. */
export const UNIX_PATH_MAX = 107;

export interface SocketAddress {
  family: number;
  /** IP text, or the path of a Unix socket ("" when the peer has none). */
  host: string;
  port: number;
}

/** Writes the address into the scratch memory and answers its length, or 0 when it is no address. */
function encodeAddress(address: SocketAddress): number {
  const u8 = scratch.u8;
  u8.fill(0, 0, ADDRESS_MAX);
  u8[0] = address.family;
  if (address.family === AF_UNIX) {
    // A zero byte would end the path early, or make it a name outside of the file system.
    if (address.host === '' || address.host.includes('\0') || Buffer.byteLength(address.host) > UNIX_PATH_MAX) return 0;
    const length = scratch.text.write(address.host, 2, UNIX_PATH_MAX);
    return 2 + length + 1;
  }
  if (!(Number.isInteger(address.port) && address.port >= 0 && address.port <= 65535)) return 0;
  u8[2] = address.port >> 8;
  u8[3] = address.port & 255;
  if (address.family === AF_INET) {
    if (!isIPv4(address.host)) return 0;
    u8.set(address.host.split('.').map(Number), 4);
    return 16;
  }
  const words = parseIPv6(address.host);
  if (words === null) return 0;
  words.forEach((word, index) => {
    u8[8 + index * 2] = word >> 8;
    u8[9 + index * 2] = word & 255;
  });
  return 28;
}

/** The eight 16-bit words of an IPv6 address, or null. */
export function parseIPv6(text: string): number[] | null {
  let source = text;
  const dotted = /^(.*:)([\d.]+)$/.exec(source);
  if (dotted?.[2].includes('.')) {
    if (!isIPv4(dotted[2])) return null;
    const [a, b, c, d] = dotted[2].split('.').map(Number);
    source = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const halves = source.split('::');
  if (halves.length > 2) return null;
  const parse = (half: string): number[] =>
    half === ''
      ? []
      : half.split(':').map((word) => (/^[0-9a-fA-F]{1,4}$/.test(word) ? Number.parseInt(word, 16) : -1));
  const head = parse(halves[0]);
  const tail = halves.length === 2 ? parse(halves[1]) : [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const words = [...head, ...new Array<number>(halves.length === 2 ? missing : 0).fill(0), ...tail];
  return words.includes(-1) ? null : words;
}

/** IPv6 text in the usual short form; an IPv4 client of a "::" listener keeps its ::ffff: form. */
export function formatIPv6(bytes: Uint8Array, offset: number): string {
  const words: number[] = [];
  for (let i = 0; i < 8; i++) words.push((bytes[offset + 2 * i] << 8) | bytes[offset + 2 * i + 1]);
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return `::ffff:${bytes.subarray(offset + 12, offset + 16).join('.')}`;
  }
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && words[i + length] === 0) length++;
    if (length > bestLength) {
      bestStart = i;
      bestLength = length;
    }
    i += length;
  }
  const text = (part: number[]): string => part.map((word) => word.toString(16)).join(':');
  if (bestStart === -1) return text(words);
  return `${text(words.slice(0, bestStart))}::${text(words.slice(bestStart + bestLength))}`;
}

/** A non-blocking socket; answers the descriptor, or minus the errno. */
export function openSocket(family: number, type: number): number {
  const fd = libc.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd === -1 ? -libc.errno() : fd;
}

/** 0 or an errno; an address that is none is EINVAL. */
export function bindTo(fd: number, address: SocketAddress): number {
  const length = encodeAddress(address);
  if (length === 0) return EINVAL;
  return libc.bindSocket(fd, ADDRESS, length) === -1 ? libc.errno() : 0;
}

/** 0 or an errno (EINPROGRESS for a connection that is under way). */
export function connectTo(fd: number, address: SocketAddress): number {
  const length = encodeAddress(address);
  if (length === 0) return EINVAL;
  return libc.connect(fd, ADDRESS, length) === -1 ? libc.errno() : 0;
}

export function listenOn(fd: number, backlog: number): number {
  return libc.listen(fd, backlog) === -1 ? libc.errno() : 0;
}

/** The port that the kernel chose for a bound socket. */
export function localPort(fd: number): number {
  return localAddress(fd)?.port ?? 0;
}

/** Where a socket is bound; null when it is none. */
export function localAddress(fd: number): SocketAddress | null {
  const { u8, i32, text } = scratch;
  i32[LENGTH_WORD] = ADDRESS_MAX;
  if (libc.getsockname(fd, ADDRESS, LENGTH) === -1) return null;
  const family = u8[0] | (u8[1] << 8);
  if (family === AF_UNIX) {
    const end = Math.min(i32[LENGTH_WORD], ADDRESS_MAX);
    const zero = u8.indexOf(0, 2);
    // A name outside of the file system begins with a zero; it is written with an @.
    const host =
      zero === 2 && end > 3 ? `@${text.toString('utf8', 3, end)}` : text.toString('utf8', 2, Math.min(zero, end));
    return { family, host, port: 0 };
  }
  const host = family === AF_INET6 ? formatIPv6(u8, 8) : u8.subarray(4, 8).join('.');
  return { family, host, port: (u8[2] << 8) | u8[3] };
}

/** 0 or an errno. The flag belongs to the open socket: whoever shares it, shares the flag. */
export function setNonBlocking(fd: number, nonBlocking: boolean): number {
  const flags = libc.fcntl(fd, F_GETFL, 0);
  if (flags === -1) return libc.errno();
  const wanted = nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return libc.fcntl(fd, F_SETFL, wanted) === -1 ? libc.errno() : 0;
}

/** A socket that somebody else has opened becomes as those that we open: 0 or an errno. */
export function makeOurs(fd: number): number {
  const error = setNonBlocking(fd, true);
  return error === 0 && libc.fcntl(fd, F_SETFD, FD_CLOEXEC) === -1 ? libc.errno() : error;
}

/**
 * Takes one waiting connection: its descriptor, or minus the errno. The peer's raw sockaddr is then in peerAddress, and
 * stays there until the next call.
 */
export function acceptFrom(listener: number): number {
  for (;;) {
    scratch.i32[LENGTH_WORD] = ADDRESS_MAX;
    const fd = libc.accept4(listener, ADDRESS, LENGTH, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd !== -1) return fd;
    const error = libc.errno();
    // A client that left between its handshake and here is nobody's error.
    if (error !== EINTR && error !== ECONNABORTED) return -error;
  }
}

/** The sockaddr that acceptFrom left: family in byte 0, port in 2–3, IPv4 in 4–7, IPv6 in 8–23. */
export const peerAddress: Uint8Array = scratch.u8.subarray(0, ADDRESS_MAX);

/** 0 or an errno. */
export function setOption(fd: number, level: number, name: number, value: number): number {
  scratch.i32[VALUE_WORD] = value;
  return libc.setsockopt(fd, level, name, VALUE, 4) === -1 ? libc.errno() : 0;
}

export function getOption(fd: number, level: number, name: number): number {
  scratch.i32[LENGTH_WORD] = 4;
  return libc.getsockopt(fd, level, name, VALUE, LENGTH) === -1 ? -libc.errno() : scratch.i32[VALUE_WORD];
}

/** The same where a value may be negative: answers 0 or an errno, and leaves the value in `answer`. */
export function readOption(fd: number, level: number, name: number, answer: { value: number }): number {
  scratch.i32[LENGTH_WORD] = 4;
  scratch.i32[VALUE_WORD] = 0;
  if (libc.getsockopt(fd, level, name, VALUE, LENGTH) === -1) return libc.errno();
  answer.value = scratch.i32[VALUE_WORD];
  return 0;
}

/** Makes the next close() of the socket send RST and drop what is unsent. */
export function resetOnClose(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, ADDRESS + LINGER_WORD * 4, 8);
}

export function closeDescriptor(fd: number): void {
  libc.close(fd);
}

/** How many bytes the peer has not acknowledged yet; negative when that cannot be told. */
export function unsentBytes(fd: number): number {
  return libc.ioctl(fd, SIOCOUTQ, VALUE) === -1 ? -1 : scratch.i32[VALUE_WORD];
}
