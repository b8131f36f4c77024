/** A ring with both of its ends at hand, and payloads that tell when a byte is not where it belongs. */
import assert from 'node:assert/strict';
import { RING_BYTES } from '../../src/shm/layout.ts';
import { RECORD_HEADER_BYTES, RingReader, RingWriter } from '../../src/shm/ring.ts';
import type { Segment } from '../../src/shm/segment.ts';
import { RingControl, smallSegment } from './shared.ts';

export const KIND = 7;
export const INBOX = 3;
export const LANE = 2;
/** As many bytes as a ring has: whatever is measured in it does not fit, or just so. */
export const RING = RING_BYTES;
/** A header, and nothing behind it. */
export const EMPTY_RECORD = RECORD_HEADER_BYTES;

export interface Ring {
  segment: Segment;
  control: RingControl;
  writer: RingWriter;
  reader: RingReader;
  dirty: RingWriter[];
}

/** A ring of its own whose first records lie behind `position`. */
export function ringAt(position = 0): Ring {
  const segment = smallSegment();
  const control = new RingControl(segment, INBOX, LANE);
  control.startAt(position);
  const dirty: RingWriter[] = [];
  const writer = new RingWriter(segment, INBOX, LANE, dirty);
  const reader = new RingReader(segment, INBOX, LANE);
  return { segment, control, writer, reader, dirty };
}

export function successorOf(ring: Ring): RingWriter {
  return new RingWriter(ring.segment, INBOX, LANE, ring.dirty);
}

/** A ring whose next record begins at this offset of its memory, where everything was read but the last `unread` records. */
export function ringWithNextAt(offset: number, unread = 0): Ring {
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
export const PATTERN = Buffer.alloc(RING + 251);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = (i * 31 + (i >> 8) * 17) & 255;
export function payload(seed: number, length: number): Buffer {
  const result = Buffer.alloc(length);
  const start = seed % 251;
  for (let at = 0; at < length; at += RING) PATTERN.copy(result, at, start, start + Math.min(RING, length - at));
  return result;
}

/** The current message's payload, copied out, and the message released. */
export function take(reader: RingReader): Buffer {
  const { bytes, data, offset, length } = reader;
  const result = bytes ?? Buffer.from(data.u8.subarray(offset, offset + length));
  assert.equal(result.length, length);
  reader.release();
  return result;
}

export function takeNext(reader: RingReader): Buffer {
  assert.equal(reader.next(), true);
  return take(reader);
}

/** Takes all there is, pumping in between. Answers the values of `a`. */
export function drain({ writer, reader }: Ring): number[] {
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
export function fill(writer: RingWriter, length: number, first = 0): number {
  let count = first;
  while (!writer.blocked) writer.post(KIND, count++, 0, payload(count, length), true);
  return count;
}
