import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { within } from '../../test/support/until.ts';
import { SWOOLE_MSGQUEUE_BALANCE, SWOOLE_MSGQUEUE_ORIENT } from '../constants.ts';
import { EAGAIN, EBADF, ECANCELED, EINVAL, EMSGSIZE, ENOMSG } from '../sys/constants.ts';
import { ProcessFailure } from './failure.ts';
import { IPC_NOWAIT, ProcessQueue } from './queue.ts';

/** Of this process alone, or another run of the tests would read our messages. */
const KEY = 0x7e_0000 + process.pid;

const open: ProcessQueue[] = [];
afterEach(() => {
  // The first removes it; the others forget it with an error.
  for (const queue of open.splice(0)) queue.free();
});

function queueOf(): { queue: ProcessQueue; failure: ProcessFailure } {
  const failure = new ProcessFailure(1);
  const queue = new ProcessQueue(failure);
  open.push(queue);
  return { queue, failure };
}

function opened(mode = SWOOLE_MSGQUEUE_BALANCE, capacity = -1): { queue: ProcessQueue; failure: ProcessFailure } {
  const made = queueOf();
  const found = made.queue.use(KEY, mode, capacity);
  assert.ok(found !== false && found.id >= 0);
  assert.equal(found.key, KEY);
  return made;
}

describe('the queue of a process', () => {
  it('is not there before use()', async () => {
    const { queue, failure } = queueOf();
    assert.equal(await queue.push(1, 'x'), false);
    assert.equal(await queue.pop(1), false);
    assert.equal(queue.status(), false);
    assert.equal(queue.free(), false);
    assert.equal(failure.code, EBADF);
  });

  it('is one for all that use its key: whoever is first gets a message', async () => {
    const { queue: one } = opened();
    const { queue: other } = opened();
    assert.equal(await one.push(1, 'first'), true);
    assert.equal(await one.push(1, Buffer.from('second')), true);
    assert.deepEqual(other.status(), { queue_num: 2, queue_bytes: 11 });
    assert.equal(String(await other.pop(2)), 'first');
    assert.equal(String(await one.pop(1, 3)), 'sec');
    assert.deepEqual(one.status(), { queue_num: 0, queue_bytes: 0 });
  });

  it('that is oriented gives each its own', async () => {
    const { queue } = opened(SWOOLE_MSGQUEUE_ORIENT | IPC_NOWAIT);
    await queue.push(1, 'of 1');
    await queue.push(2, 'of 2');
    assert.equal(String(await queue.pop(2)), 'of 2');
    assert.equal(await queue.pop(2), false);
    assert.equal(String(await queue.pop(1)), 'of 1');
  });

  it('takes no message that is empty, or longer than Swoole’s', async () => {
    const { queue, failure } = opened();
    assert.equal(await queue.push(1, ''), false);
    assert.equal(failure.code, EINVAL);
    assert.equal(await queue.push(1, Buffer.alloc(65_536)), false);
    assert.equal(failure.code, EMSGSIZE);
  });

  it('lets who pops from an empty one wait, and others run', async () => {
    const { queue } = opened();
    const waiting = [queue.pop(1), queue.pop(1)];
    await new Promise((resolve) => setTimeout(resolve, 5));
    await queue.push(1, 'a');
    await queue.push(1, 'b');
    assert.deepEqual((await within(Promise.all(waiting), 'both')).map(String), ['a', 'b'], 'in the order of the calls');
  });

  it('lets who pushes to a full one wait, in order', async () => {
    const { queue } = opened(SWOOLE_MSGQUEUE_BALANCE, 1000);
    const bytes = Buffer.alloc(400);
    assert.equal(await queue.push(1, bytes), true);
    assert.equal(await queue.push(1, bytes), true);
    const waiting = [queue.push(1, bytes), queue.push(1, 'last')];
    bytes.fill(1);
    assert.deepEqual([...new Set((await queue.pop(1)) || [])], [0]);
    assert.deepEqual(await within(Promise.all(waiting), 'both'), [true, true]);
    await queue.pop(1);
    assert.deepEqual([...new Set((await queue.pop(1)) || [])], [0], 'it was copied when it was pushed');
    assert.equal(String(await queue.pop(1)), 'last');
  });

  it('with IPC_NOWAIT lets nobody wait', async () => {
    const { queue, failure } = opened(SWOOLE_MSGQUEUE_BALANCE | IPC_NOWAIT, 500);
    assert.equal(await queue.pop(1), false);
    assert.equal(failure.code, ENOMSG);
    assert.equal(await queue.push(1, Buffer.alloc(400)), true);
    assert.equal(await queue.push(1, Buffer.alloc(400)), false);
    assert.equal(failure.code, EAGAIN);
  });

  it('that is freed answers whoever waits for it here', async () => {
    const { queue, failure } = opened();
    const waiting = queue.pop(1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(queue.free(), true);
    assert.equal(await within(waiting, 'an answer'), false);
    assert.equal(failure.code, ECANCELED);
    assert.equal(queue.status(), false);
  });

  it('refuses a key, a mode and a capacity that cannot be', () => {
    const { queue } = queueOf();
    assert.throws(() => queue.use(1.5, 2, -1), { code: 'ERR_ARGUMENT', key: 'key' });
    assert.throws(() => queue.use(2 ** 31, 2, -1), { key: 'key' });
    assert.throws(() => queue.use(KEY, 7, -1), { key: 'mode' });
    assert.throws(() => queue.use(KEY, SWOOLE_MSGQUEUE_BALANCE, 0.5), { key: 'capacity' });
  });
});
