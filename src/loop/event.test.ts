import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { until, within } from '../../test/support/until.ts';
import { SWOOLE_EVENT_READ, SWOOLE_EVENT_WRITE } from '../constants.ts';
import { TswooleError } from '../errors.ts';
import { SOCK_STREAM } from '../sys/constants.ts';
import { clearEventfd, createEventfd, ringEventfd } from '../sys/eventfd.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { openSocketPair, receiveNow, sendNow } from '../sys/socket-pair.ts';
import { type Descriptor, Event } from './event.ts';
import { Timer } from './timer.ts';

const BOTH = SWOOLE_EVENT_READ | SWOOLE_EVENT_WRITE;
const open = new Set<number>();

afterEach(() => {
  Event.exit();
  for (const fd of open) closeDescriptor(fd);
  open.clear();
});

function pair(): [number, number] {
  const fds = openSocketPair(SOCK_STREAM);
  assert.ok(typeof fds !== 'number');
  for (const fd of fds) open.add(fd);
  return fds;
}

function close(fd: number): void {
  open.delete(fd);
  closeDescriptor(fd);
}

const turns = (count = 5): Promise<void> =>
  new Promise((resolve) => {
    const next = (left: number): void => void (left === 0 ? resolve() : setImmediate(() => next(left - 1)));
    next(count);
  });

describe('Event.add()', () => {
  it('calls back while there is something to read', async () => {
    const [one, other] = pair();
    let text = '';
    assert.equal(
      Event.add(other, (descriptor) => {
        text += receiveNow(Number(descriptor), 2);
      }),
      other,
    );
    sendNow(one, Buffer.from('hello'));
    await until(() => text === 'hello', 'all that was sent');
    sendNow(one, Buffer.from('!'));
    await until(() => text === 'hello!', 'what was sent later');
  });

  it('calls back while there is room to write, and for both when asked', async () => {
    const [one, other] = pair();
    const calls: string[] = [];
    assert.equal(
      Event.add(
        one,
        () => {
          receiveNow(one, 100);
          calls.push('read');
        },
        () => {
          calls.push('write');
          if (calls.length > 2) Event.set(one, null, null, SWOOLE_EVENT_READ);
        },
        BOTH,
      ),
      one,
    );
    await until(() => calls.length === 3, 'three calls');
    sendNow(other, Buffer.from('x'));
    await until(() => calls.length === 4, 'a call');
    await turns();
    assert.deepEqual(calls, ['write', 'write', 'write', 'read']);
  });

  it('takes objects with a descriptor, and gives them to the callback', async () => {
    const [one, other] = pair();
    const socket = { fd: other };
    let got: Descriptor | null = null;
    Event.add(socket, (descriptor) => {
      receiveNow(other, 1);
      got = descriptor;
    });
    assert.ok(Event.isset(other) && Event.isset(socket) && Event.isset({ pipe: other }));
    sendNow(one, Buffer.from('x'));
    await until(() => got !== null, 'a call');
    assert.equal(got, socket);
  });

  it('watches descriptors that are no sockets', async () => {
    const bell = createEventfd();
    open.add(bell);
    let rings = 0;
    Event.add(bell, () => {
      clearEventfd(bell);
      rings++;
    });
    ringEventfd(bell);
    await until(() => rings === 1, 'the bell');
  });

  it('watches a descriptor that Node watches too', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    assert.equal(
      Event.add(fd, () => {}),
      fd,
    );
    assert.equal(Event.del(fd), true);
    await new Promise((resolve) => server.close(resolve));
  });

  it('is false for what cannot be watched', () => {
    const [one] = pair();
    const file = openSync(new URL(import.meta.url), 'r');
    open.add(file);
    const callback = (): void => {};
    assert.equal(Event.add(file, callback), false);
    assert.equal(Event.add(-1, callback), false);
    assert.equal(Event.add(99_999, callback), false);
    assert.equal(Event.add(one), false);
    assert.equal(Event.add(one, callback, null, 0), false);
    assert.equal(Event.add(one, callback, null, BOTH), false);
    assert.equal(Event.add(0, null, callback), false);
    assert.equal(Event.add(one, callback), one);
    assert.equal(Event.add(one, callback), false);
  });

  it('throws for wrong arguments', () => {
    const wrong = [
      () => Event.add('x' as unknown as number, () => {}),
      () => Event.add(1.5, () => {}),
      () => Event.add({} as { fd: number }, () => {}),
      () => Event.add(null as unknown as number, () => {}),
      () => Event.add(1, 'x' as unknown as () => void),
      () => Event.add(1, () => {}, null, 1.5),
      () => Event.set(1, 5 as unknown as () => void),
      () => Event.write(1, 5 as unknown as string),
      () => Event.defer(null as unknown as () => void),
      () => Event.cycle(5 as unknown as () => void),
    ];
    for (const call of wrong) assert.throws(call, TswooleError, String(call));
  });
});

describe('Event.set(), isset() and del()', () => {
  it('change callbacks and what is watched', async () => {
    const [one, other] = pair();
    const calls: string[] = [];
    const reader = (name: string) => () => {
      receiveNow(other, 1);
      calls.push(name);
    };
    Event.add(other, reader('first'));
    assert.equal(Event.set(other, reader('second')), true);
    sendNow(one, Buffer.from('x'));
    await until(() => calls.length === 1, 'a call');
    assert.equal(Event.set(other, null, null, SWOOLE_EVENT_WRITE), false, 'nobody is there to be called');
    assert.equal(Event.set(other, null, null, 0), true);
    assert.deepEqual([Event.isset(other), Event.isset(other, SWOOLE_EVENT_READ)], [false, false]);
    sendNow(one, Buffer.from('x'));
    await turns();
    assert.deepEqual(calls, ['second']);
    Event.set(other, null, null, SWOOLE_EVENT_READ);
    assert.deepEqual([Event.isset(other), Event.isset(other, SWOOLE_EVENT_WRITE)], [true, false]);
    await until(() => calls.length === 2, 'what had waited');
    assert.equal(Event.del(other), true);
    assert.equal(Event.isset(other), false);
    sendNow(one, Buffer.from('x'));
    await turns();
    assert.deepEqual(calls, ['second', 'second']);
  });

  it('are false for what was never added', () => {
    const [one] = pair();
    assert.deepEqual(
      [Event.set(one, () => {}), Event.isset(one), Event.del(one), Event.write(one, 'x')],
      [false, false, false, false],
    );
  });

  it('may be called from the callbacks themselves', async () => {
    const [one, other] = pair();
    let writes = 0;
    Event.add(
      other,
      () => Event.del(other),
      () => writes++,
      BOTH,
    );
    sendNow(one, Buffer.from('x'));
    await until(() => !Event.isset(other), 'the callback');
    const before = writes;
    await turns();
    assert.equal(writes, before);
  });
});

describe('Event.write()', () => {
  it('writes all, in order, when there is room', async () => {
    const [one, other] = pair();
    Event.add(one, () => {});
    const size = 30_000_000;
    assert.equal(Event.write(one, 'first'), true);
    assert.equal(Event.write(one, Buffer.alloc(size, 'x')), true);
    assert.equal(Event.write(one, 'last'), true);
    let bytes = 0;
    let tail = '';
    Event.add(other, () => {
      const found = receiveNow(other, 1_000_000) as Buffer;
      bytes += found.length;
      tail = (tail + found.subarray(-4)).slice(-4);
    });
    await until(() => bytes === size + 9, 'all bytes');
    assert.equal(tail, 'last');
  });

  it('is false, and forgets the descriptor, when nobody reads any more', () => {
    const [one, other] = pair();
    Event.add(one, () => {});
    close(other);
    assert.equal(Event.write(one, 'x'), false);
    assert.equal(Event.isset(one), false);
    assert.equal(Event.write(one, 'x'), false);
  });
});

describe('a descriptor that is closed under its watch', () => {
  it('is forgotten, without a call for its number', async () => {
    const [one, other] = pair();
    let calls = 0;
    Event.add(other, () => calls++);
    close(other);
    sendNow(one, Buffer.from('x'));
    await until(() => !Event.isset(other), 'the watch to end');
    assert.equal(calls, 0);
  });

  it('leaves its number to the next one', async () => {
    const [one] = pair();
    Event.add(one, () => assert.fail('the old one'));
    close(one);
    const next = pair();
    assert.ok(next.includes(one), 'the kernel gives the lowest number again');
    const partner = next[0] === one ? next[1] : next[0];
    let calls = 0;
    assert.equal(
      Event.add(one, () => {
        receiveNow(one, 1);
        calls++;
      }),
      one,
    );
    sendNow(partner, Buffer.from('x'));
    await until(() => calls === 1, 'a call of the new one');
  });

  it('is known as closed by write() and del()', () => {
    const [one, other] = pair();
    for (const fd of [one, other]) Event.add(fd, () => {});
    close(one);
    close(other);
    assert.equal(Event.write(one, 'x'), false);
    assert.equal(Event.del(one), false);
    assert.equal(Event.del(other), true);
  });

  it('tells the end of a stream as something to read', async () => {
    const [one, other] = pair();
    let end = -1;
    Event.add(other, () => {
      end = (receiveNow(other, 10) as Buffer).length;
      Event.del(other);
    });
    close(one);
    await until(() => end !== -1, 'the end');
    assert.equal(end, 0);
  });
});

describe('Event', () => {
  it('runs deferred callbacks in order, after this turn', async () => {
    const calls: number[] = [];
    for (const n of [1, 2, 3])
      assert.equal(
        Event.defer(() => calls.push(n)),
        true,
      );
    await Promise.resolve();
    assert.deepEqual(calls, []);
    await turns(1);
    assert.deepEqual(calls, [1, 2, 3]);
  });

  it('calls back in every turn, at its beginning or its end', async () => {
    let before = 0;
    let after = 0;
    assert.equal(Event.cycle(null), false);
    assert.equal(
      Event.cycle(() => assert.fail('replaced')),
      true,
    );
    assert.equal(
      Event.cycle(() => {
        after++;
      }),
      true,
    );
    assert.equal(
      Event.cycle(() => before++, true),
      true,
    );
    await turns(10);
    assert.ok(before >= 8 && before <= 12, `${before}`);
    assert.ok(after >= 8 && after <= 12, `${after}`);
    assert.deepEqual([Event.cycle(null), Event.cycle(null), Event.cycle(null, true)], [true, false, true]);
    const counts = [before, after];
    await turns();
    assert.deepEqual([before, after], counts);
  });

  it('lets promises of a cycle go on in the same turn', async () => {
    let went = 0;
    Event.cycle(async () => {
      await null;
      went++;
    });
    await turns(3);
    assert.ok(went > 0);
  });

  it('calls back at the end of a turn behind what was deferred in it, and not once it is taken away', async () => {
    const calls: string[] = [];
    await new Promise<void>((resolve) =>
      setTimeout(() => {
        Event.cycle(() => {
          calls.push('cycle');
          Event.cycle(null);
          resolve();
        });
        Event.defer(() => calls.push('deferred'));
      }, 1),
    );
    assert.deepEqual(calls, ['deferred', 'cycle']);
    Event.cycle(() => assert.fail('taken away'));
    Event.defer(() => Event.cycle(null));
    await turns();
  });

  it('waits with dispatch() for something to happen', async () => {
    let over = false;
    let count = 0;
    setTimeout(() => {
      over = true;
    }, 300);
    for (; !over; count++) await Event.dispatch();
    // Node has some turns of its own. A loop that never waits has many thousands.
    assert.ok(count < 1000, `${count}`);
  });

  it('turns once with dispatch()', async () => {
    let deferred = false;
    Event.defer(() => {
      deferred = true;
    });
    setTimeout(() => {}, 1);
    assert.equal(await within(Event.dispatch(), 'a turn'), true);
    assert.ok(deferred);
  });

  it('notices with dispatch() what happens between its calls', async () => {
    for (let i = 0; i < 100; i++) {
      let over = false;
      setTimeout(() => {
        over = true;
      }, 1);
      // Late already: it comes in the turn in which dispatch() is called.
      for (const end = performance.now() + 2; performance.now() < end; );
      while (!over) await within(Event.dispatch(), 'a turn');
    }
  });

  it('turns for many at once with dispatch(), without a warning', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    try {
      setTimeout(() => {}, 1);
      const turned = Array.from({ length: 20 }, () => Event.dispatch());
      assert.deepEqual(await within(Promise.all(turned), 'a turn'), new Array(20).fill(true));
      await turns();
    } finally {
      process.off('warning', note);
    }
    assert.deepEqual(warnings, []);
  });

  it('lets everything go with exit()', () => {
    const [one] = pair();
    Event.add(one, () => {});
    Event.cycle(() => {});
    Timer.tick(1000, () => {});
    Event.exit();
    assert.deepEqual([Event.isset(one), Event.cycle(null), Timer.stats().num], [false, false, 0]);
  });
});
