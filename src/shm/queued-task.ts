/**
 * A task in a System V message queue, where other programs may put some too:
 *
 *   0            4               8
 *   +------------+---------------+--------------------------+
 *   | task i32   | source i32    | a letter, see letter.ts  |
 *   +------------+---------------+--------------------------+
 *   The last word of the letter's head tells how many bytes follow it, so that one that was cut is known.
 */
import { decodeLetter, emptyLetter, encodeLetter, LETTER_HEAD_BYTES, type Letter } from './letter.ts';

const HEAD_BYTES = 8;
const HEADS_BYTES = HEAD_BYTES + LETTER_HEAD_BYTES;
const LENGTH_AT = HEADS_BYTES - 4;

export function encodeTask(taskId: number, sourceId: number, life: number, flags: number, data: unknown): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeInt32LE(taskId | 0, 0);
  head.writeInt32LE(sourceId, 4);
  const task = Buffer.concat([head, encodeLetter(life, flags, data, 'the data of a task')]);
  task.writeUInt32LE(task.length - HEADS_BYTES, LENGTH_AT);
  return task;
}

/** What follows the head. */
export function letterOfTask(task: Buffer): Buffer {
  return task.subarray(HEAD_BYTES);
}

export interface QueuedTask extends Letter {
  taskId: number;
  sourceId: number;
}

/** Throws when the bytes are no task. */
export function decodeTask(bytes: Buffer): QueuedTask {
  if (bytes.length < HEADS_BYTES) throw new RangeError(`a task has a head: length=${bytes.length}`);
  const length = bytes.readUInt32LE(LENGTH_AT);
  if (bytes.length !== HEADS_BYTES + length)
    throw new RangeError(`a task has the length that it tells: ${bytes.length - HEADS_BYTES} of ${length} bytes`);
  const letter = emptyLetter();
  decodeLetter(bytes.subarray(HEAD_BYTES), letter);
  return { ...letter, taskId: bytes.readInt32LE(0) >>> 0, sourceId: bytes.readInt32LE(4) };
}
