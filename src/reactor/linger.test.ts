import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import type { Family } from '../../test/support/fake-stream.ts';
import { FakeKernel } from '../../test/support/kernel.ts';
import {
  AF_INET,
  EAGAIN,
  ECONNRESET,
  EINTR,
  EPIPE,
  ETIMEDOUT,
  MSG_NOSIGNAL,
  SHUT_WR,
  SOCK_STREAM,
} from '../sys/constants.ts';
import { linux } from '../sys/kernel.ts';
import { errno, recv, send, shutdown } from '../sys/libc.ts';
import { allocate } from '../sys/memory.ts';
import { acceptFrom, bindTo, closeDescriptor, connectTo, listenOn, localPort, openSocket } from '../sys/socket.ts';
import { LINGER_CHECK_MS, LINGER_MAX_MS, LINGER_STALL_MS, READ_BYTES } from './limits.ts';
import { Lingerers } from './linger.ts';

const memory = allocate(READ_BYTES);
const lingerers = new Lingerers(linux, memory);
const open = new Set<number>();
const cell = new Int32Array(new SharedArrayBuffer(4));
/** Lingerers are told the time: no test has to wait for it. */
let now = 1_000_000;

function listener(): number {
  const fd = openSocket(AF_INET, SOCK_STREAM);
  assert.equal(bindTo(fd, { family: AF_INET, host: '127.0.0.1', port: 0 }), 0);
  assert.equal(listenOn(fd, 16), 0);
  return fd;
}

/** Two ends of a connection over loopback, where the kernel carries every packet before the call returns. */
function connection(): { server: number; client: number } {
  const listening = listener();
  const client = openSocket(AF_INET, SOCK_STREAM);
  connectTo(client, { family: AF_INET, host: '127.0.0.1', port: localPort(listening) });
  const server = acceptFrom(listening);
  assert.ok(server > 0);
  closeDescriptor(listening);
  open.add(client);
  return { server, client };
}

function closeClient(client: number): void {
  open.delete(client);
  closeDescriptor(client);
}

function sendUntilFull(fd: number): number {
  let total = 0;
  for (;;) {
    const count = send(fd, memory.address, READ_BYTES, MSG_NOSIGNAL);
    if (count > 0) total += count;
    else {
      assert.equal(errno(), EAGAIN);
      return total;
    }
  }
}

function check(): number {
  now += LINGER_CHECK_MS;
  lingerers.check(now);
  return lingerers.count;
}

function isOpen(fd: number): boolean {
  return existsSync(`/proc/self/fd/${fd}`);
}

describe('a socket whose connection has ended', () => {
  afterEach(() => {
    lingerers.closeAll();
    for (const fd of open) closeDescriptor(fd);
    open.clear();
  });

  it('is closed at once when the peer has everything', () => {
    const { server } = connection();
    lingerers.close(server, now);
    assert.equal(lingerers.count, 0);
    assert.ok(!isOpen(server));
  });

  it('stays as long as its peer takes something, and loses nothing', () => {
    const { server, client } = connection();
    const sent = sendUntilFull(server);
    // What nobody reads would make the kernel destroy what we have sent.
    send(client, memory.address, 1000, MSG_NOSIGNAL);
    lingerers.close(server, now);
    assert.equal(lingerers.count, 1);
    let received = 0;
    for (;;) {
      const count = recv(client, memory.address, READ_BYTES, 0);
      if (count > 0) received += count;
      else if (count === 0) break;
      else assert.equal(errno(), EAGAIN);
      check();
    }
    assert.equal(received, sent);
    // The kernel may be late to tell the server that all has arrived.
    for (let i = 0; i < 100 && check() !== 0; i++) Atomics.wait(cell, 0, 0, 5);
    assert.equal(lingerers.count, 0);
    assert.ok(!isOpen(server));
  });

  it('is closed at once when the peer has closed and refused what came after', () => {
    const { server, client } = connection();
    closeClient(client);
    // The end of the peer's output; then the refusal, which recv() does not tell of any more.
    assert.equal(recv(server, memory.address, READ_BYTES, 0), 0);
    assert.equal(send(server, memory.address, 24, MSG_NOSIGNAL), 24);
    lingerers.close(server, now);
    assert.equal(lingerers.count, 0);
    assert.ok(!isOpen(server));
  });

  it('is closed when the peer resets it, whether it had finished writing or not', () => {
    for (const finished of [false, true]) {
      const { server, client } = connection();
      sendUntilFull(server);
      if (finished) shutdown(client, SHUT_WR);
      lingerers.close(server, now);
      assert.equal(check(), 1);
      // With unread bytes: that is a reset.
      closeClient(client);
      assert.equal(check(), 0, `finished: ${finished}`);
      assert.ok(!isOpen(server));
    }
  });

  it('is given up when its peer takes nothing', () => {
    const { server } = connection();
    sendUntilFull(server);
    lingerers.close(server, now);
    const since = now;
    while (check() !== 0) assert.ok(now - since < 2 * LINGER_STALL_MS);
    assert.ok(now - since >= LINGER_STALL_MS);
    assert.ok(!isOpen(server));
  });
});

describe('on a kernel that fails on purpose, a socket that lingers', () => {
  /** The server's end is full of bytes that its client has not read. */
  function lingering(family: Family = 'tcp') {
    const fake = new FakeKernel();
    const [fd, peer] = fake.pair(family);
    const few = new Lingerers(fake, memory);
    while (fake.send(fd, memory.address, READ_BYTES, MSG_NOSIGNAL) > 0);
    few.close(fd, now);
    assert.equal(few.count, 1);
    const look = (): number => {
      now += LINGER_CHECK_MS;
      few.check(now);
      return few.count;
    };
    const readAll = (): number => {
      for (let total = 0; ; ) {
        const count = fake.recv(peer, memory.address, READ_BYTES, 0);
        if (count <= 0) return total;
        total += count;
      }
    };
    return { fake, fd, peer, few, look, readAll };
  }

  it('stays when a read is interrupted or finds nothing', () => {
    const { fake, look, readAll } = lingering();
    fake.script.fail('recv', EINTR);
    assert.equal(look(), 1);
    fake.script.fail('recv', EAGAIN);
    assert.equal(look(), 1);
    assert.ok(readAll() > 0);
    assert.equal(look(), 0);
  });

  it('is closed when its connection fails', () => {
    for (const error of [ECONNRESET, ETIMEDOUT, EPIPE]) {
      const { fake, fd, peer, look } = lingering();
      fake.script.fail('recv', error);
      assert.equal(look(), 0);
      assert.deepEqual(fake.open(), [peer]);
      assert.ok(fd > 0);
    }
  });

  it('is closed when the peer of a Unix socket closes', () => {
    const { fake, peer, look } = lingering('unix');
    assert.equal(look(), 1);
    fake.close(peer);
    assert.equal(look(), 0);
    assert.deepEqual(fake.open(), []);
  });

  it('throws away what comes, however much that is, and is given up when nothing is taken', () => {
    const { fake, peer, look } = lingering();
    // More than one look throws away.
    fake.streamAt(peer).sendRoom = 4 * 1024 * 1024;
    const since = now;
    do {
      while (fake.streamAt(peer).unsent() < 2 * 1024 * 1024 && fake.send(peer, memory.address, READ_BYTES, 0) > 0);
      fake.send(peer, memory.address, READ_BYTES, MSG_NOSIGNAL);
      assert.ok(now - since < 2 * LINGER_STALL_MS);
    } while (look() !== 0);
    assert.deepEqual(fake.open(), [peer]);
  });

  it('is given up after a while although its peer takes something now and then', () => {
    const { fake, peer, look } = lingering();
    const since = now;
    while (look() !== 0) {
      if ((now - since) % 1000 < LINGER_CHECK_MS) fake.recv(peer, memory.address, 1, 0);
      assert.ok(now - since < 2 * LINGER_MAX_MS);
    }
    assert.ok(now - since >= LINGER_MAX_MS);
  });

  it('is closed with the others at the end', () => {
    const { fake, peer, few } = lingering();
    few.closeAll();
    assert.equal(few.count, 0);
    assert.deepEqual(fake.open(), [peer]);
  });
});
