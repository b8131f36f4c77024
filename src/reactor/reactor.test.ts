import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage } from '../../test/support/reactor.ts';
import { SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM } from '../constants.ts';
import {
  CLOSE_ERRNO,
  CLOSER,
  FLAG_PAUSED,
  QUEUED_BYTES,
  REMOTE_PORT,
  STATE_ACTIVE,
  STATE_CLOSING,
  STATE_FREE,
} from '../shm/connections.ts';
import { ABORTED, ACCEPTED, CLOSED } from '../shm/counters.ts';
import {
  EAGAIN,
  ECONNRESET,
  EINTR,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EPERM,
  EPOLLERR,
  ETIMEDOUT,
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from '../sys/constants.ts';
import { ACCEPT_PAUSE_MS, CLOSE_STALL_MS, LINGER_STALL_MS, SLOT_REST, WORKER_GONE_MS } from './limits.ts';

const BOTH = [SWOOLE_SOCK_TCP, SWOOLE_SOCK_UNIX_STREAM];

describe('a client that connects', () => {
  it('is told of once, and found by its slot and serial', () => {
    const stage = new Stage();
    const { served } = stage.connect();
    assert.equal(stage.table.state(served.slot), STATE_ACTIVE);
    assert.equal(stage.reactor.find(served.slot, served.serial), served.connection);
    assert.equal(stage.reactor.find(served.slot, served.serial + 1), null);
    assert.equal(stage.reactor.find(-1, served.serial), null);
    assert.equal(stage.reactor.find(1000, served.serial), null);
    assert.equal(stage.table.words[served.connection.base + REMOTE_PORT], 1);
    assert.equal(stage.table.remoteIp(served.connection.base), '127.0.0.1');
    assert.equal(stage.counters.get(ACCEPTED), 1);
    assert.equal(stage.segment.connections, 1);
  });

  it('that has left already is accepted, and ends', () => {
    const stage = new Stage();
    const client = stage.kernel.connect(stage.ports[0].listener);
    client.send('last words');
    client.close();
    stage.settle();
    const [served] = stage.receiver.served;
    assert.equal(served.text, 'last words');
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('is refused beyond max_connection, and there is room again behind one that leaves', () => {
    const stage = new Stage({ maxConnections: 2 });
    const [first] = [stage.connect(), stage.connect()];
    const third = stage.kernel.connect(stage.ports[0].listener);
    const fourth = stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    for (const client of [third, fourth]) {
      client.read();
      assert.ok(client.ended);
    }
    assert.equal(stage.logged.length, 1);
    assert.match(stage.logged[0], /max_connection=2/);
    assert.equal(stage.counters.get(ABORTED), 2);
    assert.equal(stage.segment.connections, 2);
    first.client.close();
    stage.settle();
    stage.connect();
  });

  it('is refused where the slots of this reactor are full', () => {
    const stage = new Stage({ slots: 2, maxConnections: 10 });
    stage.connect();
    stage.connect();
    const client = stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    client.read();
    assert.ok(client.ended);
    assert.equal(stage.segment.connections, 2);
    assert.equal(stage.counters.get(ABORTED), 1);
  });

  it('belongs to the reactor that its descriptor names', () => {
    const given: number[][] = [];
    const stage = new Stage({
      reactorCount: 2,
      handOver: (reactor, fd, portIndex, serial, address) =>
        given.push([reactor, fd % 2, portIndex, serial, address.length]),
    });
    for (let i = 0; i < 4; i++) stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.equal(stage.receiver.served.length, 2);
    assert.deepEqual(
      given.map(([reactor, parity, portIndex]) => [reactor, parity, portIndex]),
      [
        [1, 1, 0],
        [1, 1, 0],
      ],
    );
    assert.equal(stage.segment.connections, 4);
  });

  it('is adopted by the reactor that it was handed to', () => {
    const stage = new Stage({
      reactorCount: 2,
      handOver: (_reactor, fd, portIndex, serial, address) =>
        handed.push([fd, portIndex, serial, Uint8Array.from(address)]),
    });
    const handed: [number, number, number, Uint8Array][] = [];
    const clients = [1, 2].map(() => stage.kernel.connect(stage.ports[0].listener));
    stage.settle();
    const [[fd, portIndex, serial, address]] = handed;
    stage.reactor.adopt(fd, stage.ports[portIndex], serial, address);
    for (const client of clients) client.send('text');
    stage.settle();
    assert.deepEqual(
      stage.receiver.served.map(({ text }) => text),
      ['text', 'text'],
    );
    assert.equal(stage.segment.connections, 2);
  });

  it('has the options of its port', () => {
    const socketOptions = {
      nodelay: true,
      keepalive: true,
      keepIdleSeconds: 1,
      keepIntervalSeconds: 2,
      keepCount: 3,
      userTimeoutMs: 4,
      receiveBufferBytes: 5,
      sendBufferBytes: 6,
    };
    const stage = new Stage({ ports: [{ socketOptions }, { socketOptions, socketType: SWOOLE_SOCK_UNIX_STREAM }] });
    const buffers = [
      [SOL_SOCKET, SO_RCVBUF, 5],
      [SOL_SOCKET, SO_SNDBUF, 6],
    ];
    const tcp = [
      [IPPROTO_TCP, TCP_NODELAY, 1],
      [SOL_SOCKET, SO_KEEPALIVE, 1],
      [IPPROTO_TCP, TCP_KEEPIDLE, 1],
      [IPPROTO_TCP, TCP_KEEPINTVL, 2],
      [IPPROTO_TCP, TCP_KEEPCNT, 3],
      [IPPROTO_TCP, TCP_USER_TIMEOUT, 4],
    ];
    for (const [index, wanted] of [[...tcp, ...buffers], buffers].entries()) {
      const { fd } = stage.connect(index).served.connection;
      assert.deepEqual(
        stage.kernel.options.filter(([of]) => of === fd).map(([, ...option]) => option),
        wanted,
      );
    }
  });

  it('is closed when epoll does not take it', () => {
    for (const error of [ENOMEM, ENOBUFS]) {
      const stage = new Stage();
      stage.kernel.script.fail('epollCtl', error);
      const { client, served } = stage.connect();
      assert.equal(served.closes, 1);
      assert.match(stage.logged[0], new RegExp(`epoll_ctl\\(\\) failed with errno ${error}`));
      assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], error);
      client.read();
      assert.ok(client.ended);
      stage.assertClean();
    }
  });

  it('gets a slot that has rested, and nothing of whoever had it before', () => {
    const stage = new Stage({ slots: SLOT_REST + 8 });
    const slots: number[] = [];
    for (let i = 0; i < SLOT_REST + 4; i++) {
      const { client, served } = stage.connect();
      slots.push(served.slot);
      stage.send(served, Buffer.alloc(200_000));
      client.send('half a message');
      stage.reactor.pause(served.connection);
      stage.settle();
      client.reset();
      stage.settle();
      assert.equal(served.closes, 1);
    }
    assert.equal(new Set(slots.slice(0, SLOT_REST)).size, SLOT_REST);
    assert.ok(new Set(slots).size < slots.length);
    const { client, served } = stage.connect();
    client.send('new');
    stage.send(served, 'answer');
    assert.equal(stage.readAll(client).toString(), 'answer');
    assert.equal(served.text, 'new');
  });
});

describe('accept()', () => {
  it('that finds nobody waits for the next event', () => {
    const stage = new Stage();
    stage.kernel.script.fail('accept', EAGAIN);
    stage.connect();
    assert.deepEqual(stage.logged, []);
  });

  it('without descriptors or memory rests for a while, and does not spin', () => {
    for (const error of [EMFILE, ENFILE, ENOBUFS, ENOMEM]) {
      const stage = new Stage();
      stage.kernel.script.fail('accept', error);
      stage.kernel.connect(stage.ports[0].listener);
      assert.equal(stage.turn(), 1);
      assert.equal(stage.turn(), 0);
      assert.equal(stage.logged.length, 1);
      assert.match(stage.logged[0], new RegExp(`accept\\(\\) failed with errno ${error}`));
      stage.pass(ACCEPT_PAUSE_MS / 2);
      assert.equal(stage.receiver.served.length, 0);
      stage.pass(ACCEPT_PAUSE_MS);
      assert.equal(stage.receiver.served.length, 1);
    }
  });

  it('that rests stays stopped when accepting is stopped meanwhile', () => {
    const stage = new Stage();
    stage.kernel.script.fail('accept', EMFILE);
    stage.kernel.connect(stage.ports[0].listener);
    stage.turn();
    stage.reactor.stopAccepting();
    stage.pass(ACCEPT_PAUSE_MS * 3);
    assert.equal(stage.receiver.served.length, 0);
  });

  it('that fails for the sake of one client goes on with the next', () => {
    const stage = new Stage();
    stage.kernel.script.fail('accept', EPERM);
    stage.connect();
    assert.match(stage.logged[0], new RegExp(`errno ${EPERM}`));
  });
});

describe('epoll_wait()', () => {
  it('that is interrupted is nothing', () => {
    const stage = new Stage();
    stage.kernel.script.fail('epollWait', EINTR);
    assert.equal(stage.turn(), 0);
    stage.connect();
  });

  it('that fails is a mistake of ours', () => {
    const stage = new Stage();
    stage.kernel.script.fail('epollWait', EPERM);
    assert.throws(() => stage.turn(), /epoll_wait/);
  });

  it('tells of the doorbell, each time it is rung', () => {
    const stage = new Stage();
    const doorbell = stage.kernel.datagramSocket();
    stage.reactor.watchDoorbell(doorbell);
    for (let i = 0; i < 3; i++) {
      assert.equal(stage.turn(), 0);
      stage.kernel.datagram(doorbell, Buffer.from('ring'));
      assert.equal(stage.turn(), 1);
    }
  });

  it('may tell of what has ended meanwhile', () => {
    const stage = new Stage();
    const all = [stage.connect(), stage.connect()];
    // Whoever is served first closes both; an event of the second is under way then, and its descriptor is somebody else's.
    stage.receiver.onPackage = () => {
      for (const { served } of all) stage.close(served);
      stage.receiver.onPackage = null;
    };
    for (const { client } of all) client.send('text');
    stage.kernel.connect(stage.ports[0].listener);
    stage.settle();
    assert.equal(stage.receiver.served.length, 3);
    assert.equal(stage.receiver.served[2].closes, 0);
    assert.deepEqual(
      all.map(({ served }) => [served.closes, served.frees]),
      [
        [1, 1],
        [1, 1],
      ],
    );
  });

  it('may tell of something without a reason', () => {
    for (const socketType of BOTH) {
      const stage = new Stage({ ports: [{ socketType }] });
      const { client, served } = stage.connect();
      stage.send(served, Buffer.alloc(100_000, 'x'));
      for (let i = 0; i < 10; i++) {
        stage.kernel.wakeForNothing(served.connection.fd);
        stage.settle();
      }
      assert.equal(stage.readAll(client).length, 100_000);
      assert.equal(served.closes, 0);
    }
  });
});

describe('a paused connection', () => {
  it('is not read, and loses nothing', () => {
    for (const socketType of BOTH) {
      const stage = new Stage({ ports: [{ socketType }] });
      const { client, served } = stage.connect();
      stage.reactor.pause(served.connection);
      client.send('one');
      stage.settle();
      client.send('two');
      stage.settle();
      assert.equal(served.text, '');
      stage.reactor.resume(served.connection);
      stage.reactor.resume(served.connection);
      stage.settle();
      assert.equal(served.text, 'onetwo');
    }
  });

  it('hands out what came and how it ended once it goes on', () => {
    for (const socketType of BOTH) {
      const stage = new Stage({ ports: [{ socketType }] });
      const { client, served } = stage.connect();
      stage.reactor.pause(served.connection);
      client.send('last');
      client.close();
      stage.settle();
      assert.equal(served.closes, 0);
      stage.reactor.resume(served.connection);
      stage.settle();
      assert.equal(served.text, 'last');
      assert.equal(served.closes, 1);
      stage.assertClean();
    }
  });

  it('ends at once when its peer resets it', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.reactor.pause(served.connection);
    client.reset();
    stage.settle();
    assert.equal(served.closes, 1);
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], ECONNRESET);
    stage.assertClean();
  });

  it('ends also when the failure was told while there was something to read', () => {
    const stage = new Stage();
    stage.receiver.room = 4;
    const { client, served } = stage.connect();
    stage.receiver.onPackage = () => stage.reactor.pause(served.connection);
    client.send('longer than a read');
    client.reset();
    stage.settle();
    assert.equal(served.text, 'long');
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('begins as one where confirm() is awaited', () => {
    const stage = new Stage({ delayReceive: true });
    const { client, served } = stage.connect();
    assert.notEqual(stage.table.flags(served.slot) & FLAG_PAUSED, 0);
    client.send('text');
    stage.settle();
    assert.equal(served.text, '');
    stage.reactor.resume(served.connection);
    stage.settle();
    assert.equal(served.text, 'text');
  });

  it('keeps the packages that were read with the one that paused it', () => {
    const stage = new Stage({ ports: [{ framing: { kind: 'eof', eof: Buffer.from('\n'), split: true, max: 100 } }] });
    const { client, served } = stage.connect();
    stage.receiver.full = true;
    client.send('one\ntwo\n');
    stage.settle();
    stage.reactor.pause(served.connection);
    stage.receiver.full = false;
    stage.settle();
    stage.reactor.resume(served.connection);
    stage.settle();
    assert.deepEqual(served.packages.map(String), ['one\n', 'two\n']);
  });
});

describe('a connection that ends', () => {
  it('that is idle ends, and what its peer did not take is dropped', () => {
    for (const closesAtOnce of [true, false]) {
      const stage = new Stage({ ports: [{ maxIdleMs: 1000 }] });
      stage.receiver.closesAtOnce = closesAtOnce;
      const stalled = stage.connect();
      const quiet = stage.connect();
      stage.send(stalled.served, Buffer.alloc(3_000_000));
      stage.pass(1500);
      for (const { client, served } of [stalled, quiet]) {
        assert.equal(served.closes, 1);
        assert.equal(stage.table.words[served.connection.base + QUEUED_BYTES], 0);
        if (!closesAtOnce) stage.reactor.finishClose(served.connection, false);
        assert.equal(served.frees, 1);
        stage.readAll(client);
        // The one that has everything sees a plain end.
        assert.equal(client.error !== 0, client === stalled.client);
      }
      stage.assertClean();
    }
  });

  it('whose peer has made room while the process was held up is not idle', () => {
    const stage = new Stage({ ports: [{ maxIdleMs: 1000 }] });
    const { client, served } = stage.connect();
    const data = Buffer.alloc(3_000_000, 'all of it arrives ');
    stage.send(served, data);
    stage.settle();
    // Nobody turns meanwhile, and the first to look is who looks for idle ones.
    client.read();
    stage.kernel.time += 5000;
    assert.ok(stage.readAll(client).equals(data));
    assert.equal(served.closes, 0);
  });

  it('has its close callback once, whoever ends it', () => {
    for (const socketType of BOTH)
      for (const atOnce of [true, false])
        for (const leave of ['close', 'end', 'reset'] as const) {
          const stage = new Stage({ ports: [{ socketType }] });
          stage.receiver.closesAtOnce = atOnce;
          const { client, served } = stage.connect();
          client[leave]();
          stage.settle();
          assert.equal(served.closes, 1);
          if (!atOnce) {
            assert.equal(stage.table.state(served.slot), STATE_ACTIVE);
            stage.reactor.finishClose(served.connection, false);
          }
          assert.equal(stage.table.state(served.slot), STATE_FREE);
          assert.equal(stage.counters.get(CLOSED), 1);
          stage.assertClean();
        }
  });

  it('still gets what is sent to it until its close callback has run, when it has only stopped sending', () => {
    const stage = new Stage();
    stage.receiver.closesAtOnce = false;
    const { client, served } = stage.connect();
    client.send('question');
    client.end();
    stage.settle();
    stage.send(served, Buffer.alloc(200_000, 'a'));
    stage.close(served);
    assert.equal(stage.table.state(served.slot), STATE_CLOSING);
    assert.equal(stage.readAll(client).length, 200_000);
    client.read();
    assert.ok(client.ended);
    stage.pass(1000);
    stage.assertClean();
  });

  it('is given up when its peer reads nothing of what is still to be sent', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, Buffer.alloc(300_000));
    stage.close(served);
    stage.pass(CLOSE_STALL_MS / 2);
    assert.equal(served.frees, 0);
    stage.pass(CLOSE_STALL_MS);
    client.read();
    assert.equal(client.error, ECONNRESET);
    stage.assertClean();
  });

  it('lets its socket linger while the peer takes what the kernel still has', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, Buffer.alloc(100_000, 'x'));
    client.send('unread, which would make the kernel reset');
    stage.reactor.pause(served.connection);
    stage.settle();
    stage.close(served);
    assert.equal(served.frees, 1);
    client.send('and more');
    stage.pass(LINGER_STALL_MS / 2);
    assert.equal(stage.readAll(client).length, 100_000);
    assert.equal(client.error, 0);
    stage.pass(100);
    client.read();
    assert.ok(client.ended);
    stage.assertClean();
  });

  it('while it closes, and hears of an error, ends then', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, Buffer.alloc(300_000));
    stage.close(served);
    client.reset();
    stage.settle();
    stage.assertClean();
  });

  it('may be closed twice', () => {
    const stage = new Stage();
    const { served } = stage.connect();
    stage.close(served);
    stage.reactor.finishClose(served.connection, false);
    stage.reactor.drop(served.connection);
    assert.equal(served.closes, 1);
    stage.assertClean();
  });

  it('is closed with all others at the end of the reactor', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, 'last');
    stage.reactor.closeAll();
    client.read();
    assert.equal(client.received.toString(), 'last');
    assert.ok(client.ended);
    assert.equal(served.closes, 0);
  });

  it('is freed when its worker has died over the close callback', () => {
    const stage = new Stage();
    stage.receiver.closesAtOnce = false;
    const { client, served } = stage.connect();
    const way = { blocked: false, position: 7, consumed: () => false };
    client.close();
    stage.settle();
    Object.assign(served.connection, { closeWriter: way, closeWorker: 0, closeWorkerLife: stage.workers.life(0) });
    stage.pass(3000);
    assert.equal(served.frees, 0);
    stage.workers.recordStart(0, 1, 0, stage.workers.life(0) + 1);
    stage.pass(3000);
    assert.equal(served.frees, 0);
    way.consumed = () => true;
    // The test's own callback claims the end for a lane that lives.
    stage.table.words[served.connection.base + CLOSER] = 0;
    stage.pass(3000);
    stage.assertClean();
  });

  it('is freed when its peer has left and its worker is gone for so long that it keeps the descriptor for nobody', () => {
    const stage = new Stage();
    stage.receiver.closesAtOnce = false;
    const { client, served } = stage.connect();
    const way = { blocked: false, position: 7, consumed: () => false };
    stage.workers.recordStart(0, 4711, 0, stage.workers.life(0) + 1);
    client.close();
    stage.settle();
    Object.assign(served.connection, { closeWriter: way, closeWorker: 0, closeWorkerLife: stage.workers.life(0) });
    stage.pass(10 * WORKER_GONE_MS);
    assert.equal(served.frees, 0, 'it lives');
    stage.kernel.gone.add(4711);
    stage.pass(WORKER_GONE_MS / 2);
    stage.workers.recordStart(0, 4712, 0, stage.workers.life(0) + 1);
    stage.pass(2 * WORKER_GONE_MS);
    assert.equal(served.frees, 0, 'another one came');
    stage.kernel.gone.add(4712);
    stage.pass(2 * WORKER_GONE_MS);
    stage.assertClean();
  });

  it('stops taking input at the end of the server, and its output goes on', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, Buffer.alloc(200_000));
    stage.reactor.stopAccepting();
    stage.reactor.stopReading();
    client.send('too late');
    stage.kernel.connect(stage.ports[0].listener);
    assert.equal(stage.readAll(client).length, 200_000);
    assert.equal(served.text, '');
    assert.equal(stage.receiver.served.length, 1);
  });
});

describe('output', () => {
  it('is handed to the kernel at once where that is asked for', () => {
    const stage = new Stage();
    const { client, served } = stage.connect();
    stage.send(served, 'text');
    assert.equal(client.read(), 0);
    stage.reactor.flushOutput();
    assert.equal(client.read(), 4);
  });
});

describe('an error of the socket', () => {
  it('is asked for where nobody will read', () => {
    const stage = new Stage();
    const { served } = stage.connect();
    stage.reactor.pause(served.connection);
    stage.kernel.streamAt(served.connection.fd).fail(ETIMEDOUT);
    stage.settle();
    assert.equal(stage.table.words[served.connection.base + CLOSE_ERRNO], ETIMEDOUT);
    stage.assertClean();
  });

  it('at one that is closing drops what waits', () => {
    const stage = new Stage();
    stage.receiver.closesAtOnce = false;
    const { client, served } = stage.connect();
    client.end();
    stage.settle();
    stage.send(served, Buffer.alloc(200_000));
    stage.kernel.streamAt(served.connection.fd).wake(EPOLLERR);
    client.reset();
    stage.settle();
    assert.equal(served.closes, 1);
    stage.reactor.finishClose(served.connection, false);
    stage.assertClean();
  });
});
