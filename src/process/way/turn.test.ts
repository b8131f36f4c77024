import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Turn } from './turn.ts';

function counted(): { turn: Turn; ends: () => number } {
  let count = 0;
  const turn = new Turn(() => count++);
  return { turn, ends: () => count };
}
const microtasks = (): Promise<void> => Promise.resolve();

describe('a turn', () => {
  it('of a batch ends once, when its handler says so', async () => {
    const { turn, ends } = counted();
    turn.begin();
    turn.touch();
    turn.touch();
    assert.equal(ends(), 0);
    turn.finish();
    assert.equal(ends(), 1);
    await microtasks();
    assert.equal(ends(), 1, 'no second end for what the batch has written');
  });

  it('ends also when nothing was written', () => {
    const { turn, ends } = counted();
    turn.begin();
    turn.finish();
    assert.equal(ends(), 1);
  });

  it('outside of a batch ends once for all that is written before the microtasks run', async () => {
    const { turn, ends } = counted();
    turn.touch();
    turn.touch();
    assert.equal(ends(), 0);
    await microtasks();
    assert.equal(ends(), 1);
    turn.touch();
    await microtasks();
    assert.equal(ends(), 2);
  });

  it('that was due in a microtask is left to a batch which has begun meanwhile', async () => {
    const { turn, ends } = counted();
    turn.touch();
    turn.begin();
    await microtasks();
    assert.equal(ends(), 0);
    turn.finish();
    assert.equal(ends(), 1);
    turn.touch();
    await microtasks();
    assert.equal(ends(), 2, 'the next one is scheduled again');
  });

  it('covers what is written after an await in a batch’s callback', async () => {
    const { turn, ends } = counted();
    turn.begin();
    const later = microtasks().then(() => turn.touch());
    turn.finish();
    assert.equal(ends(), 1);
    await later;
    await microtasks();
    assert.equal(ends(), 2);
  });

  it('covers what the end itself writes', async () => {
    let count = 0;
    const turn = new Turn(() => {
      if (++count < 3) turn.touch();
    });
    turn.begin();
    turn.finish();
    for (let i = 0; i < 5; i++) await microtasks();
    assert.equal(count, 3);
  });
});
