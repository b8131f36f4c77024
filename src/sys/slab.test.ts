import assert from 'node:assert/strict';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { viewMemory } from './libc.ts';
import { allocate } from './memory.ts';
import { SLAB_BYTES, Slab } from './slab.ts';

const KIB = 1024;

/** A message whose bytes tell which it is. */
function message(length: number, value: number): Buffer {
  return Buffer.alloc(length, value & 0xff);
}

describe('Slab', () => {
  it('gives every message bytes of its own, whatever its length', () => {
    const slab = new Slab();
    const lengths = [1, 64, 8191, 8192, 8193, 16384, 20001, 65535, 65536, 65537, 200_000];
    const kept: Buffer[] = [];
    for (let i = 0; i < 300; i++) {
      const length = lengths[i % lengths.length];
      kept.push(slab.copy(Buffer.concat([message(3, 0xee), message(length, i)]), 3, length));
    }
    kept.forEach((data, i) => {
      assert.equal(data.length, lengths[i % lengths.length]);
      assert.ok(data.equals(message(data.length, i)), `message ${i} was overwritten`);
    });
  });

  it('puts several long messages into one ArrayBuffer, and short ones elsewhere', () => {
    const slab = new Slab();
    const long = [slab.copy(message(16 * KIB, 1), 0, 16 * KIB), slab.copy(message(16 * KIB, 2), 0, 16 * KIB)];
    assert.equal(long[0].buffer, long[1].buffer);
    assert.equal(long[0].buffer.byteLength, SLAB_BYTES);
    assert.notEqual(slab.copy(message(100, 3), 0, 100).buffer, long[0].buffer);
    // Where sharing would keep much for little, a message has memory of its own.
    assert.equal(slab.copy(message(100 * KIB, 4), 0, 100 * KIB).buffer.byteLength, 100 * KIB);
  });

  it('lets a read bring 64 KiB, and what was read stays as it is', () => {
    const slab = new Slab();
    const region = allocate(64 * KIB);
    const kept: Buffer[] = [];
    for (let i = 0; i < 50; i++) {
      const length = i % 3 === 0 ? 100 : 20_000;
      const room = slab.reserve(64 * KIB);
      assert.ok(room >= 32 * KIB && room <= 64 * KIB, `room=${room}`);
      region.u8.fill(i, 0, length);
      fill(slab.address, region.u8.subarray(0, length));
      kept.push(slab.take(length));
    }
    kept.forEach((data, i) => {
      assert.ok(data.equals(message(i % 3 === 0 ? 100 : 20_000, i)), `read ${i} was overwritten`);
    });
  });

  it('cannot be taken away by a user who transfers one message', () => {
    const buffer = new Slab().copy(message(16 * KIB, 1), 0, 16 * KIB).buffer as ArrayBuffer;
    assert.throws(() => structuredClone(buffer, { transfer: [buffer] }), { name: 'DataCloneError' });
    assert.throws(() => buffer.transfer(), TypeError);
  });

  for (const length of [640, 16 * KIB]) {
    it(`costs minor collections, no major ones, with messages of ${length} bytes`, async () => {
      const kinds = new Map<number, number>();
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
          kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        }
      });
      const slab = new Slab();
      const bytes = message(length, 1);
      const global = globalThis.gc;
      const copy = (mebibytes: number): void => {
        for (let i = (mebibytes * KIB * KIB) / length; i > 0; i--) slab.copy(bytes, 0, length);
      };
      copy(80);
      observer.observe({ entryTypes: ['gc'] });
      copy(640);
      const count = (kind: number): number => kinds.get(kind) ?? 0;
      // Entries come a little later.
      const deadline = Date.now() + 5000;
      while (count(constants.NODE_PERFORMANCE_GC_MINOR) < 100 && Date.now() < deadline) await sleep(5);
      observer.disconnect();
      const minor = count(constants.NODE_PERFORMANCE_GC_MINOR);
      const major = count(constants.NODE_PERFORMANCE_GC_MAJOR);
      assert.ok(minor >= 100, `minor=${minor}`);
      assert.equal(globalThis.gc, global);
      assert.ok(major <= 1, `major=${major} minor=${minor}`);
    });
  }
});

/** Writes as the kernel does: to an address. */
function fill(address: number, bytes: Uint8Array): void {
  new Uint8Array(viewMemory(address, bytes.length)).set(bytes);
}
