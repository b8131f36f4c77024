import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { badArgument, describeError, describeValue, LastError, TSWOOLE_ERROR_CODES, TswooleError } from './errors.ts';

describe('TswooleError', () => {
  it('carries code, key, expected and got', () => {
    const error = new TswooleError('ERR_ARGUMENT', 'send() wants a number.', {
      key: 'fd',
      expected: 'a number',
      got: '"x"',
    });
    assert.ok(error instanceof Error);
    assert.equal(error.name, 'TswooleError');
    assert.equal(error.message, 'send() wants a number.');
    assert.equal(error.code, 'ERR_ARGUMENT');
    assert.equal(error.key, 'fd');
    assert.equal(error.expected, 'a number');
    assert.equal(error.got, '"x"');
    assert.match(String(error.stack), /^TswooleError: send\(\) wants a number\./);
  });

  it('leaves out what it is not given', () => {
    const error = new TswooleError('ERR_STATE', 'Too late.');
    assert.equal(error.key, undefined);
    assert.deepEqual(Object.keys(error), ['code']);
    assert.equal('cause' in error, false);
  });

  it('carries a cause', () => {
    const cause = new Error('below');
    assert.equal(new TswooleError('ERR_STATE', 'Above.', { cause }).cause, cause);
  });

  it('has codes that begin with ERR_ and each say what they mean', () => {
    for (const [code, meaning] of Object.entries(TSWOOLE_ERROR_CODES)) {
      assert.match(code, /^ERR_[A-Z_]+$/);
      assert.ok(meaning.length > 10, code);
    }
  });
});

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable([], {});
  revoke();
  return proxy;
}

describe('describeValue', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    ['4', 'the string "4"'],
    ['a"b\n', 'the string "a\\"b\\n"'],
    ['x'.repeat(100), `the string "${'x'.repeat(59)}…`],
    [4.5, '4.5'],
    [Number.NaN, 'NaN'],
    [true, 'true'],
    [undefined, 'undefined'],
    [null, 'null'],
    [12n, 'the bigint 12n'],
    [Symbol('s'), 'a symbol'],
    [() => 0, 'a function'],
    [[1, 2], 'an array of 2'],
    [{}, 'an object'],
    [Object.create(null), 'an object'],
    [{ constructor: { name: 7 } }, 'an object'],
    [new Map(), 'a Map'],
    [new Proxy({}, { get: () => assert.fail('asked') }), 'an object'],
    [revoked(), 'an object'],
    [new ArrayBuffer(1), 'an ArrayBuffer'],
  ];
  for (const [value, text] of cases) {
    it(`says ${text}`, () => {
      assert.equal(describeValue(value), text);
    });
  }
});

it('badArgument says what would have been right, and calls the argument what it is asked to', () => {
  const { code, message, key, expected, got } = badArgument('host', 'a string', 4, 'the host of sendto()');
  assert.deepEqual([code, key, expected, got], ['ERR_ARGUMENT', 'host', 'a string', '4']);
  assert.equal(message, 'the host of sendto() must be a string, got 4');
  assert.equal(badArgument('fd', 'a number', 'x').message, 'fd must be a number, got the string "x"');
});

it('LastError remembers why', () => {
  const lastError = new LastError();
  assert.equal(lastError.code, 0);
  assert.equal(lastError.fail(9), false);
  assert.equal(lastError.code, 9);
});

it('describeError shows whatever was thrown, and never throws', () => {
  assert.match(describeError(new Error('boom')), /^Error: boom\n +at /);
  const hostile = Object.defineProperty(new Error('x'), 'stack', { get: () => assert.fail('asked') });
  const shown = ['text', null, undefined, Symbol('s'), Object.create(null), { code: 5 }, hostile].map(describeError);
  assert.deepEqual(shown, [
    ...['text', 'null', 'undefined', 'Symbol(s)', '[Object: null prototype] {}', '{ code: 5 }'],
    'something that cannot be shown',
  ]);
});
