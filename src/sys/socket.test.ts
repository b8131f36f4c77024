import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { prng } from '../../test/support/prng.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EADDRINUSE,
  EAGAIN,
  EBADF,
  EINVAL,
  SO_ERROR,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOCK_STREAM,
  SOL_SOCKET,
} from './constants.ts';
import {
  acceptFrom,
  bindTo,
  closeDescriptor,
  connectTo,
  formatIPv6,
  getOption,
  listenOn,
  localPort,
  openSocket,
  parseIPv6,
  peerAddress,
  setOption,
  UNIX_PATH_MAX,
} from './socket.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 20_000);
const REPLAY = `replay: FUZZ_SEED=${SEED} FUZZ_ROUNDS=${ROUNDS} node --test src/sys/socket.test.ts`;
const EINPROGRESS = 115;
const ENOENT = 2;
const ECONNREFUSED = 111;

function bytesOf(words: number[]): Uint8Array {
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]));
}

/** The short form as the URL class writes it. */
function byUrl(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

describe('an IPv6 address', () => {
  const random = prng(SEED);

  it('is read as node:net would, right or wrong', () => {
    // Pieces of addresses, put together at random: mostly wrong, sometimes right by luck.
    const pieces = [
      ':',
      '::',
      '0',
      '1',
      'ffff',
      'FE80',
      '00001',
      '12345',
      'g',
      '.',
      '1.2.3.4',
      '255.255.255.256',
      '01',
      ' ',
    ];
    let right = 0;
    for (let round = 0; round < ROUNDS; round++) {
      let text = '';
      const separator = random.int(2) === 0 ? ':' : '';
      const count = random.int(11);
      for (let i = 0; i < count; i++) text += (i > 0 ? separator : '') + pieces[random.int(pieces.length)];
      const words = parseIPv6(text);
      assert.equal(words !== null, isIPv6(text), `${JSON.stringify(text)} ${REPLAY}`);
      if (words === null) continue;
      right++;
      assert.equal(words.length, 8);
      assert.ok(words.every((word) => word >= 0 && word <= 0xffff));
      assert.equal(byUrl(words.map((word) => word.toString(16)).join(':')), byUrl(text), `${text} ${REPLAY}`);
    }
    assert.ok(right > ROUNDS / 500, `${right}`);
  });

  it('is written as the URL class writes it, and read back', () => {
    for (let round = 0; round < ROUNDS / 4; round++) {
      // Many zeros, so that there are runs of them in all places.
      const words = Array.from({ length: 8 }, () => [0, 0, random.int(16), random.int(65536)][random.int(4)]);
      const bytes = new Uint8Array(20);
      bytes.set(bytesOf(words), 3);
      const text = formatIPv6(bytes, 3);
      assert.deepEqual(parseIPv6(text), words, `${text} ${REPLAY}`);
      assert.equal(isIPv6(text), true, text);
      if (!text.startsWith('::ffff:'))
        assert.equal(text, byUrl(words.map((word) => word.toString(16)).join(':')), REPLAY);
    }
  });

  it('keeps the dotted form of an IPv4 client, where the URL class does not', () => {
    const mapped = bytesOf([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]);
    assert.equal(formatIPv6(mapped, 0), '::ffff:127.0.0.1');
    assert.equal(byUrl('::ffff:127.0.0.1'), '::ffff:7f00:1');
    assert.deepEqual(bytesOf(parseIPv6('::ffff:127.0.0.1')!), mapped);
    assert.equal(formatIPv6(bytesOf([0, 0, 0, 0, 0, 0, 0x7f00, 1]), 0), '::7f00:1');
  });

  it('has the forms that everybody knows', () => {
    for (const [text, words] of [
      ['::', [0, 0, 0, 0, 0, 0, 0, 0]],
      ['::1', [0, 0, 0, 0, 0, 0, 0, 1]],
      ['1::', [1, 0, 0, 0, 0, 0, 0, 0]],
      ['2001:db8::1:0:0:1', [0x2001, 0xdb8, 0, 0, 1, 0, 0, 1]],
      ['1:0:2:0:3:0:4:0', [1, 0, 2, 0, 3, 0, 4, 0]],
      ['1:2:3:4:5:6:7::', [1, 2, 3, 4, 5, 6, 7, 0]],
    ] as const) {
      assert.deepEqual(parseIPv6(text), words);
    }
    for (const text of [
      '::1%lo',
      '',
      ':',
      ':::',
      '1',
      '1:2:3:4:5:6:7:8:9',
      '1::2::3',
      '::01.2.3.4',
      '::1.2.3',
      '[::1]',
    ])
      assert.equal(parseIPv6(text), null, text);
    // The only one that node:net calls right and we do not: we have nowhere to put the interface.
    assert.equal(isIPv6('::1%lo'), true);
  });
});

describe('a socket', () => {
  function tcp(family = AF_INET): number {
    const fd = openSocket(family, SOCK_STREAM);
    assert.ok(fd >= 0);
    return fd;
  }

  for (const [family, host] of [
    [AF_INET, '127.0.0.1'],
    [AF_INET6, '::1'],
  ] as const) {
    it(`listens on ${host}, accepts, and knows the peer`, (t) => {
      const listener = tcp(family);
      if (bindTo(listener, { family, host, port: 0 }) === 99) return t.skip(`this machine has no ${host}`);
      const port = localPort(listener);
      assert.ok(port > 0);
      assert.equal(acceptFrom(listener), -EINVAL, 'it does not listen yet');
      assert.equal(listenOn(listener, 8), 0);
      assert.equal(acceptFrom(listener), -EAGAIN);
      const client = tcp(family);
      assert.ok([0, EINPROGRESS].includes(connectTo(client, { family, host, port })));
      let accepted = acceptFrom(listener);
      while (accepted === -EAGAIN) accepted = acceptFrom(listener);
      assert.ok(accepted >= 0);
      assert.equal(peerAddress[0] | (peerAddress[1] << 8), family);
      assert.equal((peerAddress[2] << 8) | peerAddress[3], localPort(client));
      const second = tcp(family);
      assert.equal(bindTo(second, { family, host, port }), EADDRINUSE);
      for (const fd of [listener, client, second, accepted]) closeDescriptor(fd);
    });
  }

  it('refuses an address that is none, before the kernel sees it', () => {
    const fd = tcp();
    for (const host of [
      '',
      'localhost',
      '1.2.3',
      '1.2.3.4.5',
      '256.1.1.1',
      '1..2.3',
      '0x7f.0.0.1',
      '1e1.0.0.1',
      ' 1.2.3.4',
      '127.0.0.01',
    ])
      assert.equal(bindTo(fd, { family: AF_INET, host, port: 0 }), EINVAL, host);
    for (const port of [-1, 65536, 1.5, Number.NaN])
      assert.equal(connectTo(fd, { family: AF_INET, host: '127.0.0.1', port }), EINVAL, `${port}`);
    const six = tcp(AF_INET6);
    for (const host of ['127.0.0.1', '::g', '']) assert.equal(bindTo(six, { family: AF_INET6, host, port: 0 }), EINVAL);
    for (const each of [fd, six]) closeDescriptor(each);
  });

  it('answers errnos, as numbers', () => {
    const fd = tcp();
    assert.ok(openSocket(9999, SOCK_STREAM) < 0);
    closeDescriptor(fd);
    assert.equal(bindTo(fd, { family: AF_INET, host: '127.0.0.1', port: 0 }), EBADF);
    assert.equal(listenOn(fd, 1), EBADF);
    assert.equal(acceptFrom(fd), -EBADF);
    assert.equal(setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1), EBADF);
    assert.equal(getOption(fd, SOL_SOCKET, SO_ERROR), -EBADF);
    assert.equal(localPort(fd), 0);
  });

  it('has options', () => {
    const fd = tcp();
    assert.equal(setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assert.equal(getOption(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    assert.equal(setOption(fd, SOL_SOCKET, SO_RCVBUF, 50_000), 0);
    assert.equal(getOption(fd, SOL_SOCKET, SO_RCVBUF), 100_000, 'the kernel doubles it');
    assert.equal(getOption(fd, SOL_SOCKET, SO_ERROR), 0);
    closeDescriptor(fd);
  });

  it('of a path takes what fits into sockaddr_un, and refuses what would be cut', () => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-socket-'));
    try {
      const unix = (path: string): number => {
        const fd = tcp(AF_UNIX);
        const error = bindTo(fd, { family: AF_UNIX, host: path, port: 0 });
        closeDescriptor(fd);
        return error;
      };
      const path = `${directory}/`;
      assert.equal(unix(`${path}a`), 0);
      assert.equal(unix(`${path}a`), EADDRINUSE);
      assert.equal(unix(path.padEnd(UNIX_PATH_MAX, 'b')), 0);
      assert.equal(unix(path.padEnd(UNIX_PATH_MAX + 1, 'b')), EINVAL, 'cut, it would be the one before');
      assert.equal(unix(path.padEnd(UNIX_PATH_MAX - 1, 'c').concat('ü')), EINVAL, 'bytes count, not characters');
      for (const wrong of ['', '\0abstract', `${path}x\0y`]) assert.equal(unix(wrong), EINVAL);
      const fd = tcp(AF_UNIX);
      assert.equal(connectTo(fd, { family: AF_UNIX, host: `${path}nobody`, port: 0 }), ENOENT);
      assert.equal(connectTo(fd, { family: AF_UNIX, host: `${path}a`, port: 0 }), ECONNREFUSED);
      closeDescriptor(fd);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
