import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeKernel } from '../../test/support/kernel.ts';
import { EAGAIN, EPIPE } from '../sys/constants.ts';
import { allocate } from '../sys/memory.ts';
import { PlainTransport } from './transport.ts';

const memory = allocate(4096);

describe('a plain transport', () => {
  it('brings and takes bytes as they are, from the heap and from elsewhere', () => {
    const kernel = new FakeKernel();
    const [one, other] = kernel.pair('tcp');
    const plain = new PlainTransport(kernel);
    assert.equal(plain.write(one, Buffer.from('-heap-'), 1, 4, 0), 4);
    memory.text.write('-memory-', 8);
    assert.equal(plain.write(one, memory.u8, 9, 6, memory.at(9, 6)), 6);
    assert.equal(plain.read(other, memory.at(100, 200), 200), 10);
    assert.equal(memory.text.toString('latin1', 100, 110), 'heapmemory');
  });

  it('answers a failure with minus its errno, and the end with 0', () => {
    const kernel = new FakeKernel();
    const [one, other] = kernel.pair('tcp');
    const plain = new PlainTransport(kernel);
    assert.equal(plain.read(other, memory.at(0, 8), 8), -EAGAIN);
    kernel.close(one);
    assert.equal(plain.read(other, memory.at(0, 8), 8), 0);
    const [third] = kernel.pair('tcp');
    kernel.script.fail('send', EPIPE);
    assert.equal(plain.write(third, Buffer.alloc(1), 0, 1, 0), -EPIPE);
  });

  it('hands nothing to the kernel that is not in the bytes', () => {
    const plain = new PlainTransport(new FakeKernel());
    const bytes = Buffer.alloc(10);
    for (const [start, length] of [
      [0, 11],
      [10, 1],
      [-1, 1],
      [0, -1],
    ])
      assert.throws(() => plain.write(3, bytes, start, length, 0), /not in the bytes: start=/);
  });
});
