import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { smallSegment } from '../../test/support/shared.ts';
import {
  SWOOLE_DISPATCH_CO_CONN_LB,
  SWOOLE_DISPATCH_CO_REQ_LB,
  SWOOLE_DISPATCH_CONCURRENT_LB,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IDLE_WORKER,
  SWOOLE_DISPATCH_IPMOD,
  SWOOLE_DISPATCH_ROUND,
  SWOOLE_DISPATCH_STREAM,
  SWOOLE_DISPATCH_UIDMOD,
} from '../constants.ts';
import { ADDRESS, ConnectionTable, FAMILY, SOCKET, UID, WORKER } from '../shm/connections.ts';
import type { Segment } from '../shm/segment.ts';
import { WORKER_BUSY, WORKER_EXIT, WORKER_IDLE, WorkerTable } from '../shm/workers.ts';
import { AF_INET, AF_INET6, AF_UNIX } from '../sys/constants.ts';
import { Dispatcher, keepsWorker } from './dispatch.ts';

const WORKERS = 5;
const ALL_MODES = [
  SWOOLE_DISPATCH_ROUND,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IDLE_WORKER,
  SWOOLE_DISPATCH_IPMOD,
  SWOOLE_DISPATCH_UIDMOD,
  SWOOLE_DISPATCH_STREAM,
  SWOOLE_DISPATCH_CO_CONN_LB,
  SWOOLE_DISPATCH_CO_REQ_LB,
  SWOOLE_DISPATCH_CONCURRENT_LB,
];

interface Stage {
  segment: Segment;
  connections: ConnectionTable;
  workers: WorkerTable;
  dispatcher(mode: number, unsafeEvents?: boolean): Dispatcher;
}

/** Five workers, all idle, and slots whose sockets are 10, 11, 12 … */
function stage(): Stage {
  const segment = smallSegment({ workerCount: WORKERS });
  const connections = new ConnectionTable(segment);
  const workers = new WorkerTable(segment);
  for (let id = 0; id < WORKERS; id++) {
    workers.recordStart(id, 1000 + id, 0, 1 + id);
    segment.words[workers.statusWord(id)] = WORKER_IDLE;
  }
  for (let slot = 0; slot < connections.slotCount; slot++) {
    connections.words[connections.wordBase(slot) + SOCKET] = 10 + slot;
    connections.words[connections.wordBase(slot) + WORKER] = -1;
  }
  const dispatcher = (mode: number, unsafeEvents = false): Dispatcher =>
    new Dispatcher({ mode, workerCount: WORKERS, unsafeEvents }, connections, workers);
  return { segment, connections, workers, dispatcher };
}

function setAddress({ connections }: Stage, slot: number, family: number, bytes: number[]): void {
  const base = connections.wordBase(slot);
  connections.words[base + FAMILY] = family;
  connections.bytes.set(bytes, (base + ADDRESS) * 4);
}
function setStatus({ segment, workers }: Stage, id: number, status: number): void {
  segment.words[workers.statusWord(id)] = status;
}
function setCallbacks({ segment, workers }: Stage, id: number, count: number): void {
  segment.words[workers.callbacksWord(id)] = count;
}
function choices(dispatcher: Dispatcher, slot: number, count: number): number[] {
  return Array.from({ length: count }, () => dispatcher.choose(slot));
}

describe('every dispatch mode', () => {
  it('names a worker that exists, for each slot and package', () => {
    const all = stage();
    for (let slot = 0; slot < 20; slot++) {
      setAddress(all, slot, [AF_INET, AF_INET6, AF_UNIX][slot % 3], [200 + slot, 255, 254, 253, slot]);
      all.connections.words[all.connections.wordBase(slot) + UID] = slot % 2 === 0 ? 0 : -slot;
    }
    for (const mode of ALL_MODES) {
      const dispatcher = all.dispatcher(mode);
      for (let slot = 0; slot < 20; slot++) {
        for (const worker of [dispatcher.choose(slot), dispatcher.owner(slot)])
          assert.ok(Number.isInteger(worker) && worker >= 0 && worker < WORKERS, `mode ${mode}: ${worker}`);
      }
    }
  });

  it('keeps a connection at one worker, or delivers no events of connections unless asked to', () => {
    const all = stage();
    for (const mode of ALL_MODES) {
      assert.equal(all.dispatcher(mode).events, keepsWorker(mode), `mode ${mode}`);
      assert.equal(all.dispatcher(mode, true).events, true);
      if (!keepsWorker(mode)) continue;
      const dispatcher = all.dispatcher(mode);
      const other = all.dispatcher(mode);
      for (let slot = 0; slot < 10; slot++) {
        assert.equal(new Set([...choices(dispatcher, slot, 3), ...choices(other, slot, 3)]).size, 1, `mode ${mode}`);
        assert.equal(dispatcher.owner(slot), other.choose(slot));
      }
    }
    assert.deepEqual(ALL_MODES.filter(keepsWorker), [2, 4, 5, 8]);
  });
});

describe('dispatch by', () => {
  it('turns goes round', () => {
    assert.deepEqual(choices(stage().dispatcher(SWOOLE_DISPATCH_ROUND), 0, 7), [0, 1, 2, 3, 4, 0, 1]);
  });

  it('descriptor takes it modulo the workers', () => {
    const dispatcher = stage().dispatcher(SWOOLE_DISPATCH_FDMOD);
    assert.deepEqual(
      [0, 1, 4, 5, 9].map((slot) => dispatcher.choose(slot)),
      [10, 11, 14, 15, 19].map((fd) => fd % WORKERS),
    );
  });

  it('address sends one client always to the same worker, whatever its socket', () => {
    const all = stage();
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_IPMOD);
    setAddress(all, 0, AF_INET, [192, 168, 1, 7]);
    setAddress(all, 1, AF_INET, [192, 168, 1, 7]);
    setAddress(all, 2, AF_INET, [192, 168, 1, 8]);
    setAddress(all, 3, AF_INET, [255, 255, 255, 255]);
    const number = ((192 << 24) | (168 << 16) | (1 << 8) | 7) >>> 0;
    assert.deepEqual(
      [0, 1, 2, 3].map((slot) => dispatcher.choose(slot)),
      [number % WORKERS, number % WORKERS, (number + 1) % WORKERS, 0xffffffff % WORKERS],
    );
    const six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    setAddress(all, 4, AF_INET6, six);
    setAddress(all, 5, AF_INET6, six);
    assert.equal(dispatcher.choose(4), dispatcher.choose(5));
    // Every byte counts: neighbours spread over the workers.
    const workers = new Set<number>();
    for (let i = 0; i < 64; i++) {
      setAddress(all, 6, AF_INET6, [...six.slice(0, 15), i]);
      workers.add(dispatcher.choose(6));
    }
    assert.equal(workers.size, WORKERS);
    setAddress(all, 7, AF_UNIX, []);
    assert.equal(dispatcher.choose(7), 17 % WORKERS, 'no address: the socket');
  });

  it('uid follows the uid once it is bound, and the socket before', () => {
    const all = stage();
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_UIDMOD);
    assert.equal(dispatcher.choose(3), 13 % WORKERS);
    const uid = all.connections.wordBase(3) + UID;
    for (const [value, expected] of [
      [1, 1],
      [7, 2],
      [0x7fffffff, 0x7fffffff % WORKERS],
      [-1, 0xffffffff % WORKERS],
    ]) {
      all.connections.words[uid] = value;
      assert.equal(dispatcher.choose(3), expected);
    }
  });

  it('idleness goes round among the idle', () => {
    const all = stage();
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_IDLE_WORKER);
    setStatus(all, 1, WORKER_BUSY);
    setStatus(all, 3, WORKER_EXIT);
    assert.deepEqual(choices(dispatcher, 0, 6), [0, 2, 4, 0, 2, 4]);
    setStatus(all, 1, WORKER_IDLE);
    assert.deepEqual(choices(dispatcher, 0, 3), [0, 1, 2]);
    assert.equal(dispatcher.busyRounds, 0);
  });

  it('idleness still goes round when nobody is idle, and counts that', () => {
    const all = stage();
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_IDLE_WORKER);
    for (let id = 0; id < WORKERS; id++) setStatus(all, id, WORKER_BUSY);
    assert.deepEqual(choices(dispatcher, 0, 7), [0, 1, 2, 3, 4, 0, 1]);
    assert.equal(dispatcher.busyRounds, 7);
  });

  it('load takes the worker with the fewest unfinished callbacks, and turns among equals', () => {
    for (const mode of [SWOOLE_DISPATCH_CO_REQ_LB, SWOOLE_DISPATCH_CONCURRENT_LB]) {
      const all = stage();
      const dispatcher = all.dispatcher(mode);
      assert.deepEqual(choices(dispatcher, 0, 6), [0, 1, 2, 3, 4, 0]);
      for (let id = 0; id < WORKERS; id++) setCallbacks(all, id, id === 3 ? 1 : 2);
      assert.deepEqual(choices(dispatcher, 0, 3), [3, 3, 3]);
      setCallbacks(all, 3, 2);
      assert.equal(dispatcher.choose(0), 4);
    }
  });

  it('load counts what is on its way to a worker: a burst does not all go to the one that had least', () => {
    for (const mode of [SWOOLE_DISPATCH_CO_REQ_LB, SWOOLE_DISPATCH_CONCURRENT_LB]) {
      const all = stage();
      const dispatcher = all.dispatcher(mode);
      const ring = { position: 0, taken: 0, consumed: (position: number): boolean => ring.taken >= position };
      for (let id = 0; id < WORKERS; id++) setCallbacks(all, id, id === 3 ? 0 : 2);
      const given = new Array(WORKERS).fill(0);
      for (let i = 0; i < 12; i++) {
        const worker = dispatcher.choose(0);
        given[worker]++;
        ring.position++;
        dispatcher.sent(worker, ring);
      }
      assert.deepEqual(given, [2, 2, 2, 4, 2]);
      ring.taken = ring.position;
      assert.deepEqual(choices(dispatcher, 0, 3), [3, 3, 3]);
    }
  });

  it('load forgets what was taken, however much that is', () => {
    const all = stage();
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_CO_REQ_LB);
    const ring = { position: 0, consumed: (position: number): boolean => position <= ring.position - 2 };
    for (let id = 0; id < WORKERS; id++) setCallbacks(all, id, id === 1 ? 0 : 3);
    for (; ring.position < 100_000; ring.position++) dispatcher.sent(1, ring);
    // Less than the others have.
    assert.equal(dispatcher.choose(0), 1);
  });

  it('load of connections chooses once, and every reactor and process sees the choice', () => {
    const all = stage();
    for (let id = 0; id < WORKERS; id++) setCallbacks(all, id, id === 2 ? 0 : 9);
    const dispatcher = all.dispatcher(SWOOLE_DISPATCH_CO_CONN_LB);
    assert.equal(dispatcher.choose(0), 2);
    setCallbacks(all, 2, 99);
    setCallbacks(all, 4, 0);
    assert.equal(dispatcher.choose(0), 2);
    assert.equal(all.dispatcher(SWOOLE_DISPATCH_CO_CONN_LB).owner(0), 2);
    assert.equal(dispatcher.choose(1), 4);
    assert.equal(all.connections.words[all.connections.wordBase(1) + WORKER], 4);
  });
});
