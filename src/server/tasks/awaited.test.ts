import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Awaited } from './awaited.ts';

describe('Awaited', () => {
  it('gives each one away once', () => {
    const awaited = new Awaited<string>();
    awaited.add(0, 'a');
    awaited.add(1, 'b');
    assert.deepEqual(
      [awaited.take(1), awaited.take(1), awaited.take(0), awaited.take(2)],
      ['b', undefined, 'a', undefined],
    );
  });

  it('knows nothing of another id with the same place', () => {
    const awaited = new Awaited<string>();
    awaited.add(5, 'a');
    assert.equal(awaited.take(5 + 1024), undefined);
    assert.equal(awaited.take(5), 'a');
  });

  it('keeps those that wait while many others come and go', () => {
    const awaited = new Awaited<number>();
    const slow = [0, 3, 1024 + 3, 5000];
    for (let id = 0; id < 100_000; id++) {
      awaited.add(id, -id);
      if (!slow.includes(id)) assert.equal(awaited.take(id), -id);
    }
    for (const id of slow) assert.deepEqual([awaited.take(id), awaited.take(id)], [-id, undefined]);
  });

  it('takes more at once than there are places', () => {
    const awaited = new Awaited<number>();
    for (let id = 0; id < 10_000; id++) awaited.add(id, id + 1);
    for (let id = 0; id < 10_000; id++) assert.equal(awaited.take(id), id + 1);
  });

  it('gives all that wait at once, each with its id', () => {
    const awaited = new Awaited<string>();
    for (const id of [3, 1024 + 3, 7, 2 ** 32 - 1]) awaited.add(id, `waits for ${id}`);
    awaited.take(7);
    const all = new Map(awaited.takeAll());
    assert.deepEqual(new Set(all.keys()), new Set([3, 1024 + 3, 2 ** 32 - 1]));
    for (const [id, waiting] of all) assert.deepEqual([waiting, awaited.take(id)], [`waits for ${id}`, undefined]);
  });

  it('goes on where ids start again', () => {
    const awaited = new Awaited<string>();
    const last = 2 ** 32 - 1;
    awaited.add(last, 'last');
    awaited.add(0, 'first');
    assert.deepEqual([awaited.take(last), awaited.take(0)], ['last', 'first']);
  });
});
