/** Between the clock of performance.now(), which began with this thread, and that of the machine. */
const threadBegan = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/**
 * Milliseconds on the monotonic clock, which nobody sets: for all that is a duration. It is the same in every thread and
 * process of the machine, so it may stand in shared memory.
 */
export function monotonicNow(): number {
  return threadBegan + performance.now();
}
