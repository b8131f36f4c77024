import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import { DEADLINE_MS, within } from '../../test/support/until.ts';
import { TswooleError } from '../errors.ts';
import {
  EBADF,
  ECANCELED,
  ECONNRESET,
  EINVAL,
  EPIPE,
  ETIMEDOUT,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../sys/constants.ts';
import { duplicate, openSocketPair } from '../sys/socket-pair.ts';
import { PipeSocket } from './pipe-socket.ts';

const open: PipeSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

function pair(type = SOCK_SEQPACKET): [PipeSocket, PipeSocket] {
  const fds = openSocketPair(type);
  assert.ok(typeof fds !== 'number');
  const sockets = fds.map((fd) => new PipeSocket(fd, type === SOCK_SEQPACKET)) as [PipeSocket, PipeSocket];
  open.push(...sockets);
  return sockets;
}

const text = (found: Buffer | false): string | false => (found === false ? false : found.toString());

for (const [name, type] of [
  ['a pipe of messages', SOCK_SEQPACKET],
  ['a pipe of bytes', SOCK_STREAM],
] as const) {
  describe(name, () => {
    it('carries data both ways', async () => {
      const [one, other] = pair(type);
      assert.equal(await one.send('ping'), 4);
      assert.equal(text(await other.recv()), 'ping');
      assert.equal(await other.send(Buffer.from([0, 255, 10])), 3);
      assert.deepEqual(await one.recv(), Buffer.from([0, 255, 10]));
    });

    it('lets recv() wait, in the order of the calls', async () => {
      const [one, other] = pair(type);
      const answers = [other.recv(1), other.recv(1), other.recv(1)];
      for (const data of ['a', 'b', 'c']) await one.send(data);
      assert.deepEqual((await within(Promise.all(answers), 'three answers')).map(text), ['a', 'b', 'c']);
    });

    it('answers false when time is up, and goes on working', async () => {
      const [one, other] = pair(type);
      const late = other.recv(10, 0.01);
      const next = other.recv(10);
      assert.equal(await late, false);
      assert.equal(other.errCode, ETIMEDOUT);
      assert.equal(await other.recv(10, 0), false);
      await one.send('now');
      assert.equal(text(await within(next, 'the one that waits on')), 'now');
    });

    it('gives what was sent before the other end went away, then false for ever', async () => {
      const [one, other] = pair(type);
      await one.send('last');
      one.close();
      assert.equal(text(await other.recv()), 'last');
      assert.equal(await other.recv(), false);
      assert.equal(other.errCode, ECONNRESET);
      assert.equal(await other.send('x'), false);
      assert.ok([EPIPE, ECONNRESET].includes(other.errCode), `${other.errCode}`);
    });

    it('wakes who waits when the other end goes away', async () => {
      const [one, other] = pair(type);
      const waiting = [other.recv(), other.recv()];
      one.close();
      assert.deepEqual(await within(Promise.all(waiting), 'the end'), [false, false]);
    });

    it('wakes who waits when it is closed itself, twice without harm', async () => {
      const [one, other] = pair(type);
      const waiting = other.recv();
      assert.equal(other.close(), true);
      assert.equal(await within(waiting, 'the answer'), false);
      assert.equal(other.errCode, ECANCELED);
      assert.equal(other.close(), false);
      assert.equal(await other.recv(), false);
      assert.equal(await other.send('x'), false);
      assert.equal(other.errCode, EBADF);
      assert.equal(other.fd, -1);
      assert.equal(await one.send('x'), false);
    });

    it('waits for room, and loses and mixes nothing', async () => {
      const [one, other] = pair(type);
      const part = (index: number): Buffer => Buffer.alloc(50_000, index);
      const parts = 300;
      const sending = Promise.all(Array.from({ length: parts }, (_, i) => one.send(part(i % 251))));
      let bytes = 0;
      while (bytes < parts * 50_000) {
        const data = await within(other.recv(), 'data');
        assert.ok(data !== false);
        const index = Math.floor(bytes / 50_000);
        assert.equal(data[0], index % 251);
        bytes += data.length;
      }
      assert.deepEqual(new Set(await within(sending, 'the senders')), new Set([50_000]));
    });

    it('gives up sending when time is up', async () => {
      const [one] = pair(type);
      let answer: number | false;
      do answer = await one.send(Buffer.alloc(100_000), 0.02);
      while (answer === 100_000);
      assert.equal(one.errCode, ETIMEDOUT);
    });

    it('leaves the others their turn, however much there is to read', async () => {
      const [one, other] = pair(type);
      let turns = 0;
      const timer = setInterval(() => turns++, 1);
      const deadline = Date.now() + DEADLINE_MS;
      while (turns <= 3 && Date.now() < deadline) {
        await one.send('x');
        await other.recv(1);
      }
      clearInterval(timer);
      assert.ok(turns > 3, `${turns}`);
    });

    it('takes a copy of what has to wait', async () => {
      const [one, other] = pair(type);
      const filler = Buffer.alloc(100_000);
      let before = 0;
      for (let count: number | false = 1; count !== false; before += Number(count)) count = await one.send(filler, 0);
      const data = Buffer.from('before');
      const sending = one.send(data);
      data.fill('x');
      let tail = '';
      for (let got = 0; got < before + 6; ) {
        const found = await within(other.recv(), 'data');
        assert.ok(found !== false);
        got += found.length;
        tail = (tail + found.toString('latin1')).slice(-6);
      }
      assert.equal(tail, 'before');
      assert.equal(await sending, 6);
    });
  });
}

describe('a pipe of messages', () => {
  it('keeps their bounds, whatever their size', async () => {
    const [one, other] = pair();
    for (const size of [1, 8192, 65_537, 200_000]) {
      assert.equal(await one.send(Buffer.alloc(size, 'x')), size);
      assert.equal(await one.send('end'), 3);
      assert.equal(((await other.recv()) as Buffer).length, size);
      assert.equal(text(await other.recv()), 'end');
    }
  });

  it('cuts a message to the length that was asked for', async () => {
    const [one, other] = pair();
    await one.send('123456');
    await one.send('789');
    assert.equal(text(await other.recv(4)), '1234');
    assert.equal(text(await other.recv(4)), '789');
  });

  it('refuses what is empty or larger than the kernel takes, and goes on', async () => {
    const [one, other] = pair();
    assert.equal(await one.send(''), false);
    assert.equal(one.errCode, EINVAL);
    assert.equal(await one.send(Buffer.alloc(15_000_000)), false);
    assert.notEqual(one.errCode, 0);
    assert.equal(await one.send(Buffer.alloc(17_000_000)), false);
    await one.send('small');
    assert.equal(text(await other.recv()), 'small');
  });

  it('gives each message to one of those who share an end', async () => {
    const [one, other] = pair();
    const twin = new PipeSocket(duplicate(other.fd), true);
    open.push(twin);
    const counts = [0, 0];
    let taken = 0;
    const readers = [other, twin].map(async (socket, index) => {
      for (;;) {
        const found = await socket.recv();
        if (found === false || text(found) === 'stop') return;
        counts[index]++;
        taken++;
      }
    });
    for (let i = 0; i < 200; i++) {
      await one.send(`${i}`);
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await one.send('stop');
    await one.send('stop');
    await within(Promise.all(readers), 'both readers');
    assert.equal(taken, 200);
    assert.ok(counts[0] > 0 && counts[1] > 0, `${counts}`);
  });
});

describe('a pipe socket', () => {
  it('answers false when its descriptor was closed behind its back', async () => {
    const [one] = pair();
    closeSync(one.fd);
    assert.equal(await one.recv(), false);
    assert.equal(one.errCode, EBADF);
    assert.equal(await one.send('x'), false);
    open.splice(open.indexOf(one), 1);
  });

  it('throws when arguments are wrong', () => {
    const [one] = pair();
    const wrong = [
      () => one.recv(0),
      () => one.recv(1.5),
      () => one.recv(1, Number.NaN),
      () => one.send(5 as unknown as string),
      () => one.send('x', '1' as unknown as number),
    ];
    for (const call of wrong) assert.throws(call, TswooleError);
  });
});
