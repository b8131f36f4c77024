import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import { assertBytes, type Served, Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM } from '../constants.ts';
import { CLOSE_ERRNO, FLAG_PEER_GONE, FLAGS, QUEUED_BYTES } from '../shm/connections.ts';
import { readStats } from '../shm/stats.ts';
import { EAGAIN, ECONNRESET, EHOSTUNREACH, EINTR, ENOBUFS, EPIPE, EPOLLOUT } from '../sys/constants.ts';
import { BLOCKED_RETRY_MS, GATHER_BYTES, TURN_BUFFER_BYTES } from './limits.ts';

const BOTH = [SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM];
const bytesOf = (length: number): Buffer => prng(length).bytes(length);

function queued(stage: Stage, { connection }: Served): number {
  return stage.table.words[connection.base + QUEUED_BYTES];
}

describe('what goes out', () => {
  it('arrives in order, short and long, bytes and text, each once', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    const pieces = [
      'one',
      bytesOf(GATHER_BYTES + 1),
      'zwei – drei',
      bytesOf(10),
      '',
      bytesOf(20_000),
      'é'.repeat(3000),
    ];
    for (const piece of pieces) stage.send(served, piece);
    assertBytes(stage.readAll(client), Buffer.concat(pieces.map((piece) => Buffer.from(piece as string))));
    assert.equal(queued(stage, served), 0);
  });

  it('of many connections is gathered, and comes to each what is its own', () => {
    const stage = new Stage();
    const all = Array.from({ length: 5 }, () => stage.connect());
    for (let i = 0; i < 300; i++) stage.send(all[i % 5].served, `${i % 5}:${i} `.padEnd(2000, '.'));
    stage.settle();
    for (const [index, { client }] of all.entries()) {
      const text = stage.readAll(client).toString();
      const numbers = text.match(/\d:\d+/g) ?? [];
      assert.deepEqual(
        numbers,
        Array.from({ length: 60 }, (_, i) => `${index}:${i * 5 + index}`),
      );
    }
    assert.ok(300 * 2000 > TURN_BUFFER_BYTES);
  });

  it('stays in order where one connection has several runs in a turn, and the first is cut short', () => {
    for (const fault of ['short', 'full', 'interrupted'] as const) {
      const stage = new Stage();
      const [one, other] = [stage.connect(), stage.connect()];
      if (fault === 'short') stage.kernel.script.shorten('send', 3);
      else stage.kernel.script.fail('send', fault === 'full' ? EAGAIN : EINTR);
      for (let i = 0; i < 4; i++) {
        stage.send(one.served, `one ${i} `);
        stage.send(other.served, `other ${i} `);
      }
      assert.equal(stage.readAll(one.client).toString(), 'one 0 one 1 one 2 one 3 ', fault);
      assert.equal(stage.readAll(other.client).toString(), 'other 0 other 1 other 2 other 3 ', fault);
    }
  });

  it('is sent from where it lies, where it has an address', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    const { memory } = stage.receiver;
    memory.u8.set(bytesOf(50_000), 8);
    stage.reactor.send(served.connection, memory.u8, 8, 50_000, memory.address + 8);
    assertBytes(stage.readAll(client), bytesOf(50_000));
  });

  it('waits for a slow reader, who gets all of it', () => {
    for (const socketType of BOTH) {
      const stage = new Stage({ ports: [{ socketType }] });
      const { client, served } = stage.connect();
      const all = bytesOf(400_000);
      for (let at = 0; at < all.length; at += 3000) stage.send(served, all.subarray(at, at + 3000));
      stage.settle();
      assert.ok(queued(stage, served) > 200_000);
      assert.ok(stage.reactor.hasOutput);
      assertBytes(stage.readAll(client), all);
      assert.equal(queued(stage, served), 0);
      assert.ok(!stage.reactor.hasOutput);
    }
  });

  it('tells of its high and its low watermark, once each', () => {
    const stage = new Stage({ ports: [{ bufferHighWatermark: 50_000, bufferLowWatermark: 10_000 }] });
    const { client, served } = stage.connect();
    for (let i = 0; i < 10; i++) stage.send(served, Buffer.alloc(40_000));
    stage.settle();
    assert.deepEqual([served.fulls, served.empties], [1, 0]);
    stage.readAll(client);
    assert.deepEqual([served.fulls, served.empties], [1, 1]);
  });

  it('is sent before the connection closes, also to a slow reader', () => {
    for (const socketType of BOTH) {
      const stage = new Stage({ ports: [{ socketType }] });
      const { client, served } = stage.connect();
      const all = bytesOf(300_000);
      stage.send(served, all);
      stage.close(served);
      assert.equal(served.frees, 0);
      assertBytes(stage.readAll(client), all);
      stage.pass(1000);
      client.read();
      assert.ok(client.ended);
      assert.equal(client.error, 0);
      client.close();
      stage.pass(1000);
      stage.assertClean();
    }
  });

  it('is dropped by a reset', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, bytesOf(300_000));
    stage.close(served, true);
    client.read();
    assert.equal(client.error, ECONNRESET);
    stage.assertClean();
  });

  it('is dropped when the peer leaves, and the close callback runs once', () => {
    for (const socketType of BOTH)
      for (const leave of ['close', 'reset'] as const) {
        const stage = new Stage({ ports: [{ socketType }] });
        const { client, served } = stage.connect();
        stage.send(served, bytesOf(300_000));
        stage.settle();
        client[leave]();
        stage.settle();
        assert.equal(served.closes, 1);
        stage.assertClean();
      }
  });

  it('tells who waits when all of it is with the kernel, or never will be', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    const told: string[] = [];
    const tell = (name: string) => (sent: boolean) => told.push(`${name} ${sent}`);
    stage.reactor.whenSent(served.connection, tell('nothing'));
    stage.send(served, 'short');
    stage.reactor.whenSent(served.connection, tell('short'));
    stage.send(served, bytesOf(200_000));
    stage.reactor.whenSent(served.connection, tell('long'));
    stage.settle();
    assert.deepEqual(told, ['nothing true', 'short true']);
    stage.readAll(client);
    assert.deepEqual(told, ['nothing true', 'short true', 'long true']);
    stage.send(served, bytesOf(200_000));
    stage.reactor.whenSent(served.connection, tell('lost'));
    client.reset();
    stage.settle();
    assert.deepEqual(told.slice(3), ['lost false']);
    stage.reactor.whenSent(served.connection, tell('late'));
    assert.deepEqual(told.slice(4), ['late false']);
  });
});

describe('a send', () => {
  /** Short ones go out with the turn, long ones at once, queued ones when there is room. */
  const SIZES = [100, 20_000, 200_000];

  function sends(errors: number[], socketType: number, size: number): void {
    const stage = new Stage({ ports: [{ socketType }] });
    const { client, served } = stage.connect();
    stage.kernel.script.fail('send', ...errors);
    const all = bytesOf(size);
    stage.send(served, all);
    stage.send(served, 'behind');
    stage.settle();
    stage.pass(BLOCKED_RETRY_MS * 4);
    assertBytes(stage.readAll(client), Buffer.concat([all, Buffer.from('behind')]));
    assert.deepEqual(stage.kernel.script.left, []);
    assert.equal(queued(stage, served), 0);
    assert.equal(served.closes, 0);
  }

  it('that is refused for lack of room goes on when there is some', () => {
    for (const size of SIZES)
      for (const type of BOTH)
        for (const errors of [[EAGAIN], [EINTR, EAGAIN], [ENOBUFS, EAGAIN], [EAGAIN, EAGAIN]])
          sends(errors, type, size);
  });

  it('that is refused for lack of room is not tried again before the kernel tells of some', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.server.sendRoom = 0;
    stage.kernel.trace = [];
    stage.send(served, 'text');
    stage.settle();
    stage.pass(1000);
    assert.equal(stage.kernel.trace.filter((call) => call.startsWith('send')).length, 1);
    client.server.sendRoom = 1000;
    client.server.wake(EPOLLOUT);
    assertBytes(stage.readAll(client), Buffer.from('text'));
  });

  it('that is interrupted goes on', () => {
    for (const size of SIZES) for (const type of BOTH) sends([EINTR, EINTR, EINTR], type, size);
  });

  it('for which the kernel has no memory goes on, also when that lasts', () => {
    for (const size of SIZES)
      for (const type of BOTH) {
        sends([ENOBUFS], type, size);
        sends([ENOBUFS, ENOBUFS, ENOBUFS], type, size);
      }
  });

  it('that comes short goes on when there is room', () => {
    for (const size of SIZES) {
      const stage = new Stage();
      const { client, served } = stage.connect();
      stage.kernel.script.shorten('send', 1, 50, 3);
      stage.send(served, bytesOf(size));
      stage.send(served, 'behind');
      assertBytes(stage.readAll(client), Buffer.concat([bytesOf(size), Buffer.from('behind')]));
    }
  });

  it('fails with everything else: what waits is dropped, and the read tells the end', () => {
    for (const size of SIZES)
      for (const error of [EPIPE, ECONNRESET, EHOSTUNREACH]) {
        const stage = new Stage();
        const { served } = stage.connect();
        const told: boolean[] = [];
        stage.kernel.script.fail('send', error);
        stage.send(served, bytesOf(size));
        stage.reactor.whenSent(served.connection, (sent) => told.push(sent));
        stage.settle();
        assert.deepEqual(told, [false]);
        assert.equal(queued(stage, served), 0);
        assert.equal(served.closes, 1);
        stage.assertClean();
      }
  });

  it('fails in the middle of a queue, too', () => {
    for (const errors of [[EINTR, EPIPE], [ECONNRESET]]) {
      const stage = new Stage();
      const { client, served } = stage.connect();
      stage.send(served, bytesOf(300_000));
      stage.settle();
      stage.kernel.script.fail('send', ...errors);
      client.read(60_000);
      stage.settle();
      assert.equal(queued(stage, served), 0);
      assert.equal(served.closes, 1);
      stage.assertClean();
    }
  });

  it('that notices first that the peer has gone keeps the reason for close_errno, and counts it', () => {
    for (const waits of [false, true]) {
      const stage = new Stage();
      const { client, served } = stage.connect();
      if (waits) stage.send(served, bytesOf(2_000_000));
      client.reset();
      // At once, before epoll tells of anything; what waits already is written when there is room.
      if (!waits) stage.send(served, bytesOf(GATHER_BYTES + 1));
      else stage.reactor.output.write(served.connection);
      stage.settle();
      assert.equal(served.closes, 1);
      assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], ECONNRESET);
      assert.equal(readStats(stage.segment, -1).lost_count, 1);
      stage.assertClean();
    }
  });

  it('to a peer that has gone is not tried again', () => {
    const stage = new Stage();
    stage.receiver.closesAtOnce = false;
    const { client, served } = stage.connect();
    client.reset();
    stage.settle();
    assert.equal(served.closes, 1);
    assert.notEqual(stage.table.words[served.connection.base + FLAGS] & FLAG_PEER_GONE, 0);
    stage.send(served, bytesOf(100_000));
    stage.settle();
    assert.equal(queued(stage, served), 0);
    stage.close(served);
    stage.assertClean();
  });
});
