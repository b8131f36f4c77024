/**
 * One side of a ring in a process of its own: `node ring-peer.ts <role> <options as JSON>`, with the segment at descriptor
 * 3 and the doorbells behind it. It prints one line of JSON for each thing worth telling, and ends with a code:
 */
import { randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { LaneCounters } from '../../src/shm/lanes.ts';
import { reactorInbox, reactorLane, workerInbox, workerLane } from '../../src/shm/layout.ts';
import { Inbox, Outbox } from '../../src/shm/mailbox.ts';
import type { RingReader, RingWriter } from '../../src/shm/ring.ts';
import { Segment } from '../../src/shm/segment.ts';
import { EPOLLIN } from '../../src/sys/constants.ts';
import { Epoll } from '../../src/sys/epoll.ts';
import { clearEventfd } from '../../src/sys/eventfd.ts';
import { prng } from '../support/prng.ts';

/** What arrived was not what should have. */
export const EXIT_WRONG = 2;
/** Nobody rang for WATCHDOG_MS, though something was to come. */
export const EXIT_SLEPT = 3;
const WATCHDOG_MS = 8000;

/** A message with a payload of: number u32 (counted from 0 for each life of a producer), life u32, crc32 u32, bytes. */
export const MESSAGE = 1;
/** The same as an answer of the consumer's, without payload; a: number. */
export const ANSWER = 2;
export const END = 3;
const HEADER = 12;

/** Where a process notes in shared memory how far it has come; a kill cannot take it away. */
export const PROGRESS = 0;
export const PROGRESS_LIFE = 1;

export interface PeerOptions {
  /** Counts the processes of this role. */
  life: number;
  /** Messages to send, then END; for a consumer of no meaning. */
  count: number;
  /** Send this many, at random, then sleep until they are answered; 0 sends without an end. */
  burst: number;
  /** Messages of up to so many bytes, and in some cases in pieces. */
  lengthMax: number;
  /** Answer each message. */
  answers: boolean;
}

const [role, optionsText] = process.argv.slice(2);
const DOORBELLS = 4;

export function producerLane(): number {
  return reactorLane(0);
}
export function consumerLane(segment: Segment, life: number): number {
  return workerLane(segment.layout, 0, life % 3);
}

/** One process: an inbox it sleeps on, and an outbox. */
class Peer {
  readonly options: PeerOptions;
  readonly segment: Segment;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly progress: LaneCounters;
  private readonly epoll = new Epoll(4);

  constructor(inboxOf: (segment: Segment) => number, laneOf: (segment: Segment, life: number) => number) {
    this.options = JSON.parse(optionsText) as PeerOptions;
    this.segment = Segment.attach(DOORBELLS - 1);
    const doorbells = Array.from({ length: this.segment.layout.inboxCount }, (_, i) => DOORBELLS + i);
    const lane = laneOf(this.segment, this.options.life);
    this.inbox = new Inbox(this.segment, inboxOf(this.segment), doorbells);
    this.outbox = new Outbox(this.segment, lane, doorbells);
    this.progress = new LaneCounters(this.segment, lane);
    if (!this.inbox.take(lane)) fail(EXIT_WRONG, 'somebody else still reads the inbox');
    this.epoll.add(this.inbox.doorbell, EPOLLIN, 0, 0);
  }

  /** Waits for the doorbell and nothing else. There is no timer that could hide a missed one. */
  sleep(): void {
    if (!this.inbox.prepareSleep()) return;
    const events = this.epoll.wait(WATCHDOG_MS);
    this.inbox.wake();
    if (events === 0) fail(EXIT_SLEPT, 'nobody rang');
    clearEventfd(this.inbox.doorbell);
  }
}

function tell(what: object): void {
  writeSync(1, `${JSON.stringify(what)}\n`);
}

function fail(code: number, problem: string): never {
  tell({ role, problem });
  process.exit(code);
}

// ---- producer -------------------------------------------------------------------------------------------------------

function produce(): void {
  const peer = new Peer(() => reactorInbox(0), producerLane);
  const { options, outbox, inbox } = peer;
  const writer = outbox.to(workerInbox(peer.segment.layout, 0));
  const random = prng(randomInt(2 ** 32));
  let answered = -1;
  const hear = (reader: RingReader): void => {
    answered = reader.a;
    reader.release();
  };
  const bytes = Buffer.alloc(options.lengthMax + HEADER);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 7;
  peer.progress.set(PROGRESS, 0);
  peer.progress.set(PROGRESS_LIFE, options.life);
  tell({ role, started: options.life });
  let number = 0;
  while (number < options.count) {
    const end = options.burst === 0 ? options.count : Math.min(options.count, number + 1 + random.int(options.burst));
    while (number < end) {
      // Some go in pieces where the length allows that.
      const length = HEADER + random.int(random.int(200) === 0 ? options.lengthMax : Math.min(2000, options.lengthMax));
      const message = bytes.subarray(0, length);
      seal(message, number, options.life);
      send(writer, number, message, random.int(4) === 0);
      while (writer.blocked) {
        inbox.drain(hear, 100);
        const done = outbox.pump();
        outbox.flush();
        if (!done) peer.sleep();
      }
      number++;
      // Everything up to here is published: it must arrive, whatever becomes of us.
      peer.progress.set(PROGRESS, number);
      if (random.int(20) === 0) outbox.flush();
    }
    outbox.flush();
    while (options.answers && answered !== number - 1) {
      const more = inbox.drain(hear, 100);
      if (!more && answered !== number - 1) peer.sleep();
    }
  }
  writer.post(END, 0, 0);
  outbox.flush();
  tell({ role, sent: number });
}

function seal(message: Buffer, number: number, life: number): void {
  message.writeUInt32LE(number, 0);
  message.writeUInt32LE(life, 4);
  // The bytes themselves differ from message to message, too.
  if (message.length > HEADER) message[HEADER + (number % (message.length - HEADER))] = number;
  message.writeUInt32LE(checksum(message), 8);
}

function checksum(message: Buffer): number {
  return crc32(message.subarray(HEADER), crc32(message.subarray(0, 8)));
}

function send(writer: RingWriter, number: number, message: Buffer, byHand: boolean): void {
  if (byHand) {
    const room = writer.claim(message.length, Math.min(message.length, 100_000));
    if (room === message.length) {
      message.copy(writer.data.u8, writer.payloadOffset());
      writer.commit(MESSAGE, number, 0, room);
      return;
    }
  }
  writer.post(MESSAGE, number, 0, message);
}

// ---- consumer -------------------------------------------------------------------------------------------------------

/** Checks that each message is whole and that none is missing, twice or out of order. */
function consume(): void {
  const peer = new Peer((segment) => workerInbox(segment.layout, 0), consumerLane);
  const { options, inbox, outbox, segment } = peer;
  const answers = outbox.to(reactorInbox(0));
  // Where the consumer before us stood; it may have died with one more message, which then is lost.
  const before = new LaneCounters(segment, consumerLane(segment, options.life + 2));
  let life = before.get(PROGRESS_LIFE);
  let next = before.get(PROGRESS);
  let missing = options.life === 0 ? 0 : 1;
  let ended = false;
  const lives: Record<number, number> = { [life]: next };

  const handle = (reader: RingReader): void => {
    if (reader.kind === END) {
      reader.release();
      ended = true;
      return;
    }
    const { data, offset, length } = reader;
    const message = reader.bytes ?? Buffer.from(data.u8.subarray(offset, offset + length));
    const { a } = reader;
    reader.release();
    const number = message.readUInt32LE(0);
    if (message.readUInt32LE(8) !== checksum(message)) fail(EXIT_WRONG, `message ${number} of ${length} bytes is torn`);
    if (a !== number) fail(EXIT_WRONG, `message ${number} came as ${a}`);
    const itsLife = message.readUInt32LE(4);
    if (itsLife < life) fail(EXIT_WRONG, `message ${number} of life ${itsLife} came after life ${life}`);
    if (itsLife !== life) {
      life = itsLife;
      next = 0;
    }
    if (number < next || number > next + missing)
      fail(EXIT_WRONG, `message ${number} came instead of ${next} in life ${life}`);
    missing = 0;
    next = number + 1;
    lives[life] = next;
    peer.progress.set(PROGRESS_LIFE, life);
    peer.progress.set(PROGRESS, next);
    if (options.answers) answers.post(ANSWER, number, 0);
  };

  peer.progress.set(PROGRESS_LIFE, life);
  peer.progress.set(PROGRESS, next);
  tell({ role, started: options.life });
  while (!ended) {
    const more = inbox.drain(handle, 50);
    outbox.pump();
    outbox.flush();
    if (!more && !ended) peer.sleep();
  }
  tell({ role, lives });
}

if (role === 'producer') produce();
else if (role === 'consumer') consume();
