import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { smallSegment } from '../../test/support/shared.ts';
import { TswooleError } from '../errors.ts';
import {
  decodeLetter,
  emptyLetter,
  encodeLetter,
  keep,
  LETTER_HEAD_BYTES,
  type Letter,
  postLetter,
  readLetter,
} from './letter.ts';
import { RECORD_HEADER_BYTES, RECORD_MAX, RingReader, RingWriter } from './ring.ts';

const KIND = 51;
const INBOX = 3;
const LANE = 2;

function ring(): { writer: RingWriter; reader: RingReader } {
  const segment = smallSegment();
  return { writer: new RingWriter(segment, INBOX, LANE, []), reader: new RingReader(segment, INBOX, LANE) };
}

/** Sends values through one ring, and answers what comes out. */
function sendAll(values: unknown[], { writer, reader } = ring()): Letter[] {
  const letters: Letter[] = [];
  for (const [i, value] of values.entries()) {
    postLetter(writer, KIND, i, ~i, 1000 + i, 7, value, 'a value');
    // One that is larger than the ring comes in turns.
    while (!reader.next()) {
      assert.equal(writer.blocked, true, 'a letter is lost');
      writer.pump();
    }
    assert.deepEqual([reader.kind, reader.a, reader.b], [KIND, i, ~i]);
    const letter = emptyLetter();
    readLetter(reader, letter);
    reader.release();
    letters.push(letter);
  }
  return letters;
}

const VALUES: unknown[] = [
  'text',
  '',
  'ä€😀',
  'x'.repeat(100_000),
  Buffer.from('bytes'),
  Buffer.alloc(0),
  { a: [1, new Map([['k', 2n]]), new Set([Buffer.from('z')]), new Date(5)] },
  null,
  undefined,
  0,
  false,
];

describe('a letter', () => {
  it('carries text, bytes and values, and who sent it when', () => {
    const before = Date.now() / 1000;
    for (const [i, letter] of sendAll(VALUES).entries()) {
      assert.deepEqual(letter.value, VALUES[i]);
      assert.deepEqual([letter.life, letter.flags], [1000 + i, 7]);
      assert.ok(letter.seconds >= before && letter.seconds <= Date.now() / 1000);
    }
  });

  it('is the same outside of a ring', () => {
    for (const value of VALUES) {
      const letter = emptyLetter();
      decodeLetter(encodeLetter(-1, 128, value, 'a value'), letter);
      assert.deepEqual([letter.life, letter.flags, letter.value], [-1, 128, value]);
    }
  });

  it('has bytes of its own, which the ring does not overwrite', () => {
    const ends = ring();
    const first = sendAll([Buffer.from('first'), { inside: Buffer.from('inside') }], ends);
    sendAll(new Array(2000).fill(Buffer.alloc(4000, 'x')), ends);
    assert.equal(String(first[0].value), 'first');
    assert.equal(String((first[1].value as { inside: Buffer }).inside), 'inside');
  });

  it('takes the sender no memory: what is changed after it was sent has gone as it was', () => {
    const { writer, reader } = ring();
    const bytes = Buffer.from('before');
    postLetter(writer, KIND, 0, 0, 0, 0, bytes, 'a value');
    bytes.fill('x');
    // Larger than a record, and then more than the ring holds: these wait in the sender.
    const large = Buffer.alloc(RECORD_MAX * 5, 'a');
    postLetter(writer, KIND, 1, 0, 0, 0, large, 'a value');
    large.fill('b');
    const letter = emptyLetter();
    assert.equal(reader.next(), true);
    readLetter(reader, letter);
    reader.release();
    assert.equal(String(letter.value), 'before');
    while (!reader.next()) writer.pump();
    readLetter(reader, letter);
    assert.ok((letter.value as Buffer).equals(Buffer.alloc(RECORD_MAX * 5, 'a')));
  });

  it('at every length around the limits of a record', () => {
    const ends = ring();
    const third = Math.floor(RECORD_MAX / 3);
    const lengths = [RECORD_MAX, third, RECORD_MAX * 4].flatMap((limit) =>
      [-33, -25, -24, -23, -16, -9, -8, -1, 0, 1, 8, 24, 25].map((delta) => limit + delta),
    );
    for (const length of lengths) {
      const [bytes, text, wide] = sendAll(
        [Buffer.alloc(length, 7), 'x'.repeat(length), '€'.repeat(Math.floor(length / 3))],
        ends,
      );
      assert.equal((bytes.value as Buffer).length, length);
      assert.equal((bytes.value as Buffer)[length - 1], 7);
      assert.ok(text.value === 'x'.repeat(length), `text of ${length}`);
      assert.ok(wide.value === '€'.repeat(Math.floor(length / 3)), `wide text of ${length}`);
    }
  });

  it('keeps a message for later, as it was', () => {
    const ends = ring();
    postLetter(ends.writer, KIND, 5, 6, 7, 8, 'kept', 'a value');
    assert.equal(ends.reader.next(), true);
    const kept = keep(ends.reader);
    const position = ends.reader.position;
    sendAll(new Array(3000).fill('overwritten'.repeat(200)), ends);
    const letter = emptyLetter();
    readLetter(kept, letter);
    kept.release();
    assert.deepEqual([kept.kind, kept.a, kept.b, kept.lane, kept.position], [KIND, 5, 6, LANE, position]);
    assert.deepEqual([letter.value, letter.life, letter.flags], ['kept', 7, 8]);
  });

  it('throws for what no process can be given, and has then sent nothing', () => {
    const { writer, reader } = ring();
    for (const value of [() => 1, Symbol('s'), { deep: [new WeakMap()] }, Promise.resolve()]) {
      assert.throws(
        () => postLetter(writer, KIND, 0, 0, 0, 0, value, 'the data of a task'),
        (error) =>
          error instanceof TswooleError &&
          error.code === 'ERR_ARGUMENT' &&
          /^the data of a task cannot be sent/.test(error.message),
      );
      assert.throws(() => encodeLetter(0, 0, value, 'a value'), TswooleError);
    }
    assert.equal(reader.next(), false);
  });

  it('throws for bytes that are not what they seem, and has then sent nothing', () => {
    const { writer, reader } = ring();
    const transferred = new Uint8Array(16);
    structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
    const shrunk = new ArrayBuffer(4096, { maxByteLength: 4096 });
    const cutOff = new Uint8Array(shrunk, 1000, 2000);
    shrunk.resize(500);
    const bytes = [
      transferred,
      cutOff,
      new Proxy(new Uint8Array(8), {}),
      // No memory is touched: it is refused before.
      new Uint8Array(2 ** 32),
    ];
    for (const value of bytes) {
      assert.throws(
        () => postLetter(writer, KIND, 0, 0, 0, 0, value, 'a value'),
        (error) => error instanceof TswooleError && error.code === 'ERR_ARGUMENT',
      );
      assert.throws(() => encodeLetter(0, 0, value, 'a value'), TswooleError);
    }
    assert.equal(reader.next(), false);
    // Shared and resizable memory is memory as any other, and none of its bytes is the end of something else.
    for (const buffer of [new SharedArrayBuffer(3000), new ArrayBuffer(3000, { maxByteLength: 9000 })]) {
      const value = new Uint8Array(buffer).fill(7);
      postLetter(writer, KIND, 0, 0, 0, 0, value, 'a value');
      assert.equal(reader.next(), true);
      const letter = emptyLetter();
      readLetter(reader, letter);
      reader.release();
      assert.deepEqual(letter.value, Buffer.alloc(3000, 7));
    }
  });
});

describe('what is no letter', () => {
  const { writer, reader } = ring();

  function readBytes(bytes: Uint8Array): Letter {
    // Rubbish behind the record would be read by one that trusts what it finds.
    writer.post(KIND, 0, 0, bytes);
    writer.data.u8.fill(0x41, writer.payloadOffset() - RECORD_HEADER_BYTES, writer.payloadOffset() + 4096);
    assert.equal(reader.next(), true);
    const letter = emptyLetter();
    try {
      readLetter(reader, letter);
    } finally {
      reader.release();
    }
    return letter;
  }

  it('throws where even a head has no room', () => {
    for (let length = 0; length < LETTER_HEAD_BYTES; length++) {
      assert.throws(() => readBytes(Buffer.alloc(length)), /a letter has a head/);
      assert.throws(() => decodeLetter(Buffer.alloc(length), emptyLetter()), /a letter has a head/);
    }
    assert.equal(readBytes(Buffer.alloc(LETTER_HEAD_BYTES)).value, '');
  });

  it('throws for a form that there is not', () => {
    for (const form of [4, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      const bytes = encodeLetter(0, 0, 'x', 'a value');
      bytes.writeInt32LE(form, 16);
      assert.throws(() => readBytes(bytes), /a letter has a form/);
      assert.throws(() => decodeLetter(bytes, emptyLetter()), /a letter has a form/);
    }
  });

  it('throws for values that are cut off or changed, and never answers what is behind them', () => {
    const whole = encodeLetter(1, 2, { text: 'abcdefgh', bytes: Buffer.alloc(64, 1), list: [1, 2, 3] }, 'a value');
    for (let length = LETTER_HEAD_BYTES; length < whole.length; length++)
      assert.throws(() => readBytes(whole.subarray(0, length)), Error, `cut to ${length}`);
    for (let at = LETTER_HEAD_BYTES; at < whole.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const bytes = Buffer.from(whole);
        bytes[at] = value;
        try {
          const { value } = readBytes(bytes);
          assert.doesNotMatch(JSON.stringify(value) ?? '', /AAAAAAAA/, `${at}`);
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
        }
      }
    }
  });

  it('of text and bytes answers exactly what was sent', () => {
    assert.equal(readBytes(encodeLetter(0, 0, 'end', 'a value')).value, 'end');
    assert.deepEqual(readBytes(encodeLetter(0, 0, Buffer.from('end'), 'a value')).value, Buffer.from('end'));
  });
});
