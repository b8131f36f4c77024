/**
 * Where everything lies in the one shared segment. Computed from a handful of numbers by one function, so that every
 * process that knows them sees the same map; they stand in the header, which a child reads first.
 *
 *   +--------+---------+-------+---------------+---------+-------+--------+
 *   | header | inboxes | lanes | rare counters | workers | hands | counts |
 *   +--------+--+------+-------+-----+---------+-----+---+-------+--------+
 *   | sessions  | connections  | ring controls | ring data (sparse) | boot record |
 *   +-----------+--------------+---------------+--------------------+-------------+
 *   one page each at least; ring data is mapped ring by ring, and only rings that are used cost memory
 *
 * Who writes what: an *inbox* is what one role reads (master, manager, each reactor, each worker id); a *lane* is what one
 * living process writes with. A worker id has several lanes, because a worker that ends gracefully and its replacement
 * both write for a while, and a ring bears one producer only.
 */
import { RARE_MAX } from './counters.ts';

export const LAYOUT_VERSION = 5;
export const MAGIC = 0x74735732;

/** A graceful worker, its replacement, and one more that was replaced just before: more have to wait for an end. */
export const LANES_PER_WORKER = 3;

/** Session slots, as Swoole has them: an id whose slot is still used is skipped. */
export const SESSION_SLOTS = 1 << 20;

/**
 * Large enough that a hundred connections with 16 KiB each under way do not fill it: full rings cost more than big ones.
 * Only pages that were touched cost memory, and an idle ring starts again at its beginning.
 */
export const RING_BYTES = 1 << 22;
export const RING_CONTROL_BYTES = 192;
export const INBOX_BYTES = 512;
/** What a lane counts all the time, and what it counts rarely; see lanes.ts. */
export const LANE_BYTES = 256;
export const RARE_BYTES = 8 * RARE_MAX;
export const WORKER_BYTES = 64;
/** What a process that runs tasks has in hand: a table, and the message that it takes out of a queue. See tasks-in-hand.ts. */
export const HAND_TABLE_BYTES = 32768;
export const INCOMING_BYTES = 12288;
export const HAND_BYTES = HAND_TABLE_BYTES + INCOMING_BYTES;
export const PORTS_MAX = 1024;
/** How many connections an owner has: in all, then for each port. */
export const COUNT_BYTES = 4 * (1 + PORTS_MAX);
export const CONNECTION_BYTES = 128;
export const HEADER_BYTES = 4096;

export const MASTER_LANE = 0;
export const MANAGER_LANE = 1;
export const MASTER_INBOX = 0;
export const MANAGER_INBOX = 1;
const FIRST_REACTOR = 2;

export interface LayoutNumbers {
  /** SWOOLE_BASE or SWOOLE_PROCESS. */
  mode: number;
  reactorCount: number;
  /** Event workers. */
  workerCount: number;
  taskWorkerCount: number;
  userProcessCount: number;
  /** Connection slots of each owner of connections (reactor thread, or process of a worker in BASE). */
  slotsPerOwner: number;
  ownerCount: number;
}

export interface Layout extends LayoutNumbers {
  /** Workers of all kinds: the ids that processes are known by. */
  workerIdCount: number;
  inboxCount: number;
  laneCount: number;
  inboxesOffset: number;
  lanesOffset: number;
  raresOffset: number;
  workersOffset: number;
  handsOffset: number;
  countsOffset: number;
  sessionsOffset: number;
  connectionsOffset: number;
  ringControlsOffset: number;
  /** Everything before this is mapped as one piece. */
  ringDataOffset: number;
  totalBytes: number;
}

const PAGE = 4096;
function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** How many workers of all kinds there may be. */
export function workersMax(reactorCount: number): number {
  return Math.floor((MAX_LANES - FIRST_REACTOR - reactorCount) / LANES_PER_WORKER);
}

export function computeLayout(numbers: LayoutNumbers): Layout {
  const workerIdCount = numbers.workerCount + numbers.taskWorkerCount + numbers.userProcessCount;
  const inboxCount = FIRST_REACTOR + numbers.reactorCount + workerIdCount;
  const laneCount = FIRST_REACTOR + numbers.reactorCount + workerIdCount * LANES_PER_WORKER;
  if (laneCount > MAX_LANES) throw new RangeError(`too many processes: ${workerIdCount} workers of all kinds`);
  const inboxesOffset = HEADER_BYTES;
  const lanesOffset = inboxesOffset + pages(inboxCount * INBOX_BYTES);
  const raresOffset = lanesOffset + pages(laneCount * LANE_BYTES);
  const workersOffset = raresOffset + pages(laneCount * RARE_BYTES);
  const handsOffset = workersOffset + pages(workerIdCount * WORKER_BYTES);
  const countsOffset = handsOffset + numbers.taskWorkerCount * LANES_PER_WORKER * HAND_BYTES;
  const sessionsOffset = countsOffset + pages(numbers.ownerCount * COUNT_BYTES);
  const connectionsOffset = sessionsOffset + SESSION_SLOTS * 4;
  const connectionCount = numbers.ownerCount * numbers.slotsPerOwner;
  const ringControlsOffset = connectionsOffset + pages(connectionCount * CONNECTION_BYTES);
  const ringDataOffset = ringControlsOffset + pages(inboxCount * laneCount * RING_CONTROL_BYTES);
  return {
    ...numbers,
    workerIdCount,
    inboxCount,
    laneCount,
    inboxesOffset,
    lanesOffset,
    raresOffset,
    workersOffset,
    handsOffset,
    countsOffset,
    sessionsOffset,
    connectionsOffset,
    ringControlsOffset,
    ringDataOffset,
    totalBytes: ringDataOffset + inboxCount * laneCount * RING_BYTES,
  };
}

/** An inbox has one pending bit per lane; this many fit behind its other fields. */
export const MAX_LANES = ((INBOX_BYTES - 128) / 4) * 32;

export function reactorLane(reactorId: number): number {
  return FIRST_REACTOR + reactorId;
}
export function isReactorLane({ reactorCount }: Layout, lane: number): boolean {
  return lane >= FIRST_REACTOR && lane < FIRST_REACTOR + reactorCount;
}
export function reactorInbox(reactorId: number): number {
  return FIRST_REACTOR + reactorId;
}
export function workerInbox(layout: Layout, workerId: number): number {
  return FIRST_REACTOR + layout.reactorCount + workerId;
}
/** Owners of connections are reactors, or in SWOOLE_BASE, where there are none before them, processes of workers. */
export function ownerOfLane(lane: number): number {
  return lane - FIRST_REACTOR;
}
export function laneOfOwner(owner: number): number {
  return FIRST_REACTOR + owner;
}
/** So many inboxes have owners behind them, from the first one on. In BASE several owners share one. */
export function ownerInboxCount({ reactorCount, workerCount }: Layout): number {
  return reactorCount > 0 ? reactorCount : workerCount;
}
export function ownerInbox(layout: Layout, slot: number): number {
  return inboxOfLane(layout, laneOfOwner(Math.floor(slot / layout.slotsPerOwner)));
}
/** The worker id that a lane belongs to, or -1 where it is a master's, manager's or reactor's. */
function workerOfLane(layout: Layout, lane: number): number {
  const firstWorker = FIRST_REACTOR + layout.reactorCount;
  return lane < firstWorker ? -1 : Math.floor((lane - firstWorker) / LANES_PER_WORKER);
}
export function workerLane(layout: Layout, workerId: number, generation: number): number {
  return FIRST_REACTOR + layout.reactorCount + workerId * LANES_PER_WORKER + generation;
}

/** The inbox whose doorbell wakes the process that writes with this lane (for "there is room again"). */
export function inboxOfLane(layout: Layout, lane: number): number {
  const workerId = workerOfLane(layout, lane);
  return workerId === -1 ? lane : workerInbox(layout, workerId);
}
