/**
 * The fake kernel of the reactor's tests against Linux: the same script runs over both, and what the calls answer and what
 * epoll tells must be the same. Buffers differ in size, so scripts speak of full and empty, not of numbers.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FakeKernel, Misuse } from '../../test/support/kernel.ts';
import {
  AF_INET,
  EPOLLERR,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  SHUT_WR,
  SO_ERROR,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_CLOSE,
  TCP_INFO,
} from './constants.ts';
import { aimIPv4, DatagramBatch, peerAddressText, sendDatagram } from './datagram.ts';
import { Epoll } from './epoll.ts';
import { type Kernel, linux } from './kernel.ts';
import { allocate } from './memory.ts';
import { bindTo, closeDescriptor, connectTo, listenOn, localPort, openSocket, setNonBlocking } from './socket.ts';
import { openSocketPair } from './socket-pair.ts';

const WATCHED = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
const BITS: [number, string][] = [
  [EPOLLIN, 'IN'],
  [EPOLLPRI, 'PRI'],
  [EPOLLOUT, 'OUT'],
  [EPOLLRDHUP, 'RDHUP'],
  [EPOLLERR, 'ERR'],
  [EPOLLHUP, 'HUP'],
];
const ROOM = 65536;
const memory = allocate(ROOM);

/** Long enough that what loopback carries has arrived; where something is to come, a busy machine may take longer. */
const SOON_MS = 5;
const LATE_MS = 2000;
/** Long enough that its arrival is acknowledged, which TCP likes to delay. */
const ACKNOWLEDGED_MS = 100;
const cell = new Int32Array(new SharedArrayBuffer(4));

function pause(kernel: Kernel): void {
  if (kernel === linux) Atomics.wait(cell, 0, 0, SOON_MS);
}

type Side = 'server' | 'client';

/** One connection whose server end is watched, and what became of each step. */
class Session {
  readonly told: string[] = [];
  private readonly kernel: Kernel;
  private readonly fds: Record<Side, number>;
  private readonly epoll: Epoll;
  private readonly closed = new Set<Side>();
  /** What the other kernel told. */
  private readonly expected: string[];

  constructor(kernel: Kernel, [server, client]: [number, number], expected: string[]) {
    this.expected = expected;
    this.kernel = kernel;
    this.fds = { server, client };
    this.epoll = new Epoll(8, kernel);
    this.watch();
  }

  private tell(step: string, result: number): void {
    this.told.push(`${step}: ${result < 0 ? `errno ${this.kernel.errno()}` : result}`);
  }

  private watch(): void {
    assert.equal(this.epoll.add(this.fds.server, WATCHED, 1, 2), 0);
  }
  rewatch(events = WATCHED): void {
    assert.equal(this.epoll.modify(this.fds.server, events, 3, 4), 0);
  }

  /** What epoll tells of the server's end: nothing, or one event. */
  events(): void {
    const nothing = this.expected[this.told.length] === 'events: none';
    const count = this.epoll.wait(nothing ? SOON_MS : LATE_MS);
    const mask = count === 0 ? 0 : this.epoll.eventsAt(0);
    const names = BITS.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name);
    this.told.push(`events: ${names.join(' ') || 'none'}${count === 0 ? '' : ` for ${this.epoll.lowAt(0)}`}`);
  }

  send(side: Side, text: string, flags = 0): void {
    memory.text.write(text);
    const { kernel, fds } = this;
    this.tell(`${side} sends ${text}`, kernel.send(fds[side], memory.address, text.length, MSG_NOSIGNAL | flags));
  }

  recv(side: Side, most = ROOM, flags = 0): void {
    const { kernel, fds, expected, told } = this;
    const something = expected[told.length]?.startsWith(`${side} receives "`);
    let count = kernel.recv(fds[side], memory.address, most, flags);
    for (let ms = 0; something && count < 0 && ms < LATE_MS; ms += SOON_MS) {
      pause(kernel);
      count = kernel.recv(fds[side], memory.address, most, flags);
    }
    if (count <= 0) this.tell(`${side} receives`, count);
    else this.told.push(`${side} receives "${count > 100 ? '…' : memory.text.toString('latin1', 0, count)}"`);
  }

  /** Sends until there is no room. */
  fill(side: Side): void {
    for (let total = 0; ; ) {
      const count = this.kernel.send(this.fds[side], memory.address, ROOM, MSG_NOSIGNAL);
      if (count > 0) total += count;
      else {
        this.tell(`${side} has sent ${total > 0 ? 'much' : 'nothing'}`, count);
        return;
      }
    }
  }

  /** Receives all there is, also what is on its way still. */
  drain(side: Side): void {
    for (let quiet = 0; quiet < 3; ) {
      if (this.kernel.recv(this.fds[side], memory.address, ROOM, 0) > 0) quiet = 0;
      else {
        quiet++;
        pause(this.kernel);
      }
    }
  }

  shutdown(side: Side): void {
    this.tell(`${side} shuts down`, this.kernel.shutdown(this.fds[side], SHUT_WR));
  }
  close(side: Side): void {
    this.closed.add(side);
    this.kernel.close(this.fds[side]);
  }
  reset(side: Side): void {
    this.kernel.resetOnClose(this.fds[side]);
    this.close(side);
  }

  /** SO_ERROR, TCP's state, and whether something is under way. */
  state(): void {
    const { kernel, fds } = this;
    const info = kernel.getOption(fds.server, IPPROTO_TCP, TCP_INFO);
    const over = info < 0 ? `errno ${-info}` : (info & 255) === TCP_CLOSE ? 'over' : 'not over';
    for (let ms = 0; ms < ACKNOWLEDGED_MS && kernel.unsentBytes(fds.server) > 0; ms += SOON_MS) pause(kernel);
    const unsent = kernel.unsentBytes(fds.server) > 0 ? 'unsent' : 'all sent';
    this.told.push(`error ${kernel.getOption(fds.server, SOL_SOCKET, SO_ERROR)}, ${over}, ${unsent}`);
  }

  end(): void {
    for (const side of ['server', 'client'] as const) if (!this.closed.has(side)) this.close(side);
    this.epoll.close();
  }
}

/** Both ends as a reactor has them, over loopback. */
function tcpPair(): [number, number] {
  const listener = openSocket(AF_INET, SOCK_STREAM);
  assert.equal(bindTo(listener, { family: AF_INET, host: '127.0.0.1', port: 0 }), 0);
  assert.equal(listenOn(listener, 8), 0);
  const client = openSocket(AF_INET, SOCK_STREAM);
  connectTo(client, { family: AF_INET, host: '127.0.0.1', port: localPort(listener) });
  const server = linux.accept(listener);
  assert.ok(server > 0);
  closeDescriptor(listener);
  return [server, client];
}

function unixPair(): [number, number] {
  const pair = openSocketPair(SOCK_STREAM);
  assert.ok(typeof pair !== 'number');
  for (const fd of pair) setNonBlocking(fd, true);
  return pair;
}

const SCRIPTS: Record<string, (s: Session) => void> = {
  'data comes with an edge, once, and a read leaves none behind': (s) => {
    s.events();
    s.events();
    s.send('client', 'one');
    s.events();
    s.events();
    s.recv('server', 2);
    s.events();
    s.send('client', 'two');
    s.send('client', 'three');
    s.events();
    s.recv('server', 100, MSG_PEEK);
    s.recv('server');
    s.recv('server');
    s.events();
  },

  'the peer stops sending': (s) => {
    s.events();
    s.send('client', 'last');
    s.shutdown('client');
    s.events();
    s.recv('server', 4);
    s.events();
    s.recv('server');
    s.recv('server');
    s.send('server', 'answer');
    s.recv('client');
    s.events();
    s.state();
    s.shutdown('server');
    s.events();
    s.recv('client');
    s.state();
  },

  'the peer closes, having read everything': (s) => {
    s.events();
    s.send('client', 'last');
    s.close('client');
    s.events();
    s.recv('server');
    s.recv('server');
    s.state();
    s.send('server', 'into the void');
    s.events();
    s.state();
    s.send('server', 'again');
    s.recv('server');
    s.events();
  },

  'the peer closes with something unread': (s) => {
    s.send('server', 'for nobody');
    s.send('client', 'last');
    s.events();
    s.close('client');
    s.events();
    s.recv('server', 2);
    s.recv('server');
    s.recv('server');
    s.recv('server');
    s.send('server', 'again');
    s.events();
    s.state();
  },

  'the peer closes with something unread, having stopped to send': (s) => {
    s.send('server', 'for nobody');
    s.shutdown('client');
    s.events();
    s.recv('server');
    s.close('client');
    s.events();
    s.recv('server');
    s.state();
    s.send('server', 'again');
    s.send('server', 'again');
  },

  'the peer resets': (s) => {
    s.send('client', 'lost?');
    s.events();
    s.reset('client');
    s.events();
    s.state();
    s.recv('server');
    s.recv('server');
    s.send('server', 'again');
  },

  'a reset is told by send, too, once': (s) => {
    s.reset('client');
    s.events();
    s.send('server', 'one');
    s.send('server', 'two');
    s.recv('server');
    s.state();
  },

  'room is announced after a refusal': (s) => {
    s.events();
    s.fill('server');
    s.events();
    s.state();
    s.drain('client');
    s.events();
    s.events();
    s.state();
    s.send('server', 'more');
  },

  'what is read without a refusal before': (s) => {
    s.events();
    s.send('server', 'some');
    s.recv('client');
    s.events();
  },

  'a full socket whose peer leaves': (s) => {
    s.events();
    s.fill('server');
    s.close('client');
    s.events();
    s.recv('server');
    s.recv('server');
    s.send('server', 'again');
    s.events();
  },

  'a full socket, finished, whose peer reads on': (s) => {
    s.events();
    s.fill('server');
    s.shutdown('server');
    s.send('server', 'refused');
    s.events();
    s.drain('client');
    s.recv('client');
    s.state();
    s.close('client');
    s.events();
    s.state();
  },

  'watching for other things tells again': (s) => {
    s.events();
    s.rewatch(EPOLLIN | EPOLLET);
    s.events();
    s.rewatch();
    s.events();
    s.send('client', 'x');
    s.events();
    s.rewatch();
    s.events();
    s.rewatch(EPOLLOUT | EPOLLET);
    s.events();
    s.send('client', 'y');
    s.events();
  },
};

/** Unix sockets have no urgent data by default. */
const TCP_SCRIPTS: Record<string, (s: Session) => void> = {
  'reading stops before urgent data, and leaves it out': (s) => {
    s.events();
    s.send('client', 'before');
    s.send('client', '!', MSG_OOB);
    s.events();
    s.recv('server');
    s.recv('server');
    s.events();
    s.send('client', 'x');
    s.send('client', 'y!', MSG_OOB);
    s.send('client', 'behind');
    s.events();
    s.recv('server');
    s.recv('server');
    s.recv('server');
    s.events();
  },
};

function toldBy(
  kernel: Kernel,
  pair: [number, number],
  script: (s: Session) => void,
  expected: string[] = [],
): string[] {
  const session = new Session(kernel, pair, expected);
  try {
    script(session);
    return session.told;
  } finally {
    session.end();
  }
}

function compare(scripts: typeof SCRIPTS, family: 'tcp' | 'unix', open: () => [number, number]): void {
  for (const [name, script] of Object.entries(scripts))
    it(name, () => {
      const fake = new FakeKernel();
      const told = toldBy(fake, fake.pair(family), script);
      assert.deepEqual(told, toldBy(linux, open(), script, told));
      assert.deepEqual(fake.open(), []);
    });
}

describe('the fake kernel does as Linux does over TCP', () => compare({ ...SCRIPTS, ...TCP_SCRIPTS }, 'tcp', tcpPair));

describe('the fake kernel does as Linux does over a Unix socket', () => compare(SCRIPTS, 'unix', unixPair));

/** A listener or another socket that is no stream, level triggered as reactors watch it, and what was told of it. */
class Watched {
  readonly told: string[] = [];
  readonly fd: number;
  private readonly kernel: Kernel;
  private readonly epoll: Epoll;

  constructor(kernel: Kernel, fd: number) {
    this.kernel = kernel;
    this.fd = fd;
    this.epoll = new Epoll(8, kernel);
    assert.equal(this.epoll.add(fd, EPOLLIN | EPOLLEXCLUSIVE, 1, 2), 0);
  }

  /** `expects`: an event is to come, which may take a while. */
  look(expects: boolean): void {
    this.told.push(`events: ${this.epoll.wait(expects ? LATE_MS : SOON_MS)}`);
  }
  accept(): number {
    const fd = this.kernel.accept(this.fd);
    this.told.push(fd < 0 ? `accept: ${fd}` : `accept: family ${this.kernel.peerAddress[0]}`);
    return fd;
  }
  /** Takes datagrams, two at a time. */
  take(): void {
    const batch = new DatagramBatch(2, 4096, this.kernel);
    const count = batch.receive(this.fd);
    this.told.push(`took ${count}`);
    for (let i = 0; i < count; i++) {
      const { u8, text } = batch.memory;
      const [at, length] = [batch.dataAt(i), batch.length(i)];
      const host = peerAddressText(u8, batch.addressAt(i), batch.addressLength(i));
      this.told.push(`${length} of "${text.toString('latin1', at, at + 3)}" from ${host}, cut: ${batch.isCut(i)}`);
    }
  }
  end(): string[] {
    this.epoll.remove(this.fd);
    this.kernel.close(this.fd);
    this.epoll.close();
    return this.told;
  }
}

describe('the fake kernel does as Linux does with', () => {
  const local = { family: AF_INET, host: '127.0.0.1', port: 0 };

  it('those who wait to be accepted, who are told of again and again', () => {
    const script = (kernel: Kernel, listener: number, connect: () => void): string[] => {
      const watched = new Watched(kernel, listener);
      watched.look(false);
      watched.accept();
      connect();
      connect();
      watched.look(true);
      watched.look(true);
      const accepted = [watched.accept()];
      watched.look(true);
      accepted.push(watched.accept(), watched.accept());
      watched.look(false);
      for (const fd of accepted) if (fd >= 0) kernel.close(fd);
      return watched.end();
    };
    const fake = new FakeKernel();
    const listening = fake.listen();
    const listener = openSocket(AF_INET, SOCK_STREAM);
    assert.equal(bindTo(listener, local), 0);
    assert.equal(listenOn(listener, 8), 0);
    const port = localPort(listener);
    const clients: number[] = [];
    const connect = (): void => {
      clients.push(openSocket(AF_INET, SOCK_STREAM));
      connectTo(clients[clients.length - 1], { ...local, port });
    };
    const wanted = script(linux, listener, connect);
    for (const fd of clients) closeDescriptor(fd);
    assert.deepEqual(
      script(fake, listening, () => fake.connect(listening)),
      wanted,
    );
  });

  it('datagrams, which are told of as long as there are some', () => {
    const script = (kernel: Kernel, socket: number, send: (text: string) => void): string[] => {
      const watched = new Watched(kernel, socket);
      watched.look(false);
      watched.take();
      for (const text of ['one', '', 'x'.repeat(5000)]) send(text);
      watched.look(true);
      watched.take();
      watched.look(true);
      watched.take();
      watched.look(false);
      watched.take();
      return watched.end();
    };
    const fake = new FakeKernel();
    const faked = fake.datagramSocket();
    const [socket, sender] = [openSocket(AF_INET, SOCK_DGRAM), openSocket(AF_INET, SOCK_DGRAM)];
    assert.equal(bindTo(socket, local), 0);
    assert.ok(aimIPv4('127.0.0.1', localPort(socket)));
    const wanted = script(linux, socket, (text) => assert.equal(sendDatagram(sender, text), 0));
    closeDescriptor(sender);
    assert.deepEqual(
      script(fake, faked, (text) => fake.datagram(faked, Buffer.from(text))),
      wanted,
    );
  });

  it('files, from which it sends on and on to their end', () => {
    const script = (kernel: Kernel, path: string, [one, other]: [number, number]): string[] => {
      const told: string[] = [];
      const file = kernel.openFile(path, 3);
      for (const length of [4, 100, 100]) told.push(`sent ${kernel.sendfile(one, file, 0, length)}`);
      const count = kernel.recv(other, memory.address, 100, 0);
      told.push(memory.text.toString('latin1', 0, count));
      const bytes = Buffer.alloc(4);
      told.push(`read ${kernel.readFile(file, bytes, 4)}`);
      kernel.closeFile(file);
      const again = kernel.openFile(path, 0);
      told.push(`read ${kernel.readFile(again, bytes, 4)} ${bytes}`);
      kernel.shutdown(one, SHUT_WR);
      told.push(`sent ${kernel.sendfile(one, again, 0, 4)}: errno ${kernel.errno()}`);
      kernel.closeFile(again);
      told.push(`opened ${kernel.openFile(`${path}.none`, 0)}`);
      for (const fd of [one, other]) kernel.close(fd);
      return told;
    };
    const fake = new FakeKernel();
    const path = join(tmpdir(), `tswoole-kernel-${process.pid}`);
    writeFileSync(path, '0123456789');
    fake.file(path, Buffer.from('0123456789'));
    try {
      for (const [family, pair] of [
        ['tcp', tcpPair()],
        ['unix', unixPair()],
      ] as const)
        assert.deepEqual(script(fake, path, fake.pair(family)), script(linux, path, pair));
    } finally {
      rmSync(path);
    }
    assert.deepEqual(fake.open(), []);
  });
});

describe('the fake kernel has no patience with', () => {
  const misuse = (act: (kernel: FakeKernel, fd: number) => void): void => {
    const kernel = new FakeKernel();
    const [fd] = kernel.pair('tcp');
    assert.throws(() => act(kernel, fd), Misuse);
  };

  it('an address outside of what was allocated, be it by a byte', () => {
    misuse((kernel, fd) => kernel.recv(fd, memory.address - 1, 2, 0));
    misuse((kernel, fd) => kernel.recv(fd, memory.address + 1, memory.length, 0));
    misuse((kernel, fd) => kernel.send(fd, 0, 1, 0));
    misuse((kernel, fd) => kernel.sendBytes(fd, Buffer.alloc(1), 2, 0));
  });

  it('a descriptor that is closed, or of another kind', () => {
    misuse((kernel, fd) => {
      kernel.close(fd);
      kernel.recv(fd, memory.address, 1, 0);
    });
    misuse((kernel, fd) => {
      kernel.close(fd);
      kernel.close(fd);
    });
    misuse((kernel, fd) => kernel.accept(fd));
    misuse((kernel, fd) => kernel.sendfile(fd, fd, 0, 1));
  });

  it('a descriptor that is watched twice', () => {
    misuse((kernel, fd) => {
      const epoll = new Epoll(8, kernel);
      epoll.add(fd, WATCHED, 1, 2);
      epoll.add(fd, WATCHED, 1, 2);
    });
  });

  it('the hope that a number stays free: the lowest is given again at once', () => {
    const kernel = new FakeKernel();
    const [one, other] = kernel.pair('tcp');
    kernel.close(one);
    assert.deepEqual(kernel.pair('unix'), [one, other + 1]);
  });
});
