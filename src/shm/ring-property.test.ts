/**
 * The ring against a plain queue: whatever producer and consumer do, and wherever either is killed, what arrives is what
 * the queue says: everything published, once, in order. FUZZ_SEED=<seed> FUZZ_ROUNDS=<n> node --test src/shm/ring-property.test.ts
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Prng, prng } from '../../test/support/prng.ts';
import { RingControl, smallSegment } from '../../test/support/shared.ts';
import { munmap } from '../sys/libc.ts';
import { closeDescriptor } from '../sys/socket.ts';
import { RING_BYTES } from './layout.ts';
import { BROKEN, RECORD_MAX, RingReader, RingWriter } from './ring.ts';

const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 60);
function replay(seed: number): string {
  return `replay: FUZZ_SEED=${seed} FUZZ_ROUNDS=1 node --test src/shm/ring-property.test.ts`;
}

const STEPS = 400;
const HELLO = 0xff;
const INBOX = 3;
const LANE = 2;
const BIGGEST = 3 * RING_BYTES;
const PATTERN = prng(1).bytes(BIGGEST + 65536);

interface Message {
  /** Counts all messages of the round; travels as `a`. */
  number: number;
  length: number;
}

/** What a test may know of the insides, to say exactly what a kill costs. */
interface WriterInsides {
  firstWaiting: { kind: number; a: number; next: WriterInsides['firstWaiting'] } | null;
}
interface ReaderInsides {
  assembly: Buffer | null;
}

function payloadOf(number: number, length: number): Buffer {
  const start = (number * 8191) & 0xffff;
  return PATTERN.subarray(start, start + length);
}

class Round {
  private readonly random: Prng;
  private readonly segment = smallSegment();
  private readonly control = new RingControl(this.segment, INBOX, LANE);
  private writer: RingWriter;
  private reader: RingReader;
  /** Everything posted that must still arrive, oldest first. */
  private expected: Message[] = [];
  private count = 0;
  /** True exactly when the producer found no room and sleeps until it hears of some. */
  private sleeps = false;
  private arrived = 0;
  /** What readers that died took with them; other pieces of it may still wait. */
  private readonly lost = new Set<number>();

  constructor(seed: number) {
    this.random = prng(seed);
    // Anywhere in the life of a ring, often near the places where the positions wrap.
    const start = [0, -RING_BYTES, 2 ** 31 - RING_BYTES, this.random.int(2 ** 29) * 8][this.random.int(4)];
    this.control.startAt(start + this.random.int(RING_BYTES / 8) * 8);
    this.writer = new RingWriter(this.segment, INBOX, LANE, []);
    this.reader = new RingReader(this.segment, INBOX, LANE);
  }

  run(): number {
    const { random } = this;
    // Some rounds are mostly full, others mostly idle.
    const eagerness = 1 + random.int(20);
    const killEvery = random.int(2) === 0 ? 25 : 120;
    for (let step = 0; step < STEPS; step++) {
      if (random.int(killEvery) === 0) this.killProducer();
      if (random.int(killEvery) === 0) this.killConsumer();
      if (random.int(3) !== 0) this.produce();
      else this.consume(1 + random.int(eagerness));
    }
    this.finish();
    unmap(this.writer);
    unmap(this.reader);
    unmap(this.segment);
    closeDescriptor(this.segment.fd);
    return this.arrived;
  }

  private produce(): void {
    switch (this.random.int(4)) {
      case 0:
        this.claimAndCommit();
        break;
      case 1:
        if (!this.sleeps) this.pump();
        break;
      default:
        this.post(this.length());
    }
  }

  private length(): number {
    const { random } = this;
    const dice = random.int(100);
    if (dice < 60) return random.int(300);
    if (dice < 80) return random.int(RECORD_MAX + 1);
    if (dice < 85) return RECORD_MAX - 8 + random.int(17);
    if (dice < 95) return random.int(20_000);
    return RECORD_MAX + 1 + random.int(random.int(2) === 0 ? RING_BYTES / 4 : BIGGEST - RECORD_MAX - 1);
  }

  private nextMessage(length: number): Message {
    const message = { number: this.count++, length };
    this.expected.push(message);
    return message;
  }

  private post(length: number): void {
    const { number } = this.nextMessage(length);
    const bytes = payloadOf(number, length);
    if (this.random.int(2) === 0) this.writer.post(kindOf(number), number, ~number, bytes, true);
    else {
      // The caller's memory is used again at once.
      const mine = Buffer.from(bytes);
      this.writer.post(kindOf(number), number, ~number, mine);
      mine.fill(0xee);
    }
    if (this.writer.blocked) this.sleeps = true;
  }

  private claimAndCommit(): void {
    const { random, writer } = this;
    // While something waits there is no claim, nor an ask for room: pump() comes first.
    if (writer.blocked) {
      assert.equal(writer.claim(8, 8), -1);
      return;
    }
    const wish = random.int(RECORD_MAX + 1);
    const least = random.int(wish + 1);
    const room = writer.claim(wish, least);
    if (room === -1) {
      this.sleeps = true;
      return;
    }
    assert.ok(room >= least && room <= wish, `room=${room} least=${least} wish=${wish}`);
    // A claim may come to nothing.
    if (random.int(8) === 0) return;
    const length = random.int(2) === 0 ? room : random.int(room + 1);
    const { number } = this.nextMessage(length);
    writer.data.u8.set(payloadOf(number, length), writer.payloadOffset());
    writer.commit(kindOf(number), number, ~number, length);
  }

  private waitingNumbers(): number[] {
    const result: number[] = [];
    const { firstWaiting } = this.writer as unknown as WriterInsides;
    // The HELLO of a successor is nobody's message.
    for (let each = firstWaiting; each !== null; each = each.next)
      if (each.kind !== HELLO && !this.lost.has(each.a)) result.push(each.a);
    return result;
  }

  private pump(): void {
    if (!this.writer.pump()) this.sleeps = true;
    this.checkWaiting();
  }

  /** What waits is the end of the queue, and is counted to the byte. */
  private checkWaiting(): void {
    const waiting = this.waitingNumbers();
    const end = this.expected.slice(this.expected.length - waiting.length);
    assert.deepEqual(
      waiting,
      end.map((message) => message.number),
    );
    for (const [index, { number, length }] of end.entries()) {
      const bytes = this.writer.waitingFor(number);
      // Of the first, a part may have gone.
      if (index === 0) assert.ok(bytes <= length && (bytes > 0 || length === 0), `${bytes} of ${length}`);
      else assert.equal(bytes, length);
    }
    const last = this.expected[this.expected.length - 1 - waiting.length];
    if (last !== undefined) assert.equal(this.writer.waitingFor(last.number), 0);
  }

  private consume(most: number): void {
    for (let i = 0; i < most; i++) {
      if (!this.reader.next()) {
        this.hearOfRoom();
        // Everything that is in the ring was taken: a producer that sleeps now would sleep for ever.
        assert.equal(this.sleeps, false, 'the producer was not told that there is room');
        return;
      }
      this.receive();
    }
    this.hearOfRoom();
  }

  private receive(): void {
    const { reader } = this;
    if (reader.kind === BROKEN) {
      // Whoever waits for it can be told what it was.
      assert.ok(this.lost.has(reader.a), `number ${reader.a} was not lost`);
      assert.deepEqual([reader.b, reader.brokenKind, reader.length], [~reader.a, kindOf(reader.a), 0]);
      reader.release();
      return;
    }
    const message = this.expected.shift();
    assert.ok(message !== undefined, `number ${reader.a} was not expected`);
    const { number, length } = message;
    assert.deepEqual([reader.a, reader.b, reader.kind, reader.length], [number, ~number, kindOf(number), length]);
    const { data, offset } = reader;
    const bytes = reader.bytes ?? Buffer.from(data.u8.buffer, data.u8.byteOffset + offset, length);
    assert.ok(payloadOf(number, length).equals(bytes), `the bytes of number ${number}`);
    assert.equal(reader.bytes !== null, length > RECORD_MAX);
    reader.release();
    this.arrived++;
  }

  private hearOfRoom(): void {
    if (!this.reader.roomWanted) return;
    this.reader.roomWanted = false;
    this.sleeps = false;
  }

  /** Lost is what waited in its memory, with the message that was on its way in pieces. */
  private killProducer(): void {
    this.checkWaiting();
    this.expected.length -= this.waitingNumbers().length;
    if (this.random.int(2) === 0 && this.writer.claim(1000, 8) >= 8)
      this.writer.data.u8.fill(0xdd, this.writer.payloadOffset() - 16, this.writer.payloadOffset() + 8);
    unmap(this.writer);
    this.writer = new RingWriter(this.segment, INBOX, LANE, []);
    this.sleeps = this.writer.blocked;
  }

  /** Lost is the message of which the reader had a part, and a doorbell that it had not rung yet. */
  private killConsumer(): void {
    let lost: number | null = null;
    if (this.random.int(2) === 0 && this.reader.next() && this.reader.kind !== BROKEN) {
      // Killed between next() and release(): a message in one piece stays in the ring.
      assert.equal(this.reader.a, this.expected[0].number);
      if (this.reader.bytes !== null) lost = this.reader.a;
    }
    const { assembly } = this.reader as unknown as ReaderInsides;
    if (assembly !== null) {
      const candidate = this.expected.find(({ length }) => length === assembly.length);
      // None, when its producer died over it before.
      if (candidate !== undefined && payloadOf(candidate.number, 64).equals(assembly.subarray(0, 64)))
        lost = candidate.number;
    }
    this.expected = this.expected.filter(({ number }) => number !== lost);
    if (lost !== null) this.lost.add(lost);
    if (this.random.int(2) === 0) this.hearOfRoom();
    unmap(this.reader);
    this.reader = new RingReader(this.segment, INBOX, LANE);
  }

  /** Without another kill everything arrives, also when the producer does nothing until it is told. */
  private finish(): void {
    for (let turn = 0; this.expected.length !== 0; turn++) {
      assert.ok(turn < 10_000, `${this.expected.length} messages never arrive`);
      if (!this.sleeps) this.pump();
      this.consume(100);
    }
    assert.equal(this.reader.next(), false);
    assert.equal(this.writer.pump(), true);
  }
}

function kindOf(number: number): number {
  return 1 + (number % 251);
}

/** Thousands of processes die here: their maps would fill the table of this one. Nobody touches the views any more. */
function unmap(owner: RingWriter | RingReader | { region: { address: number; length: number } }): void {
  const { address, length } = 'data' in owner ? owner.data : owner.region;
  assert.equal(munmap(address, length), 0);
}

test(`a ring delivers what a queue would, through kills on both sides (${ROUNDS} rounds)`, () => {
  let arrived = 0;
  for (let round = 0; round < ROUNDS; round++) {
    try {
      arrived += new Round(SEED + round).run();
    } catch (error) {
      throw new Error(`round ${round}: ${(error as Error).message}\n${replay(SEED + round)}`, { cause: error });
    }
  }
  assert.ok(arrived > ROUNDS * 10, `${arrived}`);
});
