/**
 * Loaded before anything else in each process and thread of a server (`--import`): a wall clock that the test sets, by
 * writing into a file how many milliseconds it is ahead. The monotonic clock goes on as it was.
 */
import { readFileSync } from 'node:fs';

export const CLOCK_VARIABLE = 'TSWOOLE_TEST_CLOCK';

/** The file is looked at no more often than this. */
const LOOK_MS = 20;

const path = process.env[CLOCK_VARIABLE];
if (path !== undefined) {
  const original = Date.now;
  let ahead = 0;
  let lookedAt = Number.NEGATIVE_INFINITY;
  Date.now = () => {
    if (performance.now() - lookedAt >= LOOK_MS) {
      lookedAt = performance.now();
      ahead = Number(readFileSync(path, 'utf8'));
    }
    return original() + ahead;
  };
}
