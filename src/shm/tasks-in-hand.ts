/**
 * What a task worker has taken and not answered yet, so that somebody can tell the others when it dies. One table for each
 * process that may run tasks (a lane), of 1,024 entries:
 *
 *   word 0 state (0 free, 1 in hand, 2 answered)   1 task id   2 source: worker id   3 life of the source
 *        4 flags   5 lane that the task came by, or -1   6 position in that ring   7 free
 *   Written by the task worker; read by the manager once that process is dead. State is stored last and cleared first.
 *
 * Behind it is where the kernel puts a message of a task queue (task_ipc_mode 2 and 3), type and all:
 *
 *   word 0–1 type, 0 where there is none   2 task id   3 source   4–5 time   6 life   7 flags   then the rest
 *   Written by the kernel; the task worker clears the type before, and when it has entered the task.
 *
 * The message is in the queue or here, and nowhere else: a process that dies before its first instruction leaves it here.
 *
 * A task is entered before its ring's head moves, because afterwards nobody else knows of it. Whether the head has moved
 * decides whom it belongs to: before, it is the successor's; after, it died with its worker.
 */
import { Region } from '../sys/memory.ts';
import { HAND_BYTES, HAND_TABLE_BYTES, INCOMING_BYTES, type Layout, workerLane } from './layout.ts';
import { ringConsumed } from './ring-control.ts';
import type { Segment } from './segment.ts';

export const HAND_ENTRIES = 1024;
const ENTRY_WORDS = HAND_TABLE_BYTES / 4 / HAND_ENTRIES;
const INCOMING_WORD = HAND_TABLE_BYTES / 4;
/** Of the message: its type and the heads of task and letter. */
const INCOMING_HEAD_WORDS = 10;

const STATE = 0;
const TASK = 1;
const SOURCE = 2;
const LIFE = 3;
const FLAGS = 4;
const LANE = 5;
const POSITION = 6;

const FREE = 0;
const IN_HAND = 1;
const ANSWERED = 2;

export interface TaskInTable {
  taskId: number;
  source: number;
  life: number;
  flags: number;
}

/** Where the table of a lane begins, in words. */
function tableWord(layout: Layout, lane: number): number {
  const index = lane - workerLane(layout, layout.workerCount, 0);
  const tables =
    workerLane(layout, layout.workerCount + layout.taskWorkerCount, 0) - workerLane(layout, layout.workerCount, 0);
  if (!(index >= 0 && index < tables)) throw new RangeError(`lane=${lane} is no task worker's`);
  return (layout.handsOffset + index * HAND_BYTES) / 4;
}

/** The table of this process. */
export class TasksInHand {
  private readonly words: Int32Array;
  private readonly base: number;
  private readonly address: number;
  private readonly free: number[] = [];
  private used = 0;

  constructor(segment: Segment, lane: number) {
    this.words = segment.words;
    this.base = tableWord(segment.layout, lane);
    this.address = segment.region.address + this.base * 4;
    // What a predecessor left was told by the manager, or nobody is left to be told.
    for (let entry = 0; entry < HAND_ENTRIES; entry++) this.words[this.base + entry * ENTRY_WORDS] = FREE;
  }

  /** Where a message of a task queue is to be received. */
  incoming(): Region {
    return new Region(this.address + HAND_TABLE_BYTES, INCOMING_BYTES);
  }

  /** No message has come, or the one that has is a task that take() knows. */
  clearIncoming(): void {
    const { words } = this;
    const at = this.base + INCOMING_WORD;
    Atomics.store(words, at, 0);
    words.fill(0, at, at + INCOMING_HEAD_WORDS);
  }

  get full(): boolean {
    return this.used === HAND_ENTRIES && this.free.length === 0;
  }

  /** Enters a task, before it is released from its ring; there must be room. */
  take(taskId: number, source: number, life: number, flags: number, lane: number, position: number): number {
    const entry = this.free.pop() ?? this.used++;
    if (entry >= HAND_ENTRIES) throw new RangeError(`a task worker has at most ${HAND_ENTRIES} tasks in hand`);
    const { words } = this;
    const at = this.base + entry * ENTRY_WORDS;
    words[at + TASK] = taskId;
    words[at + SOURCE] = source;
    words[at + LIFE] = life;
    words[at + FLAGS] = flags;
    words[at + LANE] = lane;
    words[at + POSITION] = position;
    Atomics.store(words, at + STATE, IN_HAND);
    return entry;
  }

  /** An answer has been published: should we die now, the task did not fail. */
  answered(entry: number): void {
    Atomics.store(this.words, this.base + entry * ENTRY_WORDS + STATE, ANSWERED);
  }

  /** The task is over. */
  release(entry: number): void {
    Atomics.store(this.words, this.base + entry * ENTRY_WORDS + STATE, FREE);
    this.free.push(entry);
  }
}

/** The tasks that died with the process of a lane. Clears its table, so that nobody tells of them twice. */
export function takeTasksOfDead(segment: Segment, inbox: number, lane: number): TaskInTable[] {
  const { words } = segment;
  const base = tableWord(segment.layout, lane);
  const found: TaskInTable[] = [];
  for (let entry = 0; entry < HAND_ENTRIES; entry++) {
    const at = base + entry * ENTRY_WORDS;
    if (Atomics.exchange(words, at + STATE, FREE) !== IN_HAND) continue;
    const from = words[at + LANE];
    const taken = from === -1 || ringConsumed(segment, inbox, from, words[at + POSITION]);
    if (!taken) continue;
    found.push({
      taskId: words[at + TASK] >>> 0,
      source: words[at + SOURCE],
      life: words[at + LIFE],
      flags: words[at + FLAGS],
    });
  }
  return found;
}

/** The task that was taken out of a queue last by the dead process of a lane, unless that had entered it; or null. */
export function takeIncomingOfDead(segment: Segment, lane: number): TaskInTable | null {
  const { words } = segment;
  const at = tableWord(segment.layout, lane) + INCOMING_WORD;
  if (Atomics.exchange(words, at, 0) === 0) return null;
  return { taskId: words[at + 2] >>> 0, source: words[at + 3], life: words[at + 6], flags: words[at + 7] };
}
