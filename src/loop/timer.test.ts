import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { prng } from '../../test/support/prng.ts';
import { until } from '../../test/support/until.ts';
import { Timer } from './timer.ts';

afterEach(() => Timer.clearAll());

function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Resolves with what `add` hands to its callback. */
function once<T>(add: (done: (value: T) => void) => void): Promise<T> {
  return new Promise((resolve) => add(resolve));
}

describe('Timer', () => {
  it('after calls back once, with the arguments', async () => {
    let calls = 0;
    const got = await once<string>((done) => {
      Timer.after(
        2,
        (a: string, b: number) => {
          calls++;
          done(`${a}${b}`);
        },
        'x',
        7,
      );
    });
    assert.equal(got, 'x7');
    await delay(20);
    assert.equal(calls, 1);
    assert.equal(Timer.stats().num, 0);
  });

  it('tick calls back again and again with its id first, until it is cleared', async () => {
    const calls: unknown[][] = [];
    const id = await once<number>((done) => {
      Timer.tick(
        1,
        (timerId: number, name: string) => {
          calls.push([timerId, name]);
          if (calls.length < 3) return;
          assert.equal(Timer.clear(timerId), true);
          done(timerId);
        },
        'me',
      );
    });
    await delay(20);
    assert.deepEqual(calls, [
      [id, 'me'],
      [id, 'me'],
      [id, 'me'],
    ]);
    assert.equal(Timer.clear(id), false);
    assert.equal(Timer.clear(Timer.tick(0, () => {})), false);
  });

  it('ids count up and are told by list, exists and info', () => {
    const first = Timer.tick(1000, () => {}) as number;
    const second = Timer.after(2000, () => {}) as number;
    assert.equal(second, first + 1);
    assert.deepEqual([...Timer.list()], [first, second]);
    assert.equal(Timer.exists(first), true);
    const info = Timer.info(first);
    assert.equal(info?.interval, 1000);
    assert.equal(info?.exec_count, 0);
    assert.equal(info?.removed, false);
    assert.equal(Timer.info(9999), null);
    Timer.clearAll();
    assert.deepEqual([...Timer.list()], []);
    assert.equal(Timer.exists(first), false);
  });

  it('counts until its callback has returned, even when that has cleared it', async () => {
    const known = (id: number): unknown[] => [Timer.exists(id), Timer.info(id)?.removed, Timer.stats().num];
    const once = await new Promise((resolve) => {
      const id = Timer.after(2, () => resolve(known(id))) as number;
    });
    assert.deepEqual(once, [true, false, 1]);
    const cleared = await new Promise((resolve) => {
      Timer.tick(2, (id) => resolve([known(id), Timer.clear(id), known(id), Timer.clear(id)]));
    });
    assert.deepEqual(cleared, [[true, false, 1], true, [false, true, 1], false]);
    await delay(1);
    assert.equal(Timer.stats().num, 0);
  });

  it('tells when it is due, from the first timer on', () => {
    const before = Timer.info(Timer.after(1000, () => {}) as number)!.exec_msec;
    assert.ok(before >= 1000 && before < 11_000, `${before}`);
    const later = Timer.info(Timer.after(61_000, () => {}) as number)!.exec_msec - before;
    assert.ok(Math.abs(later - 60_000) < 1000, `${later}`);
  });

  it('answers false below one millisecond, and throws on what is no time or no function', () => {
    assert.equal(
      Timer.tick(0, () => {}),
      false,
    );
    assert.equal(
      Timer.after(-5, () => {}),
      false,
    );
    assert.throws(() => Timer.after('1' as unknown as number, () => {}), /number of milliseconds, got the string "1"/);
    assert.throws(() => Timer.tick(5, null as unknown as () => void), /must be a function, got null/);
  });

  it('a time beyond what Node can wait at once does not fire early', async () => {
    let fired = false;
    Timer.after(2 ** 31 + 1000, () => {
      fired = true;
    });
    await delay(30);
    assert.equal(fired, false);
  });

  it('a tick that is late leaves out what it missed', async () => {
    let calls = 0;
    Timer.tick(5, () => calls++);
    block(60);
    const end = performance.now();
    await delay(1);
    // Those that have come since, where this machine is busy, are not of the block.
    const most = 2 + (performance.now() - end) / 5;
    assert.ok(calls <= most, `${calls} calls after one block, of at most ${most}`);
  });

  it('a timer cleared by another that is due in the same turn does not fire', async () => {
    let fired = false;
    const victim = { id: 0 };
    Timer.after(5, () => Timer.clear(victim.id));
    victim.id = Timer.after(6, () => {
      fired = true;
    }) as number;
    block(20);
    await delay(10);
    assert.equal(fired, false);
  });

  it('timers run in the order in which they are due, each with what it awaits', async () => {
    const calls: string[] = [];
    const add = (ms: number, name: string): void => {
      Timer.after(ms, async () => {
        calls.push(name);
        await null;
        calls.push(`${name}, later`);
      });
    };
    add(10, 'first');
    add(12, 'second');
    block(3);
    add(10, 'third');
    block(15);
    await delay(5);
    assert.deepEqual(calls, ['first', 'first, later', 'second', 'second, later', 'third', 'third, later']);
  });

  it('keeps its order whatever is cleared', async () => {
    const seed = Date.now() % 1_000_000;
    const random = prng(seed);
    const due: number[] = [];
    const ids: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const ms = 1 + random.int(40);
      const id = Timer.after(ms, () => {
        due.push(at);
        // One callback clears others, due before and after it.
        if (random.next() < 0.2) Timer.clear(ids[random.int(ids.length)]);
      }) as number;
      const at = Timer.info(id)!.exec_msec;
      ids.push(id);
    }
    for (let i = 0; i < 500; i++) Timer.clear(ids[random.int(ids.length)]);
    const left = Timer.stats().num;
    await until(() => Timer.stats().num === 0, `the end of all timers, seed ${seed}`);
    assert.ok(due.length > left / 2 && due.length <= left, `${due.length} of ${left}, seed ${seed}`);
    assert.ok(
      due.every((at, i) => i === 0 || due[i - 1] <= at),
      `seed ${seed}`,
    );
  });

  it('keeps the async context in which it was made', async () => {
    const context = new AsyncLocalStorage<string>();
    const seen = await Promise.all(
      ['a', 'b'].map((name) => context.run(name, () => once((done) => Timer.after(2, () => done(context.getStore()))))),
    );
    assert.deepEqual(seen, ['a', 'b']);
  });

  it('others go on when a callback throws', async () => {
    let calls = 0;
    const thrown = once<Error>((done) => process.setUncaughtExceptionCaptureCallback((error) => done(error as Error)));
    Timer.after(2, () => {
      throw new Error('of a timer');
    });
    Timer.after(2, () => calls++);
    try {
      assert.match((await thrown).message, /of a timer/);
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
    await delay(10);
    assert.equal(calls, 1);
  });
});
