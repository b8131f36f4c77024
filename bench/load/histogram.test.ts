import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram } from './histogram.ts';

test('small values are exact', () => {
  const histogram = new Histogram();
  for (let value = 1; value <= 100; value++) histogram.record(value);
  assert.equal(histogram.count, 100);
  assert.equal(histogram.percentile(0.5), 50);
  assert.equal(histogram.percentile(0.99), 99);
  assert.equal(histogram.max, 100);
});

test('every percentile of one value lies at most one sixty-fourth above it', () => {
  for (let value = 1; value < 2 ** 32; value = Math.ceil(value * 1.37)) {
    const histogram = new Histogram();
    histogram.record(value);
    histogram.record(2 ** 32 - 1);
    const median = histogram.percentile(0.5);
    assert.ok(median >= value && median <= value * (1 + 1 / 64), `value=${value} median=${median}`);
  }
});

test('percentiles of a spread of values match a sorted list', () => {
  const histogram = new Histogram();
  const values: number[] = [];
  let state = 12345;
  for (let i = 0; i < 20_000; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const value = Math.floor(1000 * 1.0006 ** (state % 20_000));
    values.push(value);
    histogram.record(value);
  }
  values.sort((a, b) => a - b);
  for (const share of [0.5, 0.9, 0.99, 0.999]) {
    const exact = values[Math.ceil(values.length * share) - 1];
    const found = histogram.percentile(share);
    assert.ok(found >= exact && found <= exact * (1 + 1 / 64), `share=${share} exact=${exact} found=${found}`);
  }
});

test('a value beyond the last bucket is counted and kept as the maximum', () => {
  const histogram = new Histogram();
  histogram.record(9e9);
  assert.equal(histogram.count, 1);
  assert.equal(histogram.max, 9e9);
});

test('an empty histogram answers zero', () => {
  assert.equal(new Histogram().percentile(0.99), 0);
});
