/**
 * What a client sends, in 32-bit words. The server must give back every byte of it.
 *
 *   0                4            8            12                    bytes - 4      bytes
 *   +----------------+------------+------------+---------------------+--------------+
 *   | body length,   | counter    | client     | filling             | check        |
 *   | big-endian     |            | index      |                     |              |
 *   +----------------+------------+------------+---------------------+--------------+
 *   The body length is there in framed messages only, without it everything moves up by four bytes.
 *
 *   counter   counts the messages of one client: a lost, doubled or reordered one is seen at once.
 *   client    an answer that went to the wrong connection is seen at once.
 *   filling   differs for each client, slot and place. It is written once: what comes back is sent again in place, so a
 *             single wrong byte in millions of messages is still there when the filling is looked at in the end.
 *   check     made from counter and client, so a message whose end belongs to another one is seen at once.
 */
import { endianness } from 'node:os';

const LITTLE_ENDIAN = endianness() === 'LE';

export class MessageLayout {
  readonly bytes: number;
  readonly framed: boolean;
  private readonly words: Int32Array;
  private readonly counterWord: number;
  private readonly clientWord: number;
  private readonly checkWord: number;
  private readonly prefix: number;

  /** The words are those of the memory that the messages lie in; offsets below count bytes from its start. */
  constructor(words: Int32Array, bytes: number, framed: boolean) {
    const least = framed ? 16 : 12;
    if (!(bytes >= least && bytes % 4 === 0)) {
      throw new RangeError(`a message needs a multiple of 4 and at least ${least} bytes: bytes=${bytes}`);
    }
    this.bytes = bytes;
    this.framed = framed;
    this.words = words;
    this.counterWord = framed ? 1 : 0;
    this.clientWord = this.counterWord + 1;
    this.checkWord = bytes / 4 - 1;
    this.prefix = framed ? bigEndian(bytes - 4) : 0;
  }

  /** Writes a whole message. */
  write(offset: number, client: number, slot: number, counter: number): void {
    const first = offset >> 2;
    if (this.framed) this.words[first] = this.prefix;
    for (let word = this.clientWord + 1; word < this.checkWord; word++) {
      this.words[first + word] = filling(client, slot, word);
    }
    this.words[first + this.clientWord] = client;
    this.renew(offset, client, counter);
  }

  /** Makes the next message out of one that came back. */
  renew(offset: number, client: number, counter: number): void {
    const first = offset >> 2;
    this.words[first + this.counterWord] = counter;
    this.words[first + this.checkWord] = checkOf(client, counter);
  }

  /** True exactly when the message that came back is the expected one, as far as its ends tell. */
  matches(offset: number, client: number, counter: number): boolean {
    const words = this.words;
    const first = offset >> 2;
    return (
      words[first + this.counterWord] === counter &&
      words[first + this.clientWord] === client &&
      words[first + this.checkWord] === checkOf(client, counter) &&
      (!this.framed || words[first] === this.prefix)
    );
  }

  /** True exactly when no byte between the ends has changed since write(). */
  fillingMatches(offset: number, client: number, slot: number): boolean {
    const first = offset >> 2;
    for (let word = this.clientWord + 1; word < this.checkWord; word++) {
      if (this.words[first + word] !== filling(client, slot, word)) return false;
    }
    return true;
  }
}

function checkOf(client: number, counter: number): number {
  return ~(counter ^ (client << 16));
}

function filling(client: number, slot: number, word: number): number {
  return Math.imul(Math.imul(client + 1, 0x9e3779b1) ^ Math.imul(slot + 1, 0x85ebca6b) ^ word, 0xc2b2ae35);
}

function bigEndian(value: number): number {
  if (!LITTLE_ENDIAN) return value;
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}
