import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { SOCK_STREAM } from '../../sys/constants.ts';
import { createEventfd } from '../../sys/eventfd.ts';
import { createMemoryFile } from '../../sys/memory.ts';
import { closeDescriptor } from '../../sys/socket.ts';
import { openSocketPair } from '../../sys/socket-pair.ts';
import { checkLength, descriptorsOf, type InheritedLengths, lengthsOf, readInheritance } from './inheritance.ts';

const open: number[] = [];
afterEach(() => {
  for (const fd of open.splice(0)) closeDescriptor(fd);
});

/** As a child finds them: a segment, two doorbells, one socket, and the two ends of a pipe, one behind the other. */
function handedDown(): number[] {
  // The holes that others have left are filled first.
  for (let i = 0; i < 64; i++) open.push(createEventfd());
  const pair = (): number[] => openSocketPair(SOCK_STREAM) as number[];
  const [socket, other] = pair();
  const fds = [createMemoryFile('test', 4096), createEventfd(), createEventfd(), ...pair(), ...pair()];
  open.push(socket, other, ...fds);
  assert.deepEqual(
    fds,
    [...fds.keys()].map((index) => fds[0] + index),
    'one behind the other',
  );
  return fds;
}

const LENGTHS: InheritedLengths = { segment: 1, doorbells: 2, sockets: 2, pipes: 2 };

describe('what a child inherits', () => {
  it('is found again by the length of each group, in the same order', () => {
    const fds = handedDown();
    const inheritance = readInheritance(LENGTHS, fds[0]);
    assert.deepEqual(inheritance, {
      segment: fds.slice(0, 1),
      doorbells: fds.slice(1, 3),
      sockets: fds.slice(3, 5),
      pipes: fds.slice(5, 7),
    });
    assert.deepEqual(descriptorsOf(inheritance), fds);
    assert.deepEqual(lengthsOf(inheritance), LENGTHS);
    assert.deepEqual(JSON.parse(JSON.stringify(LENGTHS)), LENGTHS, 'it is told as text');
  });

  it('is refused where a descriptor is something else', () => {
    const [first] = handedDown();
    assert.throws(
      () => readInheritance({ ...LENGTHS, doorbells: 3 }, first),
      new Error(`descriptor ${first + 3} is inherited as doorbells[2], and must be of the kind eventfd, but is socket`),
    );
    assert.throws(
      () => readInheritance({ ...LENGTHS, doorbells: 1 }, first),
      /as sockets\[0\], and must be of the kind socket, but is eventfd/,
    );
  });

  it('is refused where a descriptor is not open', () => {
    assert.throws(
      () => readInheritance({ segment: 1, doorbells: 0, sockets: 0, pipes: 0 }, 100_000),
      /descriptor 100000 is inherited as segment\[0\], and must be of the kind file, but is not open/,
    );
  });

  it('is refused where the parent hands down other groups', () => {
    const other = { segment: 1, doorbells: 2 } as unknown as InheritedLengths;
    assert.throws(
      () => readInheritance(other),
      /inherits segment, doorbells, sockets, pipes, and is told of segment, door/,
    );
    assert.throws(() => readInheritance({} as InheritedLengths), /is told of nothing/);
  });

  it('is as long as what needs it says', () => {
    const inheritance = readInheritance(LENGTHS, handedDown()[0]);
    checkLength(inheritance, 'doorbells', 2);
    assert.throws(() => checkLength(inheritance, 'doorbells', 3), /2 descriptors as doorbells, and 3 are needed/);
  });
});
