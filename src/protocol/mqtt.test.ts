import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFramer, type Framer, NEED_MORE, TOO_LARGE } from './framer.ts';

function framer(max = 0xffff_ffff): Framer {
  const result = createFramer({ kind: 'mqtt', max });
  assert.ok(result);
  return result;
}

test('reads the remaining length in 1 to 4 bytes', () => {
  const subject = framer();
  for (const [hex, scanned, expected] of [
    ['', NEED_MORE, 0],
    ['c0', NEED_MORE, 0],
    ['c000', 2, 2],
    ['c000c000', 2, 2],
    ['3003616263', 5, 5],
    ['30036162', NEED_MORE, 5],
    ['307f', NEED_MORE, 2 + 127],
    ['3080', NEED_MORE, 0],
    ['308001', NEED_MORE, 3 + 128],
    ['30ff7f', NEED_MORE, 3 + 16383],
    ['308080', NEED_MORE, 0],
    ['30808001', NEED_MORE, 4 + 16384],
    ['30ffff7f', NEED_MORE, 4 + 2097151],
    ['30808080', NEED_MORE, 0],
    ['3080808001', NEED_MORE, 5 + 2097152],
    ['30ffffff7f', NEED_MORE, 5 + 268435455],
    // The specification asks for the shortest form; Swoole does not, nor do we.
    ['3080808000', 5, 5],
    ['3080808080', TOO_LARGE, 0],
    ['30ffffffff', TOO_LARGE, 0],
  ] as const) {
    const bytes = Buffer.from(hex, 'hex');
    assert.equal(subject.scan(bytes, 0, bytes.length, 0), scanned, `scan of ${hex}`);
    assert.equal(subject.expected(bytes, 0, bytes.length), expected, `expected of ${hex}`);
  }
});

test('refuses what is longer than the maximum as soon as the header is there', () => {
  const subject = framer(129);
  const bytes = Buffer.from('307f', 'hex');
  assert.equal(subject.scan(bytes, 0, 2, 0), NEED_MORE);
  assert.equal(subject.expected(bytes, 0, 2), 129);
  assert.equal(framer(128).scan(bytes, 0, 2, 0), TOO_LARGE);
  assert.equal(framer(128).expected(bytes, 0, 2), 0);
});

test('refuses a maximum that its header does not fit in', () => {
  assert.throws(() => framer(4), RangeError);
});
