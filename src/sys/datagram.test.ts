import assert from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { describe, test } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.ts';
import { aimIPv4, aimIPv6, aimUnix, interfaceIndex, parseIPv4, peerAddressText, peerPort } from './datagram.ts';

describe('addresses of peers', () => {
  const at = 8;
  const memory = new Uint8Array(256).fill(0x41);
  function put(...bytes: number[]): void {
    memory.set(bytes, at);
  }

  test('IPv4, IPv6 and IPv6 with an interface', () => {
    put(AF_INET, 0, 0x12, 0x34, 192, 0, 2, 255);
    assert.equal(peerAddressText(memory, at, 16), '192.0.2.255');
    assert.equal(peerPort(memory, at, 16), 0x1234);
    put(AF_INET6, 0, 0, 80, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0);
    assert.equal(peerAddressText(memory, at, 28), 'fe80::1');
    put(AF_INET6, 0, 0, 80, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0);
    assert.equal(peerAddressText(memory, at, 28), 'fe80::1%2');
    assert.equal(peerPort(memory, at, 28), 80);
  });

  test('one that is cut short, or of an unknown family, is none', () => {
    put(AF_INET, 0, 0x12, 0x34, 192, 0, 2, 255);
    for (const length of [0, 1, 2, 7]) {
      assert.equal(peerAddressText(memory, at, length), '');
      assert.equal(peerPort(memory, at, length), 0);
    }
    put(AF_INET6, 0, 0, 80);
    assert.equal(peerAddressText(memory, at, 27), '');
    put(77, 0, 0x12, 0x34);
    assert.equal(peerAddressText(memory, at, 110), '');
    assert.equal(peerPort(memory, at, 110), 0);
  });

  test('whatever bytes stand there are read within their length, and never fail', () => {
    for (let seed = 1; seed <= 20_000; seed++) {
      const random = prng(seed);
      const bytes = Uint8Array.from(random.bytes(128));
      const family = [AF_INET, AF_INET6, AF_UNIX, random.int(65536)][random.int(4)];
      bytes[0] = family & 255;
      bytes[1] = family >> 8;
      const length = random.int(129);
      const told = [peerAddressText(bytes, 0, length), peerPort(bytes, 0, length)];
      // What lies behind the length changes nothing.
      bytes.fill(random.int(256), length);
      assert.deepEqual([peerAddressText(bytes, 0, length), peerPort(bytes, 0, length)], told, `seed ${seed}`);
    }
  });

  test('a path ends at its zero byte or where the kernel says; a name begins with one', () => {
    const path = [...Buffer.from('/tmp/ü')];
    put(AF_UNIX, 0, ...path, 0, 0x42, 0x42);
    assert.equal(peerAddressText(memory, at, 2 + path.length + 1), '/tmp/ü');
    assert.equal(peerAddressText(memory, at, 2 + path.length + 3), '/tmp/ü');
    assert.equal(peerAddressText(memory, at, 2 + 4), '/tmp');
    assert.equal(peerAddressText(memory, at, 2), '');
    put(AF_UNIX, 0, 0, 0x61, 0, 0x62);
    assert.equal(peerAddressText(memory, at, 2 + 4), '\0a\0b');
    // All 108 bytes of the longest path, without a zero, and not one of what follows.
    put(AF_UNIX, 0, ...new Array(200).fill(0x78));
    assert.equal(peerAddressText(memory, at, 200), 'x'.repeat(108));
  });
});

describe('addresses to send to', () => {
  test('IPv4 text is read as node:net does', () => {
    const bytes = new Uint8Array(8);
    const random = prng(5);
    const parts = ['0', '1', '9', '10', '99', '127', '255', '256', '00', '01', '1000', '', 'a', ' 1', '-1', '1.2'];
    for (let i = 0; i < 20_000; i++) {
      const count = 3 + random.int(3);
      const text = Array.from({ length: count }, () => parts[random.int(parts.length)]).join('.');
      assert.equal(parseIPv4(text, bytes, 2), isIPv4(text), JSON.stringify(text));
      if (isIPv4(text)) assert.equal([...bytes.subarray(2, 6)].join('.'), text);
    }
  });

  test('what is no address is refused', () => {
    assert.ok(aimIPv6('::1', 1) && aimIPv6('fe80::1%lo', 1) && aimIPv6('fe80::1%1', 1) && aimIPv4('1.2.3.4', 1));
    for (const wrong of ['', ':', ':::', '1::2::3', 'fe80::1%', 'fe80::1%nowhere', '::1%a\0b', '1.2.3.4'])
      assert.equal(aimIPv6(wrong, 1), false, wrong);
    // Also where the destination before was one, or has been replaced.
    for (const wrong of ['', '1.2.3.', '1.2.3.4 ', '::1']) {
      assert.equal(aimIPv4(wrong, 1), false, wrong);
      assert.equal(aimIPv4(wrong, 1), false, wrong);
    }
    assert.ok(aimUnix(`/${'x'.repeat(106)}`) && aimUnix('\0name\0with\0zeros') && aimUnix(`\0${'x'.repeat(107)}`));
    for (const wrong of ['', `/${'x'.repeat(107)}`, '/a\0b', `/${'ü'.repeat(54)}`, `\0${'x'.repeat(108)}`])
      assert.equal(aimUnix(wrong), false);
    assert.equal(interfaceIndex(-1), -1);
    assert.equal(interfaceIndex(1.5), -1);
  });
});
