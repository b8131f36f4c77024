/** Random numbers that a seed repeats, for fuzz tests: a failure prints its seed, and the seed brings it back. */
export interface Prng {
  /** A number in [0, 1), like Math.random(). */
  next(): number;
  /** An integer in [0, n). */
  int(n: number): number;
  /** So many random bytes, in memory of their own. */
  bytes(n: number): Buffer;
}

/** The generator is mulberry32: 32 bits of state, every seed is fine. */
export function prng(seed: number): Prng {
  let state = seed | 0;

  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  function int(n: number): number {
    return Math.floor(next() * n);
  }

  function bytes(n: number): Buffer {
    const result = Buffer.alloc(n);
    for (let index = 0; index < n; index++) result[index] = int(256);
    return result;
  }

  return { next, int, bytes };
}
