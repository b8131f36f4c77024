import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { SMALL, smallSegment } from '../../test/support/shared.ts';
import { closeDescriptor } from '../sys/socket.ts';
import {
  CONNECTION_BYTES,
  COUNT_BYTES,
  computeLayout,
  HAND_BYTES,
  HEADER_BYTES,
  INBOX_BYTES,
  inboxOfLane,
  LANE_BYTES,
  LANES_PER_WORKER,
  type LayoutNumbers,
  MANAGER_INBOX,
  MANAGER_LANE,
  MASTER_INBOX,
  MASTER_LANE,
  MAX_LANES,
  PORTS_MAX,
  RARE_BYTES,
  RING_BYTES,
  RING_CONTROL_BYTES,
  reactorInbox,
  reactorLane,
  SESSION_SLOTS,
  WORKER_BYTES,
  workerInbox,
  workerLane,
  workersMax,
} from './layout.ts';
import { Segment } from './segment.ts';

const PAGE = 4096;
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));

function someNumbers(count: number): LayoutNumbers[] {
  const random = prng(SEED);
  return Array.from({ length: count }, () => ({
    mode: 1 + random.int(2),
    reactorCount: random.int(33),
    workerCount: 1 + random.int(200),
    taskWorkerCount: random.int(200),
    userProcessCount: random.int(50),
    slotsPerOwner: 1 + random.int(20_000),
    ownerCount: 1 + random.int(33),
  }));
}

/** The regions in the order of the picture: where each begins, and how much it must hold. */
function regionsOf(layout: ReturnType<typeof computeLayout>): [string, number, number][] {
  const rings = layout.inboxCount * layout.laneCount;
  return [
    ['header', 0, HEADER_BYTES],
    ['inboxes', layout.inboxesOffset, layout.inboxCount * INBOX_BYTES],
    ['lanes', layout.lanesOffset, layout.laneCount * LANE_BYTES],
    ['rare counters', layout.raresOffset, layout.laneCount * RARE_BYTES],
    ['workers', layout.workersOffset, layout.workerIdCount * WORKER_BYTES],
    ['hands', layout.handsOffset, layout.taskWorkerCount * LANES_PER_WORKER * HAND_BYTES],
    ['counts', layout.countsOffset, layout.ownerCount * COUNT_BYTES],
    ['sessions', layout.sessionsOffset, SESSION_SLOTS * 4],
    ['connections', layout.connectionsOffset, layout.ownerCount * layout.slotsPerOwner * CONNECTION_BYTES],
    ['ring controls', layout.ringControlsOffset, rings * RING_CONTROL_BYTES],
    ['ring data', layout.ringDataOffset, rings * RING_BYTES],
    ['end', layout.totalBytes, 0],
  ];
}

describe('the layout', () => {
  it('has regions that begin on pages and do not overlap', () => {
    for (const numbers of [SMALL, { ...SMALL, reactorCount: 0 }, ...someNumbers(300)]) {
      const regions = regionsOf(computeLayout(numbers));
      for (let i = 0; i + 1 < regions.length; i++) {
        const [name, offset, bytes] = regions[i];
        const [next, nextOffset] = regions[i + 1];
        assert.equal(offset % PAGE, 0, `${name} at ${offset} (FUZZ_SEED=${SEED})`);
        assert.ok(offset + bytes <= nextOffset, `${name} runs into ${next}: ${JSON.stringify(numbers)}`);
        assert.ok(nextOffset - offset - bytes < PAGE, `a hole behind ${name}`);
      }
    }
  });

  it('gives each end of a ring, each inbox, lane and connection cache lines of its own', () => {
    for (const bytes of [RING_CONTROL_BYTES, INBOX_BYTES, LANE_BYTES, RARE_BYTES, WORKER_BYTES, CONNECTION_BYTES])
      assert.equal(bytes % 64, 0);
    assert.equal(RING_CONTROL_BYTES, 3 * 64);
    assert.equal(RING_BYTES & (RING_BYTES - 1), 0, 'a power of two');
    assert.equal(SESSION_SLOTS & (SESSION_SLOTS - 1), 0, 'a power of two');
  });

  it('bears as many lanes as an inbox has pending bits, and tells beyond', () => {
    const lanesOf = (workerCount: number): number =>
      computeLayout({ ...SMALL, reactorCount: 1, workerCount }).laneCount;
    const most = workersMax(1);
    assert.ok(lanesOf(most) <= MAX_LANES);
    assert.throws(() => lanesOf(most + 1), /too many processes/);
    assert.ok(128 + (MAX_LANES / 32) * 4 <= INBOX_BYTES);
  });

  it('keeps every number below 2^53 and every word index below 2^32 at its largest', () => {
    const layout = computeLayout({ ...SMALL, reactorCount: 64, workerCount: 1000, slotsPerOwner: 1e6, ownerCount: 64 });
    assert.ok(Number.isSafeInteger(layout.totalBytes));
    assert.ok(layout.ringDataOffset / 4 < 2 ** 32);
  });

  it('gives every role an inbox and every process a lane that is nobody else’s', () => {
    for (const numbers of someNumbers(30)) {
      const layout = computeLayout(numbers);
      const inboxes = [MASTER_INBOX, MANAGER_INBOX];
      const lanes = [MASTER_LANE, MANAGER_LANE];
      assert.deepEqual([inboxOfLane(layout, MASTER_LANE), inboxOfLane(layout, MANAGER_LANE)], inboxes);
      for (let id = 0; id < layout.reactorCount; id++) {
        inboxes.push(reactorInbox(id));
        lanes.push(reactorLane(id));
        assert.equal(inboxOfLane(layout, reactorLane(id)), reactorInbox(id));
      }
      for (let id = 0; id < layout.workerIdCount; id++) {
        inboxes.push(workerInbox(layout, id));
        for (let generation = 0; generation < LANES_PER_WORKER; generation++) {
          lanes.push(workerLane(layout, id, generation));
          assert.equal(inboxOfLane(layout, workerLane(layout, id, generation)), workerInbox(layout, id));
        }
      }
      assert.deepEqual(inboxes, [...Array(layout.inboxCount).keys()]);
      assert.deepEqual(lanes, [...Array(layout.laneCount).keys()]);
    }
  });
});

describe('a segment', () => {
  it('is the same for whoever attaches', () => {
    for (const changes of [
      {},
      { reactorCount: 0, ownerCount: 2, mode: 1 },
      { taskWorkerCount: 3, userProcessCount: 2 },
    ]) {
      const segment = smallSegment(changes);
      segment.startTime = 1234.5;
      segment.startSessionId = 9_000_000_000;
      segment.writeBootRecord({ text: 'höchst', list: [1, 2] });
      const other = Segment.attach(segment.fd);
      assert.deepEqual(other.layout, segment.layout);
      assert.deepEqual([other.startTime, other.startSessionId], [1234.5, 9_000_000_000]);
      assert.deepEqual(other.readBootRecord(), { text: 'höchst', list: [1, 2] });
      // The last word before the rings is mapped on both sides.
      const last = segment.words.length - 1;
      other.words[last] = 77;
      assert.equal(segment.words[last], 77);
      closeDescriptor(segment.fd);
    }
  });

  it('refuses memory that is not of this version', () => {
    const segment = smallSegment();
    segment.words[0]++;
    assert.throws(() => Segment.attach(segment.fd), /not of this version: magic=/);
    segment.words[0]--;
    segment.words[1]++;
    assert.throws(() => Segment.attach(segment.fd), /not of this version: .*version=/);
    segment.words[1]--;
    segment.words[14]++;
    assert.throws(() => Segment.attachReadOnly(segment.fd), /not of this version: .*counters=/);
    closeDescriptor(segment.fd);
  });

  it('gives each start a number that no other has, and counts from another one the next time', () => {
    const segments = Array.from({ length: 4 }, () => smallSegment());
    const firsts = segments.map((segment) => segment.nextLife());
    assert.ok(new Set(firsts).size > 1);
    for (const [index, segment] of segments.entries()) {
      assert.equal(segment.nextLife(), firsts[index] + 1);
      assert.ok(firsts[index] > 0, 'nobody is 0');
    }
  });

  it('refuses a header that tells of more memory than there is', () => {
    const segment = smallSegment();
    segment.words[4]++;
    assert.throws(() => Segment.attach(segment.fd), /bytes/);
    closeDescriptor(segment.fd);
  });

  it('bears a boot record of any length, and tells of one that is cut off', () => {
    const segment = smallSegment();
    const record = { text: 'x'.repeat(1_000_000), bytes: Buffer.from([0, 255]) };
    segment.writeBootRecord(record);
    assert.deepEqual(Segment.attach(segment.fd).readBootRecord(), record);
    ftruncateSync(segment.fd, segment.layout.totalBytes + 1000);
    assert.throws(() => segment.readBootRecord(), /cut off: 1000 of/);
    assert.throws(() => Segment.attach(segment.fd), /another size/);
    closeDescriptor(segment.fd);
  });

  it('counts connections by port, and sessions', () => {
    const segment = smallSegment({ ownerCount: 2 });
    segment.addConnections(0, 1, 3);
    assert.equal(segment.connections, 1);
    segment.addConnections(1, 1, PORTS_MAX - 1);
    assert.equal(segment.connections, 2);
    assert.deepEqual([segment.connections, segment.portConnections(3), segment.portConnections(4)], [2, 1, 0]);
    // One accepts, the other gets the connection and closes it.
    segment.addConnections(1, -1, 3);
    assert.equal(segment.connections, 1);
    assert.deepEqual([segment.connections, segment.portConnections(3)], [1, 0]);
    assert.deepEqual([segment.nextSession(), segment.nextSession(), segment.sessionsGiven], [0, 1, 2]);
    closeDescriptor(segment.fd);
  });
});
