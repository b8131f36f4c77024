import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage } from '../../test/support/reactor.ts';
import { F64_CONNECT_TIME, F64_RECEIVE_TIME, FLAG_PROTECTED } from '../shm/connections.ts';
import { EMFILE } from '../sys/constants.ts';
import { ACCEPT_PAUSE_MS, CLOSE_STALL_MS } from './limits.ts';

describe('time', () => {
  it('ends a connection that is silent, where there are heartbeats', () => {
    const stage = new Stage({ ports: [{ heartbeatIdleMs: 2000 }], heartbeatCheckMs: 1000 });
    const { client, served } = stage.connect();
    const other = stage.connect();
    for (let i = 0; i < 5; i++) {
      stage.pass(1000);
      client.send('alive');
    }
    assert.equal(other.served.closes, 1);
    assert.equal(served.closes, 0);
    stage.pass(5000);
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('ends one that neither sends nor takes anything, where there is max_idle_time', () => {
    const stage = new Stage({ ports: [{ maxIdleMs: 400 }] });
    assert.equal(stage.reactor.tickMs, 100);
    const [fed, idle] = [stage.connect(), stage.connect()];
    for (let i = 0; i < 10; i++) {
      stage.pass(100);
      stage.send(fed.served, 'data');
      fed.client.read();
    }
    assert.equal(idle.served.closes, 1);
    assert.equal(fed.served.closes, 0);
  });

  it('ends one that begins a package and does not complete it, where there is package_timeout', () => {
    const framing = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1000 } as const;
    const stage = new Stage({ ports: [{ packageMs: 1000, framing }, { framing }] });
    assert.equal(stage.reactor.tickMs, 250);
    const [slow, honest, silent, other] = [stage.connect(), stage.connect(), stage.connect(), stage.connect(1)];
    for (let i = 0; i < 12; i++) {
      stage.pass(250);
      // A byte now and then, which resets every heartbeat; the second one completes each package in time.
      for (const { client } of [slow, other]) client.send('x');
      honest.client.send('x\nx');
    }
    assert.deepEqual(
      [slow, honest, silent, other].map(({ served }) => served.closes),
      [1, 0, 0, 0],
    );
    stage.pass(2000);
    assert.equal(honest.served.closes, 1, 'its last package is not complete');
    assert.equal(silent.served.closes, 0, 'nothing was begun');
  });

  it('lets a close wait for a stalled reader no longer than max_idle_time', () => {
    const stage = new Stage({ ports: [{ maxIdleMs: 2000 }] });
    const { client, served } = stage.connect();
    stage.send(served, Buffer.alloc(1_000_000));
    stage.close(served);
    stage.pass(1500);
    client.read();
    stage.pass(1500);
    assert.equal(served.frees, 0, 'it has taken something');
    stage.pass(1500);
    assert.equal(served.frees, 1);
  });

  it('gives the memory of a burst of stalled readers back once it is quiet', () => {
    const stage = new Stage({ ports: [{ maxIdleMs: 2000 }] });
    const readers = Array.from({ length: 4 }, () => stage.connect());
    for (const { served } of readers) stage.send(served, Buffer.alloc(5_000_000));
    stage.pass(1000);
    assert.equal(stage.kernel.memoryGivenBack, 0);
    stage.pass(5000);
    assert.equal(readers[0].served.frees, 1);
    assert.equal(stage.kernel.garbageCollected, 1);
    stage.pass(1000);
    assert.equal(stage.kernel.memoryGivenBack, 1);
    stage.pass(60_000);
    assert.equal(stage.kernel.garbageCollected, 1, 'there is no more');
    assert.equal(stage.kernel.memoryGivenBack, 1, 'there is nothing more');
  });

  it('spares a package that is not complete because of us', () => {
    const framing = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1000 } as const;
    const stage = new Stage({ ports: [{ packageMs: 1000, framing }] });
    const { client, served } = stage.connect();
    client.send('begun');
    stage.settle();
    stage.reactor.pause(served.connection);
    client.send(' and ended\n');
    stage.pass(5000);
    assert.equal(served.closes, 0);
    stage.reactor.resume(served.connection);
    stage.settle();
    assert.equal(served.closes, 0);
  });

  it('spares who is protected, and who has sent what we could not read', () => {
    const stage = new Stage({ ports: [{ heartbeatIdleMs: 2000 }], heartbeatCheckMs: 1000 });
    const [silent, unread] = [stage.connect(), stage.connect()];
    stage.table.setFlags(silent.served.slot, FLAG_PROTECTED);
    stage.receiver.full = true;
    unread.client.send('text');
    stage.settle();
    stage.pass(10_000);
    assert.equal(silent.served.closes, 0);
    assert.equal(unread.served.closes, 0);
    stage.receiver.full = false;
    stage.pass(10_000);
    assert.equal(unread.served.text, 'text');
    assert.equal(unread.served.closes, 1);
  });

  it('spares who has sent while the process was held up', () => {
    const stage = new Stage({ ports: [{ heartbeatIdleMs: 2000 }], heartbeatCheckMs: 1000 });
    const { client, served } = stage.connect();
    stage.kernel.time += 60_000;
    client.send('text');
    // The clock is looked at before the socket.
    stage.reactor.now = stage.kernel.time;
    stage.reactor.endTurn();
    assert.equal(served.closes, 0);
    stage.settle();
    assert.equal(served.text, 'text');
  });
});

for (const hours of [2, -2])
  describe(`a step of the wall clock by ${hours} hours`, () => {
    const step = hours * 3_600_000;

    it('ends nobody, and keeps nobody', () => {
      const stage = new Stage({ ports: [{ heartbeatIdleMs: 4000 }, { maxIdleMs: 4000 }], heartbeatCheckMs: 1000 });
      const [silent, idle] = [stage.connect(0), stage.connect(1)];
      const [talks, fed] = [stage.connect(0), stage.connect(1)];
      stage.pass(1000);
      stage.kernel.wallAhead += step;
      for (let second = 2; second <= 8; second++) {
        talks.client.send('alive');
        stage.send(fed.served, 'data');
        fed.client.read();
        stage.pass(1000);
        if (second <= 3) assert.equal(silent.served.closes + idle.served.closes, 0);
      }
      assert.equal(silent.served.closes, 1);
      assert.equal(idle.served.closes, 1);
      assert.equal(talks.served.closes + fed.served.closes, 0);
    });

    it('does not change how long accepting rests', () => {
      const stage = new Stage();
      stage.kernel.script.fail('accept', EMFILE);
      stage.kernel.connect(stage.ports[0].listener);
      stage.turn();
      stage.kernel.wallAhead += step;
      stage.pass(ACCEPT_PAUSE_MS / 2);
      assert.equal(stage.receiver.served.length, 0);
      stage.pass(ACCEPT_PAUSE_MS);
      assert.equal(stage.receiver.served.length, 1);
    });

    it('does not end a close whose output waits, nor make it wait for longer', () => {
      const stage = new Stage();
      const { served } = stage.connect();
      stage.send(served, Buffer.alloc(1_000_000));
      stage.close(served);
      stage.kernel.wallAhead += step;
      stage.pass(CLOSE_STALL_MS / 2);
      assert.equal(served.frees, 0);
      stage.pass(CLOSE_STALL_MS);
      assert.equal(served.frees, 1);
    });

    it('is seen in the times that users are told', () => {
      const stage = new Stage();
      const { client, served } = stage.connect();
      const { numberBase } = served.connection;
      const before = stage.table.numbers[numberBase + F64_CONNECT_TIME];
      stage.kernel.wallAhead += step;
      client.send('text');
      stage.settle();
      assert.equal(stage.table.numbers[numberBase + F64_CONNECT_TIME], before);
      assert.equal(stage.table.numbers[numberBase + F64_RECEIVE_TIME], stage.kernel.wallNow() / 1000);
    });
  });
