import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { smallSegment } from '../../test/support/shared.ts';
import {
  ConnectionTable,
  FLAG_CLOSE_DONE,
  FLAG_CLOSE_TAKEN,
  FLAG_PAUSED,
  FLAGS,
  PORT,
  SERIAL,
  STATE,
  STATE_ACTIVE,
  STATE_CLOSING,
  STATE_FREE,
  STATE_OPENING,
} from './connections.ts';
import { SESSION_SLOTS } from './layout.ts';
import type { Segment } from './segment.ts';

const WORD_SESSIONS = 13;

function someTable(changes = {}): { segment: Segment; table: ConnectionTable } {
  const segment = smallSegment({ slotsPerOwner: 16, ownerCount: 2, ...changes });
  return { segment, table: new ConnectionTable(segment) };
}

/** Opens a session as a reactor does, and answers its id. */
function open(table: ConnectionTable, slot: number, tries = 4): number {
  assert.equal(table.openSession(slot, tries), true);
  const base = table.wordBase(slot);
  table.words[base + STATE] = STATE_ACTIVE;
  table.words[base + FLAGS] = 0;
  return table.fdOf(table.words[base + SERIAL]);
}

/** Lets the next session have this serial. */
function skipTo(segment: Segment, serial: number): void {
  segment.store(WORD_SESSIONS, serial | 0);
}

describe('session ids', () => {
  it('count from one, or from behind start_session_id', () => {
    const { segment, table } = someTable();
    assert.deepEqual([open(table, 3), open(table, 0), open(table, 31)], [1, 2, 3]);
    segment.startSessionId = 9_000_000_000;
    assert.equal(open(table, 5), 9_000_000_004);
    assert.equal(table.find(9_000_000_004), 5);
    assert.equal(table.find(4), -1);
  });

  it('find their slot while it is in use, unless it still opens', () => {
    const { table } = someTable();
    const fd = open(table, 7);
    const base = table.wordBase(7);
    for (const state of [STATE_OPENING, STATE_ACTIVE, STATE_CLOSING]) {
      table.words[base + STATE] = state;
      assert.equal(table.find(fd), state === STATE_OPENING ? -1 : 7);
      assert.equal(table.state(7), state);
    }
  });

  it('find nothing once the slot is free, but findAny does until somebody else has it', () => {
    const { table } = someTable();
    const fd = open(table, 7);
    table.closeSession(7);
    assert.equal(table.state(7), STATE_FREE);
    assert.equal(table.find(fd), -1);
    assert.equal(table.findAny(fd), 7);
    const next = open(table, 7);
    assert.equal(next, fd + 1);
    assert.deepEqual([table.findAny(fd), table.find(fd), table.find(next)], [-1, -1, 7]);
  });

  it('that nobody was given find nothing', () => {
    const { table } = someTable();
    open(table, 1);
    for (const fd of [
      0,
      -1,
      2,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 32,
      2 ** 32 + 1,
      2 ** 53,
      SESSION_SLOTS + 1,
    ])
      assert.equal(table.find(fd), -1, `${fd}`);
    assert.equal(table.find(1), 1);
  });

  it('skip an entry whose connection is still open after 2^20 others', () => {
    const { segment, table } = someTable();
    const old = open(table, 1);
    const kept = open(table, 2);
    skipTo(segment, SESSION_SLOTS);
    const next = open(table, 3);
    assert.equal(next, SESSION_SLOTS + 3, 'two entries are held');
    assert.deepEqual([table.find(old), table.find(kept), table.find(next)], [1, 2, 3]);
    // A stale id of the same entry finds nothing.
    assert.equal(table.find(SESSION_SLOTS + 1), -1);
    table.closeSession(1);
    skipTo(segment, 2 * SESSION_SLOTS);
    assert.equal(open(table, 4), 2 * SESSION_SLOTS + 1);
    assert.equal(table.find(old), -1);
    assert.equal(table.findAny(old), -1, 'the entry is another’s now, the slot is not');
  });

  it('take the entry of an ended session though its slot serves another', () => {
    const { segment, table } = someTable();
    const first = open(table, 1);
    table.closeSession(1);
    const second = open(table, 1);
    skipTo(segment, SESSION_SLOTS);
    const third = open(table, 2);
    assert.equal(third, SESSION_SLOTS + 1, 'entry 0 is free, although slot 1 is in use');
    assert.deepEqual([table.find(first), table.find(second), table.find(third)], [-1, 1, 2]);
  });

  it('are refused when none of the entries that were tried is free', () => {
    const { segment, table } = someTable();
    for (let slot = 0; slot < 8; slot++) open(table, slot);
    skipTo(segment, SESSION_SLOTS);
    assert.equal(table.openSession(9, 8), false);
    assert.equal(table.openSession(9, 1), true);
    skipTo(segment, SESSION_SLOTS);
    assert.equal(table.openSession(10, 10), true, 'the ninth is held by a slot that is still free');
  });

  it('wrap modulo 2^32', () => {
    const { segment, table } = someTable();
    skipTo(segment, 2 ** 32 - 2);
    assert.deepEqual([open(table, 1), open(table, 2), open(table, 3)], [2 ** 32 - 1, 2 ** 32, 1]);
    assert.deepEqual([table.find(2 ** 32 - 1), table.find(2 ** 32), table.find(1)], [1, 2, 3]);
    assert.equal(segment.sessionsGiven, 1);
    // With serials above 2^31, which are negative words.
    for (const slot of [1, 2, 3]) table.closeSession(slot);
    skipTo(segment, 2 ** 31 - 1);
    assert.deepEqual([open(table, 4), open(table, 5)], [2 ** 31, 2 ** 31 + 1]);
    assert.deepEqual([table.find(2 ** 31), table.find(2 ** 31 + 1)], [4, 5]);
  });

  it('agree with a plain map over many connections, some of which stay', () => {
    const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
    const random = prng(seed);
    const { segment, table } = someTable({ slotsPerOwner: 64 });
    const open_ = new Map<number, number>();
    const ended: number[] = [];
    const free = Array.from({ length: 128 }, (_, i) => i);
    skipTo(segment, -5000);
    for (let step = 0; step < 20_000; step++) {
      // Now and then nearly all entries have gone by, so that old ones come into the way.
      if (step % 100 === 99) skipTo(segment, (segment.sessionsGiven + SESSION_SLOTS - random.int(200)) | 0);
      if (free.length > 0 && random.int(2) === 0) {
        const slot = free.splice(random.int(free.length), 1)[0];
        const fd = open(table, slot, 1000);
        assert.ok(!open_.has(fd), `${fd} was given twice (FUZZ_SEED=${seed})`);
        open_.set(fd, slot);
      } else if (open_.size > 0) {
        const [fd, slot] = [...open_][random.int(open_.size)];
        open_.delete(fd);
        ended.push(fd);
        table.closeSession(slot);
        free.push(slot);
      }
      if (step % 50 !== 0) continue;
      for (const [fd, slot] of open_) assert.equal(table.find(fd), slot, `FUZZ_SEED=${seed}`);
      for (const fd of ended.slice(-100)) if (!open_.has(fd)) assert.equal(table.find(fd), -1, `FUZZ_SEED=${seed}`);
    }
  });
});

describe('the table of connections', () => {
  it('refuses a slot that does not exist', () => {
    const { table } = someTable();
    assert.equal(table.slotCount, 32);
    for (const slot of [-1, 32, Number.NaN]) assert.throws(() => table.wordBase(slot), /slot=.* of 32/);
  });

  it('does not follow a damaged session entry out of the table', () => {
    const { segment, table } = someTable();
    const fd = open(table, 1);
    for (const entry of [33, 2 ** 31 - 1, -5]) {
      segment.words[segment.layout.sessionsOffset / 4] = entry;
      assert.equal(table.find(fd), -1);
    }
  });

  it('keeps slots apart', () => {
    const { segment, table } = someTable();
    for (let slot = 0; slot < table.slotCount; slot++) {
      table.words.fill(slot + 1, table.wordBase(slot), table.wordBase(slot) + 32);
      assert.equal(table.numberBase(slot) * 2, table.wordBase(slot));
    }
    for (let slot = 0; slot < table.slotCount; slot++)
      for (let word = 0; word < 32; word++) assert.equal(table.words[table.wordBase(slot) + word], slot + 1);
    assert.ok((table.wordBase(31) + 32) * 4 <= segment.layout.ringControlsOffset);
  });

  it('answers the flags before, and is open until the close callback was taken', () => {
    const { table } = someTable();
    open(table, 1);
    assert.equal(table.isOpen(1), true);
    assert.equal(table.setFlags(1, FLAG_PAUSED), 0);
    assert.equal(table.setFlags(1, FLAG_CLOSE_TAKEN), FLAG_PAUSED);
    assert.equal(table.isOpen(1), false);
    assert.equal(table.setFlags(1, FLAG_CLOSE_TAKEN | FLAG_CLOSE_DONE) & FLAG_CLOSE_TAKEN, FLAG_CLOSE_TAKEN);
    assert.equal(table.clearFlags(1, FLAG_PAUSED), FLAG_PAUSED | FLAG_CLOSE_TAKEN | FLAG_CLOSE_DONE);
    assert.equal(table.flags(1), FLAG_CLOSE_TAKEN | FLAG_CLOSE_DONE);
    table.closeSession(1);
    assert.equal(table.isOpen(1), false);
  });

  it('visits the slots in use, of one owner or of all', () => {
    for (const changes of [{ reactorCount: 2 }, { reactorCount: 0, workerCount: 2, mode: 1 }]) {
      const { table } = someTable(changes);
      const visited = (owner: number): number[] => {
        const slots: number[] = [];
        table.forEach(owner, (slot, base) => {
          assert.equal(base, table.wordBase(slot));
          slots.push(slot);
        });
        return slots;
      };
      for (const slot of [0, 3, 15, 16, 20]) open(table, slot);
      assert.deepEqual(visited(-1), [], 'owners tell how far they have got');
      table.setHighSlot(0, 16);
      table.setHighSlot(1, 5);
      assert.deepEqual(visited(-1), [0, 3, 15, 16, 20]);
      assert.deepEqual(
        [visited(0), visited(1)],
        [
          [0, 3, 15],
          [16, 20],
        ],
      );
      table.closeSession(3);
      assert.deepEqual(visited(0), [0, 15]);
      // More than there are slots: damage, or an owner that counted refused ones.
      table.setHighSlot(0, 1000);
      assert.deepEqual(visited(0), [0, 15]);
    }
  });

  it('frees what a dead owner held, and nothing else', () => {
    const { segment, table } = someTable({ reactorCount: 2 });
    table.setHighSlot(0, 16);
    table.setHighSlot(1, 16);
    const fds = [0, 5, 16, 17, 18].map((slot) => {
      const fd = open(table, slot);
      table.words[table.wordBase(slot) + PORT] = slot & 1;
      segment.addConnections(slot >> 4, 1, slot & 1);
      return fd;
    });
    assert.equal(table.freeOwner(1), 3);
    assert.deepEqual([segment.connections, segment.portConnections(0), segment.portConnections(1)], [2, 1, 1]);
    assert.deepEqual(
      fds.map((fd) => table.find(fd)),
      [0, 5, -1, -1, -1],
    );
    assert.equal(table.freeOwner(1), 0);
    assert.equal(table.freeOwner(0), 2);
    assert.equal(segment.connections, 0);
  });

  it('counts right whenever the owner has died', () => {
    const { segment, table } = someTable({ reactorCount: 2 });
    segment.addConnections(0, 1, 0);
    // It has counted a newcomer that has no slot yet, and another that it frees no longer.
    segment.addConnections(1, 1, 0);
    table.setHighSlot(1, 16);
    open(table, 17);
    segment.addConnections(1, 1, 1);
    segment.addConnections(1, -1, 1);
    assert.equal(table.freeOwner(1), 1);
    assert.deepEqual([segment.connections, segment.portConnections(0), segment.portConnections(1)], [1, 1, 0]);
  });
});
