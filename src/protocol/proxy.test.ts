import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { PROXY_BINARY_BYTES_MAX, PROXY_TEXT_BYTES_MAX, parseProxyHeader } from './proxy.ts';

const parse = (data: string | Uint8Array) => {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  return parseProxyHeader(bytes, bytes.length);
};

/** What a whole header tells, as text; a refusal as "no: …"; null when more is needed. */
function told(data: string | Uint8Array): string | null {
  const result = parse(data);
  if (result === null) return null;
  if (typeof result === 'string') return `no: ${result}`;
  const { address, port, length } = result;
  return `${address === null ? 'socket' : Buffer.from(address).toString('hex')} ${port} ${length}`;
}

/** Every beginning of a header needs more, and what follows it changes nothing. */
function assertEverySplit(header: Uint8Array, expected: string): void {
  for (let end = 0; end < header.length; end++) {
    assert.equal(told(header.subarray(0, end)), null, `${end} of ${header.length} bytes`);
    // The rest of the memory must not matter.
    const dirty = Buffer.alloc(header.length + 8, 0xa5);
    dirty.set(header.subarray(0, end));
    assert.equal(parseProxyHeader(dirty, end), null, `${end} of ${header.length} bytes in dirty memory`);
  }
  for (const more of ['', 'G', '\r\n', 'PROXY ', '\0'.repeat(300)])
    assert.equal(told(Buffer.concat([header, Buffer.from(more)])), expected);
}

describe('PROXY protocol, version 1', () => {
  const GOOD: [string, string][] = [
    ['PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n', 'c0000201 56324 45'],
    ['PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n', '00000000 0 44'],
    ['PROXY TCP6 2001:db8::1 ::1 1 2\r\n', '20010db8000000000000000000000001 1 32'],
    ['PROXY TCP6 ::ffff:192.0.2.1 :: 1 2\r\n', '00000000000000000000ffffc0000201 1 36'],
    ['PROXY UNKNOWN\r\n', 'socket 0 15'],
    ['PROXY UNKNOWN whatever is 1 2 there\r\n', 'socket 0 37'],
    [`PROXY UNKNOWN ${'f'.repeat(PROXY_TEXT_BYTES_MAX - 16)}\r\n`, 'socket 0 107'],
    [
      'PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n',
      `${'f'.repeat(32)} 65535 104`,
    ],
  ];
  for (const [header, expected] of GOOD) {
    it(`accepts ${JSON.stringify(header)}, split anywhere`, () => assertEverySplit(Buffer.from(header), expected));
  }

  const BAD = [
    'GET / HTTP/1.1\r\n',
    'PROXX',
    'PROXY\t',
    'proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n',
    ' PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n',
    'PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY UNKNOWNX\r\n',
    'PROXY \r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n',
    'PROXY TCP6 [::1] ::1 1 2\r\n',
    'PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4 1e1 2\r\n',
    'PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n',
    'PROXY UNKNOWN \0\r\n',
    'PROXY UNKNOWN \x80\r\n',
    `PROXY UNKNOWN ${'f'.repeat(PROXY_TEXT_BYTES_MAX - 15)}\r\n`,
    `PROXY UNKNOWN ${'f'.repeat(5000)}`,
  ];
  for (const header of BAD) {
    it(`refuses ${JSON.stringify(header.slice(0, 60))}`, () => assert.match(told(header) ?? 'null', /^no: /));
  }

  it('does not wait for more than 107 bytes', () => {
    assert.equal(told('PROXY UNKNOWN '.padEnd(106, 'x')), null);
    assert.match(told('PROXY UNKNOWN '.padEnd(107, 'x'))!, /^no: longer than 107/);
    assert.match(told(`${'PROXY UNKNOWN '.padEnd(106, 'x')}\r`)!, /^no: longer than 107/);
  });
});

const SIGNATURE = '0d0a0d0a000d0a515549540a';
/** A header of version 2 from hexadecimal parts; the length field is right unless given. */
function binary(command: string, family: string, body: string, length = body.length / 2): Buffer {
  return Buffer.from(`${SIGNATURE}${command}${family}${length.toString(16).padStart(4, '0')}${body}`, 'hex');
}
const V4 = 'c0000201c6336402dc0401bb';
const V6 = `20010db8${'00'.repeat(11)}01${'00'.repeat(15)}010001ffff`;
const UNIX = '2f'.repeat(216);
const TLV = '0300040a0b0c0d' + '040000';

describe('PROXY protocol, version 2', () => {
  const GOOD: [string, Buffer, string][] = [
    ['TCP over IPv4', binary('21', '11', V4), 'c0000201 56324 28'],
    ['TCP over IPv4 with extensions', binary('21', '11', V4 + TLV), 'c0000201 56324 38'],
    ['TCP over IPv6', binary('21', '21', V6), '20010db8000000000000000000000001 1 52'],
    ['TCP over IPv6 with extensions', binary('21', '21', V6 + TLV), '20010db8000000000000000000000001 1 62'],
    ['no family', binary('21', '00', ''), 'socket 0 16'],
    ['no family, with whatever', binary('21', '00', 'aabbcc'), 'socket 0 19'],
    ['UDP', binary('21', '12', V4), 'socket 0 28'],
    ['a Unix socket', binary('21', '31', UNIX), 'socket 0 232'],
    ['LOCAL', binary('20', '00', ''), 'socket 0 16'],
    ['LOCAL with addresses', binary('20', '11', V4), 'socket 0 28'],
    ['LOCAL with a family that does not exist', binary('20', 'ff', 'aabb'), 'socket 0 18'],
    [
      'the longest',
      binary(
        '21',
        '11',
        `${V4}04${(PROXY_BINARY_BYTES_MAX - 31).toString(16).padStart(4, '0')}${'00'.repeat(PROXY_BINARY_BYTES_MAX - 31)}`,
      ),
      `c0000201 56324 ${PROXY_BINARY_BYTES_MAX}`,
    ],
  ];
  for (const [name, header, expected] of GOOD) {
    it(`accepts ${name}, split anywhere`, () => assertEverySplit(header, expected));
  }

  const BAD: [string, Buffer][] = [
    ['version 1 in binary', binary('11', '11', V4)],
    ['version 3', binary('31', '11', V4)],
    ['an unknown command', binary('22', '11', V4)],
    ['an unknown family', binary('21', '41', V4)],
    ['an unknown transport', binary('21', '13', V4)],
    ['a transport without a family', binary('21', '01', V4)],
    ['too few bytes for IPv4', binary('21', '11', V4.slice(2))],
    ['too few bytes for IPv6', binary('21', '21', V4)],
    ['too few bytes for a Unix socket', binary('21', '31', V6)],
    ['more than the limit', binary('21', '11', V4, PROXY_BINARY_BYTES_MAX - 15)],
    ['65535 bytes', binary('21', '11', V4, 65535)],
    ['an extension behind the end', binary('21', '11', `${V4}030005aabb`)],
    ['half an extension', binary('21', '11', `${V4}0300`)],
    ['a damaged signature', Buffer.from('0d0a0d0a000d0a515549540b2111', 'hex')],
  ];
  for (const [name, header] of BAD) {
    it(`refuses ${name}`, () => assert.match(told(header) ?? 'null', /^no: /));
  }

  it('refuses as soon as it can be seen', () => {
    assert.match(told(Buffer.from('0d0a0d0b', 'hex'))!, /^no: /);
    assert.match(told(Buffer.from(`${SIGNATURE}22`, 'hex'))!, /^no: /);
    assert.match(told(Buffer.from(`${SIGNATURE}2199`, 'hex'))!, /^no: /);
  });
});

describe('PROXY protocol, at random', () => {
  const GOOD = [
    Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n'),
    Buffer.from('PROXY TCP6 2001:db8::1 ::1 1 2\r\n'),
    binary('21', '11', V4 + TLV),
    binary('21', '21', V6 + TLV),
  ];

  it('a damaged header is refused, needs more, or is a header of the bytes that it has', () => {
    for (let seed = 1; seed <= 20_000; seed++) {
      const random = prng(seed);
      const bytes = Buffer.from(GOOD[random.int(GOOD.length)]);
      for (let damage = random.int(3); damage >= 0; damage--) bytes[random.int(bytes.length)] = random.int(256);
      const result = parse(bytes);
      if (result === null || typeof result === 'string') continue;
      assert.ok(result.length >= 15 && result.length <= bytes.length, `seed ${seed}`);
      assert.ok(result.address === null || result.address.length === 4 || result.address.length === 16, `seed ${seed}`);
      assert.ok(result.port >= 0 && result.port <= 65535, `seed ${seed}`);
    }
  });

  it('the answer does not depend on how the bytes came: once known it stays', () => {
    for (let seed = 1; seed <= 2000; seed++) {
      const random = prng(seed);
      const bytes = Buffer.concat([GOOD[random.int(GOOD.length)], random.bytes(random.int(40))]);
      if (random.int(2) === 0) bytes[random.int(bytes.length)] = random.int(256);
      const whole = parse(bytes);
      let known: ReturnType<typeof parse> = null;
      for (let end = 0; end <= bytes.length; end++) {
        const result = parseProxyHeader(bytes, end);
        if (known !== null) {
          assert.equal(typeof result, typeof known, `seed ${seed}, ${end} bytes`);
          if (typeof known !== 'string') assert.deepEqual(result, known, `seed ${seed}, ${end} bytes`);
        }
        known = result;
      }
      assert.deepEqual(known, whole, `seed ${seed}`);
    }
  });
});
