import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFramer, type Framer, LENGTH_NOT_FOUND, MALFORMED, NEED_MORE, TOO_LARGE } from './framer.ts';

function framer(call: (data: Buffer) => number, max = 65536): Framer {
  const result = createFramer({ kind: 'lengthFunction', call, max });
  assert.ok(result);
  return result;
}

test('shows the function all that has arrived, without a copy', () => {
  const shown: Buffer[] = [];
  const subject = framer((data) => {
    shown.push(data);
    return 0;
  });
  const bytes = Uint8Array.from([9, 1, 2, 3, 9]);
  assert.equal(subject.scan(bytes, 1, 2, 0), NEED_MORE);
  assert.equal(subject.scan(bytes, 1, 4, 1), NEED_MORE);
  assert.deepEqual(shown, [Buffer.from([1]), Buffer.from([1, 2, 3])]);
  bytes[1] = 7;
  assert.equal(shown[1][0], 7);
  // A view of a view must not slip.
  assert.equal(subject.scan(bytes.subarray(2), 1, 2, 0), NEED_MORE);
  assert.deepEqual(shown[2], Buffer.from([3]));
});

test('does not call the function without a byte', () => {
  const subject = framer(() => assert.fail('called'));
  assert.equal(subject.scan(Buffer.alloc(4), 2, 2, 0), NEED_MORE);
});

test('turns what the function returns into an answer', () => {
  const bytes = Buffer.alloc(10);
  for (const [result, answer] of [
    [1, 1],
    [10, 10],
    [11, NEED_MORE],
    [100, NEED_MORE],
    [101, TOO_LARGE],
    [1e300, TOO_LARGE],
    [0, NEED_MORE],
    [-0, NEED_MORE],
    [-1, MALFORMED],
    [-1201, MALFORMED],
    [0.5, MALFORMED],
    [Number.NaN, MALFORMED],
    [Number.POSITIVE_INFINITY, MALFORMED],
    [undefined, MALFORMED],
    [null, MALFORMED],
    ['4', MALFORMED],
    [4n, MALFORMED],
    [true, MALFORMED],
    [Promise.resolve(4), MALFORMED],
  ] as const) {
    const subject = framer(() => result as number, 100);
    assert.equal(subject.scan(bytes, 0, 10, 0), answer, String(result));
    assert.equal(subject.expected(bytes, 0, 10), answer === NEED_MORE && result !== 0 ? result : 0, String(result));
  }
});

test('counts a throw as -1', () => {
  const subject = framer(() => {
    throw new Error('from the user');
  });
  assert.equal(subject.scan(Buffer.alloc(1), 0, 1, 0), MALFORMED);
});

test('gives up on a function that does not decide', () => {
  const bytes = Buffer.alloc(8152);
  assert.equal(framer(() => 0).scan(bytes, 0, 8151, 0), NEED_MORE);
  assert.equal(framer(() => 0).scan(bytes, 0, 8152, 0), LENGTH_NOT_FOUND);
  assert.equal(framer(() => 0, 100).scan(bytes, 0, 99, 0), NEED_MORE);
  assert.equal(framer(() => 0, 100).scan(bytes, 0, 100, 0), TOO_LARGE);
});

test('does not ask again once the length is told', () => {
  let calls = 0;
  const subject = framer(() => {
    calls++;
    return 6;
  });
  const bytes = Buffer.alloc(20);
  assert.equal(subject.scan(bytes, 0, 1, 0), NEED_MORE);
  assert.equal(subject.expected(bytes, 0, 1), 6);
  assert.equal(subject.scan(bytes, 0, 3, subject.progress), NEED_MORE);
  assert.equal(subject.expected(bytes, 0, 3), 6);
  // The package has moved within its buffer meanwhile.
  assert.equal(subject.scan(bytes, 4, 12, subject.progress), 6);
  assert.equal(calls, 1);
  // The plain number of bytes is right, too; it only costs a call.
  assert.equal(subject.scan(bytes, 0, 3, 1), NEED_MORE);
  assert.equal(calls, 2);
});

test('expects nothing for another package than the one just scanned', () => {
  const subject = framer(() => 6);
  const bytes = Buffer.alloc(20);
  assert.equal(subject.scan(bytes, 0, 1, 0), NEED_MORE);
  assert.equal(subject.expected(Buffer.alloc(20), 0, 1), 0);
  assert.equal(subject.expected(bytes, 0, 2), 0);
  assert.equal(subject.scan(bytes, 0, 8, 0), 6);
  assert.equal(subject.expected(bytes, 0, 1), 0);
});
