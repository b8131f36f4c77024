/** Datagrams: many received in one call into memory that is there already, and single ones sent from any process. */
import { isIPv4 } from 'node:net';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EINTR,
  EINVAL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
} from './constants.ts';
import { type Kernel, linux } from './kernel.ts';
import * as libc from './libc.ts';
import { allocate, type Region } from './memory.ts';
import { formatIPv6, parseIPv6, UNIX_PATH_MAX } from './socket.ts';

// ---- receiving ------------------------------------------------------------------------------------------------------

/**
 * struct mmsghdr, 64 bytes on 64-bit machines, in 32-bit words:
 *
 *   word 0–1 address of the peer's sockaddr   2 its length   4–5 address of the iovec   6–7 number of iovecs (1)
 *        8–9 control (none)   10–11 its length   12 flags   14 bytes received
 */
const HEADER_WORDS = 16;
const NAME_LENGTH = 2;
const IOVEC = 4;
const IOVEC_COUNT = 6;
const MESSAGE_FLAGS = 12;
const MESSAGE_LENGTH = 14;
const IOVEC_WORDS = 4;
/** Room for any sockaddr; the longest is that of a Unix socket, 110 bytes. */
const ADDRESS_BYTES = 128;

/**
 * Places for a number of datagrams, filled by one recvmmsg():
 *
 *   +------------------+--------------------+-----------------------+--------------------+------------------+
 *   | mmsghdr, 64 each | iovec, 16 each     | sockaddr, 128 each    | to the next page   | data, as given   |
 *   +------------------+--------------------+-----------------------+--------------------+------------------+
 *   Places that were never filled cost no memory.
 */
export class DatagramBatch {
  readonly capacity: number;
  readonly memory: Region;
  private readonly words: Int32Array;
  private readonly addressesOffset: number;
  private readonly dataOffset: number;
  private readonly bytesEach: number;
  private readonly kernel: Kernel;

  constructor(capacity: number, bytesEach: number, kernel: Kernel = linux) {
    this.kernel = kernel;
    const iovecsOffset = capacity * HEADER_WORDS * 4;
    this.capacity = capacity;
    this.bytesEach = Math.ceil(bytesEach / 4096) * 4096;
    this.addressesOffset = iovecsOffset + capacity * IOVEC_WORDS * 4;
    this.dataOffset = Math.ceil((this.addressesOffset + capacity * ADDRESS_BYTES) / 4096) * 4096;
    this.memory = allocate(this.dataOffset + capacity * this.bytesEach);
    this.words = this.memory.i32;
    for (let index = 0; index < capacity; index++) {
      const iovec = iovecsOffset + index * IOVEC_WORDS * 4;
      const header = index * HEADER_WORDS;
      this.storePointer(header, this.addressAt(index));
      this.storePointer(header + IOVEC, iovec);
      this.words[header + IOVEC_COUNT] = 1;
      this.storePointer(iovec / 4, this.dataAt(index));
      this.words[iovec / 4 + 2] = this.bytesEach;
      this.words[header + NAME_LENGTH] = ADDRESS_BYTES;
    }
  }

  private storePointer(word: number, offset: number): void {
    const address = this.memory.address + offset;
    this.words[word] = address | 0;
    this.words[word + 1] = Math.floor(address / 2 ** 32);
  }

  /** Takes what waits at the socket, as far as there are places: how many datagrams came, or minus the errno. */
  receive(fd: number): number {
    const { kernel } = this;
    const count = kernel.recvmmsg(fd, this.memory.address, this.capacity, MSG_DONTWAIT, 0);
    if (count !== -1) return count;
    const error = kernel.errno();
    return error === EINTR ? 0 : -error;
  }

  /** Makes a place ready for the next receive(): the kernel has replaced the room for an address by its length. */
  renew(index: number): void {
    this.words[index * HEADER_WORDS + NAME_LENGTH] = ADDRESS_BYTES;
  }

  length(index: number): number {
    return checked(this.words[index * HEADER_WORDS + MESSAGE_LENGTH], this.bytesEach);
  }
  /** True exactly when the datagram was longer than its place, and its end is lost. */
  isCut(index: number): boolean {
    return (this.words[index * HEADER_WORDS + MESSAGE_FLAGS] & MSG_TRUNC) !== 0;
  }
  addressLength(index: number): number {
    return checked(this.words[index * HEADER_WORDS + NAME_LENGTH], ADDRESS_BYTES);
  }

  /** Offset of a datagram's bytes in `memory`. */
  dataAt(index: number): number {
    return this.dataOffset + index * this.bytesEach;
  }
  /** Offset of the peer's sockaddr in `memory`. */
  addressAt(index: number): number {
    return this.addressesOffset + index * ADDRESS_BYTES;
  }
}

function checked(length: number, most: number): number {
  if (!(length >= 0 && length <= most))
    throw new RangeError(`the kernel told an impossible length: ${length} > ${most}`);
  return length;
}

// ---- addresses of peers ---------------------------------------------------------------------------------------------

const IPV4_BYTES = 8;
const IPV6_BYTES = 28;
const UNIX_PATH_OFFSET = 2;

/** Text of addresses that came before, by hash; so that a peer which sends a lot costs no formatting. */
const TEXT_SLOTS = 1024;
const textKeys = new Int32Array(TEXT_SLOTS);
const texts: (string | undefined)[] = new Array(TEXT_SLOTS).fill(undefined);

/** The port of the peer in a sockaddr; 0 where there is none. */
export function peerPort(bytes: Uint8Array, at: number, length: number): number {
  const family = familyAt(bytes, at, length);
  return family === AF_INET || family === AF_INET6 ? (bytes[at + 2] << 8) | bytes[at + 3] : 0;
}

/**
 * The peer's address as text: IP address, or the path of a Unix socket. A path may be "" (the peer is not bound: nobody
 * can answer it) or begin with a zero byte (a name outside of the file system). A link-local IPv6 address bears its
 * interface (fe80::1%2), without which it cannot be answered.
 */
export function peerAddressText(bytes: Uint8Array, at: number, length: number): string {
  switch (familyAt(bytes, at, length)) {
    case AF_INET:
      return ipv4Text(bytes, at + 4);
    case AF_INET6: {
      const text = formatIPv6(bytes, at + 8);
      const scope = bytes[at + 24] | (bytes[at + 25] << 8) | (bytes[at + 26] << 16) | (bytes[at + 27] << 24);
      return scope === 0 ? text : `${text}%${scope >>> 0}`;
    }
    case AF_UNIX: {
      const start = at + UNIX_PATH_OFFSET;
      let end = Math.min(at + length, start + UNIX_PATH_MAX + 1);
      // A path ends at its first zero byte; a name that begins with one ends where the kernel says.
      if (start < end && bytes[start] !== 0) {
        const zero = bytes.indexOf(0, start);
        if (zero !== -1 && zero < end) end = zero;
      }
      return start < end ? Buffer.from(bytes.subarray(start, end)).toString() : '';
    }
    default:
      return '';
  }
}

/** The family, if the address is long enough to be one of that. */
function familyAt(bytes: Uint8Array, at: number, length: number): number {
  if (length < 2) return 0;
  const family = bytes[at] | (bytes[at + 1] << 8);
  if (family === AF_INET) return length >= IPV4_BYTES ? family : 0;
  if (family === AF_INET6) return length >= IPV6_BYTES ? family : 0;
  return family;
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  const key = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  const slot = (key ^ (key >>> 10) ^ (key >>> 20)) & (TEXT_SLOTS - 1);
  const known = texts[slot];
  if (known !== undefined && textKeys[slot] === key) return known;
  const text = `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  textKeys[slot] = key;
  texts[slot] = text;
  return text;
}

// ---- sending --------------------------------------------------------------------------------------------------------

/** Longer ones are handed to the kernel where they are; shorter ones are cheaper copied than passed as a buffer. */
const COPY_BYTES_MAX = 512;
/** Text of this many characters surely has room once encoded. */
const TEXT_CHARS_MAX = 65536;

/**
 *    0                 128                    128 + 3 * TEXT_CHARS_MAX
 *    +-----------------+----------------------+
 *    | sockaddr of the | bytes to send        |
 *    | destination     |                      |
 *    +-----------------+----------------------+
 */
const outgoing = allocate(ADDRESS_BYTES + 3 * TEXT_CHARS_MAX);
const OUTGOING_DATA = outgoing.address + ADDRESS_BYTES;
let destinationLength = 0;
/** The IPv4 address that is written there already; null = another kind is. */
let aimedAt: string | null = null;

/** Aims the next sendDatagram() at an IPv4 address. False when it is none. */
export function aimIPv4(host: string, port: number): boolean {
  const { u8 } = outgoing;
  if (host !== aimedAt) {
    aimedAt = null;
    if (!parseIPv4(host, u8, 4)) return false;
    setFamily(AF_INET);
    u8.fill(0, IPV4_BYTES, 16);
    destinationLength = 16;
    aimedAt = host;
  }
  u8[2] = port >> 8;
  u8[3] = port & 255;
  return true;
}

/** The same for IPv6; the address may bear an interface behind a "%", by its name or number. */
export function aimIPv6(host: string, port: number): boolean {
  const { u8, i32 } = outgoing;
  const percent = host.indexOf('%');
  const words = parseIPv6(percent === -1 ? host : host.slice(0, percent));
  if (words === null) return false;
  const scope = percent === -1 ? 0 : interfaceIndex(host.slice(percent + 1));
  if (scope === -1) return false;
  setFamily(AF_INET6);
  u8[2] = port >> 8;
  u8[3] = port & 255;
  i32[1] = 0;
  for (let index = 0; index < 8; index++) {
    u8[8 + index * 2] = words[index] >> 8;
    u8[9 + index * 2] = words[index] & 255;
  }
  i32[6] = scope;
  destinationLength = IPV6_BYTES;
  return true;
}

/** The same for the path of a Unix socket, or for a name that begins with a zero byte. */
export function aimUnix(path: string): boolean {
  const length = Buffer.byteLength(path);
  const named = path.startsWith('\0');
  // A path ends with a zero byte, a name needs none.
  const most = named ? UNIX_PATH_MAX + 1 : UNIX_PATH_MAX;
  if (length === 0 || length > most || (!named && path.includes('\0'))) return false;
  setFamily(AF_UNIX);
  outgoing.text.write(path, UNIX_PATH_OFFSET);
  outgoing.u8[UNIX_PATH_OFFSET + length] = 0;
  // The length of a name counts, so it bears no closing zero.
  destinationLength = UNIX_PATH_OFFSET + length + (named ? 0 : 1);
  return true;
}

/** Sends one datagram to where it was aimed at. Answers 0 or an errno. */
export function sendDatagram(fd: number, data: string | Uint8Array): number {
  for (;;) {
    if (sendOnce(fd, data) !== -1) return 0;
    const error = libc.errno();
    if (error !== EINTR) return error;
  }
}

function sendOnce(fd: number, data: string | Uint8Array): number {
  const { address, u8, text } = outgoing;
  let length = data.length;
  if (typeof data === 'string') {
    if (length > TEXT_CHARS_MAX) return sendOnce(fd, Buffer.from(data));
    length = text.write(data, ADDRESS_BYTES);
  } else if (length <= COPY_BYTES_MAX) {
    if (length > 64) u8.set(data, ADDRESS_BYTES);
    else for (let i = 0; i < length; i++) u8[ADDRESS_BYTES + i] = data[i];
  } else return libc.sendBytesTo(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT, address, destinationLength);
  return libc.sendto(fd, OUTGOING_DATA, length, MSG_NOSIGNAL | MSG_DONTWAIT, address, destinationLength);
}

function setFamily(family: number): void {
  aimedAt = null;
  outgoing.u8[0] = family;
  outgoing.u8[1] = 0;
}

/** Writes the four bytes of an IPv4 address; false when the text is none. */
export function parseIPv4(text: string, bytes: Uint8Array, at: number): boolean {
  let part = 0;
  let digits = 0;
  let index = at;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 48 && code <= 57) {
      // Like the C library: no leading zeros, which some would read as octal.
      if (digits !== 0 && part === 0) return false;
      part = part * 10 + code - 48;
      if (++digits > 3 || part > 255) return false;
    } else {
      if (code !== 46 || digits === 0 || index === at + 3) return false;
      bytes[index++] = part;
      part = 0;
      digits = 0;
    }
  }
  if (digits === 0 || index !== at + 3) return false;
  bytes[index] = part;
  return true;
}

/** The number of a network interface given by name or number; -1 when there is none of that name. */
export function interfaceIndex(name: string | number): number {
  if (typeof name === 'number') return Number.isInteger(name) && name >= 0 ? name : -1;
  if (/^\d{1,9}$/.test(name)) return Number(name);
  if (name === '' || name.includes('\0')) return -1;
  const index = libc.ifNameToIndex(name);
  return index === 0 ? -1 : index;
}

// ---- multicast ------------------------------------------------------------------------------------------------------

/**
 * struct group_source_req; group_req is its beginning.
 *
 *   0               4          8                      136                    264
 *   +---------------+----------+----------------------+----------------------+
 *   | interface u32 | padding  | group, a sockaddr    | source, a sockaddr   |
 *   +---------------+----------+----------------------+----------------------+
 */
const request = allocate(4096);
const GROUP_OFFSET = 8;
const SOURCE_OFFSET = 136;
const GROUP_REQ_BYTES = 136;
const GROUP_SOURCE_REQ_BYTES = 264;

export interface GroupRequest {
  group: string;
  /** 0: the kernel chooses by its routes. */
  interfaceIndex: number;
  /** Only what this address sends; null: everybody. */
  source: string | null;
}

/** setsockopt() of MCAST_JOIN_GROUP and its like. Answers 0 or an errno; EINVAL for what is no address. */
export function changeGroup(fd: number, option: number, { group, interfaceIndex, source }: GroupRequest): number {
  request.u8.fill(0, 0, GROUP_SOURCE_REQ_BYTES);
  request.i32[0] = interfaceIndex;
  const family = writeAddress(group, GROUP_OFFSET);
  if (family === 0 || (source !== null && writeAddress(source, SOURCE_OFFSET) !== family)) return EINVAL;
  const level = family === AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  const length = source === null ? GROUP_REQ_BYTES : GROUP_SOURCE_REQ_BYTES;
  return libc.setsockopt(fd, level, option, request.address, length) === -1 ? libc.errno() : 0;
}

function writeAddress(host: string, at: number): number {
  if (isIPv4(host)) {
    request.u8[at] = AF_INET;
    parseIPv4(host, request.u8, at + 4);
    return AF_INET;
  }
  const words = parseIPv6(host);
  if (words === null) return 0;
  request.u8[at] = AF_INET6;
  words.forEach((word, index) => {
    request.u8[at + 8 + index * 2] = word >> 8;
    request.u8[at + 9 + index * 2] = word & 255;
  });
  return AF_INET6;
}
