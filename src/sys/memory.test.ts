import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { clearEventfd, createEventfd, ringEventfd } from './eventfd.ts';
import { read } from './libc.ts';
import { allocate, createMemoryFile, mapMirrored, mapShared, PAGE_BYTES, Region, writeText } from './memory.ts';
import { closeDescriptor } from './socket.ts';

describe('a mirrored map', () => {
  const LENGTH = 16 * PAGE_BYTES;

  it('shows the same bytes twice in a row, both ways', () => {
    const fd = createMemoryFile('test', 3 * LENGTH);
    const region = mapMirrored(fd, LENGTH, LENGTH);
    assert.equal(region.length, 2 * LENGTH);
    region.u8[5] = 1;
    assert.equal(region.u8[LENGTH + 5], 1);
    region.u8[2 * LENGTH - 1] = 2;
    assert.equal(region.u8[LENGTH - 1], 2);
    // A record that runs over the end begins again at the beginning.
    region.u8.set(Buffer.from('over the end'), LENGTH - 6);
    assert.equal(region.text.toString('latin1', 0, 6), 'he end');
    Atomics.store(region.i32, LENGTH / 4, 99);
    assert.equal(Atomics.load(region.i32, 0), 99);
    closeDescriptor(fd);
  });

  it('is exactly its part of the file', () => {
    const fd = createMemoryFile('test', 3 * LENGTH);
    const all = mapShared(fd, 0, 3 * LENGTH);
    mapMirrored(fd, LENGTH, LENGTH).u8.fill(7);
    assert.ok(all.u8.subarray(0, LENGTH).every((byte) => byte === 0));
    assert.ok(all.u8.subarray(LENGTH, 2 * LENGTH).every((byte) => byte === 7));
    assert.ok(all.u8.subarray(2 * LENGTH).every((byte) => byte === 0));
    closeDescriptor(fd);
  });

  it('fails with the reason', () => {
    const fd = createMemoryFile('test', LENGTH);
    assert.throws(() => mapMirrored(fd, 100, LENGTH), /mmap: .*\(errno 22\)/);
    closeDescriptor(fd);
    assert.throws(() => mapMirrored(fd, 0, LENGTH), /mmap: .*\(errno 9\)/);
  });
});

describe('memory', () => {
  it('that is shared is one for all maps of a file, and outlives its descriptor', () => {
    const fd = createMemoryFile('test', 4 * PAGE_BYTES);
    const one = mapShared(fd, 0, 4 * PAGE_BYTES);
    const two = mapShared(fd, PAGE_BYTES, PAGE_BYTES);
    closeDescriptor(fd);
    assert.notEqual(one.address, two.address);
    two.f64[0] = Math.PI;
    assert.equal(one.f64[PAGE_BYTES / 8], Math.PI);
  });

  it('that is allocated is zero, private, whole pages, and reachable under all views', () => {
    const region = allocate(100);
    assert.equal(region.length, PAGE_BYTES);
    assert.ok(region.u8.every((byte) => byte === 0));
    region.i32[1] = 0x01020304;
    assert.deepEqual([...region.u8.subarray(4, 8)], [4, 3, 2, 1]);
    assert.deepEqual([...region.text.subarray(4, 8)], [4, 3, 2, 1]);
    assert.equal(region.u8.buffer.byteLength, PAGE_BYTES);
    assert.ok(Number.isSafeInteger(region.address) && region.address > 0);
  });

  it('that is never touched costs nothing', () => {
    const resident = (): number => Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * PAGE_BYTES;
    const before = resident();
    const region = allocate(1 << 30);
    region.u8[1 << 29] = 1;
    const fd = createMemoryFile('test', 2 ** 36);
    assert.ok(resident() - before < 64 << 20);
    assert.equal(statSync(`/proc/self/fd/${fd}`).size, 2 ** 36);
    assert.equal(statSync(`/proc/self/fd/${fd}`).blocks, 0);
    closeDescriptor(fd);
  });

  it('tells addresses of its own bytes only', () => {
    const region = allocate(PAGE_BYTES);
    assert.equal(region.at(0, PAGE_BYTES), region.address);
    assert.equal(region.at(PAGE_BYTES, 0), region.address + PAGE_BYTES);
    assert.equal(region.at(100, 8), region.address + 100);
    for (const [start, length] of [
      [-1, 1],
      [0, PAGE_BYTES + 1],
      [1, PAGE_BYTES],
      [0, -1],
      [Number.NaN, 1],
      [0, Number.NaN],
    ])
      assert.throws(() => region.at(start, length), /not in the region: start=/, `${start} ${length}`);
  });

  it('needs a length that all views can have', () => {
    for (const length of [0, -8, 12, 1.5, Number.NaN])
      assert.throws(() => new Region(allocate(8).address, length), RangeError, `${length}`);
  });
});

describe('writeText', () => {
  it('writes what Buffer would, at every length and in every script, and nothing beside it', () => {
    const region = allocate(64 * 1024);
    for (const length of [0, 1, 64, 1023, 1024, 1025, 5000]) {
      for (const part of ['x', 'é', '漢', '🐘', '\ud800', 'x\udc00']) {
        const text = part.repeat(Math.ceil(length / part.length));
        const expected = Buffer.from(text);
        region.u8.fill(0xaa);
        assert.equal(writeText(region, 24, text), expected.length);
        assert.ok(region.text.subarray(24, 24 + expected.length).equals(expected), `${length} of ${part}`);
        assert.equal(region.u8[23], 0xaa);
        assert.ok(
          region.u8.subarray(24 + text.length * 3).every((byte) => byte === 0xaa),
          `behind ${length} of ${part}`,
        );
      }
    }
  });
});

describe('an eventfd', () => {
  it('counts rings until it is cleared, and never blocks', () => {
    const fd = createEventfd();
    const cell = allocate(8);
    assert.equal(read(fd, cell.address, 8), -1);
    ringEventfd(fd);
    ringEventfd(fd);
    assert.equal(read(fd, cell.address, 8), 8);
    assert.equal(cell.i32[0], 2);
    ringEventfd(fd);
    clearEventfd(fd);
    assert.equal(read(fd, cell.address, 8), -1);
    clearEventfd(fd);
    closeDescriptor(fd);
  });
});
