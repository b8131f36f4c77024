/**
 * System V message queues. A queue lives in the kernel until it is removed or the machine restarts, whatever becomes of the
 * processes that use it. Two limits of the machine hold:
 *
 * - /proc/sys/kernel/msgmax (usually 8192): the most bytes of one message. A longer one is refused with EINVAL.
 * - /proc/sys/kernel/msgmnb (usually 16384): what a new queue may hold, in bytes of all its messages together. The owner
 *   of a queue may lower its own limit, and raise it up to msgmnb; beyond that needs CAP_SYS_RESOURCE.
 */
import { statSync } from 'node:fs';
import {
  E2BIG,
  EINTR,
  EINVAL,
  ENOENT,
  IPC_CREAT,
  IPC_NOWAIT,
  IPC_PRIVATE,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from './constants.ts';
import * as libc from './libc.ts';
import { allocate, copyBytes, type Region } from './memory.ts';

/**
 * One message as the kernel takes it (struct msgbuf of 64-bit Linux):
 *
 *   0              8                    8 + length
 *   +--------------+--------------------+
 *   | type i64 > 0 | bytes              |
 *   +--------------+--------------------+
 */
const HEADER_BYTES = 8;
/** As long as Swoole's own buffer; a machine with a larger msgmax makes it grow. */
const FIRST_MESSAGE_BYTES = 65536;
/** Types are positive 64-bit numbers for the kernel; half of the positive 32-bit ones is plenty for process ids. */
export const MESSAGE_TYPE_MAX = 2 ** 31 - 1;

/**
 * struct msqid_ds of 64-bit Linux, the same on x86-64 and arm64, in glibc and musl: 120 bytes.
 *
 *   0               48                72        80      88          96
 *   +---------------+-----------------+---------+-------+-----------+---------
 *   | ipc_perm      | three times     | bytes   | count | limit     | pids …
 *   +---------------+-----------------+---------+-------+-----------+---------
 *   Numbers from 48 on are unsigned 64-bit.
 */
const DATA_BYTES = 256;
const BYTES_WORD = 18;
const COUNT_WORD = 20;
const LIMIT_WORD = 22;

let message: Region = allocate(HEADER_BYTES + FIRST_MESSAGE_BYTES);
const data = allocate(DATA_BYTES);

export interface MessageQueueStatus {
  /** Messages that wait. */
  count: number;
  /** Bytes of all of them together. */
  bytes: number;
  /** How many bytes the queue may hold. */
  limit: number;
}

/** `id`, or minus the errno. Key 0 (IPC_PRIVATE) makes a new queue that only its id leads to. */
export function openMessageQueue(key: number, mode = 0o666): number {
  const id = libc.msgget(key, IPC_CREAT | mode);
  return id === -1 ? -libc.errno() : id;
}

/** The id of a queue that is there already, or minus the errno: ENOENT. */
export function findMessageQueue(key: number): number {
  // The kernel would make one, whatever the flags.
  if (key === IPC_PRIVATE) return -ENOENT;
  const id = libc.msgget(key, 0);
  return id === -1 ? -libc.errno() : id;
}

/** What the kernel calls a key: any signed 32-bit number. Of a path that is not there, that of a private queue. */
export function keyOfPath(path: string, project: number): number {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    // The formula of ftok(3), so that programs in other languages find the queue.
    return Number(BigInt.asIntN(32, (BigInt(project & 0xff) << 24n) | ((dev & 0xffn) << 16n) | (ino & 0xffffn)));
  } catch {
    return IPC_PRIVATE;
  }
}

/**
 * Sends one message: 0 or an errno. Never waits: EAGAIN when the queue is full. EINVAL when the message is longer than
 * msgmax, the type is not positive, or the queue is gone; EIDRM when it was removed meanwhile.
 */
export function sendMessage(id: number, type: number, bytes: Uint8Array): number {
  if (!isType(type) || type === 0) return EINVAL;
  reserve(bytes.length);
  message.i32[0] = type;
  message.i32[1] = 0;
  message.u8.set(bytes, HEADER_BYTES);
  for (;;) {
    if (libc.msgsnd(id, message.address, bytes.length, IPC_NOWAIT) !== -1) return 0;
    const error = libc.errno();
    if (error !== EINTR) return error;
  }
}

/** What receiveMessage() found, until the next call. */
export interface ReceivedMessage {
  type: number;
  data: Buffer;
}

/**
 * Takes the oldest message of a type, or of any with type 0. Answers null when there is none (ENOMSG) or the queue is gone
 * (EINVAL, EIDRM): `error` of the third argument tells which. Never waits, and never cuts a message. With `into` the kernel
 * puts it there, with its type before it, unless it is too long for that.
 */
export function receiveMessage(
  id: number,
  type: number,
  answer: { error: number },
  into?: Region,
): ReceivedMessage | null {
  answer.error = 0;
  if (!isType(type)) {
    answer.error = EINVAL;
    return null;
  }
  let place = into ?? message;
  for (;;) {
    const length = libc.msgrcv(id, place.address, place.length - HEADER_BYTES, type, IPC_NOWAIT);
    if (length >= 0) {
      return {
        type: (place.i32[0] >>> 0) + place.i32[1] * 2 ** 32,
        data: copyBytes(place.u8, HEADER_BYTES, length),
      };
    }
    const error = libc.errno();
    if (error === E2BIG) {
      // The message is still in the queue: another program has sent more than ours would.
      if (place === message) reserve(2 * (message.length - HEADER_BYTES));
      place = message;
      continue;
    }
    if (error === EINTR) continue;
    answer.error = error;
    return null;
  }
}

/** 0 or an errno; what was found is in `answer`. */
export function messageQueueStatus(id: number, answer: MessageQueueStatus): number {
  if (libc.msgctl(id, IPC_STAT, data.address) === -1) return libc.errno();
  answer.count = word64(COUNT_WORD);
  answer.bytes = word64(BYTES_WORD);
  answer.limit = word64(LIMIT_WORD);
  return 0;
}

/** Sets how many bytes the queue may hold: 0, or an errno (EPERM: see msgmnb above). */
export function setMessageQueueLimit(id: number, bytes: number): number {
  if (!Number.isSafeInteger(bytes) || bytes < 1) return EINVAL;
  // Owner and mode are set as well: they must be what they were.
  if (libc.msgctl(id, IPC_STAT, data.address) === -1) return libc.errno();
  data.i32[LIMIT_WORD] = bytes | 0;
  data.i32[LIMIT_WORD + 1] = Math.floor(bytes / 2 ** 32);
  return libc.msgctl(id, IPC_SET, data.address) === -1 ? libc.errno() : 0;
}

/** Removes the queue with all that waits in it: 0 or an errno. Whoever waits for it elsewhere gets EIDRM. */
export function removeMessageQueue(id: number): number {
  return libc.msgctl(id, IPC_RMID, 0) === -1 ? libc.errno() : 0;
}

function isType(type: number): boolean {
  return Number.isInteger(type) && type >= 0 && type <= MESSAGE_TYPE_MAX;
}

function word64(word: number): number {
  return (data.i32[word] >>> 0) + (data.i32[word + 1] >>> 0) * 2 ** 32;
}

/** The old memory stays mapped: a growing machine-wide limit is rare, a view on unmapped memory a crash. */
function reserve(bytes: number): void {
  if (bytes > message.length - HEADER_BYTES) message = allocate(HEADER_BYTES + bytes);
}
