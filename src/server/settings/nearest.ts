import { TswooleError } from '../../errors.ts';
import { KNOWN_SETTINGS } from './known.ts';

/** The error for a name that is none, with the one that was meant. */
export function unknownSetting(key: string): TswooleError {
  const wanted = toSnakeCase(key);
  const { name, distance } = nearestSetting(wanted);
  // A third of the letters may be wrong for a misspelling: `workers_num` is one of `worker_num`, `foo` is of nothing.
  const near = distance <= Math.floor(wanted.length / 3);
  const advice = near
    ? `Did you mean "${name}"?`
    : `The nearest known one is "${name}": use it, or leave "${key}" out.`;
  const rule = name === wanted ? ' Names are written in lower case.' : '';
  return new TswooleError('ERR_SETTING_UNKNOWN', `There is no setting "${key}". ${advice}${rule}`, {
    key,
    expected: name,
  });
}

function nearestSetting(wanted: string): { name: string; distance: number } {
  let nearest = { name: '', distance: Number.POSITIVE_INFINITY };
  for (const name of KNOWN_SETTINGS.keys()) {
    // The end forgotten, as in `ssl_cert`, is one mistake, however long the end is.
    const isBeginning = wanted.length > 3 && name !== wanted && name.startsWith(wanted);
    const distance = isBeginning ? 1 : editDistance(wanted, name);
    if (distance < nearest.distance) nearest = { name, distance };
  }
  return nearest;
}

/** `workerNum`, `WORKER_NUM` and `worker-num` all become `worker_num`. */
function toSnakeCase(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/[\s-]+/g, '_')
    .toLowerCase();
}

/** Levenshtein's distance, in which two letters swapped side by side count as one mistake. */
function editDistance(source: string, target: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: target.length + 1 }, (_, index) => index);
  for (let row = 1; row <= source.length; row++) {
    const current = [row];
    for (let column = 1; column <= target.length; column++) {
      const same = source[row - 1] === target[column - 1];
      let distance = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = source[row - 1] === target[column - 2] && source[row - 2] === target[column - 1];
      if (row > 1 && column > 1 && swapped) distance = Math.min(distance, beforeLast[column - 2]! + 1);
      current[column] = distance;
    }
    beforeLast = last;
    last = current;
  }
  return last[target.length]!;
}
