import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emptyLetter, postLetter, readLetter } from './letter.ts';
import { RECORD_MAX, RingReader, RingWriter } from './ring.ts';
import { Segment } from './segment.ts';

const KIND = 50;

function ring(): { writer: RingWriter; reader: RingReader } {
  const segment = Segment.create({
    mode: 1,
    reactorCount: 1,
    workerCount: 1,
    taskWorkerCount: 0,
    userProcessCount: 0,
    slotsPerOwner: 4,
    ownerCount: 1,
  });
  return { writer: new RingWriter(segment, 0, 0, []), reader: new RingReader(segment, 0, 0) };
}

describe('text in a letter', () => {
  const texts: [string, string][] = [
    ['none', ''],
    ['plain', 'abc\0\x7f'],
    ['with bytes above 127', 'Füße ÿ\x80'],
    ['of other scripts', '漢字 кириллица'],
    ['with pairs of surrogates', '🐘🌍'],
    ['long and plain', 'x'.repeat(100_000)],
    ['long, its last letter not plain', `${'x'.repeat(100_000)}é`],
    ['longer than a record, plain', 'y'.repeat(RECORD_MAX + 5)],
    ['longer than a record, not plain', 'ж'.repeat(RECORD_MAX)],
  ];
  for (const [name, text] of texts)
    it(`arrives as it was: ${name}`, () => {
      const { writer, reader } = ring();
      const letter = emptyLetter();
      postLetter(writer, KIND, 1, 2, 77, 5, text, 'a text');
      while (!reader.next()) writer.pump();
      readLetter(reader, letter);
      reader.release();
      assert.equal(letter.value === text, true);
      assert.deepEqual([reader.a, reader.b, letter.life, letter.flags], [1, 2, 77, 5]);
    });
});
