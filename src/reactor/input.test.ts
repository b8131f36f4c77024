import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_UNIX_STREAM } from '../constants.ts';
import { CLOSE_ERRNO } from '../shm/connections.ts';
import { RECEIVED_BYTES } from '../shm/counters.ts';
import { EAGAIN, ECONNRESET, EHOSTUNREACH, EINTR, EPIPE, ETIMEDOUT } from '../sys/constants.ts';
import { BLOCKED_RETRY_MS, READ_BYTES, TURN_READ_BYTES } from './limits.ts';

const LINES = { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 1024 * 1024 } as const;
const FRAMED = { ports: [{ framing: LINES }] };

describe('what comes in', () => {
  it('is delivered as it is read, each byte once', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.send('one');
    stage.settle();
    client.send('two');
    client.send('three');
    stage.settle();
    assert.deepEqual(served.packages.map(String), ['one', 'twothree']);
    assert.equal(stage.counters.get(RECEIVED_BYTES), 11);
  });

  it('is cut where the port has a framing, however it comes', () => {
    const stage = new Stage(FRAMED);
    const { client, served } = stage.connect();
    for (const piece of ['a', 'b\nc', 'd\n\nef', '\ng', 'h'.repeat(5000), '\n']) {
      client.send(piece);
      stage.settle();
    }
    assert.deepEqual(served.packages.map(String), ['ab\n', 'cd\n', '\n', 'ef\n', `g${'h'.repeat(5000)}\n`]);
  });

  it('is read on in the next turn when a read was full, without another event', () => {
    const stage = new Stage();
    stage.receiver.room = 1000;
    const { client, served } = stage.connect();
    client.send(Buffer.alloc(2500, 'x'));
    assert.equal(stage.turn(), 1);
    assert.equal(served.packages.length, 1);
    assert.ok(stage.reactor.hasReady);
    assert.equal(stage.reactor.timeoutMs(), 0);
    assert.equal(stage.turn(), 0);
    assert.equal(stage.turn(), 0);
    assert.deepEqual(
      served.packages.map(({ length }) => length),
      [1000, 1000, 500],
    );
    assert.ok(!stage.reactor.hasReady);
  });

  it('is left to the next turn when one has read all that it may, and nobody is forgotten', () => {
    const stage = new Stage({ slots: 64 });
    const count = TURN_READ_BYTES / READ_BYTES + 10;
    const all = Array.from({ length: count }, () => stage.connect());
    const bytes = Buffer.alloc(READ_BYTES - 1, 'x');
    for (const { client } of all) client.send(bytes);
    stage.turn();
    assert.ok(stage.reactor.hadFill);
    const first = all.filter(({ served }) => served.packages.length !== 0).length;
    assert.ok(first < count);
    for (const { client } of all.slice(0, first)) client.send('more');
    stage.turn();
    // The others came first.
    for (const { served } of all) assert.equal(served.packages[0]?.length, bytes.length);
    stage.settle();
    for (const [index, { served }] of all.entries())
      assert.equal(served.received.length, bytes.length + (index < first ? 4 : 0));
  });

  it('is left to the turn behind that, too, where all have much', () => {
    const stage = new Stage({ slots: 64 });
    const most = TURN_READ_BYTES / READ_BYTES;
    const all = Array.from({ length: most + 10 }, () => stage.connect());
    for (const { client } of all) {
      client.stream.sendRoom = 4 * READ_BYTES;
      client.send(Buffer.alloc(3 * READ_BYTES, 'x'));
    }
    for (let turn = 1; turn <= 3; turn++) {
      stage.turn();
      const helpings = all.map(({ served }) => served.packages.length);
      // Nobody has a second helping before all had their first.
      assert.equal(
        helpings.reduce((sum, count) => sum + count, 0),
        turn * most,
      );
      assert.ok(Math.max(...helpings) - Math.min(...helpings) <= 1);
    }
    stage.settle();
    for (const { served } of all) assert.equal(served.received.length, 3 * READ_BYTES);
  });

  it('waits in the socket while the receiver is full', () => {
    for (const options of [{}, FRAMED]) {
      const stage = new Stage(options);
      const { client, served } = stage.connect();
      stage.receiver.full = true;
      client.send('one\ntwo\n');
      stage.settle();
      assert.equal(stage.reactor.timeoutMs(), BLOCKED_RETRY_MS);
      client.send('three\n');
      stage.settle();
      assert.equal(served.text, '');
      stage.receiver.full = false;
      stage.settle();
      stage.settle();
      assert.equal(served.text, 'one\ntwo\nthree\n');
    }
  });

  it('is delivered before the end that came behind it, also when the receiver was full', () => {
    for (const options of [{}, FRAMED]) {
      const stage = new Stage(options);
      const { client, served } = stage.connect();
      stage.receiver.full = true;
      client.send('one\ntwo\n');
      stage.settle();
      client.close();
      stage.settle();
      assert.equal(served.closes, 0);
      stage.receiver.full = false;
      stage.settle();
      stage.settle();
      assert.equal(served.text, 'one\ntwo\n');
      assert.equal(served.closes, 1);
      stage.assertClean();
    }
  });

  it('ends a connection whose package is too long', () => {
    const stage = new Stage({ ports: [{ framing: { ...LINES, max: 10 } }] });
    const { client, served } = stage.connect();
    client.send('short\nmuch too long for that\n');
    stage.settle();
    assert.deepEqual(served.packages.map(String), ['short\n']);
    assert.equal(served.closes, 1);
    assert.match(stage.logged[0], /sent a package that cannot be accepted/);
    stage.assertClean();
  });

  it('stops at urgent data and goes on behind it', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.send('before');
    client.urgent(33);
    client.send('behind');
    stage.settle();
    assert.equal(served.text, 'beforebehind');
  });

  it('is whole although the user closes in the middle of it', () => {
    const stage = new Stage(FRAMED);
    stage.receiver.onPackage = (served) => stage.close(served);
    const { client, served } = stage.connect();
    client.send('one\ntwo\nthree\n');
    stage.settle();
    assert.deepEqual(served.packages.map(String), ['one\n']);
    client.read();
    assert.ok(client.ended || client.error !== 0);
    stage.assertClean();
  });
});

describe('a read', () => {
  it('that is interrupted is tried again in the next turn', () => {
    for (const options of [{}, FRAMED]) {
      const stage = new Stage(options);
      const { client, served } = stage.connect();
      stage.kernel.script.fail('recv', EINTR, EINTR);
      client.send('text\n');
      stage.turn();
      assert.ok(stage.reactor.hasReady);
      stage.settle();
      assert.equal(served.text, 'text\n');
      assert.deepEqual(stage.kernel.script.left, []);
    }
  });

  it('that finds nothing waits for the next event', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.kernel.script.fail('recv', EAGAIN);
    client.send('text');
    stage.settle();
    assert.equal(served.text, 'text');
    // An event without a reason.
    stage.kernel.wakeForNothing(served.connection.fd);
    stage.settle();
    client.send('more');
    stage.settle();
    assert.equal(served.text, 'textmore');
  });

  it('that comes short goes on with the next event', () => {
    for (const options of [{}, FRAMED]) {
      const stage = new Stage(options);
      const { client, served } = stage.connect();
      stage.kernel.script.shorten('recv', 1, 3, 2);
      client.send('a longer text\n');
      stage.settle();
      assert.equal(served.text, 'a longer text\n');
    }
  });

  it('ends the connection with whatever the kernel says is wrong, once', () => {
    for (const error of [ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH])
      for (const options of [{}, FRAMED]) {
        const stage = new Stage(options);
        const { client, served } = stage.connect();
        stage.kernel.script.fail('recv', error);
        client.send('text\n');
        stage.settle();
        // What has arrived before is still read.
        assert.equal(served.text, 'text\n');
        assert.equal(served.closes, 1);
        assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], error);
        stage.assertClean();
      }
  });

  it('brings what came before a reset, and then the reset', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.send('last');
    client.reset();
    stage.settle();
    assert.equal(served.text, 'last');
    assert.equal(served.closes, 1);
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], ECONNRESET);
    stage.assertClean();
  });

  it('asks for the error where hanging up was all that was told', () => {
    const stage = new Stage({ ports: [{ socketType: SWOOLE_SOCK_UNIX_STREAM }] });
    const { served } = stage.connect();
    // The read before has taken all there was; then comes an error that recv() does not tell.
    const socket = stage.kernel.streamAt(served.connection.fd);
    socket.error = ETIMEDOUT;
    socket.wake(0);
    stage.kernel.script.fail('recv', EAGAIN);
    stage.settle();
    assert.equal(served.closes, 1);
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], ETIMEDOUT);
    stage.assertClean();
  });

  it('lives on where somebody hung up without any error', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    client.urgent(33);
    stage.settle();
    assert.equal(served.closes, 0);
    client.send('text');
    stage.settle();
    assert.equal(served.text, 'text');
  });
});
