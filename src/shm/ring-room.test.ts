import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  drain,
  EMPTY_RECORD,
  fill,
  INBOX,
  KIND,
  LANE,
  PATTERN,
  payload,
  RING,
  ringAt,
  ringWithNextAt,
  successorOf,
  take,
  takeNext,
} from '../../test/support/ring.ts';
import { smallSegment } from '../../test/support/shared.ts';
import { RING_BYTES } from './layout.ts';
import { RECORD_HEADER_BYTES, RECORD_MAX, RingReader, RingWriter } from './ring.ts';
import { ringIsIdle } from './ring-control.ts';

describe('a full ring', () => {
  it('makes messages wait, in order, and goes on when pumped', () => {
    const ring = ringAt();
    const { writer, reader } = ring;
    const count = fill(writer, 1000);
    assert.equal(count, Math.floor((RING_BYTES - EMPTY_RECORD) / 1016) + 1);
    for (let i = count; i < count + 500; i++) writer.post(KIND, i, 0, payload(i + 1, i % 3 === 0 ? 0 : 1000), true);
    assert.equal(writer.pump(), false);
    assert.deepEqual(
      drain(ring),
      Array.from({ length: count + 500 }, (_, i) => i),
    );
    assert.equal(reader.next(), false);
    assert.equal(writer.pump(), true);
  });

  it('keeps the order of short messages behind long ones, over many times its size', () => {
    const ring = ringAt();
    const lengths = [0, 1, RECORD_MAX, RECORD_MAX + 1, 5, 2 * RING, 3, RECORD_MAX - 1, 9, 1_700_000, 70_000];
    const expected: number[] = [];
    for (let i = 0; i < 60; i++) {
      ring.writer.post(KIND, i, 0, payload(i, lengths[i % lengths.length]), true);
      expected.push(i);
    }
    for (const i of expected) {
      while (!ring.reader.next()) ring.writer.pump();
      assert.equal(ring.reader.a, i);
      assert.ok(take(ring.reader).equals(payload(i, lengths[i % lengths.length])), `message ${i}`);
    }
    assert.equal(ring.writer.blocked, false);
  });

  it('lets nobody claim while something waits, though there may be room', () => {
    const { writer, reader } = ringAt();
    fill(writer, RECORD_MAX);
    while (reader.next()) reader.release();
    assert.equal(writer.claim(8, 8), -1);
    assert.equal(writer.pump(), true);
    assert.equal(writer.claim(8, 8), 8);
  });

  it('counts the bytes that wait, for each a', () => {
    const ring = ringAt();
    const { writer } = ring;
    const filled = fill(writer, RECORD_MAX);
    assert.equal(writer.waitingFor(filled - 1), RECORD_MAX);
    assert.equal(writer.waitingFor(0), 0);
    writer.post(KIND, 900, 0, payload(1, 10));
    writer.post(KIND, 901, 0, payload(2, 2 * RING));
    writer.post(KIND, 900, 0, payload(3, 5));
    writer.post(KIND, 902, 0);
    assert.deepEqual(
      [900, 901, 902].map((a) => writer.waitingFor(a)),
      [15, 2 * RING, 0],
    );
    let seen = 2 * RING;
    while (writer.blocked) {
      while (ring.reader.next()) ring.reader.release();
      writer.pump();
      assert.ok(writer.waitingFor(901) <= seen);
      seen = writer.waitingFor(901);
    }
    assert.deepEqual(
      [filled - 1, 900, 901, 902].map((a) => writer.waitingFor(a)),
      [0, 0, 0, 0],
    );
  });

  it('copies what waits unless it may keep it', () => {
    for (const size of [500, 2 * RING]) {
      const ring = ringAt();
      const count = fill(ring.writer, 100_000);
      // A Buffer's slice() is no copy: once the user's bytes changed on their way.
      const reused = payload(1, size);
      ring.writer.post(KIND, count, 0, reused);
      reused.fill(0xee);
      const kept = payload(2, size);
      ring.writer.post(KIND, count + 1, 0, kept, true);
      for (let i = 0; i < count; i++) {
        while (!ring.reader.next()) ring.writer.pump();
        ring.reader.release();
      }
      while (!ring.reader.next()) ring.writer.pump();
      assert.ok(take(ring.reader).equals(payload(1, size)));
      while (!ring.reader.next()) ring.writer.pump();
      assert.ok(take(ring.reader).equals(kept));
    }
  });

  it('bears a hundred thousand waiting messages', () => {
    const ring = ringAt();
    const bytes = payload(1, 48);
    const started = performance.now();
    for (let i = 0; i < 120_000; i++) ring.writer.post(KIND, i, 0, bytes);
    const seen = drain(ring);
    assert.equal(seen.length, 120_000);
    assert.ok(seen.every((a, i) => a === i));
    // It takes some 100 ms; with a cost that grows with the queue it took 20 s.
    assert.ok(performance.now() - started < 5000);
  });

  it('tells whether a position was taken', () => {
    const { writer, reader } = ringAt(2 ** 31 - 64);
    writer.post(KIND, 1, 0, payload(1, 100));
    const first = writer.position;
    writer.post(KIND, 2, 0, payload(2, 100));
    const second = writer.position;
    assert.deepEqual([writer.consumed(first), writer.consumed(second)], [false, false]);
    takeNext(reader);
    assert.deepEqual([writer.consumed(first), writer.consumed(second)], [true, false]);
    takeNext(reader);
    assert.deepEqual([writer.consumed(first), writer.consumed(second)], [true, true]);
  });
});

describe('an idle ring', () => {
  const MASK = RING_BYTES - 1;

  it('starts again at its beginning, when it is far enough in', () => {
    const ring = ringWithNextAt(RING_BYTES / 2);
    ring.writer.post(KIND, 1, 0, payload(1, 5));
    assert.equal(ring.control.tail & MASK, RECORD_HEADER_BYTES + 8);
    assert.equal(ring.reader.next(), true);
    assert.equal(ring.reader.offset, RECORD_HEADER_BYTES);
    assert.deepEqual(take(ring.reader), payload(1, 5));
  });

  it('stays where it is near its beginning, and where something is unread', () => {
    const near = ringWithNextAt(RECORD_MAX);
    near.writer.post(KIND, 1, 0);
    assert.equal(near.control.tail & MASK, RECORD_MAX + EMPTY_RECORD);
    const unread = ringWithNextAt(RING_BYTES / 2, 1);
    unread.writer.post(KIND, 1, 0, payload(1, 5));
    assert.equal(unread.control.tail & MASK, RING_BYTES / 2 + 24);
  });

  it('takes the longest record and a first piece wherever it is, rewound or not', () => {
    const places = [RECORD_MAX - 8, RECORD_MAX, RECORD_MAX + 56, RECORD_MAX + 64, RECORD_MAX + 72, RING_BYTES / 2];
    for (let left = 8; left <= 64; left += 8) places.push(RING_BYTES - left);
    for (const place of places) {
      const ring = ringWithNextAt(place);
      for (let again = 0; again < 3; again++)
        assert.equal(ring.writer.claim(RECORD_MAX, RECORD_MAX), RECORD_MAX, `at ${place}`);
      ring.writer.post(KIND, 1, 0, payload(place, RECORD_MAX));
      assert.equal(ring.writer.blocked, false);
      assert.ok(takeNext(ring.reader).equals(payload(place, RECORD_MAX)), `at ${place}`);
      ring.writer.post(KIND, 1, 0, payload(place + 1, RECORD_MAX + 1));
      while (!ring.reader.next()) ring.writer.pump();
      assert.ok(take(ring.reader).equals(payload(place + 1, RECORD_MAX + 1)), `at ${place}`);
    }
  });

  it('is rewound also by a claim that nobody commits, and only once', () => {
    const ring = ringWithNextAt(RING_BYTES / 2);
    ring.writer.claim(8, 8);
    const tail = ring.control.tail;
    assert.equal(tail & MASK, 0);
    assert.equal(ring.writer.dirty, true);
    ring.writer.claim(8, 8);
    assert.equal(ring.control.tail, tail);
    assert.equal(ring.reader.next(), false);
    assert.equal(ring.control.head, tail);
    ring.writer.claim(8, 8);
    assert.equal(ring.control.tail, tail);
  });

  it('stays within few pages however much goes through it', () => {
    const ring = ringAt();
    let highest = 0;
    for (let i = 0; i < 50_000; i++) {
      ring.writer.post(KIND, i, 0, PATTERN.subarray(0, i % 200));
      highest = Math.max(highest, ring.control.tail & MASK);
      assert.equal(ring.reader.next(), true);
      ring.reader.release();
    }
    assert.ok(highest < RECORD_MAX + 2 * (RING_BYTES / 16), `${highest}`);
  });

  it('takes burst after burst, and stays within few pages again when they are over', () => {
    const ring = ringAt();
    const message = payload(1, 16_384);
    const burst = (count: number): number => {
      let highest = 0;
      for (let i = 0; i < count; i++) {
        ring.writer.post(KIND, i, 0, message);
        highest = Math.max(highest, ring.control.tail & MASK);
      }
      assert.equal(ring.writer.blocked, false);
      for (let i = 0; i < count; i++) takeNext(ring.reader);
      return highest;
    };
    // The larger one would not fit behind padding that begins where the smaller one has ended.
    for (let again = 0; again < 50; again++) burst(again % 2 === 0 ? 70 : 140);
    // Those find their place behind the padding of the last round, then the ring is a quiet one.
    for (let again = 0; again < 500; again++) burst(1);
    let highest = 0;
    for (let again = 0; again < 500; again++) highest = Math.max(highest, burst(1));
    assert.ok(highest < RECORD_MAX + 2 * (RING_BYTES / 16), `${highest}`);
  });

  it('need not be mapped by a new reader, as long as nothing is to be told either', () => {
    const segment = smallSegment();
    assert.equal(ringIsIdle(segment, INBOX, LANE), true);
    const writer = new RingWriter(segment, INBOX, LANE, []);
    assert.equal(ringIsIdle(segment, INBOX, LANE), false);
    const reader = new RingReader(segment, INBOX, LANE);
    assert.equal(reader.next(), false);
    assert.equal(ringIsIdle(segment, INBOX, LANE), true);
    fill(writer, RECORD_MAX);
    while (reader.next()) reader.release();
    assert.equal(ringIsIdle(segment, INBOX, LANE), false);
  });
});

describe('the word that there is room', () => {
  it('comes once for an ask, when half the ring is free', () => {
    const { writer, reader } = ringAt();
    fill(writer, 10_000);
    let told = -1;
    for (let taken = 1; reader.next(); taken++) {
      reader.release();
      if (!reader.roomWanted) continue;
      assert.equal(told, -1, 'told twice');
      told = taken;
      reader.roomWanted = false;
    }
    const half = RING_BYTES / 2 / 10_016;
    assert.ok(Math.abs(told - half) <= 2, `${told} of about ${half}`);
    // Nobody asked again: nobody is told.
    assert.equal(writer.pump(), true);
    while (reader.next()) reader.release();
    assert.equal(reader.roomWanted, false);
    fill(writer, 10_000);
    while (reader.next()) reader.release();
    assert.equal(reader.roomWanted, true);
  });

  it('comes for a claim that failed, though nothing waits', () => {
    const { writer, reader } = ringAt();
    for (;;) {
      const room = writer.claim(65536, 4096);
      if (room === -1) break;
      writer.commit(KIND, 0, 0, room);
    }
    assert.equal(writer.blocked, false);
    while (reader.next()) reader.release();
    assert.equal(reader.roomWanted, true);
  });

  it('is not owed by a ring that was never full', () => {
    const { writer, reader } = ringAt();
    for (let i = 0; i < 1000; i++) {
      writer.post(KIND, i, 0, payload(i, 5000));
      assert.equal(reader.next(), true);
      reader.release();
    }
    assert.equal(reader.roomWanted, false);
  });

  it('comes from the successor of a reader that died before it rang', () => {
    const ring = ringAt();
    fill(ring.writer, RECORD_MAX);
    while (ring.reader.next()) ring.reader.release();
    assert.equal(ring.reader.roomWanted, true);
    // It dies now, having taken everything: its successor finds nothing to read.
    const next = new RingReader(ring.segment, INBOX, LANE);
    assert.equal(next.next(), false);
    assert.equal(next.roomWanted, true);
    assert.equal(ring.writer.pump(), true);
  });

  it('comes from the successor of a reader that died before half was free', () => {
    const ring = ringAt();
    fill(ring.writer, RECORD_MAX);
    takeNext(ring.reader);
    const next = new RingReader(ring.segment, INBOX, LANE);
    assert.equal(next.roomWanted, false);
    while (next.next()) next.release();
    assert.equal(next.roomWanted, true);
  });

  it('comes to the successor of a producer, too, and after 2^32 asks', () => {
    const ring = ringAt();
    ring.control.asks = -2;
    let writer = successorOf(ring);
    for (let i = 0; i < 6; i++) {
      fill(writer, RECORD_MAX);
      assert.notEqual(ring.control.asks, 0);
      while (ring.reader.next()) ring.reader.release();
      assert.equal(ring.reader.roomWanted, true, `round ${i}`);
      ring.reader.roomWanted = false;
      writer.pump();
      while (ring.reader.next()) ring.reader.release();
      writer = successorOf(ring);
    }
  });
});
