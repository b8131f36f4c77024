/** Random lives of a reactor on a kernel that fails: what they do and what must hold is told in schedule.ts. */
import { it } from 'node:test';
import { runSchedule } from '../../test/support/schedule.ts';

/** `npm run fuzz` goes on with others. */
const SEEDS = 20;

it(`${SEEDS} random lives of a reactor lose nothing and mix nothing up`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) runSchedule(seed);
});
