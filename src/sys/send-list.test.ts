import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeKernel } from '../../test/support/kernel.ts';
import { EAGAIN, EPIPE } from './constants.ts';
import { allocate } from './memory.ts';
import { SendList, sendEach } from './send-list.ts';

const memory = allocate(4096);

describe('a list of sends', () => {
  it('tells what became of each', () => {
    const kernel = new FakeKernel();
    const pairs = Array.from({ length: 4 }, () => kernel.pair('tcp'));
    const list = new SendList();
    for (const [index, [fd]] of pairs.entries()) list.add(fd, memory.at(index, 8), 8);
    kernel.script.fail('send', EAGAIN, EPIPE);
    kernel.script.shorten('send', 3);
    sendEach(kernel, list);
    assert.equal(list.count, 4);
    assert.deepEqual(
      [...list.results.subarray(0, 4)].sort((one, other) => one - other),
      [-EPIPE, -EAGAIN, 3, 8],
    );
  });

  it('has an end', () => {
    const list = new SendList();
    let count = 0;
    for (; !list.isFull; count++) list.add(3, memory.address, 1);
    assert.equal(count, list.fds.length);
  });
});
