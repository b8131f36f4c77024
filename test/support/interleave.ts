/**
 * Two sides of a protocol in shared memory, in every order that one interruption can make: `main` runs again and again, and
 * each time `other` runs whole before another one of its atomic steps (or behind the last).
 */
const NAMES = ['load', 'store', 'exchange', 'compareExchange', 'or', 'and', 'add'] as const;
type Step = (words: Int32Array, index: number, ...values: number[]) => number;

export interface Sides {
  main(): void;
  other(): void;
  /** Looks at the outcome; `step` tells where the interruption was. */
  check(step: string): void;
}

/** Answers how many places there were. */
export function interleave(prepare: () => Sides): number {
  for (let place = 0; ; place++) {
    const sides = prepare();
    let seen = 0;
    let step = '';
    const interrupt = (name: string): void => {
      if (step !== '' || seen++ !== place) return;
      step = `before step ${place}, Atomics.${name}`;
      sides.other();
    };
    withHook(interrupt, () => sides.main());
    const isLast = step === '';
    if (isLast) sides.other();
    sides.check(isLast ? `behind the last of ${place} steps` : step);
    if (isLast) return place + 1;
  }
}

/** Tells `hook` of each atomic step that `run` is about to take. */
function withHook(hook: (name: string) => void, run: () => void): void {
  const atomics = Atomics as unknown as Record<string, Step>;
  const originals = NAMES.map((name) => atomics[name]);
  NAMES.forEach((name, index) => {
    atomics[name] = (...parameters) => {
      hook(name);
      return originals[index](...parameters);
    };
  });
  try {
    run();
  } finally {
    NAMES.forEach((name, index) => {
      atomics[name] = originals[index];
    });
  }
}
