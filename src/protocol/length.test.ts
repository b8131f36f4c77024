import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createFramer,
  type Framer,
  LENGTH_NOT_FOUND,
  type LengthType,
  MALFORMED,
  NEED_MORE,
  TOO_LARGE,
} from './framer.ts';
import { LENGTH_TYPE_BYTES } from './length.ts';

const UINT32_MAX = 0xffff_ffff;

function framer(type: LengthType, lengthOffset = 0, bodyOffset = 0, max = UINT32_MAX): Framer {
  const result = createFramer({ kind: 'length', type, lengthOffset, bodyOffset, max });
  assert.ok(result);
  return result;
}

function scanHex(subject: Framer, hex: string): number {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return subject.scan(bytes, 0, bytes.length, 0);
}

/** The bytes of the length field, and the value that they hold or the reason that they give. */
const FIXTURES: Record<LengthType, [hex: string, answer: number][]> = {
  c: [
    ['05', 5],
    ['7f', 127],
    ['80', MALFORMED],
    ['ff', MALFORMED],
  ],
  C: [
    ['7f', 127],
    ['80', 128],
    ['ff', 255],
  ],
  s: [
    ['0201', 0x0102],
    ['ff7f', 0x7fff],
    ['0080', MALFORMED],
    ['ffff', MALFORMED],
  ],
  S: [
    ['0201', 0x0102],
    ['0080', 0x8000],
    ['ffff', 0xffff],
  ],
  n: [
    ['0102', 0x0102],
    ['8000', 0x8000],
    ['ffff', 0xffff],
  ],
  v: [
    ['0201', 0x0102],
    ['0080', 0x8000],
    ['ffff', 0xffff],
  ],
  l: [
    ['04030201', 0x0102_0304],
    ['ffffff7f', 0x7fff_ffff],
    ['00000080', MALFORMED],
    ['ffffffff', MALFORMED],
  ],
  L: [
    ['04030201', 0x0102_0304],
    ['00000080', 0x8000_0000],
    ['ffffffff', UINT32_MAX],
  ],
  N: [
    ['01020304', 0x0102_0304],
    ['80000000', 0x8000_0000],
    ['ffffffff', UINT32_MAX],
  ],
  V: [
    ['04030201', 0x0102_0304],
    ['00000080', 0x8000_0000],
    ['ffffffff', UINT32_MAX],
  ],
  q: [
    ['0403020100000000', 0x0102_0304],
    ['ffffffff00000000', UINT32_MAX],
    ['0000000001000000', TOO_LARGE],
    ['0100000000000001', TOO_LARGE],
    ['ffffffffffffff7f', TOO_LARGE],
    ['0000000000000080', MALFORMED],
    ['ffffffffffffffff', MALFORMED],
  ],
  Q: [
    ['0403020100000000', 0x0102_0304],
    ['0000000001000000', TOO_LARGE],
    ['ffffffffffffff7f', TOO_LARGE],
    ['0000000000000080', MALFORMED],
    ['ffffffffffffffff', MALFORMED],
  ],
  J: [
    ['0000000001020304', 0x0102_0304],
    ['00000000ffffffff', UINT32_MAX],
    ['0000000100000000', TOO_LARGE],
    ['7fffffffffffffff', TOO_LARGE],
    ['8000000000000000', MALFORMED],
    ['ffffffffffffffff', MALFORMED],
  ],
  P: [
    ['0403020100000000', 0x0102_0304],
    ['ffffffff00000000', UINT32_MAX],
    ['0000000001000000', TOO_LARGE],
    ['ffffffffffffff7f', TOO_LARGE],
    ['0000000000000080', MALFORMED],
    ['ffffffffffffffff', MALFORMED],
  ],
};

for (const type of Object.keys(FIXTURES) as LengthType[]) {
  test(`reads ${type}`, () => {
    const subject = framer(type);
    for (const [hex, answer] of FIXTURES[type]) {
      const bytes = Buffer.from(hex, 'hex');
      const isReason = answer < 0;
      // A value no longer than its own field is delivered; all others wait for their body.
      const scanned = isReason || answer <= bytes.length ? answer : NEED_MORE;
      assert.equal(subject.scan(bytes, 0, bytes.length, 0), scanned, `scan of ${hex}`);
      assert.equal(subject.expected(bytes, 0, bytes.length), isReason ? 0 : answer, `expected of ${hex}`);
    }
  });

  test(`waits for the whole field of ${type}, wherever it is`, () => {
    const size = LENGTH_TYPE_BYTES[type];
    for (const lengthOffset of [0, 1, 7, 8152]) {
      const subject = framer(type, lengthOffset, 1);
      const bytes = Buffer.alloc(lengthOffset + size);
      for (let end = 0; end < bytes.length; end++) {
        assert.equal(subject.scan(bytes, 0, end, 0), NEED_MORE);
        assert.equal(subject.expected(bytes, 0, end), 0);
      }
      assert.equal(subject.scan(bytes, 0, bytes.length, 0), 1);
    }
  });

  test(`finds no length when ${type} and the body offset are zero`, () => {
    assert.equal(scanHex(framer(type), '00'.repeat(LENGTH_TYPE_BYTES[type])), LENGTH_NOT_FOUND);
  });
}

test('takes the body offset into account', () => {
  const subject = framer('N', 0, 4);
  assert.equal(scanHex(subject, '00000003 616263'), 7);
  assert.equal(scanHex(subject, '00000003 6162'), NEED_MORE);
  assert.equal(scanHex(subject, '00000003 616263 00000001 64'), 7);
  assert.equal(scanHex(subject, '00000000'), 4);
});

test('delivers a total that is smaller than its header as it is', () => {
  assert.equal(scanHex(framer('N'), '00000001'), 1);
  assert.equal(scanHex(framer('n', 4, 2), 'aabbccdd 0000'), 2);
});

test('refuses what is longer than the maximum as soon as the header is there', () => {
  const subject = framer('N', 0, 4, 100);
  const bytes = Buffer.alloc(100);
  bytes.writeUInt32BE(96);
  assert.equal(subject.scan(bytes, 0, 4, 0), NEED_MORE);
  assert.equal(subject.expected(bytes, 0, 4), 100);
  assert.equal(subject.scan(bytes, 0, 100, 4), 100);
  bytes.writeUInt32BE(97);
  assert.equal(subject.scan(bytes, 0, 4, 0), TOO_LARGE);
  assert.equal(subject.expected(bytes, 0, 4), 0);
});

test('judges a negative length before the body offset', () => {
  assert.equal(scanHex(framer('c', 0, 1), 'ff'), MALFORMED);
  assert.equal(scanHex(framer('q', 0, 65535), 'ffffffffffffffff'), MALFORMED);
});

test('refuses impossible settings', () => {
  assert.throws(() => framer('x' as LengthType), RangeError);
  assert.throws(() => framer('toString' as LengthType), RangeError);
  assert.throws(() => framer('N', -1), RangeError);
  assert.throws(() => framer('N', 0, 0.5), RangeError);
  assert.throws(() => framer('N', 0, 4, 3), RangeError);
  assert.throws(() => framer('N', 0, 4, UINT32_MAX + 1), RangeError);
  assert.throws(() => framer('N', 0, 4, Number.NaN), RangeError);
});
