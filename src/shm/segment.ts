import { randomInt } from 'node:crypto';
import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { deserialize, serialize } from 'node:v8';
import { createMemoryFile, mapReadOnly, mapShared, type Region } from '../sys/memory.ts';
import { COUNTERS } from './counters.ts';
import {
  COUNT_BYTES,
  computeLayout,
  HEADER_BYTES,
  LAYOUT_VERSION,
  type Layout,
  type LayoutNumbers,
  MAGIC,
} from './layout.ts';

/**
 *   word  0 magic         1 layout version   2 mode           3 reactors
 *         4 workers       5 task workers     6 user processes 7 slots per owner
 *         8 owners        9 master pid      10 manager pid   11 state (see below)
 *        12 last life     13 sessions given  14 mark of what is counted
 *        15 barrier: processes that are ready
 *   f64  16 (word 32) start time, s        17 start session id
 *   word 40 running reload (see below)       41 highest descriptor seen
 *        42 id of the message queue + 1             43 lowest listening descriptor
 *        44 how the start went (see below)          45 generation of the workers: 1, and one more with each reload
 *        46 bytes of the boot record
 * Behind the rings lies the boot record, which children read before they run.
 * Words 12, 13 and 15 are changed with Atomics by anybody; the rest is written by master or manager.
 */
const WORD_LIVES = 12;
const WORD_SESSIONS = 13;
const WORD_COUNTERS_MARK = 14;
const F64_START_TIME = 16;
const F64_START_SESSION = 17;
/** Lives count from somewhere below this. */
const FIRST_LIFE_MAX = 2 ** 30;
const WORD_BOOT_BYTES = 46;

/** As the kernel knows the memory. */
export const SEGMENT_NAME = 'tswoole';

export const WORD_MASTER_PID = 9;
export const WORD_MANAGER_PID = 10;
export const WORD_STATE = 11;
export const WORD_RELOADING = 40;
export const WORD_MAX_FD = 41;
export const WORD_TASK_QUEUE = 42;
export const WORD_MIN_FD = 43;
export const WORD_START = 44;
export const WORD_GENERATION = 45;

/** In WORD_RELOADING; 0 = there is none. */
export const RELOAD_STARTS = 1;
export const RELOAD_HANDS_OVER = 2;

export const STATE_STARTING = 0;
export const STATE_RUNNING = 1;
export const STATE_STOPPING = 2;

/** No event worker has been ready yet. */
export const START_OPEN = 0;
/** One has. */
export const START_SUCCEEDED = 1;
/** None could, again and again: the server ends. */
export const START_FAILED = 2;

/** Two programs of the same mark mean the same by what lies in a lane's blocks. */
const COUNTERS_MARK = markOf(COUNTERS.map(({ id, label }) => `${id} ${label}`).join());

/** FNV-1a. */
function markOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The shared memory of one server: the part before the rings, mapped in every process. */
export class Segment {
  readonly fd: number;
  readonly layout: Layout;
  readonly region: Region;
  readonly words: Int32Array;
  readonly numbers: Float64Array;

  private constructor(fd: number, layout: Layout, region: Region) {
    this.fd = fd;
    this.layout = layout;
    this.region = region;
    this.words = region.i32;
    this.numbers = region.f64;
  }

  static create(layoutNumbers: LayoutNumbers): Segment {
    const layout = computeLayout(layoutNumbers);
    const fd = createMemoryFile(SEGMENT_NAME, layout.totalBytes);
    const segment = new Segment(fd, layout, mapShared(fd, 0, layout.ringDataOffset));
    const n = layoutNumbers;
    const header = [
      n.mode,
      n.reactorCount,
      n.workerCount,
      n.taskWorkerCount,
      n.userProcessCount,
      n.slotsPerOwner,
      n.ownerCount,
    ];
    segment.words.set([LAYOUT_VERSION, ...header], 1);
    segment.words[WORD_LIVES] = randomInt(FIRST_LIFE_MAX);
    segment.words[WORD_COUNTERS_MARK] = COUNTERS_MARK;
    segment.words[WORD_GENERATION] = 1;
    segment.words[0] = MAGIC;
    return segment;
  }

  static attach(fd: number): Segment {
    const layout = readLayout(fd);
    return new Segment(fd, layout, mapShared(fd, 0, layout.ringDataOffset));
  }

  /** For a program beside the server: it can look at everything but rings. The descriptor is not needed afterwards. */
  static attachReadOnly(fd: number): Segment {
    const layout = readLayout(fd);
    return new Segment(-1, layout, mapReadOnly(fd, 0, layout.ringDataOffset));
  }

  /** What children must know before they run: plain data, as long as it likes. Written once, before there are any. */
  writeBootRecord(record: object): void {
    const { totalBytes } = this.layout;
    const bytes = serialize(record);
    ftruncateSync(this.fd, totalBytes + bytes.length);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.fd, bytes, done, bytes.length - done, totalBytes + done);
    this.words[WORD_BOOT_BYTES] = bytes.length;
  }
  readBootRecord(): unknown {
    const bytes = Buffer.alloc(this.words[WORD_BOOT_BYTES]);
    const read = readSync(this.fd, bytes, 0, bytes.length, this.layout.totalBytes);
    if (read !== bytes.length) throw new Error(`the boot record is cut off: ${read} of ${bytes.length} bytes`);
    return deserialize(bytes);
  }

  get startTime(): number {
    return this.numbers[F64_START_TIME];
  }
  set startTime(seconds: number) {
    this.numbers[F64_START_TIME] = seconds;
  }
  /** Session ids count from this plus one. */
  get startSessionId(): number {
    return this.numbers[F64_START_SESSION];
  }
  set startSessionId(id: number) {
    this.numbers[F64_START_SESSION] = id;
  }

  get connections(): number {
    return this.sumOfCounts(0);
  }
  portConnections(portIndex: number): number {
    return this.sumOfCounts(1 + portIndex);
  }
  /**
   * Adds to the number of an owner's connections. Nobody else writes what an owner counts, so whatever it was doing when it
   * died, forgetting its count is right. Of two that count at the same time both may be told of the other.
   */
  addConnections(owner: number, delta: number, portIndex: number): void {
    const first = this.countWord(owner);
    Atomics.add(this.words, first + 1 + portIndex, delta);
    Atomics.add(this.words, first, delta);
  }
  /** An owner has died, and its sockets with it. */
  forgetConnections(owner: number): void {
    const first = this.countWord(owner);
    for (let word = 0; word < COUNT_BYTES / 4; word++) Atomics.store(this.words, first + word, 0);
  }
  private sumOfCounts(field: number): number {
    let sum = 0;
    for (let owner = 0; owner < this.layout.ownerCount; owner++)
      sum += Atomics.load(this.words, this.countWord(owner) + field);
    return sum;
  }
  private countWord(owner: number): number {
    return (this.layout.countsOffset + owner * COUNT_BYTES) / 4;
  }
  get sessionsGiven(): number {
    return Atomics.load(this.words, WORD_SESSIONS) >>> 0;
  }
  nextSession(): number {
    return Atomics.add(this.words, WORD_SESSIONS, 1);
  }
  /**
   * The number of one start: no other process or thread of this server has it, and it does not come again as pids do. A
   * task queue may outlive the server, with tasks of its processes: so the next server counts from another number.
   */
  nextLife(): number {
    return Atomics.add(this.words, WORD_LIVES, 1) + 1;
  }
  load(word: number): number {
    return Atomics.load(this.words, word);
  }
  store(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }
  /** Puts one value in the place of another; true exactly for the one who did. */
  exchange(word: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, word, from, to) === from;
  }
}

/** From the header; checks that it is there, and like ours. */
function readLayout(fd: number): Layout {
  const { size } = fstatSync(fd);
  if (size < HEADER_BYTES) throw new Error(`the shared segment has no header: size=${size}`);
  const header = mapReadOnly(fd, 0, 4096).i32;
  const mark = header[WORD_COUNTERS_MARK];
  if (header[0] !== MAGIC || header[1] !== LAYOUT_VERSION || mark !== COUNTERS_MARK)
    throw new Error(
      `the shared segment is not of this version: magic=${header[0]} version=${header[1]} counters=${mark}`,
    );
  const [mode, reactorCount, workerCount, taskWorkerCount, userProcessCount, slotsPerOwner, ownerCount] =
    header.subarray(2, 9);
  const numbers = { mode, reactorCount, workerCount, taskWorkerCount, userProcessCount, slotsPerOwner, ownerCount };
  const layout = computeLayout(numbers);
  const told = layout.totalBytes + header[WORD_BOOT_BYTES];
  if (size !== told)
    throw new Error(`the shared segment has another size than its header tells: ${size} of ${told} bytes`);
  return layout;
}
