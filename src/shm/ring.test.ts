import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RingControl, smallSegment } from '../../test/support/shared.ts';
import { RING_BYTES } from './layout.ts';
import { BROKEN, RECORD_HEADER_BYTES, RECORD_MAX, RingReader, RingWriter, ringIsIdle } from './ring.ts';
import type { Segment } from './segment.ts';

const KIND = 7;
const INBOX = 3;
const LANE = 2;
/** As many bytes as a ring has: whatever is measured in it does not fit, or just so. */
const RING = RING_BYTES;
/** A header, and nothing behind it. */
const EMPTY_RECORD = RECORD_HEADER_BYTES;

interface Ring {
  segment: Segment;
  control: RingControl;
  writer: RingWriter;
  reader: RingReader;
  dirty: RingWriter[];
}

/** A ring of its own whose first records lie behind `position`. */
function ringAt(position = 0): Ring {
  const segment = smallSegment();
  const control = new RingControl(segment, INBOX, LANE);
  control.startAt(position);
  const dirty: RingWriter[] = [];
  const writer = new RingWriter(segment, INBOX, LANE, dirty);
  const reader = new RingReader(segment, INBOX, LANE);
  return { segment, control, writer, reader, dirty };
}

function successorOf(ring: Ring): RingWriter {
  return new RingWriter(ring.segment, INBOX, LANE, ring.dirty);
}

/** A ring whose next record begins at this offset of its memory, where everything was read but the last `unread` records. */
function ringWithNextAt(offset: number, unread = 0): Ring {
  const ring = ringAt();
  let count = 0;
  let read = 0;
  while (ring.control.tail !== offset) {
    const left = offset - ring.control.tail;
    const bytes = left < 60_000 ? left : 40_000;
    assert.equal(ring.writer.claim(65536, bytes - RECORD_HEADER_BYTES) >= 0, true);
    ring.writer.commit(KIND, count++, 0, bytes - RECORD_HEADER_BYTES);
    // Some always wait, so that it is not rewound on the way, but few, so that it is a quiet ring.
    for (; read < count - 10 - unread; read++) takeNext(ring.reader);
  }
  for (; read < count - unread; read++) takeNext(ring.reader);
  if (unread === 0) assert.equal(ring.reader.next(), false);
  return ring;
}

/** Bytes that differ from place to place and from message to message. */
const PATTERN = Buffer.alloc(RING + 251);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = (i * 31 + (i >> 8) * 17) & 255;
function payload(seed: number, length: number): Buffer {
  const result = Buffer.alloc(length);
  const start = seed % 251;
  for (let at = 0; at < length; at += RING) PATTERN.copy(result, at, start, start + Math.min(RING, length - at));
  return result;
}

/** The current message's payload, copied out, and the message released. */
function take(reader: RingReader): Buffer {
  const { bytes, data, offset, length } = reader;
  const result = bytes ?? Buffer.from(data.u8.subarray(offset, offset + length));
  assert.equal(result.length, length);
  reader.release();
  return result;
}

function takeNext(reader: RingReader): Buffer {
  assert.equal(reader.next(), true);
  return take(reader);
}

/** Takes all there is, pumping in between. Answers the values of `a`. */
function drain({ writer, reader }: Ring): number[] {
  const seen: number[] = [];
  for (;;) {
    if (reader.next()) {
      seen.push(reader.a);
      reader.release();
    } else if (!writer.blocked) return seen;
    else writer.pump();
  }
}

/** Posts messages of this length until one has to wait. Answers how many were posted. */
function fill(writer: RingWriter, length: number, first = 0): number {
  let count = first;
  while (!writer.blocked) writer.post(KIND, count++, 0, payload(count, length), true);
  return count;
}

describe('a record', () => {
  it('arrives with every length of padding, and with none', () => {
    const { writer, reader } = ringAt();
    for (let length = 0; length <= 40; length++) {
      writer.post(KIND, length, -length, payload(length, length));
      assert.equal(reader.next(), true);
      assert.deepEqual([reader.kind, reader.a, reader.b, reader.length], [KIND, length, -length | 0, length]);
      assert.equal(reader.bytes, null);
      assert.deepEqual(take(reader), payload(length, length));
      assert.equal(reader.next(), false);
    }
  });

  it('keeps all 32 bits of a and b, and each kind that users have', () => {
    const { writer, reader } = ringAt();
    for (const [kind, a, b] of [
      [1, 0x7fffffff, -0x80000000],
      [253, -1, 0],
    ]) {
      writer.post(kind, a, b);
      assert.equal(reader.next(), true);
      assert.deepEqual([reader.kind, reader.a, reader.b, reader.length], [kind, a, b, 0]);
      reader.release();
    }
  });

  it('is one piece of memory where it runs over the end', () => {
    for (let left = 8; left <= 64; left += 8) {
      // Something unread keeps the ring from starting again at its beginning.
      const ring = ringWithNextAt(RING_BYTES - left, 1);
      ring.writer.post(KIND, 1, 0, payload(left, 100));
      ring.writer.post(KIND, 2, 0, payload(left + 1, 1000));
      takeNext(ring.reader);
      assert.equal(ring.reader.next(), true);
      assert.equal(ring.reader.offset, RING_BYTES - left + RECORD_HEADER_BYTES);
      assert.deepEqual(take(ring.reader), payload(left, 100));
      assert.deepEqual(takeNext(ring.reader), payload(left + 1, 1000));
    }
  });

  it('of RECORD_MAX travels whole, one byte more in pieces', () => {
    const { writer, reader } = ringAt();
    writer.post(KIND, 1, 2, payload(1, RECORD_MAX));
    assert.equal(reader.next(), true);
    assert.equal(reader.bytes, null);
    assert.deepEqual(take(reader), payload(1, RECORD_MAX));
    writer.post(KIND, 1, 2, payload(2, RECORD_MAX + 1));
    assert.equal(reader.next(), true);
    assert.notEqual(reader.bytes, null);
    assert.deepEqual([reader.kind, reader.a, reader.b], [KIND, 1, 2]);
    assert.deepEqual(take(reader), payload(2, RECORD_MAX + 1));
  });

  it('that is claimed and not committed is not there', () => {
    const ring = ringAt();
    assert.equal(ring.writer.claim(100, 100), 100);
    ring.writer.data.u8.fill(0xaa, ring.writer.payloadOffset(), ring.writer.payloadOffset() + 100);
    assert.equal(ring.reader.next(), false);
    // The producer dies here; its successor overwrites what it left.
    successorOf(ring).post(KIND, 5, 0, payload(5, 30));
    assert.deepEqual(takeNext(ring.reader), payload(5, 30));
    assert.equal(ring.reader.next(), false);
  });

  it('that is read and not released comes again to the next reader, and not once it is released', () => {
    const ring = ringAt();
    ring.writer.post(KIND, 1, 0, payload(1, 10));
    ring.writer.post(KIND, 2, 0, payload(2, 10));
    assert.equal(ring.reader.next(), true);
    const second = new RingReader(ring.segment, INBOX, LANE);
    assert.deepEqual(takeNext(second), payload(1, 10));
    const third = new RingReader(ring.segment, INBOX, LANE);
    assert.deepEqual(takeNext(third), payload(2, 10));
  });
});

describe('a message in pieces', () => {
  const sizes = [
    RECORD_MAX + 1,
    RECORD_MAX + 7,
    RING_BYTES / 2,
    RING_BYTES / 2 + 1,
    RING_BYTES,
    3 * RING + 5,
    16 * RING,
  ];
  for (const size of sizes) {
    it(`of ${size} bytes arrives whole, in order with its neighbours`, () => {
      const { writer, reader } = ringAt();
      const big = payload(size, size);
      writer.post(KIND, 1, 0, payload(1, 99));
      writer.post(KIND + 1, 2, -3, big, true);
      writer.post(KIND, 3, 0, payload(3, 98));
      assert.deepEqual(takeNext(reader), payload(1, 99));
      while (!reader.next()) assert.ok(writer.blocked && (writer.pump() || true));
      assert.deepEqual([reader.kind, reader.a, reader.b], [KIND + 1, 2, -3]);
      assert.ok(take(reader).equals(big));
      assert.equal(writer.pump(), true);
      assert.deepEqual(takeNext(reader), payload(3, 98));
    });
  }

  it('tells that it is under way', () => {
    const { writer, reader } = ringAt();
    assert.equal(reader.midMessage, false);
    writer.post(KIND, 1, 0, payload(1, 2 * RING));
    assert.equal(reader.next(), false);
    assert.equal(reader.midMessage, true);
    while (!reader.next()) writer.pump();
    assert.equal(reader.midMessage, false);
    reader.release();
  });

  it('is dropped at the HELLO of a successor when its producer died over it', () => {
    const ring = ringAt();
    ring.writer.post(KIND, 1, 0, payload(1, 100));
    ring.writer.post(KIND, 2, 0, payload(2, 3 * RING));
    ring.writer.post(KIND, 3, 0, payload(3, 100));
    assert.deepEqual(takeNext(ring.reader), payload(1, 100));
    assert.equal(ring.reader.next(), false);
    assert.equal(ring.reader.midMessage, true);
    const successor = successorOf(ring);
    successor.post(KIND, 4, 0, payload(4, RECORD_MAX + 9));
    assert.ok(takeNext(ring.reader).equals(payload(4, RECORD_MAX + 9)));
    assert.equal(ring.reader.next(), false);
    assert.equal(ring.reader.midMessage, false);
  });

  it('is dropped also when the dead producer had filled the ring', () => {
    const ring = ringAt();
    // To the last byte: with a first piece of 8 bytes more, eight pieces do not fit.
    ring.writer.post(KIND, 2, 0, payload(2, 3 * RING));
    while (ring.control.tail + EMPTY_RECORD <= RING_BYTES) {
      const room = RING_BYTES - ring.control.tail - RECORD_HEADER_BYTES;
      ring.writer.commit(KIND, 9, 0, room);
    }
    const successor = successorOf(ring);
    assert.equal(successor.blocked, true, 'not even the HELLO has room');
    successor.post(KIND, 4, 0, payload(4, 10));
    assert.equal(takeNext(ring.reader).length > 0, true);
    assert.equal(ring.reader.next(), false);
    assert.equal(ring.reader.midMessage, true);
    assert.equal(successor.pump(), true);
    assert.deepEqual(takeNext(ring.reader), payload(4, 10));
    assert.equal(ring.reader.midMessage, false);
  });

  it('is dropped also where the count of bytes passes zero', () => {
    // HELLO, then three pieces of which the third would end the message: the producer dies before it.
    const pieces = RING_BYTES / 8 + RECORD_HEADER_BYTES;
    const ring = ringAt(-(EMPTY_RECORD + 8 + 7 * pieces));
    ring.writer.post(KIND, 2, 0, payload(2, 3 * RING));
    assert.equal(ring.control.tail, 0);
    assert.equal(ring.reader.next(), false);
    assert.equal(ring.reader.midMessage, true);
    successorOf(ring).post(KIND, 4, 0, payload(4, 10));
    assert.deepEqual(takeNext(ring.reader), payload(4, 10));
    assert.equal(ring.reader.midMessage, false);
  });

  it('is told of as broken by a reader whose predecessor died with its beginning', () => {
    const ring = ringAt();
    ring.writer.post(KIND, 2, 0, payload(2, 3 * RING));
    ring.writer.post(KIND, 3, 0, payload(3, 77));
    assert.equal(ring.reader.next(), false);
    const next = new RingReader(ring.segment, INBOX, LANE);
    assert.equal(next.midMessage, false);
    while (!next.next()) ring.writer.pump();
    assert.deepEqual([next.kind, next.brokenKind, next.a, next.length], [BROKEN, KIND, 2, 0]);
    next.release();
    assert.equal(next.next(), true);
    assert.equal(next.a, 3);
    assert.deepEqual(take(next), payload(3, 77));
  });

  it('comes again, as broken, when its reader dies before the release', () => {
    const ring = ringAt();
    ring.writer.post(KIND, 2, 0, payload(2, 2 * RECORD_MAX));
    while (!ring.reader.next()) ring.writer.pump();
    assert.equal(ring.reader.length, 2 * RECORD_MAX);
    const next = new RingReader(ring.segment, INBOX, LANE);
    assert.equal(next.next(), true);
    assert.deepEqual([next.kind, next.brokenKind, next.a], [BROKEN, KIND, 2]);
  });
});

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

describe('claim and commit', () => {
  it('answers the wish, or what there is, or -1', () => {
    const { control, writer, reader } = ringAt();
    assert.equal(writer.claim(65536, 4096), 65536);
    const room = RING_BYTES - EMPTY_RECORD;
    for (let used = 0; used + 65536 + RECORD_HEADER_BYTES <= room - 8192; used += 65536 + RECORD_HEADER_BYTES)
      writer.commit(KIND, 0, 0, writer.claim(65536, 4096));
    const left = writer.claim(65536, 4096);
    assert.equal(left, RING_BYTES - control.tail - RECORD_HEADER_BYTES, 'to the last byte');
    assert.ok(left >= 4096 && left < 65536, `${left}`);
    assert.equal(writer.claim(65536, left), left);
    assert.equal(writer.claim(65536, left + 1), -1);
    writer.commit(KIND, 0, 0, left);
    assert.equal(writer.claim(1, 1), -1);
    assert.equal(writer.claim(0, 0), -1, 'not even a header has room');
    while (reader.next()) reader.release();
    assert.equal(writer.claim(65536, 4096), 65536);
  });

  it('may take less than was claimed', () => {
    const { writer, reader } = ringAt();
    for (let i = 0; i < 100; i++) {
      const room = writer.claim(65536, 4096);
      writer.data.u8.set(payload(i, i), writer.payloadOffset());
      assert.ok(room > i);
      writer.commit(KIND, i, 0, i);
    }
    for (let i = 0; i < 100; i++) assert.deepEqual(takeNext(reader), payload(i, i));
  });

  it('refuses a record that has no room, before it is published', () => {
    const { control, writer, reader } = ringAt();
    const tail = control.tail;
    for (const length of [-1, RING_BYTES, RING_BYTES - EMPTY_RECORD - RECORD_HEADER_BYTES + 1, 2 ** 31 - 1, 2 ** 31])
      assert.throws(() => writer.commit(KIND, 0, 0, length), /no room/, `${length}`);
    assert.equal(control.tail, tail);
    assert.equal(reader.next(), false);
  });

  it('notes the writer once until its doorbell was rung', () => {
    const { writer, dirty } = ringAt();
    assert.deepEqual(dirty, [writer]);
    dirty.length = 0;
    writer.dirty = false;
    writer.post(KIND, 1, 0);
    writer.post(KIND, 2, 0);
    assert.deepEqual(dirty, [writer]);
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

describe('positions', () => {
  const starts: [string, number][] = [
    ['2^32', -3 * RING - 8],
    ['2^32, to the byte', -EMPTY_RECORD],
    ['2^31', 2 ** 31 - 3 * RING + 8],
    ['2^31, to the byte', 2 ** 31 - EMPTY_RECORD],
  ];
  for (const [name, start] of starts) {
    it(`pass ${name}`, () => {
      const ring = ringAt(start);
      const lengths = [100, 70_000, 0, RECORD_MAX, 1_700_000, 33];
      for (let i = 0; i < 60; i++) {
        ring.writer.post(KIND, i, 0, payload(i, lengths[i % 6]), true);
        if (i % 6 !== 5) continue;
        for (let k = i - 5; k <= i; k++) {
          while (!ring.reader.next()) ring.writer.pump();
          assert.equal(ring.reader.a, k);
          assert.ok(take(ring.reader).equals(payload(k, lengths[k % 6])));
        }
      }
      // The same in a full ring: the difference of the positions is a whole ring on both sides.
      const count = fill(ring.writer, 9000);
      assert.equal(drain(ring).length, count);
    });
  }
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

describe('damage is found', () => {
  /** A ring with a record of 8 bytes, of which the test breaks something: word 0 is its length. */
  function broken(damage: (record: Int32Array, ring: Ring) => void): Ring {
    const ring = ringAt();
    assert.equal(ring.reader.next(), false);
    const at = ring.writer.payloadOffset() - RECORD_HEADER_BYTES;
    ring.writer.post(KIND, 1, 0, payload(1, 8));
    damage(ring.writer.data.i32.subarray(at / 4), ring);
    return ring;
  }

  for (const length of [-1, -2147483648, 9, 16, RING_BYTES, 2147483647, 2147483647 - 7, 2147483647 - 22]) {
    it(`in a length of ${length}`, () => {
      const { reader } = broken((record) => {
        record[0] = length;
      });
      assert.throws(() => reader.next(), /a ring is damaged: length=/);
    });
  }

  for (const kind of [0, -1, -2147483648]) {
    it(`in a kind of ${kind}`, () => {
      const { reader } = broken((record) => {
        record[1] = kind;
      });
      assert.throws(() => reader.next(), /a ring is damaged: .*kind=/);
    });
  }

  for (const tail of [RING_BYTES + 24, 2 ** 31 - 8, -8, 20]) {
    it(`in a tail of ${tail}`, () => {
      const { segment, reader, control } = broken((_record, ring) => {
        ring.control.tail = tail;
      });
      control.head = 0;
      assert.throws(() => {
        while (reader.next()) reader.release();
      }, /a ring is damaged/);
      assert.throws(() => new RingWriter(segment, INBOX, LANE, []), /a ring is damaged/);
    });
  }

  for (const head of [RING_BYTES, 8 * RING, -2 * RING, 4]) {
    it(`in a head of ${head}, before it becomes room`, () => {
      const ring = ringAt();
      ring.control.head = head;
      assert.throws(() => fill(ring.writer, 1000), /a ring is damaged/);
    });
  }

  it('in the total of a message in pieces', () => {
    for (const total of [0, RECORD_MAX, -5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 + 1]) {
      const ring = ringAt();
      assert.equal(ring.reader.next(), false);
      const at = ring.writer.payloadOffset();
      ring.writer.post(KIND, 1, 0, payload(1, RECORD_MAX + 1));
      ring.writer.data.f64[at / 8] = total;
      assert.throws(() => ring.reader.next(), /a ring is damaged: total=/, `${total}`);
    }
  });

  it('in pieces that are more or less than their total', () => {
    for (const [total, message] of [
      [RECORD_MAX + 100, /a ring is damaged: \d+ \+ \d+ > \d+/],
      [4 * RING, /a ring is damaged: \d+ of \d+/],
    ] as const) {
      const ring = ringAt();
      assert.equal(ring.reader.next(), false);
      const at = ring.writer.payloadOffset();
      ring.writer.post(KIND, 1, 0, payload(1, RECORD_MAX + 70_000));
      ring.writer.data.f64[at / 8] = total;
      assert.throws(() => {
        while (!ring.reader.next()) ring.writer.pump();
      }, message);
    }
  });

  it('in a ring that does not exist', () => {
    const segment = smallSegment();
    const { inboxCount, laneCount } = segment.layout;
    for (const [inbox, lane] of [
      [-1, 0],
      [inboxCount, 0],
      [0, -1],
      [0, laneCount],
      [Number.NaN, 0],
    ]) {
      assert.throws(() => new RingReader(segment, inbox, lane), RangeError);
      assert.throws(() => new RingWriter(segment, inbox, lane, []), RangeError);
      assert.throws(() => ringIsIdle(segment, inbox, lane), RangeError);
    }
  });
});
