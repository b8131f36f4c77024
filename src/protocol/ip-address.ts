/** Addresses as bytes, and ranges of them. */

const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const IPV6_GROUP = /^[0-9a-fA-F]{1,4}$/;

/** The four bytes of "192.0.2.1", or null. */
export function parseIPv4(text: string): Uint8Array | null {
  return IPV4.test(text) ? Uint8Array.from(text.split('.'), Number) : null;
}

/** The sixteen bytes of an IPv6 address in any of its forms, without a zone; or null. */
export function parseIPv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const shortened = halves.length === 2;
  const head = groupBytes(halves[0], !shortened);
  const tail = shortened ? groupBytes(halves[1], true) : [];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  if (shortened ? missing < 2 : missing !== 0) return null;
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups of hexadecimal digits, of which the very last may be an IPv4 address; or null. */
function groupBytes(text: string, isEnd: boolean): number[] | null {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    const four = isEnd && index === groups.length - 1 ? parseIPv4(group) : null;
    if (four !== null) bytes.push(...four);
    else if (IPV6_GROUP.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return null;
  }
  return bytes;
}

/** All addresses that agree with `bytes` in the first `bits`. IPv4 stands in its IPv6 form, ::ffff:a.b.c.d. */
export interface AddressRange {
  /** 16 of them. */
  bytes: Uint8Array;
  bits: number;
}

const MAPPED_BITS = 96;

/** The IPv6 form of an IPv4 address: clients of a "::" listener show up so. */
export function mapIPv4(address: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[10] = 0xff;
  bytes[11] = 0xff;
  bytes.set(address, 12);
  return bytes;
}

/** "192.0.2.1", "10.0.0.0/8", "::1" or "2001:db8::/32"; null for anything else. */
export function parseAddressRange(text: string): AddressRange | null {
  const match = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text);
  if (match === null) return null;
  const four = parseIPv4(match[1]);
  const bytes = four === null ? parseIPv6(match[1]) : mapIPv4(four);
  if (bytes === null) return null;
  const most = four === null ? 128 : 32;
  const bits = match[2] === undefined ? most : Number(match[2]);
  return bits > most ? null : { bytes, bits: four === null ? bits : MAPPED_BITS + bits };
}

/** True exactly when one of the ranges holds the address, given in its IPv6 form. */
export function isInRanges(ranges: readonly AddressRange[], address: Uint8Array): boolean {
  return ranges.some(({ bytes, bits }) => {
    const whole = bits >> 3;
    for (let i = 0; i < whole; i++) if (bytes[i] !== address[i]) return false;
    const rest = bits & 7;
    return rest === 0 || (bytes[whole] ^ address[whole]) >> (8 - rest) === 0;
  });
}
