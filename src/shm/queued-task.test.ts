import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeTask, encodeTask, letterOfTask } from './queued-task.ts';

describe('a task in a queue', () => {
  it('has its bytes where other programs look for them', () => {
    const bytes = encodeTask(0x01020304, 5, 6, 0x84, 'hi');
    // Time, and nothing else, differs from one to the next.
    bytes.fill(0, 8, 16);
    assert.equal(
      bytes.toString('hex'),
      ['04030201', '05000000', '0000000000000000', '06000000', '84000000', '00000000', '02000000', '6869'].join(''),
    );
  });

  it('comes back as it was', () => {
    for (const [id, source, value] of [
      [0, 0, 'text'],
      [2 ** 32 - 1, 65535, Buffer.from('bytes')],
      [7, -1, { a: [1n, new Date(0)] }],
    ] as const) {
      const before = Date.now() / 1000;
      const task = decodeTask(encodeTask(id, source, 1234, 132, value));
      assert.deepEqual([task.taskId, task.sourceId, task.life, task.flags, task.value], [id, source, 1234, 132, value]);
      assert.ok(task.seconds >= before && task.seconds <= Date.now() / 1000);
    }
  });

  it('has as many bytes as its head, its letter and its text', () => {
    assert.equal(encodeTask(0, 0, 0, 0, '').length, 32);
    assert.equal(encodeTask(0, 0, 0, 0, 'x'.repeat(8120)).length, 8152);
    assert.equal(letterOfTask(encodeTask(0, 0, 0, 0, 'x'.repeat(10))).length, 34);
  });

  it('throws for bytes that are none', () => {
    for (let length = 0; length < 32; length++) assert.throws(() => decodeTask(Buffer.alloc(length)), RangeError);
    const bytes = encodeTask(1, 2, 3, 4, 'x');
    bytes.writeInt32LE(9, 8 + 16);
    assert.throws(() => decodeTask(bytes), /a letter has a form/);
    for (const value of [{ a: 1 }, 'text', Buffer.from('bytes')]) {
      const task = encodeTask(1, 2, 3, 4, value);
      for (let length = 32; length < task.length; length++)
        assert.throws(() => decodeTask(task.subarray(0, length)), RangeError);
      assert.throws(() => decodeTask(Buffer.concat([task, Buffer.alloc(1)])), RangeError);
    }
  });
});
