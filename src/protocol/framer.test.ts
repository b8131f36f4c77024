/**
 * One suite for all framers: whatever the way and however the bytes arrive, the packages are those that a plain reading
 * of the rules finds in the whole stream. FUZZ_SEED=<seed> FUZZ_ROUNDS=<n> node --test src/protocol/framer.test.ts
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Prng, prng } from '../../test/support/prng.ts';
import {
  createFramer,
  type Framer,
  type FramingConfig,
  LENGTH_NOT_FOUND,
  type LengthType,
  MALFORMED,
  NEED_MORE,
  TOO_LARGE,
} from './framer.ts';
import { LENGTH_TYPE_BYTES } from './length.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 150);
const REPLAY = `replay: FUZZ_SEED=${SEED} FUZZ_ROUNDS=${ROUNDS} node --test src/protocol/framer.test.ts`;

/** One way to cut a stream, with all that the suite must know of it. */
interface Way {
  name: string;
  config: FramingConfig & { max: number };
  /** A package, correct unless the way's own mistakes are wanted. */
  make(random: Prng, isWrong: boolean): Buffer;
  /**
   * The oracle: the length of the first package of the stream, NEED_MORE or a reason. Slow and simple, and written in
   * another manner than the framer where there is one.
   */
  first(stream: Buffer): number;
}

interface Outcome {
  packages: string[];
  /** NEED_MORE at the end of the stream, or the reason that stopped it. */
  verdict: number;
}

function eofWay(eofText: string, max: number): Way {
  const eof = Buffer.from(eofText, 'latin1');
  return {
    name: `eof split ${JSON.stringify(eofText)} max ${max}`,
    config: { kind: 'eof', eof, split: true, max },
    make(random, isWrong) {
      // Bytes of the EOF itself are likely, so that there are many beginnings of it.
      const body = random.bytes(random.int(isWrong ? max * 2 : max - eof.length));
      for (let index = 0; index < body.length; index++) {
        if (random.int(3) === 0) body[index] = eof[random.int(eof.length)];
      }
      return Buffer.concat([body, eof]);
    },
    first(stream) {
      const index = stream.toString('latin1').indexOf(eofText);
      if (index >= 0 && index + eof.length <= max) return index + eof.length;
      return stream.length >= max ? TOO_LARGE : NEED_MORE;
    },
  };
}

function lengthWay(type: LengthType, lengthOffset: number, bodyOffset: number, max: number): Way {
  const size = LENGTH_TYPE_BYTES[type];
  const isBig = type === 'n' || type === 'N' || type === 'J';
  const isSigned = 'cslq'.includes(type) || size === 8;
  return {
    name: `length ${type} at ${lengthOffset} body ${bodyOffset} max ${max}`,
    config: { kind: 'length', type, lengthOffset, bodyOffset, max },
    make(random, isWrong) {
      const headerBytes = lengthOffset + size;
      const total = Math.max(headerBytes, bodyOffset) + random.int(90);
      const result = random.bytes(total);
      let value = BigInt(total - bodyOffset);
      if (isWrong) value = random.int(2) === 0 ? BigInt.asUintN(8 * size, -1n - value) : value << BigInt(4 * size);
      for (let index = 0; index < size; index++) {
        const at = isBig ? headerBytes - 1 - index : lengthOffset + index;
        result[at] = Number((value >> BigInt(8 * index)) & 0xffn);
      }
      return result;
    },
    first(stream) {
      if (stream.length < lengthOffset + size) return NEED_MORE;
      const field = Buffer.from(stream.subarray(lengthOffset, lengthOffset + size));
      if (!isBig) field.reverse();
      const unsigned = BigInt(`0x${field.toString('hex')}`);
      const value = isSigned ? BigInt.asIntN(8 * size, unsigned) : unsigned;
      if (value < 0n) return MALFORMED;
      const total = value + BigInt(bodyOffset);
      if (total === 0n) return LENGTH_NOT_FOUND;
      if (total > BigInt(max)) return TOO_LARGE;
      return total <= stream.length ? Number(total) : NEED_MORE;
    },
  };
}

/** The length in decimal digits before a colon, told only once the colon is there. */
function lengthFunctionWay(max: number): Way {
  function call(data: Buffer): number {
    const text = data.toString('latin1');
    const header = /^(\d{1,4}):/.exec(text);
    if (header) return header[0].length + Number(header[1]);
    if (/^\d{0,4}$/.test(text)) return 0;
    if (text.startsWith('x')) throw new Error('counts as -1');
    return -1;
  }
  return {
    name: `length function max ${max}`,
    config: { kind: 'lengthFunction', call, max },
    make(random, isWrong) {
      const body = random.bytes(random.int(max - 5));
      const header = isWrong ? ['x', '', '99999', `${max}:`][random.int(4)] : `${body.length}:`;
      return Buffer.concat([Buffer.from(header), body]);
    },
    first(stream) {
      const colon = stream.indexOf(':');
      const digits = stream.subarray(0, colon < 0 ? undefined : colon).toString('latin1');
      if (!/^\d{0,4}$/.test(digits) || (colon >= 0 && digits === '')) return MALFORMED;
      if (colon < 0) return stream.length >= max ? TOO_LARGE : NEED_MORE;
      const total = colon + 1 + Number(digits);
      if (total > max) return TOO_LARGE;
      return total <= stream.length ? total : NEED_MORE;
    },
  };
}

function mqttWay(max: number): Way {
  return {
    name: `mqtt max ${max}`,
    config: { kind: 'mqtt', max },
    make(random, isWrong) {
      const body = random.bytes(random.int(max - 5));
      const padding = random.int(2);
      const header = [0x30, body.length & 0x7f, body.length >> 7];
      if (body.length > 0x7f || padding === 1) header[1] |= 0x80;
      else header.pop();
      if (isWrong) header.splice(1, 2, 0xff, 0xff, random.int(256), random.int(256));
      return Buffer.concat([Buffer.from(header), body]);
    },
    first(stream) {
      const bits: string[] = [];
      for (const byte of stream.subarray(1, 5)) {
        bits.unshift((byte & 0x7f).toString(2).padStart(7, '0'));
        if (byte >= 0x80) continue;
        const total = 1 + bits.length + Number.parseInt(bits.join(''), 2);
        if (total > max) return TOO_LARGE;
        return total <= stream.length ? total : NEED_MORE;
      }
      return bits.length === 4 ? TOO_LARGE : NEED_MORE;
    },
  };
}

function redisWay(max: number): Way {
  const bulk = (body: Buffer): Buffer => Buffer.concat([Buffer.from(`$${body.length}\r\n`), body, Buffer.from('\r\n')]);
  const mistakes = ['PING\r\n', '*0\r\n', '*2\r\n$-2\r\n', '*1\r\n$007\r\n', '*1\r\n:x\r\n', '*1\r\n$3\r\nabcd\r\n'];
  return {
    name: `redis max ${max}`,
    config: { kind: 'redis', max },
    make(random, isWrong) {
      if (isWrong && random.int(2) === 0) return Buffer.from(mistakes[random.int(mistakes.length)]);
      const count = 1 + random.int(6);
      const elements: Buffer[] = [Buffer.from(`*${count}\r\n`)];
      for (let index = 0; index < count; index++) {
        const kind = random.int(8);
        if (kind === 0) elements.push(Buffer.from('$-1\r\n'));
        else if (kind === 1) elements.push(Buffer.from(`:${random.int(2000) - 1000}\r\n`));
        else elements.push(bulk(random.bytes(random.int(kind === 2 ? 30 : 9))));
      }
      const result = Buffer.concat(elements);
      if (isWrong) result[random.int(result.length)] = random.int(256);
      return result;
    },
    first: (stream) => firstRedisCommand(stream, max),
  };
}

/** Reads a command with a regular expression for each kind of line, and one for what may become such a line. */
function firstRedisCommand(stream: Buffer, max: number): number {
  const text = stream.subarray(0, max).toString('latin1');
  const incomplete = stream.length >= max ? TOO_LARGE : NEED_MORE;

  const head = /^\*([1-9]\d{0,9})\r\n/.exec(text);
  if (!head) return /^(\*((0|[1-9]\d{0,9})\r?)?)?$/.test(text) ? incomplete : MALFORMED;
  const count = Number(head[1]);
  let at = head[0].length;
  for (let left = count; left > 0; left--) {
    if (at + left * ':0\r\n'.length > max) return TOO_LARGE;
    const rest = text.slice(at);
    const other = /^(:[-+]?\d{1,19}|\$-1)\r\n/.exec(rest);
    const bulk = /^\$(0|[1-9]\d{0,9})\r\n/.exec(rest);
    if (other) {
      at += other[0].length;
    } else if (bulk) {
      at += bulk[0].length + Number(bulk[1]) + 2;
      if (at > max) return TOO_LARGE;
      if (at > text.length) return incomplete;
      if (text.slice(at - 2, at) !== '\r\n') return MALFORMED;
    } else {
      const isBegun = /^(:([-+]?(\d{1,19}\r?)?)?|\$(-|-1\r?|(0|[1-9]\d{0,9})\r?)?)?$/.test(rest);
      return isBegun ? incomplete : MALFORMED;
    }
  }
  return at;
}

const WAYS: Way[] = [
  eofWay('\n', 40),
  eofWay('\r\n', 60),
  eofWay('\r\n\r\n', 300),
  eofWay('aaaab', 400),
  eofWay('aaaaaaaa', 700),
  ...(Object.keys(LENGTH_TYPE_BYTES) as LengthType[]).flatMap((type) => [
    lengthWay(type, 0, LENGTH_TYPE_BYTES[type], 130),
    lengthWay(type, 3, 0, 100),
  ]),
  lengthFunctionWay(200),
  mqttWay(250),
  redisWay(60),
  redisWay(400),
];

function framerOf(way: Way): Framer {
  const framer = createFramer(way.config);
  assert.ok(framer);
  return framer;
}

function oracle(way: Way, stream: Buffer): Outcome {
  const packages: string[] = [];
  for (let at = 0; ; ) {
    const length = way.first(stream.subarray(at));
    if (length <= 0) return { packages, verdict: length };
    packages.push(stream.toString('hex', at, at + length));
    at += length;
  }
}

/**
 * A connection: collects the pieces in a buffer among foreign bytes, takes every package out as soon as scan tells it,
 * and moves what is left to another place now and then. Checks each answer against the contract on the way.
 */
function feed(framer: Framer, pieces: Buffer[], random: Prng): Outcome {
  const packages: string[] = [];
  let pending: Buffer = Buffer.alloc(0);
  let seen = 0;
  let expected = 0;
  for (const piece of pieces) {
    pending = Buffer.concat([pending, piece]);
    for (;;) {
      const before = random.int(12);
      const bytes = Buffer.concat([random.bytes(before), pending, Buffer.from('\r\n\r\naaaab0:\r\n')]);
      const end = before + pending.length;
      const length = framer.scan(bytes, before, end, seen);
      if (length === NEED_MORE) {
        assert.ok(pending.length < framer.maxLength, 'a full buffer must be decided');
        seen = random.int(2) === 0 ? framer.progress : pending.length;
        assert.ok(Number.isSafeInteger(seen), `progress=${seen}`);
        const told = framer.expected(bytes, before, end);
        if (told !== 0) {
          assert.ok(told > pending.length && told <= framer.maxLength, `expected=${told} available=${pending.length}`);
          assert.ok(expected === 0 || told === expected, `expected=${told} earlier=${expected}`);
          expected = told;
        }
        break;
      }
      if (length < 0) return { packages, verdict: length };
      assert.ok(length <= pending.length && length <= framer.maxLength, `length=${length} available=${pending.length}`);
      if (expected !== 0) assert.equal(length, expected);
      packages.push(pending.toString('hex', 0, length));
      pending = pending.subarray(length);
      seen = 0;
      expected = 0;
      if (pending.length === 0) break;
    }
  }
  return { packages, verdict: NEED_MORE };
}

function cut(stream: Buffer, random: Prng, pieceMax: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const next = at + 1 + random.int(pieceMax);
    pieces.push(stream.subarray(at, next));
    at = next;
  }
  return pieces;
}

function correctStream(way: Way, random: Prng, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => way.make(random, false)));
}

/** What a careless or evil client sends: mostly right, so that the mistake comes after some packages. */
function doubtfulStream(way: Way, random: Prng): Buffer {
  const parts = Array.from({ length: 1 + random.int(5) }, () => way.make(random, random.int(6) === 0));
  const stream = Buffer.concat(parts);
  switch (random.int(4)) {
    case 0:
      return stream.subarray(0, random.int(stream.length + 1));
    case 1:
      if (stream.length > 0) stream[random.int(stream.length)] = random.int(256);
      return stream;
    case 2:
      return Buffer.concat([stream, random.bytes(random.int(50))]);
    default:
      return stream;
  }
}

/** The bytes, with an error for every read outside [start, end) and a count of the others. */
function watched(bytes: Uint8Array, start: number, end: number): { view: Uint8Array; reads: () => number } {
  let reads = 0;
  const view = new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d/.test(key)) {
        const index = Number(key);
        assert.ok(index >= start && index < end, `read ${key} outside [${start}, ${end})`);
        reads++;
        return target[index];
      }
      if (key === 'subarray') {
        return (from: number, to: number) => {
          assert.ok(from >= start && from <= to && to <= end, `view [${from}, ${to}) outside [${start}, ${end})`);
          reads += to - from;
          return target.subarray(from, to);
        };
      }
      const value: unknown = Reflect.get(target, key, target);
      return value;
    },
  });
  return { view, reads: () => reads };
}

for (const way of WAYS) {
  test(`${way.name}: every split point, and byte by byte`, () => {
    const random = prng(SEED);
    const stream = correctStream(way, random, 4);
    const whole = oracle(way, stream);
    assert.deepEqual(feed(framerOf(way), [stream], random), whole, REPLAY);
    for (let at = 1; at < stream.length; at++) {
      const pieces = [stream.subarray(0, at), stream.subarray(at)];
      assert.deepEqual(feed(framerOf(way), pieces, random), whole, `split at ${at}; ${REPLAY}`);
    }
    assert.deepEqual(feed(framerOf(way), cut(stream, random, 1), random), whole, REPLAY);
  });

  test(`${way.name}: random streams in random pieces`, () => {
    const framer = framerOf(way);
    for (let round = 0; round < ROUNDS; round++) {
      const random = prng(SEED + round);
      const stream = doubtfulStream(way, random);
      const pieces = cut(stream, random, 1 + random.int(stream.length + 1));
      const message = `round ${round}, stream ${stream.toString('hex')}; ${REPLAY}`;
      try {
        assert.deepEqual(feed(framer, pieces, random), oracle(way, stream));
      } catch (cause) {
        throw new Error(message, { cause });
      }
    }
  });

  test(`${way.name}: garbage never throws, hangs or claims what is not there`, () => {
    const framer = framerOf(way);
    const alphabet = Buffer.from('\0\x01\x7f\x80\xff\r\n*$:-+019a', 'latin1');
    for (let round = 0; round < ROUNDS * 4; round++) {
      const random = prng(SEED ^ (round + 1));
      const bytes = random.bytes(random.int(way.config.max * 2));
      if (round % 2 === 0) for (let at = 0; at < bytes.length; at++) bytes[at] = alphabet[random.int(alphabet.length)];
      const start = random.int(bytes.length + 1);
      const end = start + random.int(bytes.length + 1 - start);
      const message = `round ${round}; ${REPLAY}`;
      const seen = random.int(3) === 0 ? Math.floor(random.next() * 2 ** 53) : random.int(end - start + 1);
      for (const from of [0, seen]) {
        const answer = framer.scan(bytes, start, end, from);
        const isKnown = [NEED_MORE, TOO_LARGE, LENGTH_NOT_FOUND, MALFORMED].includes(answer);
        assert.ok(
          isKnown || (Number.isInteger(answer) && answer > 0 && answer <= end - start),
          `${answer}; ${message}`,
        );
      }
      const expected = framer.expected(bytes, start, end);
      assert.ok(Number.isInteger(expected) && expected >= 0 && expected <= framer.maxLength, `${expected}; ${message}`);
    }
  });

  // The length function is shown memory, not a proxy; length-function.test.ts looks at what it gets.
  if (way.config.kind !== 'lengthFunction') {
    test(`${way.name}: reads nothing outside its range`, () => {
      const framer = framerOf(way);
      const random = prng(SEED);
      for (let round = 0; round < 20; round++) {
        const stream = doubtfulStream(way, random);
        for (let end = 0; end <= stream.length; end += 1 + random.int(10)) {
          const start = random.int(end + 1);
          const { view } = watched(stream, start, end);
          framer.scan(view, start, end, random.int(end - start + 1));
          framer.expected(view, start, end);
        }
      }
    });
  }
}

test('eof check: cuts where a read ends in the EOF', () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = prng(SEED + round);
    const max = 40;
    const framer = createFramer({ kind: 'eof', eof: Buffer.from('\r\n'), split: false, max });
    assert.ok(framer);
    const letters = '\r\n\r\n\r\nabc';
    const stream = Buffer.from(Array.from({ length: random.int(200) }, () => letters.charCodeAt(random.int(9))));
    const pieces = cut(stream, random, 1 + random.int(30));

    const outcome: Outcome = { packages: [], verdict: NEED_MORE };
    let pending = '';
    for (const piece of pieces) {
      pending += piece.toString('latin1');
      if (pending.length <= max && pending.endsWith('\r\n')) {
        outcome.packages.push(Buffer.from(pending, 'latin1').toString('hex'));
        pending = '';
      } else if (pending.length >= max) {
        outcome.verdict = TOO_LARGE;
        break;
      }
    }
    assert.deepEqual(feed(framer, pieces, random), outcome, `round ${round}; ${REPLAY}`);
  }
});

test('a long package in one-byte pieces costs linear time', () => {
  const max = 1_000_000;
  const subjects: [FramingConfig, Buffer][] = [
    [{ kind: 'eof', eof: Buffer.from('\r\n\r\n'), split: true, max }, Buffer.from(`${'\r\n\r'.repeat(4000)}\r\n\r\n`)],
    [{ kind: 'eof', eof: Buffer.from('\r\n'), split: false, max }, Buffer.from(`${'\r'.repeat(12000)}\r\n`)],
    [
      { kind: 'length', type: 'J', lengthOffset: 0, bodyOffset: 8, max },
      Buffer.concat([Buffer.from('0000000000002ee0', 'hex'), Buffer.alloc(12000)]),
    ],
    [{ kind: 'mqtt', max }, Buffer.concat([Buffer.from('30e05d', 'hex'), Buffer.alloc(12000)])],
    [{ kind: 'redis', max }, Buffer.from(`*2000\r\n${':1\r\n'.repeat(1000)}${'$1\r\n\r\r\n'.repeat(1000)}`)],
    [{ kind: 'redis', max }, Buffer.from(`*1\r\n$12000\r\n${'x'.repeat(12000)}\r\n`)],
  ];
  for (const [config, bytes] of subjects) {
    const framer = createFramer(config);
    assert.ok(framer);
    const { view, reads } = watched(bytes, 0, bytes.length);
    let seen = 0;
    for (let end = 1; end < bytes.length; end++) {
      assert.equal(framer.scan(view, 0, end, seen), NEED_MORE);
      seen = framer.progress;
    }
    assert.equal(framer.scan(view, 0, bytes.length, seen), bytes.length);
    const readsPerByte = reads() / bytes.length;
    assert.ok(readsPerByte < 20, `${config.kind}: readsPerByte=${readsPerByte}`);
  }
});

test('raw has no framer', () => {
  assert.equal(createFramer({ kind: 'raw' }), null);
});
