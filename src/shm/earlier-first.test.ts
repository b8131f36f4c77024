/** What a process has written before it wrote to us is seen before what we write: by whoever owns the connections. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doorbellsOf, smallSegment } from '../../test/support/shared.ts';
import { RING_BYTES, reactorInbox, reactorLane, workerInbox, workerLane } from './layout.ts';
import { announceLane, Inbox, Outbox } from './mailbox.ts';
import { PIPE_MESSAGE, SEND } from './messages.ts';
import { RECORD_MAX, type RingReader } from './ring.ts';

const WORKERS = 3;

/** A reactor, and workers that write to it and to each other. */
function server() {
  const segment = smallSegment({ workerCount: WORKERS });
  const { layout } = segment;
  const doorbells = doorbellsOf(segment);
  const reactor = new Inbox(segment, reactorInbox(0), doorbells);
  reactor.take(reactorLane(0));
  reactor.drain(() => assert.fail(), 10);
  const workers = Array.from({ length: WORKERS }, (_, id) => {
    const lane = workerLane(layout, id, 0);
    const outbox = new Outbox(segment, lane, doorbells);
    const inbox = new Inbox(segment, workerInbox(layout, id), doorbells, outbox);
    inbox.take(lane);
    return { outbox, inbox };
  });
  const send = (id: number, what: number, bytes = 0): void =>
    workers[id].outbox.to(reactorInbox(0)).post(SEND, what, 0, new Uint8Array(bytes));
  const letter = (from: number, to: number, bytes = 0): void =>
    workers[from].outbox.toWorker(to).post(PIPE_MESSAGE, from, 0, new Uint8Array(bytes));
  /** What a worker does when it has taken all its letters. */
  const read = (id: number): number => {
    let count = 0;
    const handle = (reader: RingReader): void => {
      reader.release();
      count++;
    };
    while (workers[id].inbox.drain(handle, 10));
    return count;
  };
  return { segment, doorbells, reactor, workers, send, letter, read };
}

function seen(inbox: Inbox, limit = 1000, stop?: () => boolean): number[] {
  const found: number[] = [];
  const handle = (reader: RingReader): void => {
    assert.equal(reader.kind, SEND);
    found.push(reader.a);
    reader.release();
  };
  while (inbox.drain(handle, limit, stop));
  return found;
}

describe('what was done first', () => {
  it('is seen first, though the reader was not told of it yet', () => {
    const { reactor, workers, send, letter, read } = server();
    // The worker whose ring the reactor reads last is the first to write; it is told of the other's only.
    for (const [first, second] of [
      [0, 1],
      [1, 0],
    ]) {
      send(first, 1);
      letter(first, second);
      workers[first].outbox.flush();
      assert.equal(read(second), 1);
      send(second, 2);
      workers[second].outbox.flush();
      assert.deepEqual(seen(reactor), [1, 2]);
      // Its bit is not set, and its ring is still looked at, because who answers has seen that there is something.
      send(first, 3);
      letter(first, second);
      assert.equal(read(second), 0, 'nobody has told the worker either');
      workers[second].inbox.take(workers[second].outbox.lane);
      assert.equal(read(second), 1);
      send(second, 4);
      workers[second].outbox.flush();
      assert.deepEqual(seen(reactor), [3, 4]);
      workers[first].outbox.flush();
    }
  });

  it('is seen first also where the two take turns before the reader looks', () => {
    const { reactor, workers, send, letter, read } = server();
    for (let i = 0; i < 20; i++) {
      const id = i % 2;
      send(id, i);
      letter(id, 1 - id);
      workers[id].outbox.flush();
      assert.equal(read(1 - id), 1);
    }
    assert.deepEqual(
      seen(reactor),
      Array.from({ length: 20 }, (_, i) => i),
    );
  });

  it('is seen first by way of a process that writes nothing itself', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const { reactor, workers, send, letter, read } = server();
      const [first, between, last] = order;
      send(first, 1);
      letter(first, between);
      workers[first].outbox.flush();
      assert.equal(read(between), 1);
      letter(between, last);
      workers[between].outbox.flush();
      assert.equal(read(last), 1);
      send(last, 2);
      workers[last].outbox.flush();
      assert.deepEqual(seen(reactor), [1, 2]);
    }
  });

  it('is seen first however few messages of a ring the reader takes at once, and where it is stopped', () => {
    for (const limit of [1, 2, 7]) {
      for (const stop of [undefined, () => true]) {
        const { reactor, workers, send, letter, read } = server();
        for (let i = 0; i < 30; i++) send(0, i);
        letter(0, 1);
        workers[0].outbox.flush();
        assert.equal(read(1), 1);
        for (let i = 30; i < 40; i++) send(1, i);
        workers[1].outbox.flush();
        assert.deepEqual(
          seen(reactor, limit, stop),
          Array.from({ length: 40 }, (_, i) => i),
        );
      }
    }
  });

  it('is seen first where the letter comes in pieces', () => {
    const { reactor, workers, send, letter, read } = server();
    send(0, 1);
    letter(0, 1, RECORD_MAX + 1);
    workers[0].outbox.flush();
    assert.equal(read(1), 1);
    send(1, 2);
    workers[1].outbox.flush();
    assert.deepEqual(seen(reactor), [1, 2]);
  });

  it('is seen first where it had no room: what is written to others later waits until it has', () => {
    const { reactor, workers, send, letter, read } = server();
    const { outbox } = workers[0];
    // One to each ring before it, so that no order of opening decides.
    letter(0, 2);
    for (let i = 0; i < 3; i++) send(0, i, RING_BYTES / 2);
    letter(0, 1);
    letter(0, 2);
    outbox.flush();
    assert.equal(outbox.waitsFor(reactorInbox(0)), true);
    assert.deepEqual([read(1), read(2)], [0, 1], 'what came before it waits for nothing');
    const found: number[] = [];
    for (let i = 0; i < 10 && found.length < 3; i++) {
      found.push(...seen(reactor));
      assert.equal(outbox.pump(), !outbox.waitsFor(reactorInbox(0)));
      outbox.flush();
    }
    assert.deepEqual(found, [0, 1, 2]);
    assert.deepEqual([read(1), read(2)], [1, 1]);
    letter(0, 1);
    outbox.flush();
    assert.equal(read(1), 1, 'nothing waits any more');
  });

  it('costs no message where it has been seen, nor a second one where it was told', () => {
    const { reactor, workers, send, letter, read } = server();
    const ring = workers[1].outbox.to(reactorInbox(0));
    const start = ring.position;
    letter(0, 1);
    workers[0].outbox.flush();
    read(1);
    assert.equal(ring.position, start, 'nothing was written');
    send(0, 1);
    letter(0, 1);
    workers[0].outbox.flush();
    seen(reactor);
    read(1);
    assert.equal(ring.position, start, 'it has been taken');
    send(0, 2);
    letter(0, 1);
    workers[0].outbox.flush();
    read(1);
    const told = ring.position;
    assert.notEqual(told, start);
    letter(0, 1);
    workers[0].outbox.flush();
    read(1);
    assert.equal(ring.position, told, 'it was told');
  });
});

describe('what the process before us of the same worker has written', () => {
  /** Worker 0 and its successor, which write to worker 1. */
  function succession() {
    const { segment, doorbells, workers } = server();
    const { layout } = segment;
    const lane = workerLane(layout, 0, 1);
    const successor = new Outbox(segment, lane, doorbells);
    const before = workers[0].outbox;
    const { inbox } = workers[1];
    inbox.drain(() => assert.fail(), 10);
    const write = (outbox: Outbox, what: number, bytes = 0): void => {
      outbox.toWorker(1).post(PIPE_MESSAGE, what, 0, new Uint8Array(bytes));
      outbox.flush();
    };
    const takeOver = (): void => successor.comeAfter([before.lane, workerLane(layout, 0, 2)], workerInbox(layout, 0));
    return { segment, doorbells, before, successor, inbox, write, takeOver };
  }
  const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

  /** As a busy reader: one message at a time. */
  function readAll(inbox: Inbox, between: () => void): number[] {
    const found: number[] = [];
    for (let idle = 0; idle < 3; ) {
      const before = found.length;
      inbox.drain(
        (reader) => {
          found.push(reader.a);
          reader.release();
        },
        10,
        () => true,
      );
      between();
      idle = found.length === before ? idle + 1 : 0;
    }
    return found;
  }

  it('comes before what we write', () => {
    const { before, successor, inbox, write, takeOver } = succession();
    for (let i = 0; i < 20; i++) write(before, i);
    takeOver();
    for (let i = 20; i < 40; i++) write(successor, i);
    assert.deepEqual(
      readAll(inbox, () => {}),
      numbers(40),
    );
  });

  it('comes before it also where it still waits for room, in pieces or not, until that process has ended', () => {
    for (const dies of [false, true]) {
      const { segment, doorbells, before, successor, inbox, write, takeOver } = succession();
      const long = RING_BYTES / 4;
      for (let i = 0; i < 10; i++) write(before, i, i === 7 ? RECORD_MAX + 1 : long - 100);
      takeOver();
      for (let i = 10; i < 20; i++) write(successor, i);
      const found = readAll(inbox, () => {
        if (dies) announceLane(segment, before.lane, doorbells);
        else before.pump();
        before.flush();
        successor.pump();
        successor.flush();
      });
      const lost = dies ? numbers(10).filter((i) => !found.includes(i)) : [];
      assert.equal(lost.length > 0, dies);
      assert.deepEqual(
        found,
        numbers(20).filter((i) => !lost.includes(i)),
      );
      assert.equal(successor.pump(), true, 'nothing waits any more');
    }
  });
});
