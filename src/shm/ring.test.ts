import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  drain,
  EMPTY_RECORD,
  fill,
  INBOX,
  KIND,
  LANE,
  payload,
  RING,
  type Ring,
  ringAt,
  ringWithNextAt,
  successorOf,
  take,
  takeNext,
} from '../../test/support/ring.ts';
import { smallSegment } from '../../test/support/shared.ts';
import { RING_BYTES } from './layout.ts';
import { BROKEN, RECORD_HEADER_BYTES, RECORD_MAX, RingReader, RingWriter } from './ring.ts';
import { ringIsIdle } from './ring-control.ts';

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
      [251, -1, 0],
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
