import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { interleave } from '../../test/support/interleave.ts';
import { doorbellsOf, smallSegment } from '../../test/support/shared.ts';
import { read } from '../sys/libc.ts';
import { allocate } from '../sys/memory.ts';
import {
  DOORBELLS,
  MESSAGES_BROKEN,
  MESSAGES_WAITED,
  MESSAGES_WAITING,
  RINGS_FULL,
  SLEEPS_SKIPPED,
} from './counters.ts';
import { LaneCounters } from './lanes.ts';
import { INBOX_BYTES, RING_BYTES } from './layout.ts';
import { announceLane, Inbox, Outbox, releaseInboxOfDead } from './mailbox.ts';
import { RECORD_MAX, type RingReader } from './ring.ts';
import type { Segment } from './segment.ts';

const INBOX = 3;
const OTHER_INBOX = 4;
/** Worker 0's lane; the doorbell of its inbox tells of room. */
const LANE = 3;
const OTHER_LANE = 6;
const READER_LANE = 2;
const scratch = allocate(8);

interface Post {
  segment: Segment;
  doorbells: number[];
  inbox: Inbox;
  outbox: Outbox;
}

/** An inbox that was taken and looked through once, so that it knows of nothing. */
function post(changes = {}): Post {
  const segment = smallSegment(changes);
  const doorbells = doorbellsOf(segment);
  const inbox = new Inbox(segment, INBOX, doorbells);
  assert.equal(inbox.take(READER_LANE), true);
  inbox.drain(() => assert.fail(), 10);
  return { segment, doorbells, inbox, outbox: new Outbox(segment, LANE, doorbells) };
}

/** How often a doorbell was rung since the last look. */
function rings(doorbell: number): number {
  scratch.i32[0] = 0;
  return read(doorbell, scratch.address, 8) === 8 ? scratch.i32[0] : 0;
}

function collect(inbox: Inbox, limit = 1000, stop?: () => boolean): { seen: number[]; more: boolean } {
  const seen: number[] = [];
  const more = inbox.drain(
    (reader) => {
      seen.push(reader.a);
      reader.release();
    },
    limit,
    stop,
  );
  return { seen, more };
}

describe('a doorbell', () => {
  it('rings only when the reader sleeps, and once for all that a turn has written', () => {
    const { doorbells, inbox, outbox } = post();
    outbox.to(INBOX).post(1, 1, 0);
    outbox.flush();
    assert.equal(rings(doorbells[INBOX]), 0, 'the reader is awake');
    assert.equal(inbox.prepareSleep(), false, 'something has come');
    assert.deepEqual(collect(inbox), { seen: [1], more: false });
    assert.equal(inbox.prepareSleep(), true);
    for (let i = 0; i < 5; i++) outbox.to(INBOX).post(1, i, 0);
    assert.equal(rings(doorbells[INBOX]), 0, 'not before the end of the turn');
    assert.equal(outbox.dirty, true);
    outbox.flush();
    assert.equal(outbox.dirty, false);
    assert.equal(rings(doorbells[INBOX]), 1);
    outbox.to(INBOX).post(1, 5, 0);
    outbox.flush();
    assert.equal(rings(doorbells[INBOX]), 0, 'it was rung already, so the reader will look');
    inbox.wake();
    assert.deepEqual(collect(inbox).seen, [0, 1, 2, 3, 4, 5]);
  });

  it('rings for each reader that has got something, and for nobody else', () => {
    const { segment, doorbells, inbox, outbox } = post();
    const other = new Inbox(segment, OTHER_INBOX, doorbells);
    other.take(8);
    other.drain(() => {}, 1);
    assert.deepEqual([inbox.prepareSleep(), other.prepareSleep()], [true, true]);
    outbox.to(OTHER_INBOX).post(1, 1, 0);
    outbox.flush();
    assert.deepEqual(doorbells.map(rings), [0, 0, 0, 0, 1]);
  });

  it('is not needed after wake', () => {
    const { doorbells, inbox, outbox } = post();
    inbox.prepareSleep();
    inbox.wake();
    outbox.to(INBOX).post(1, 1, 0);
    outbox.flush();
    assert.equal(rings(doorbells[INBOX]), 0);
    assert.equal(inbox.prepareSleep(), false);
  });

  it('tells the producer of room, whether it sleeps or not', () => {
    const { doorbells, inbox, outbox } = post();
    const writer = outbox.to(INBOX);
    for (let i = 0; !writer.blocked; i++) writer.post(1, i, 0, Buffer.alloc(RECORD_MAX), true);
    outbox.flush();
    assert.equal(collect(inbox, 1).more, true);
    assert.equal(rings(doorbells[INBOX]), 0);
    assert.equal(rings(doorbells[3]), 0);
    collect(inbox, 2);
    assert.equal(rings(doorbells[3]), 1, 'lane 3 is worker 0, whose inbox is 3');
    assert.equal(outbox.pump(), true);
  });

  it('tells the producer of room when the reader before had died over it', () => {
    const { segment, doorbells, inbox, outbox } = post();
    const writer = outbox.to(INBOX);
    for (let i = 0; !writer.blocked; i++) writer.post(1, i, 0, Buffer.alloc(RECORD_MAX), true);
    outbox.flush();
    // It takes everything and dies in its last callback, before the end of the batch.
    const taken = (): void => {
      inbox.drain((reader) => {
        reader.release();
        if (reader.roomWanted) throw new Error('killed');
      }, 100);
    };
    assert.throws(taken, /killed/);
    assert.equal(rings(doorbells[3]), 0);
    releaseInboxOfDead(segment, INBOX, READER_LANE);
    const next = new Inbox(segment, INBOX, doorbells);
    assert.equal(next.take(OTHER_LANE), true);
    collect(next);
    assert.equal(rings(doorbells[3]), 1);
  });
});

describe('an inbox', () => {
  it('has one reader at a time', () => {
    const { segment, doorbells, inbox } = post();
    const second = new Inbox(segment, INBOX, doorbells);
    assert.equal(second.take(OTHER_LANE), false);
    assert.equal(inbox.take(READER_LANE), true, 'the same process may ask again');
    second.give(OTHER_LANE);
    assert.equal(second.take(OTHER_LANE), false, 'only the reader can give it away');
    rings(doorbells[INBOX]);
    inbox.give(READER_LANE);
    assert.equal(rings(doorbells[INBOX]), 1, 'whoever waits for it looks again');
    assert.equal(second.take(OTHER_LANE), true);
  });

  it('of a dead reader is free only after it was released in its name', () => {
    const { segment, doorbells } = post();
    const second = new Inbox(segment, INBOX, doorbells);
    releaseInboxOfDead(segment, INBOX, OTHER_LANE);
    assert.equal(second.take(OTHER_LANE), false);
    releaseInboxOfDead(segment, INBOX, READER_LANE);
    assert.equal(second.take(OTHER_LANE), true);
  });

  it('passes to a successor exactly where its reader stopped', () => {
    const { segment, doorbells, inbox, outbox } = post();
    for (let i = 0; i < 10; i++) outbox.to(INBOX).post(1, i, 0, Buffer.alloc(i));
    outbox.flush();
    let count = 0;
    assert.deepEqual(collect(inbox, 100, () => ++count >= 4).seen.slice(0, 3), [0, 1, 2]);
    const given = collect(inbox, 1).seen;
    inbox.give(READER_LANE);
    const next = new Inbox(segment, INBOX, doorbells);
    assert.equal(next.take(OTHER_LANE), true);
    assert.equal(next.prepareSleep(), false, 'it has to look everywhere once');
    assert.deepEqual(collect(next).seen[0], given[0] + 1);
  });

  it('handles at most so many of each ring, and knows that there is more', () => {
    const { segment, doorbells, inbox, outbox } = post();
    const other = new Outbox(segment, OTHER_LANE, doorbells);
    for (let i = 0; i < 5; i++) outbox.to(INBOX).post(1, i, 0);
    for (let i = 10; i < 12; i++) other.to(INBOX).post(1, i, 0);
    outbox.flush();
    other.flush();
    const first = collect(inbox, 3);
    assert.deepEqual([first.seen.toSorted((a, b) => a - b), first.more], [[0, 1, 2, 10, 11], true]);
    assert.deepEqual(collect(inbox, 3), { seen: [3, 4], more: false });
    assert.equal(inbox.prepareSleep(), true);
  });

  it('stops when told, and forgets neither the rest of a ring nor the other rings', () => {
    const { segment, doorbells, inbox, outbox } = post();
    const other = new Outbox(segment, OTHER_LANE, doorbells);
    for (let i = 0; i < 3; i++) outbox.to(INBOX).post(1, i, 0);
    for (let i = 10; i < 13; i++) other.to(INBOX).post(1, i, 0);
    outbox.flush();
    other.flush();
    const all: number[] = [];
    while (all.length < 6) {
      const before = all.length;
      const handle = (reader: RingReader): void => {
        all.push(reader.a);
        reader.release();
      };
      const more = inbox.drain(handle, 100, () => all.length !== before);
      assert.deepEqual([all.length, more], [before + 1, true]);
    }
    assert.deepEqual(
      all.toSorted((a, b) => a - b),
      [0, 1, 2, 10, 11, 12],
    );
    assert.deepEqual(collect(inbox), { seen: [], more: false });
  });

  it('opens no ring that never held anything', () => {
    // 1,000 lanes: a map for each would be 2,000 of the 65,530 that a process may have.
    const { segment, doorbells, inbox, outbox } = post({ workerCount: 330 });
    assert.ok(segment.layout.laneCount > 990);
    const readers = (each: Inbox): number =>
      (each as unknown as { readers: (RingReader | undefined)[] }).readers.filter((reader) => reader !== undefined)
        .length;
    assert.equal(readers(inbox), 0);
    const far = new Outbox(segment, segment.layout.laneCount - 1, doorbells);
    far.to(INBOX).post(1, 5, 0);
    far.flush();
    outbox.to(INBOX).post(1, 6, 0);
    outbox.flush();
    assert.deepEqual(collect(inbox).seen.toSorted(), [5, 6]);
    assert.equal(readers(inbox), 2);
  });

  it('knows that a message is under way', () => {
    const { inbox, outbox } = post();
    const writer = outbox.to(INBOX);
    writer.post(1, 1, 0, Buffer.alloc(2 * RING_BYTES));
    outbox.flush();
    assert.deepEqual(collect(inbox).seen, []);
    assert.equal(inbox.midMessage, true);
    while (!outbox.pump()) {
      outbox.flush();
      collect(inbox);
    }
    outbox.flush();
    collect(inbox);
    assert.equal(inbox.midMessage, false);
  });

  it('has as many pending bits as it needs, of its own', () => {
    const { segment, inbox, outbox } = post({ workerCount: 330 });
    const words = (index: number): Int32Array =>
      segment.words.subarray(
        (segment.layout.inboxesOffset + index * INBOX_BYTES) / 4,
        (segment.layout.inboxesOffset + (index + 1) * INBOX_BYTES) / 4,
      );
    const neighbours = [words(INBOX - 1).slice(), words(INBOX + 1).slice()];
    inbox.take(READER_LANE);
    outbox.to(INBOX).post(1, 1, 0);
    outbox.flush();
    assert.deepEqual([words(INBOX - 1), words(INBOX + 1)], neighbours);
    assert.throws(() => new Inbox(segment, segment.layout.inboxCount, []), RangeError);
    assert.throws(() => new Inbox(segment, -1, []), RangeError);
  });
});

describe('a dead producer', () => {
  it('that could not ring any more is announced in its name', () => {
    const { segment, doorbells, inbox, outbox } = post();
    assert.equal(inbox.prepareSleep(), true);
    outbox.to(INBOX).post(1, 7, 0);
    // Killed before flush().
    announceLane(segment, LANE, doorbells);
    assert.deepEqual(
      doorbells.map(rings),
      doorbells.map(() => 1),
    );
    assert.equal(inbox.prepareSleep(), false);
    assert.deepEqual(collect(inbox).seen, [7]);
  });
});

describe('an outbox', () => {
  it('has one writer for each inbox, and pumps them all', () => {
    const { segment, doorbells, inbox, outbox } = post();
    assert.equal(outbox.to(INBOX), outbox.to(INBOX));
    const other = new Inbox(segment, OTHER_INBOX, doorbells);
    other.take(8);
    for (const index of [INBOX, OTHER_INBOX])
      for (let i = 0; i < 6; i++) outbox.to(index).post(1, i, 0, Buffer.alloc(RECORD_MAX));
    assert.equal(outbox.pump(), false);
    outbox.flush();
    collect(inbox);
    assert.equal(outbox.pump(), false);
    collect(other);
    assert.equal(outbox.pump(), true);
    outbox.flush();
    assert.deepEqual(
      [collect(inbox).seen, collect(other).seen].map((seen) => seen.at(-1)),
      [5, 5],
    );
    assert.throws(() => outbox.to(99), RangeError);
  });
});

describe('in every order of the two sides', () => {
  it('a reader that goes to sleep is rung, or does not sleep', () => {
    const places = interleave(() => {
      const { doorbells, inbox, outbox } = post();
      let sleeps = false;
      return {
        main: () => {
          sleeps = inbox.prepareSleep();
        },
        other: () => {
          outbox.to(INBOX).post(1, 1, 0);
          outbox.flush();
        },
        check: (step) => {
          const rung = rings(doorbells[INBOX]) > 0;
          assert.ok(!sleeps || rung, step);
          assert.deepEqual(collect(inbox).seen, [1], step);
        },
      };
    });
    assert.ok(places > 2);
  });

  it('the same, looked at from the producer', () => {
    const places = interleave(() => {
      const { doorbells, inbox, outbox } = post();
      let sleeps = false;
      let early: number[] = [];
      outbox.to(INBOX);
      return {
        main: () => {
          outbox.to(INBOX).post(1, 1, 0);
          outbox.flush();
        },
        other: () => {
          early = collect(inbox).seen;
          sleeps = inbox.prepareSleep();
        },
        check: (step) => {
          const rung = rings(doorbells[INBOX]) > 0;
          // What it has seen before it went to sleep needs no bell.
          assert.ok(!sleeps || rung || early.length === 1, step);
          assert.deepEqual([...early, ...collect(inbox).seen], [1], step);
        },
      };
    });
    assert.ok(places >= 4);
  });

  it('a reader that empties its ring does not miss what comes meanwhile', () => {
    const places = interleave(() => {
      const { doorbells, inbox, outbox } = post();
      outbox.to(INBOX).post(1, 1, 0);
      outbox.flush();
      let seen: number[] = [];
      let sleeps = false;
      return {
        main: () => {
          const first = collect(inbox);
          seen = first.seen;
          sleeps = !first.more && inbox.prepareSleep();
        },
        other: () => {
          outbox.to(INBOX).post(1, 2, 0);
          outbox.flush();
        },
        check: (step) => {
          assert.ok(seen.length === 2 || !sleeps || rings(doorbells[INBOX]) > 0, step);
          assert.deepEqual([...seen, ...collect(inbox).seen], [1, 2], step);
        },
      };
    });
    assert.ok(places > 8);
  });

  /** A ring that takes nothing more, and a reader that knows of all that is in it. */
  function full(): Post {
    const stage = post();
    const writer = stage.outbox.to(INBOX);
    while (writer.claim(RECORD_MAX, 8) !== -1) writer.commit(1, 0, 0, writer.claim(RECORD_MAX, 8));
    return stage;
  }

  it('a producer that finds no room is told of it, or finds it', () => {
    for (const producerFirst of [true, false]) {
      const places = interleave(() => {
        const { doorbells, inbox, outbox } = full();
        const writer = outbox.to(INBOX);
        outbox.flush();
        let found = -1;
        const produce = (): void => {
          found = writer.claim(8, 8);
        };
        const consume = (): void => {
          collect(inbox);
        };
        return {
          main: producerFirst ? produce : consume,
          other: producerFirst ? consume : produce,
          check: (step) => assert.ok(found === 8 || rings(doorbells[3]) > 0, step),
        };
      });
      assert.ok(places > 2);
    }
  });

  it('a reader that gives its inbox away loses nothing, and its successor wakes', () => {
    interleave(() => {
      const { segment, doorbells, inbox, outbox } = post();
      const next = new Inbox(segment, INBOX, doorbells);
      let sleeps = true;
      return {
        main: () => {
          inbox.give(READER_LANE);
          if (next.take(OTHER_LANE)) sleeps = next.prepareSleep();
        },
        other: () => {
          outbox.to(INBOX).post(1, 1, 0);
          outbox.flush();
        },
        check: (step) => {
          assert.equal(sleeps, false, step);
          assert.deepEqual(collect(next).seen, [1], step);
        },
      };
    });
  });
});

describe('an inbox that is told to stop after each message', () => {
  it('takes from all rings in turn', () => {
    const { segment, doorbells, inbox } = post({ workerCount: 30 });
    // In three words of pending bits, at their ends too.
    const lanes = [LANE, OTHER_LANE, 31, 32, 63, 64, 70];
    for (const lane of lanes) {
      const outbox = new Outbox(segment, lane, doorbells);
      for (let n = 0; n < 3; n++) outbox.to(INBOX).post(1, lane, n);
      outbox.flush();
    }
    for (let round = 0; round < 3; round++) {
      const seen = lanes.map(() => collect(inbox, 1000, () => true).seen);
      assert.deepEqual(
        seen.flat().sort((a, b) => a - b),
        lanes,
      );
    }
    assert.deepEqual(collect(inbox), { seen: [], more: false });
  });
});

describe('what is counted', () => {
  it('is each sleeper that was woken, and each sleep that was not slept', () => {
    const { segment, inbox, outbox } = post();
    const [writer, reader] = [LANE, READER_LANE].map((lane) => new LaneCounters(segment, lane));
    outbox.to(INBOX).post(1, 1, 0);
    outbox.flush();
    assert.equal(inbox.prepareSleep(), false);
    collect(inbox);
    assert.equal(inbox.prepareSleep(), true);
    for (let i = 0; i < 5; i++) {
      outbox.to(INBOX).post(1, i, 0);
      outbox.flush();
    }
    assert.deepEqual([writer.get(DOORBELLS), reader.get(SLEEPS_SKIPPED)], [1, 1]);
    assert.deepEqual([writer.get(RINGS_FULL), writer.get(MESSAGES_WAITED), writer.get(MESSAGES_WAITING)], [0, 0, 0]);
  });

  it('is what a full ring refuses, and what waits for room now', () => {
    const { segment, inbox, outbox } = post();
    const counters = new LaneCounters(segment, LANE);
    const writer = outbox.to(INBOX);
    const bytes = new Uint8Array(RECORD_MAX);
    for (let i = 0; i < 6; i++) writer.post(1, i, 0, bytes);
    outbox.flush();
    assert.deepEqual([counters.get(MESSAGES_WAITED), counters.get(MESSAGES_WAITING)], [3, 3]);
    assert.equal(counters.get(RINGS_FULL), 3);
    assert.equal(writer.claim(10, 10), -1);
    assert.equal(counters.get(RINGS_FULL), 4);
    collect(inbox);
    outbox.pump();
    assert.deepEqual([counters.get(MESSAGES_WAITED), counters.get(MESSAGES_WAITING)], [3, 0]);
    // In pieces, but at once.
    outbox.flush();
    collect(inbox);
    writer.post(1, 7, 0, new Uint8Array(RECORD_MAX + 1));
    assert.deepEqual([counters.get(MESSAGES_WAITED), counters.get(MESSAGES_WAITING)], [3, 0]);
  });

  it('is a message whose beginning died with its reader', () => {
    const { segment, doorbells, inbox, outbox } = post();
    outbox.to(INBOX).post(1, 1, 0, new Uint8Array(2 * RING_BYTES));
    outbox.flush();
    assert.deepEqual(collect(inbox).seen, []);
    assert.equal(inbox.midMessage, true);
    releaseInboxOfDead(segment, INBOX, READER_LANE);
    const next = new Inbox(segment, INBOX, doorbells);
    assert.equal(next.take(OTHER_LANE), true);
    while (collect(next).seen.length === 0) {
      outbox.pump();
      outbox.flush();
    }
    assert.equal(new LaneCounters(segment, OTHER_LANE).get(MESSAGES_BROKEN), 1);
  });
});
