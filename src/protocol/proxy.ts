/**
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): what a load balancer
 * puts before a connection's first byte to tell whose connection it is. Strict, because the header is believed.
 */
import { parseIPv4, parseIPv6 } from './ip-address.ts';

/** The longest header of version 1, its CRLF included, as the specification computes it. */
export const PROXY_TEXT_BYTES_MAX = 107;
/** The longest header of version 2 that is accepted: fixed part, addresses, and room for the usual extensions (TLVs). */
export const PROXY_BINARY_BYTES_MAX = 4096;

/** A whole header. `address` is null where the peer is who the socket says: UNKNOWN, LOCAL, a family without IP. */
export interface ProxyHeader {
  /** Bytes of the header; what follows is the connection's own. */
  length: number;
  /** The client's address, 4 or 16 bytes. */
  address: Uint8Array | null;
  port: number;
}

/** null: the bytes so far may be the beginning of a header. A text: they are none, and why. */
export type ProxyResult = ProxyHeader | string | null;

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const TEXT_START = Uint8Array.of(0x50, 0x52, 0x4f, 0x58, 0x59, 0x20);
const CR = 13;
const LF = 10;

/** Looks at the first `length` bytes of a connection. Nothing is kept between two calls: give it all of them again. */
export function parseProxyHeader(bytes: Uint8Array, length: number): ProxyResult {
  if (length === 0) return null;
  if (bytes[0] === TEXT_START[0]) return parseText(bytes, length);
  if (bytes[0] === SIGNATURE[0]) return parseBinary(bytes, length);
  return 'the connection does not begin with a header';
}

function startsWith(bytes: Uint8Array, length: number, start: Uint8Array): boolean {
  const end = Math.min(length, start.length);
  for (let i = 0; i < end; i++) if (bytes[i] !== start[i]) return false;
  return true;
}

// ---- version 1 ------------------------------------------------------------------------------------------------------

/** "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n": five fields, single spaces, numbers without leading zeros. */
function parseText(bytes: Uint8Array, length: number): ProxyResult {
  if (!startsWith(bytes, length, TEXT_START)) return 'the connection does not begin with a header';
  const limit = Math.min(length, PROXY_TEXT_BYTES_MAX);
  let end = TEXT_START.length;
  for (; end < limit && bytes[end] !== CR; end++) {
    if (bytes[end] < 0x20 || bytes[end] > 0x7e) return 'a byte that is no printable ASCII';
  }
  if (end + 1 < limit) {
    if (bytes[end + 1] !== LF) return 'a carriage return without a line feed';
    return parseLine(Buffer.from(bytes.subarray(TEXT_START.length, end)).toString('latin1'), end + 2);
  }
  return limit < PROXY_TEXT_BYTES_MAX ? null : `longer than ${PROXY_TEXT_BYTES_MAX} bytes`;
}

function parseLine(line: string, length: number): ProxyHeader | string {
  // What follows UNKNOWN is to be ignored.
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) return { length, address: null, port: 0 };
  const fields = line.split(' ');
  if (fields.length !== 5) return 'not five fields';
  const [family, source, target, sourcePort, targetPort] = fields;
  if (family !== 'TCP4' && family !== 'TCP6') return 'neither TCP4 nor TCP6 nor UNKNOWN';
  const parse = family === 'TCP4' ? parseIPv4 : parseIPv6;
  const address = parse(source);
  if (address === null || parse(target) === null) return `no ${family} address`;
  const port = parsePort(sourcePort);
  if (port === -1 || parsePort(targetPort) === -1) return 'no port number';
  return { length, address, port };
}

function parsePort(text: string): number {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) return -1;
  const port = Number(text);
  return port <= 65535 ? port : -1;
}

// ---- version 2 ------------------------------------------------------------------------------------------------------

const BINARY_FIXED_BYTES = 16;
const VERSION_COMMAND = 12;
const FAMILY = 13;
const LENGTH = 14;
const LOCAL = 0x20;
const PROXY = 0x21;
const TCP4 = 0x11;
const TCP6 = 0x21;

/** Bytes of the addresses, by what the family byte says; every other value must be refused. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = {
  0: 0,
  [TCP4]: 12,
  18: 12,
  [TCP6]: 36,
  34: 36,
  49: 216,
  50: 216,
};

/**
 *   0            12                13          14            16
 *   +------------+-----------------+-----------+-------------+-------------------------------------+
 *   | signature  | version 4 bits, | family u8 | length u16, | source and target address, ports,   |
 *   | 12 bytes   | command 4 bits  |           | big endian  | then extensions, which are skipped  |
 *   +------------+-----------------+-----------+-------------+-------------------------------------+
 */
function parseBinary(bytes: Uint8Array, length: number): ProxyResult {
  if (!startsWith(bytes, length, SIGNATURE)) return 'the connection does not begin with a header';
  if (length <= VERSION_COMMAND) return null;
  const command = bytes[VERSION_COMMAND];
  if (command !== LOCAL && command !== PROXY) return 'neither PROXY nor LOCAL of version 2';
  if (length <= FAMILY) return null;
  const family = bytes[FAMILY];
  // The proxy speaks for itself, and its family means nothing.
  const addressBytes = command === LOCAL ? 0 : ADDRESS_BYTES[family];
  if (addressBytes === undefined) return `an unknown address family (${family})`;
  if (length < BINARY_FIXED_BYTES) return null;
  const rest = (bytes[LENGTH] << 8) | bytes[LENGTH + 1];
  if (rest < addressBytes) return `too short for its addresses: ${rest} of ${addressBytes} bytes`;
  const total = BINARY_FIXED_BYTES + rest;
  if (total > PROXY_BINARY_BYTES_MAX) return `longer than ${PROXY_BINARY_BYTES_MAX} bytes`;
  if (length < total) return null;
  if (!areExtensions(bytes, BINARY_FIXED_BYTES + addressBytes, total) && command === PROXY && family !== 0)
    return 'an extension that does not end with the header';
  if (command === PROXY && family === TCP4) return peer(bytes, total, 4);
  if (command === PROXY && family === TCP6) return peer(bytes, total, 16);
  return { length: total, address: null, port: 0 };
}

/** True exactly when bytes[start, end) is a row of extensions: type u8, length u16, value. */
function areExtensions(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at + 3 <= end) at += 3 + ((bytes[at + 1] << 8) | bytes[at + 2]);
  return at === end;
}

/** Source address, target address, source port, target port. */
function peer(bytes: Uint8Array, total: number, addressBytes: number): ProxyHeader {
  const at = BINARY_FIXED_BYTES;
  const port = at + 2 * addressBytes;
  return {
    length: total,
    address: Uint8Array.from(bytes.subarray(at, at + addressBytes)),
    port: (bytes[port] << 8) | bytes[port + 1],
  };
}
