/**
 * Random lives of a reactor on a kernel that fails (test/support/schedule.ts), beyond the few that `npm test` runs:
 *
 *   npm run fuzz                     fresh seeds for a minute
 *   npm run fuzz -- --seconds 3600   for longer
 *   npm run fuzz -- --seed 17        one seed again
 */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runSchedule } from '../test/support/schedule.ts';

/** A process runs so many: what a reactor maps stays mapped as long as its process lives. */
const SEEDS_EACH = 100;
const SEEDS_MAX = 2 ** 31;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    /** How many seeds from that one on. */
    count: { type: 'string', default: '1' },
  },
});

if (values.seed !== undefined) runFrom(numberOf(values.seed), numberOf(values.count));
else runFor(numberOf(values.seconds));

function numberOf(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0) return number;
  console.error(`not a number: ${text}`);
  process.exit(2);
}

function runFrom(seed: number, count: number): void {
  try {
    for (let i = 0; i < count; i++) runSchedule(seed + i);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}

function runFor(seconds: number): void {
  const end = performance.now() + seconds * 1000;
  const first = randomInt(SEEDS_MAX);
  let seed = first;
  for (; performance.now() < end; seed += SEEDS_EACH) {
    const args = [fileURLToPath(import.meta.url), '--seed', `${seed}`, '--count', `${SEEDS_EACH}`];
    const { status, signal } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    if (status === 0) continue;
    if (signal !== null) console.error(`${signal}: npm run fuzz -- --seed ${seed} --count ${SEEDS_EACH}`);
    process.exit(1);
  }
  console.log(`${seed - first} schedules from seed ${first} on, and nothing was lost`);
}
