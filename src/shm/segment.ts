import { fstatSync } from 'node:fs';
import { createMemoryFile, mapShared, type Region } from '../sys/memory.ts';
import { computeLayout, LAYOUT_VERSION, type Layout, type LayoutNumbers, MAGIC } from './layout.ts';

/**
 *   word  0 magic         1 layout version   2 mode           3 reactors
 *         4 workers       5 task workers     6 user processes 7 slots per owner
 *         8 owners        9 master pid      10 manager pid   11 state (see below)
 *        12 connections  13 sessions given  14 free          15 barrier: processes that are ready
 *   f64  16 (word 32) start time, s        17 start session id
 *   word 40 running reload (1) or not       41 highest descriptor seen
 *        42 id of the message queue + 1
 *   word 64… per port: connections now
 *   byte 8192… the boot record: length i32, then JSON that children read
 * Words 12, 13, 15 and the ports' are changed with Atomics by anybody; the rest is written by master or manager.
 */
const WORD_CONNECTIONS = 12;
const WORD_SESSIONS = 13;
const F64_START_TIME = 16;
const F64_START_SESSION = 17;
export const PORT_WORD = 64;
export const PORTS_MAX = 1024;
const BOOT_OFFSET = 8192;
const BOOT_BYTES = 8192;

export const WORD_MASTER_PID = 9;
export const WORD_MANAGER_PID = 10;
export const WORD_STATE = 11;
export const WORD_RELOADING = 40;
export const WORD_MAX_FD = 41;
export const WORD_TASK_QUEUE = 42;

export const STATE_STARTING = 0;
export const STATE_RUNNING = 1;
export const STATE_STOPPING = 2;

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
    const fd = createMemoryFile('tswoole', layout.totalBytes);
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
    segment.words[0] = MAGIC;
    return segment;
  }

  static attach(fd: number): Segment {
    const header = mapShared(fd, 0, 4096).i32;
    if (header[0] !== MAGIC || header[1] !== LAYOUT_VERSION) {
      throw new Error(`the shared segment is not of this version: magic=${header[0]} version=${header[1]}`);
    }
    const [mode, reactorCount, workerCount, taskWorkerCount, userProcessCount, slotsPerOwner, ownerCount] =
      header.subarray(2, 9);
    const numbers = { mode, reactorCount, workerCount, taskWorkerCount, userProcessCount, slotsPerOwner, ownerCount };
    const layout = computeLayout(numbers);
    const { size } = fstatSync(fd);
    if (size !== layout.totalBytes)
      throw new Error(
        `the shared segment has another size than its header tells: ${size} of ${layout.totalBytes} bytes`,
      );
    return new Segment(fd, layout, mapShared(fd, 0, layout.ringDataOffset));
  }

  /** What children must know before they run: JSON, small. */
  writeBootRecord(record: object): void {
    const bytes = Buffer.from(JSON.stringify(record));
    if (bytes.length > BOOT_BYTES - 4)
      throw new RangeError(`the boot record is too long: ${bytes.length} > ${BOOT_BYTES - 4}`);
    this.words[BOOT_OFFSET / 4] = bytes.length;
    this.region.u8.set(bytes, BOOT_OFFSET + 4);
  }
  readBootRecord(): unknown {
    const length = this.words[BOOT_OFFSET / 4];
    return JSON.parse(this.region.text.toString('utf8', BOOT_OFFSET + 4, BOOT_OFFSET + 4 + length));
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
    return Atomics.load(this.words, WORD_CONNECTIONS);
  }
  /** Adds to the number of open connections and answers the number before. */
  addConnections(delta: number, portIndex: number): number {
    Atomics.add(this.words, PORT_WORD + portIndex, delta);
    return Atomics.add(this.words, WORD_CONNECTIONS, delta);
  }
  portConnections(portIndex: number): number {
    return Atomics.load(this.words, PORT_WORD + portIndex);
  }
  get sessionsGiven(): number {
    return Atomics.load(this.words, WORD_SESSIONS) >>> 0;
  }
  nextSession(): number {
    return Atomics.add(this.words, WORD_SESSIONS, 1);
  }
  load(word: number): number {
    return Atomics.load(this.words, word);
  }
  store(word: number, value: number): void {
    Atomics.store(this.words, word, value);
  }
}
