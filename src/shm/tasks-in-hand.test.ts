import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { interleave } from '../../test/support/interleave.ts';
import { RingControl, smallSegment } from '../../test/support/shared.ts';
import { openMessageQueue, receiveMessage, removeMessageQueue, sendMessage } from '../sys/message-queue.ts';
import { workerInbox, workerLane } from './layout.ts';
import { encodeTask } from './queued-task.ts';
import { RingReader, RingWriter } from './ring.ts';
import type { Segment } from './segment.ts';
import { HAND_ENTRIES, type TaskInTable, TasksInHand, takeIncomingOfDead, takeTasksOfDead } from './tasks-in-hand.ts';

const KIND = 50;
/** Worker id of the first of two task workers. */
const TASK_WORKER = 2;
const SOURCE = 1;
const LIFE = 4321;
const FLAGS = 32;

interface Stage {
  segment: Segment;
  inbox: number;
  lane: number;
  from: number;
  writer: RingWriter;
  reader: RingReader;
  hands: TasksInHand;
}

/** A task worker whose ring holds the tasks 0, 1, 2 … */
function stage(tasks: number, startAt = 0): Stage {
  const segment = smallSegment({ taskWorkerCount: 2 });
  const { layout } = segment;
  const inbox = workerInbox(layout, TASK_WORKER);
  const from = workerLane(layout, SOURCE, 0);
  new RingControl(segment, inbox, from).startAt(startAt);
  const writer = new RingWriter(segment, inbox, from, []);
  for (let id = 0; id < tasks; id++) writer.post(KIND, id, SOURCE, Buffer.alloc(100));
  const lane = workerLane(layout, TASK_WORKER, 0);
  return {
    segment,
    inbox,
    lane,
    from,
    writer,
    reader: new RingReader(segment, inbox, from),
    hands: new TasksInHand(segment, lane),
  };
}

/** As a task worker does it. */
function takeNext({ reader, hands }: Stage): number {
  assert.equal(reader.next(), true);
  const entry = hands.take(reader.a, reader.b, LIFE, FLAGS, reader.lane, reader.position);
  reader.release();
  return entry;
}

const told = ({ segment, inbox, lane }: Stage): TaskInTable[] => takeTasksOfDead(segment, inbox, lane);
const task = (taskId: number): TaskInTable => ({ taskId, source: SOURCE, life: LIFE, flags: FLAGS });

describe('tasks in hand', () => {
  it('are told once, when their process is dead', () => {
    const own = stage(3);
    for (let i = 0; i < 3; i++) takeNext(own);
    assert.deepEqual(told(own), [task(0), task(1), task(2)]);
    assert.deepEqual(told(own), []);
  });

  it('are not told once they were answered or are over', () => {
    const own = stage(3);
    const [first, second] = [takeNext(own), takeNext(own), takeNext(own)];
    own.hands.answered(first);
    own.hands.release(second);
    assert.deepEqual(told(own), [task(2)]);
  });

  it('belong to the successor while they are in the ring', () => {
    const own = stage(2);
    takeNext(own);
    // Entered, and not released: the process dies in between.
    assert.equal(own.reader.next(), true);
    own.hands.take(own.reader.a, own.reader.b, LIFE, FLAGS, own.reader.lane, own.reader.position);
    assert.deepEqual(told(own), [task(0)]);
    const successor = new RingReader(own.segment, own.inbox, own.from);
    assert.equal(successor.next(), true);
    assert.equal(successor.a, 1);
  });

  it('are either told or found by the successor, wherever their process dies', () => {
    for (const startAt of [0, 0x7fffffc0, 0xffffffc0 | 0]) {
      const places = interleave(() => {
        const own = stage(1, startAt);
        let tale: TaskInTable[] = [];
        let found = 0;
        return {
          main: () => takeNext(own),
          other: () => {
            tale = told(own);
            const successor = new RingReader(own.segment, own.inbox, own.from);
            while (successor.next()) found++;
          },
          check: (step) => assert.equal(tale.length + found, 1, `${step}: told ${tale.length}, found ${found}`),
        };
      });
      assert.ok(places > 2, `${places} places`);
    }
  });

  it('answers are either told as failed or not, wherever their process dies', () => {
    interleave(() => {
      const own = stage(1);
      const entry = takeNext(own);
      let tale: TaskInTable[] = [];
      let answered = false;
      return {
        main: () => {
          own.hands.answered(entry);
          answered = true;
          own.hands.release(entry);
        },
        other: () => {
          tale = told(own);
        },
        check: (step) => assert.ok(answered || tale.length <= 1, step),
      };
    });
  });

  it('of the queue are told as well: they have no place in a ring', () => {
    const own = stage(0);
    own.hands.take(2 ** 32 - 1, -1, LIFE, 132, -1, 0);
    assert.deepEqual(told(own), [{ taskId: 2 ** 32 - 1, source: -1, life: LIFE, flags: 132 }]);
  });

  it('are as many as there are entries, which are used again', () => {
    const own = stage(0);
    const entries: number[] = [];
    for (let round = 0; round < 3; round++) {
      while (!own.hands.full) entries.push(own.hands.take(entries.length, SOURCE, LIFE, FLAGS, -1, 0));
      assert.equal(new Set(entries).size, HAND_ENTRIES);
      assert.equal(told(own).length, HAND_ENTRIES);
      for (const entry of entries.splice(0)) own.hands.release(entry);
      assert.equal(own.hands.full, false);
    }
    while (!own.hands.full) own.hands.take(0, SOURCE, LIFE, FLAGS, -1, 0);
    assert.throws(() => own.hands.take(0, SOURCE, LIFE, FLAGS, -1, 0), /at most 1024/);
  });

  it('of each lane stand apart, and a new process begins with none', () => {
    const own = stage(0);
    const lanes = [0, 1, 2].flatMap((generation) => [2, 3].map((id) => workerLane(own.segment.layout, id, generation)));
    for (const [i, lane] of lanes.entries()) {
      const hands = new TasksInHand(own.segment, lane);
      while (!hands.full) hands.take(i, SOURCE, LIFE, FLAGS, -1, 0);
    }
    for (const [i, lane] of lanes.entries()) {
      if (i === 3) new TasksInHand(own.segment, lane);
      const all = takeTasksOfDead(own.segment, own.inbox, lane);
      assert.equal(all.length, i === 3 ? 0 : HAND_ENTRIES);
      assert.ok(all.every(({ taskId }) => taskId === i));
    }
  });

  it("are no event worker's, nor of a lane that is none", () => {
    const { segment, inbox } = stage(0);
    for (const lane of [
      0,
      1,
      workerLane(segment.layout, 1, 2),
      workerLane(segment.layout, 4, 0),
      -1,
      9999,
      0.5,
      Number.NaN,
    ]) {
      assert.throws(() => new TasksInHand(segment, lane), RangeError, `${lane}`);
      assert.throws(() => takeTasksOfDead(segment, inbox, lane), RangeError, `${lane}`);
    }
  });
});

describe('a message on its way out of a task queue', () => {
  const queue = openMessageQueue(0, 0o600);
  after(() => removeMessageQueue(queue));
  const receive = (hands: TasksInHand): void => {
    hands.clearIncoming();
    receiveMessage(queue, 0, { error: 0 }, hands.incoming());
  };

  it('is told when its process dies before it knows of it', () => {
    const { segment, lane, hands } = stage(0);
    assert.equal(sendMessage(queue, 3, encodeTask(2 ** 31 + 7, SOURCE, LIFE, FLAGS, 'x'.repeat(8000))), 0);
    receive(hands);
    assert.deepEqual(takeIncomingOfDead(segment, lane), task(2 ** 31 + 7));
    assert.equal(takeIncomingOfDead(segment, lane), null);
  });

  it('is no message where there was none, or where it was entered', () => {
    const { segment, lane, hands } = stage(0);
    receive(hands);
    assert.equal(takeIncomingOfDead(segment, lane), null);
    assert.equal(sendMessage(queue, 3, encodeTask(8, SOURCE, LIFE, FLAGS, 'x')), 0);
    receive(hands);
    hands.take(8, SOURCE, LIFE, FLAGS, -1, 0);
    hands.clearIncoming();
    assert.equal(takeIncomingOfDead(segment, lane), null);
  });
});
