import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFramer, type Framer, NEED_MORE, TOO_LARGE } from './framer.ts';

function framer(eof: string, split: boolean, max = 1000): Framer {
  const result = createFramer({ kind: 'eof', eof: Buffer.from(eof), split, max });
  assert.ok(result);
  return result;
}

function scan(subject: Framer, text: string, seen = 0): number {
  const bytes = Buffer.from(text);
  return subject.scan(bytes, 0, bytes.length, seen);
}

/** Lengths around the border between the two searches. */
const NEAR_AND_FAR = Array.from({ length: 30 }, (_, index) => 175 + index);

test('split: cuts at the first EOF', () => {
  const subject = framer('\r\n\r\n', true);
  for (const [text, answer] of [
    ['', NEED_MORE],
    ['\r', NEED_MORE],
    ['\r\n\r', NEED_MORE],
    ['\r\n\r\n', 4],
    ['a\r\n\r\nb\r\n\r\n', 5],
    ['\r\r\n\r\n', 5],
    ['\r\n\r\r\n\r\n', 7],
    ['a\r\n\n\r\n', NEED_MORE],
  ] as const) {
    assert.equal(scan(subject, text), answer, JSON.stringify(text));
    assert.equal(subject.expected(Buffer.from(text), 0, text.length), 0);
  }
});

test('split: finds EOFs of every length at every place, near and far', () => {
  for (const eof of ['\n', '\r\n', 'aab', 'abab', 'aaaaaaaa', '12345678']) {
    const subject = framer(eof, true, 5000);
    for (const length of [0, 1, 2, 7, 8, 100, ...NEAR_AND_FAR, 400, 4000]) {
      const bytes = Buffer.from(`${'a'.repeat(length)}-${eof}${eof}`);
      const at = bytes.indexOf(eof) + eof.length;
      assert.equal(subject.scan(bytes, 0, bytes.length, 0), at, `${eof} at ${at}`);
      assert.equal(subject.scan(bytes, 0, at - 1, 0), NEED_MORE, `${eof} at ${at}, one byte short`);
    }
  }
});

test('split: finds an EOF that straddles reads', () => {
  const subject = framer('\r\n\r\n', true);
  const bytes = Buffer.from('hello\r\n\r\n');
  for (let seen = 0; seen < bytes.length; seen++) {
    assert.equal(subject.scan(bytes, 0, bytes.length, seen), bytes.length);
  }
});

test('split: does not look again at what was seen', () => {
  const subject = framer('\r\n', true);
  const text = 'one\r\ntwo';
  assert.equal(scan(subject, text, text.length), NEED_MORE);
  assert.equal(subject.progress, text.length);
});

test('split: a package may be as long as the maximum, and no longer', () => {
  for (const max of [10, 191, 192, 193, 1000]) {
    const subject = framer('\r\n', true, max);
    assert.equal(scan(subject, `${'x'.repeat(max - 2)}\r\n`), max);
    assert.equal(scan(subject, `${'x'.repeat(max - 2)}\r\nmore`), max);
    assert.equal(scan(subject, `${'x'.repeat(max - 1)}\r\n`), TOO_LARGE);
    assert.equal(scan(subject, 'x'.repeat(max)), TOO_LARGE);
    assert.equal(scan(subject, `${'x'.repeat(max - 2)}\r`), NEED_MORE);
    assert.equal(scan(subject, `${'x'.repeat(max - 1)}\r`), TOO_LARGE);
  }
});

test('check: the whole buffer is a package exactly when it ends in the EOF', () => {
  const subject = framer('\r\n', false, 10);
  for (const [text, answer] of [
    ['', NEED_MORE],
    ['\n', NEED_MORE],
    ['\r\n', 2],
    ['a\r\nb', NEED_MORE],
    ['a\r\nb\r\n', 6],
    ['\r\n\r\n', 4],
    ['12345678\r\n', 10],
    ['123456789\r', TOO_LARGE],
    ['1\r\n4567890', TOO_LARGE],
    ['123456789\r\n', TOO_LARGE],
  ] as const) {
    assert.equal(scan(subject, text), answer, JSON.stringify(text));
  }
});

test('check: bytes before the start are no part of the EOF', () => {
  const subject = framer('\r\n', false);
  assert.equal(subject.scan(Buffer.from('\r\n'), 1, 2, 0), NEED_MORE);
});

test('keeps its own copy of the EOF', () => {
  const eof = Buffer.from('\n');
  const subject = createFramer({ kind: 'eof', eof, split: true, max: 10 });
  eof[0] = 0;
  assert.equal(subject?.scan(Buffer.from('a\n'), 0, 2, 0), 2);
});

test('refuses impossible settings', () => {
  for (const split of [true, false]) {
    assert.throws(() => framer('', split), RangeError);
    assert.throws(() => framer('123456789', split), RangeError);
    assert.throws(() => framer('12345678', split, 7), RangeError);
  }
});
