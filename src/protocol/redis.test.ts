import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFramer, type Framer, MALFORMED, NEED_MORE, TOO_LARGE } from './framer.ts';

function framer(max = 1000): Framer {
  const result = createFramer({ kind: 'redis', max });
  assert.ok(result);
  return result;
}

function scan(subject: Framer, text: string): number {
  const bytes = Buffer.from(text, 'latin1');
  return subject.scan(bytes, 0, bytes.length, 0);
}

const COMMANDS = [
  '*1\r\n$4\r\nPING\r\n',
  '*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n',
  '*2\r\n$3\r\nGET\r\n$0\r\n\r\n',
  '*2\r\n$3\r\nGET\r\n$-1\r\n',
  '*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n',
  '*5\r\n$4\r\nINCR\r\n:0\r\n:-1\r\n:+12\r\n:-9223372036854775808\r\n',
  `*12\r\n$3\r\nDEL\r\n${'$1\r\nk\r\n'.repeat(11)}`,
];

test('finds whole commands', () => {
  const subject = framer();
  for (const command of COMMANDS) {
    assert.equal(scan(subject, command), command.length, command);
    assert.equal(scan(subject, command + COMMANDS[0]), command.length, `${command} and another`);
    assert.equal(scan(subject, `${command}garbage`), command.length, `${command} and garbage`);
    for (let end = 0; end < command.length; end++) {
      assert.equal(scan(subject, command.slice(0, end)), NEED_MORE, command.slice(0, end));
    }
  }
});

test('refuses what is no command', () => {
  const subject = framer();
  for (const text of [
    'PING\r\n',
    '\r\n',
    ' *1\r\n',
    '$4\r\nPING\r\n',
    ':1\r\n',
    '*0\r\n',
    '*-1\r\n',
    '*\r\n',
    '*x',
    '*+1\r\n',
    '*01\r\n',
    '*1 \r\n',
    '*1\n',
    '*1\rx',
    '*11111111111',
    '*1\r\n*1\r\n',
    '*1\r\n+OK\r\n',
    '*1\r\nPING\r\n',
    '*1\r\n$\r\n',
    '*1\r\n$-\r\n',
    '*1\r\n$-2',
    '*1\r\n$-0',
    '*1\r\n$-10\r\n',
    '*1\r\n$-1\n',
    '*1\r\n$+4\r\n',
    '*1\r\n$04\r\n',
    '*1\r\n$4\n',
    '*1\r\n$4x',
    '*1\r\n$4\r\nPING!!',
    '*1\r\n$4\r\nPING\n\r',
    '*1\r\n$3\r\nPING\r\n',
    '*1\r\n:\r\n',
    '*1\r\n:-\r\n',
    '*1\r\n:--1',
    '*1\r\n:1.5',
    '*1\r\n:1\n',
    '*1\r\n:1\rx',
    '*1\r\n:12345678901234567890',
  ]) {
    assert.equal(scan(subject, text), MALFORMED, JSON.stringify(text));
    assert.equal(scan(subject, `${text}0\r\n`), MALFORMED, `${JSON.stringify(text)} and more`);
  }
});

test('a command may be as long as the maximum, and no longer', () => {
  for (const command of COMMANDS) {
    assert.equal(scan(framer(command.length), `${command}*1`), command.length);
    assert.equal(scan(framer(command.length - 1), command), TOO_LARGE, command);
    assert.equal(scan(framer(command.length - 1), command.slice(0, -1)), TOO_LARGE, command);
  }
});

test('refuses a command as soon as it can only become too long', () => {
  const subject = framer(100);
  assert.equal(scan(subject, '*1\r\n$89\r\n'), NEED_MORE);
  assert.equal(scan(subject, '*1\r\n$90\r\n'), TOO_LARGE);
  assert.equal(scan(subject, '*23\r\n'), NEED_MORE);
  assert.equal(scan(subject, '*24\r\n'), TOO_LARGE);
  assert.equal(scan(subject, '*9999999999\r\n'), TOO_LARGE);
  assert.equal(scan(framer(0xffff_ffff), '*9999999999\r\n'), TOO_LARGE);
  assert.equal(scan(framer(0xffff_ffff), '*2\r\n$9999999999\r\n'), TOO_LARGE);
});

test('expects the length that the last string tells', () => {
  const subject = framer(100_000);
  for (const [text, expected] of [
    ['*2\r\n$3\r\nGET\r\n$50000\r', 0],
    ['*2\r\n$3\r\nGET\r\n$50000\r\n', 13 + 8 + 50000 + 2],
    ['*2\r\n$3\r\nGET\r\n$50000\r\nabc', 13 + 8 + 50000 + 2],
    ['*2\r\n$50000\r\nabc', 0],
    ['*2\r\n$3\r\nGET\r\n$-1\r', 0],
    ['*2\r\n$3\r\nGET\r\n:5', 0],
    ['*2\r\n$3\r\nGET\r\n$99999\r\n', 0],
    ['*1\r\n$3\r\nGET\r\n', 13],
    [`*17\r\n${':1\r\n'.repeat(16)}$100\r\n`, 0],
    ['garbage', 0],
    ['', 0],
  ] as const) {
    const bytes = Buffer.from(text);
    assert.equal(subject.expected(bytes, 0, bytes.length), expected, JSON.stringify(text.slice(0, 30)));
  }
});

test('expects nothing above the maximum, even of a length that straddles it', () => {
  const bytes = Buffer.from('*1\r\n$5000\r\n');
  assert.equal(framer(9).expected(bytes, 0, bytes.length), 0);
});

test('goes on where it was, wherever the bytes are by then', () => {
  const subject = framer();
  const command = COMMANDS[1];
  const bytes = Buffer.from(command);
  assert.equal(subject.scan(bytes, 0, 20, 0), NEED_MORE);
  const { progress } = subject;
  assert.ok(progress > 1000);
  // Another connection of the port comes in between.
  assert.equal(scan(subject, '*7\r\n'), NEED_MORE);
  const moved = Buffer.from(`..${command}..`);
  // Only the element that was incomplete is looked at again.
  moved.fill('.', 2, 2 + 13);
  assert.equal(subject.scan(moved, 2, moved.length, progress), command.length);
});
