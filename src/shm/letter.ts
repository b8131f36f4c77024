/**
 * A letter: a value on its way from one process to another, as task, result, message or command.
 *
 *   0              8            12           16           20        24
 *   +--------------+------------+------------+------------+---------+-----------------------+
 *   | sent at, f64 | life i32   | flags i32  | form i32   |  free   | the value's bytes     |
 *   +--------------+------------+------------+------------+---------+-----------------------+
 *   life: that of the one that waits for an answer (Segment.nextLife), so that its successor does not take it for its own.
 *   Written by the sender, read once by the receiver. What a and b of the record mean is told in messages.ts.
 *
 * Text and bytes travel as they are; every other value as Node's v8.serialize writes it.
 */
import { deserialize, serialize } from 'node:v8';
import { describeError, describeValue, TswooleError } from '../errors.ts';
import { isBytes, writeText } from '../sys/memory.ts';
import { Slab } from '../sys/slab.ts';
import { MESSAGE_MAX, type Message, RECORD_MAX, type RingWriter } from './ring.ts';

export const LETTER_HEAD_BYTES = 24;
const LIFE_WORD = 2;
const FLAGS_WORD = 3;
const FORM_WORD = 4;

const TEXT = 0;
const BYTES = 1;
const SERIALIZED = 2;
/** Text of one byte for each character, which is read without looking at each. */
const ASCII = 3;

/** Long values share its memory. */
const slab = new Slab();

/** Text up to this long is encoded in place, where three bytes for each character are reserved. */
const TEXT_IN_PLACE = RECORD_MAX / 3 - LETTER_HEAD_BYTES;

/** Throws for what no other process can be given, as a function. */
function serializeValue(value: unknown, what: string): Buffer {
  try {
    return serialize(value);
  } catch (error) {
    throw new TswooleError(
      'ERR_ARGUMENT',
      `${what} cannot be sent to another process: ${error instanceof Error ? error.message : describeError(error)} (got ${describeValue(value)})`,
      { cause: error },
    );
  }
}

/** Throws when the memory of the bytes is not theirs any more: they read as empty, and nobody means that. */
function attached(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.length > 0) return bytes;
  try {
    bytes.at(0);
  } catch (cause) {
    throw new TswooleError(
      'ERR_ARGUMENT',
      `${what} cannot be sent to another process: its memory was transferred elsewhere, or cut off`,
      { cause },
    );
  }
  return bytes;
}

/** Sends a letter through a ring. Where the ring is full it waits in this process, behind those before it. Answers the bytes of its value. */
export function postLetter(
  writer: RingWriter,
  kind: number,
  a: number,
  b: number,
  life: number,
  flags: number,
  value: unknown,
  what: string,
): number {
  const seconds = Date.now() / 1000;
  if (typeof value === 'string') {
    const most = LETTER_HEAD_BYTES + value.length * 3;
    if (value.length <= TEXT_IN_PLACE && writer.claim(most, most) === most) {
      const at = writer.payloadOffset();
      const length = writeText(writer.data, at + LETTER_HEAD_BYTES, value);
      writeHead(writer.data, at, seconds, life, flags, length === value.length ? ASCII : TEXT);
      writer.commit(kind, a, b, LETTER_HEAD_BYTES + length);
      return length;
    }
    const text = Buffer.from(value);
    writer.post(kind, a, b, wholeLetter(seconds, life, flags, TEXT, text), true);
    return text.length;
  }
  const plain = isBytes(value);
  const bytes = plain ? attached(value, what) : serializeValue(value, what);
  const form = plain ? BYTES : SERIALIZED;
  const length = LETTER_HEAD_BYTES + bytes.length;
  if (length <= RECORD_MAX && writer.claim(length, length) === length) {
    const at = writer.payloadOffset();
    writeHead(writer.data, at, seconds, life, flags, form);
    writer.data.u8.set(bytes, at + LETTER_HEAD_BYTES);
    writer.commit(kind, a, b, length);
    return bytes.length;
  }
  writer.post(kind, a, b, wholeLetter(seconds, life, flags, form, bytes), true);
  return bytes.length;
}

function writeHead(
  target: { i32: Int32Array; f64: Float64Array },
  at: number,
  seconds: number,
  life: number,
  flags: number,
  form: number,
): void {
  const word = at >> 2;
  target.f64[at >> 3] = seconds;
  target.i32[word + LIFE_WORD] = life;
  target.i32[word + FLAGS_WORD] = flags;
  target.i32[word + FORM_WORD] = form;
}

/** A letter outside of a ring. */
export function encodeLetter(life: number, flags: number, value: unknown, what: string): Buffer {
  const seconds = Date.now() / 1000;
  if (typeof value === 'string') return wholeLetter(seconds, life, flags, TEXT, Buffer.from(value));
  if (isBytes(value)) return wholeLetter(seconds, life, flags, BYTES, attached(value, what));
  return wholeLetter(seconds, life, flags, SERIALIZED, serializeValue(value, what));
}

function wholeLetter(seconds: number, life: number, flags: number, form: number, bytes: Uint8Array): Buffer {
  if (LETTER_HEAD_BYTES + bytes.length > MESSAGE_MAX)
    throw new TswooleError('ERR_ARGUMENT', `at most 4 GiB can be sent to another process, got ${bytes.length} bytes`);
  const letter = Buffer.allocUnsafe(LETTER_HEAD_BYTES + bytes.length);
  letter.writeDoubleLE(seconds, 0);
  letter.writeInt32LE(life, LIFE_WORD * 4);
  letter.writeInt32LE(flags, FLAGS_WORD * 4);
  letter.writeInt32LE(form, FORM_WORD * 4);
  letter.writeInt32LE(0, (FORM_WORD + 1) * 4);
  letter.set(bytes, LETTER_HEAD_BYTES);
  return letter;
}

/** A letter as it was received; one object is filled again and again. */
export interface Letter {
  seconds: number;
  life: number;
  flags: number;
  value: unknown;
}

export function emptyLetter(): Letter {
  return { seconds: 0, life: 0, flags: 0, value: undefined };
}

/** A message with a payload of its own, for later. Releases the one that it is a copy of. */
export function keep(reader: Message): Message {
  const { kind, brokenKind, brokenLength, a, b, length, data, lane, position } = reader;
  const bytes = reader.bytes ?? Buffer.from(data.u8.slice(reader.offset, reader.offset + length).buffer);
  reader.release();
  return { kind, brokenKind, brokenLength, a, b, length, bytes, offset: 0, data, lane, position, release: () => {} };
}

/**
 * Fills a letter from a message. Must be called before its release(); the value is a copy of its own. Throws when the
 * message cannot be a letter: it comes from shared memory.
 */
export function readLetter(message: Message, letter: Letter): void {
  const { bytes, length } = message;
  if (bytes !== null) {
    decodeLetter(bytes, letter);
    return;
  }
  if (length < LETTER_HEAD_BYTES) throw new RangeError(`a letter has a head: length=${length}`);
  const { data, offset } = message;
  const word = offset >> 2;
  letter.seconds = data.f64[offset >> 3];
  letter.life = data.i32[word + LIFE_WORD];
  letter.flags = data.i32[word + FLAGS_WORD];
  const start = offset + LETTER_HEAD_BYTES;
  const end = offset + length;
  const form = data.i32[word + FORM_WORD];
  if (form === ASCII) letter.value = data.text.toString('latin1', start, end);
  else if (form === TEXT) letter.value = data.text.toString('utf8', start, end);
  else {
    const copy = slab.copy(data.u8, start, end - start);
    letter.value = form === BYTES ? copy : decodeValue(form, copy);
  }
}

/** Its value may share memory with the bytes. Throws when they are no letter. */
export function decodeLetter(bytes: Buffer, letter: Letter): void {
  if (bytes.length < LETTER_HEAD_BYTES) throw new RangeError(`a letter has a head: length=${bytes.length}`);
  letter.seconds = bytes.readDoubleLE(0);
  letter.life = bytes.readInt32LE(LIFE_WORD * 4);
  letter.flags = bytes.readInt32LE(FLAGS_WORD * 4);
  letter.value = decodeValue(bytes.readInt32LE(FORM_WORD * 4), bytes.subarray(LETTER_HEAD_BYTES));
}

function decodeValue(form: number, bytes: Buffer): unknown {
  switch (form) {
    case TEXT:
      return bytes.toString('utf8');
    case ASCII:
      return bytes.toString('latin1');
    case BYTES:
      return bytes;
    case SERIALIZED:
      return deserialize(bytes);
    default:
      throw new RangeError(`a letter has a form: ${form}`);
  }
}
