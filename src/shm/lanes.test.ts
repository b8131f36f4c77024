import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { smallSegment } from '../../test/support/shared.ts';
import * as counters from './counters.ts';
import {
  COUNTERS,
  FREQUENT_MAX,
  RARE_FIRST,
  RARE_MAX,
  REQUESTS,
  RINGS_FULL,
  TASKS_HELD,
  TASKS_LOST,
} from './counters.ts';
import { endLife, endsWord, highSlotNumber, LaneCounters, sumLanes } from './lanes.ts';
import { LANE_BYTES, RARE_BYTES } from './layout.ts';

describe('the rows of the counters', () => {
  it('have a number, a name and a sentence each, which no other has', () => {
    for (const field of ['id', 'label'] as const)
      assert.equal(new Set(COUNTERS.map((counter) => counter[field])).size, COUNTERS.length, field);
    for (const { id, kind, label, unit, help } of COUNTERS) {
      assert.ok(kind !== 'life' || Number(id) < FREQUENT_MAX, label);
      assert.match(label, /^[a-z]+(_[a-z]+)+$/);
      assert.ok(unit !== '' && help !== '', label);
    }
  });

  it('are there for every number, and their numbers have room', () => {
    const { FREQUENT_MAX: _, RARE_FIRST: __, RARE_MAX: ___, ...numbers } = counters;
    const ids = Object.values(numbers).filter((value) => typeof value === 'number');
    assert.deepEqual(
      COUNTERS.map(({ id }) => Number(id)).sort((a, b) => a - b),
      ids.sort((a, b) => a - b),
    );
    for (const id of ids)
      assert.ok(id < RARE_FIRST ? id >= 0 && id < FREQUENT_MAX : id < RARE_FIRST + RARE_MAX, `${id}`);
  });
});

describe('the counters of a lane', () => {
  it('have places of their own', () => {
    const segment = smallSegment();
    const { laneCount } = segment.layout;
    for (let lane = 0; lane < laneCount; lane++) {
      const own = new LaneCounters(segment, lane);
      for (const { id } of COUNTERS) own.set(id, lane * 1000 + Number(id));
      segment.words[endsWord(segment, lane)] = -lane;
      segment.numbers[highSlotNumber(segment, lane)] = lane;
    }
    for (let lane = 0; lane < laneCount; lane++) {
      const own = new LaneCounters(segment, lane);
      for (const { id } of COUNTERS) assert.equal(own.get(id), lane * 1000 + Number(id));
      assert.equal(own.numbers[own.base + REQUESTS], lane * 1000 + REQUESTS);
      assert.equal(segment.words[endsWord(segment, lane)], 0 - lane);
      assert.equal(segment.numbers[highSlotNumber(segment, lane)], lane);
    }
    assert.throws(() => new LaneCounters(segment, laneCount), /lane=\d+ of \d+/);
    assert.throws(() => new LaneCounters(segment, -1), /lane=-1/);
  });

  it('leave the pages of the rare ones alone until there is something to count', () => {
    const segment = smallSegment();
    const own = new LaneCounters(segment, 0);
    const { raresOffset, laneCount } = segment.layout;
    const rares = segment.region.u8.subarray(raresOffset, raresOffset + laneCount * RARE_BYTES);
    // A poison that only who looks there finds.
    rares.fill(1);
    assert.equal(own.get(RINGS_FULL), 0);
    rares.fill(0);
    own.add(RINGS_FULL, 2);
    own.add(RINGS_FULL, 3);
    assert.equal(own.get(RINGS_FULL), 5);
    assert.equal(new LaneCounters(segment, 1).get(RINGS_FULL), 0);
    assert.equal((LANE_BYTES % 64) + (RARE_BYTES % 64), 0);
  });

  it('begin again with the life of a process where they count that, and at its end where they tell of now', () => {
    const segment = smallSegment();
    const parent = new LaneCounters(segment, 1);
    const own = new LaneCounters(segment, 3);
    for (const { id } of COUNTERS) own.set(id, 7);
    own.beginLife();
    for (const { id, label, kind } of COUNTERS) assert.equal(own.get(id), kind === 'life' ? 0 : 7, label);
    endLife(segment, 3, parent);
    for (const { id, label, kind } of COUNTERS) assert.equal(own.get(id), kind === 'total' ? 7 : 0, label);
    assert.deepEqual([parent.get(TASKS_LOST), parent.get(TASKS_HELD)], [7, 0]);
  });

  it('are summed over all lanes, but for those of a life', () => {
    const segment = smallSegment();
    const { laneCount } = segment.layout;
    for (let lane = 0; lane < laneCount; lane += 2)
      for (const { id } of COUNTERS) new LaneCounters(segment, lane).set(id, lane + Number(id));
    const lanes = Array.from({ length: laneCount }, (_, lane) => new LaneCounters(segment, lane));
    for (const own of [-1, 0, 1, 2]) {
      const sums = sumLanes(segment, own);
      for (const { id, label, kind } of COUNTERS) {
        const all = lanes.reduce((sum, lane) => sum + lane.get(id), 0);
        assert.equal(sums[Number(id)], kind !== 'life' ? all : own === -1 ? 0 : lanes[own].get(id), label);
      }
    }
  });
});
