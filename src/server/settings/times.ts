/** Ten days: beyond I32_MAX milliseconds Node's timers fire at once, and some wait more than twice max_wait_time. */
const TIMER_SECONDS_MAX = 864_000;

/** A time that is not 0 stays above 0, which would mean "never" or "no limit". */
export function secondsToMs(seconds: number): number {
  return seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000));
}

/** In milliseconds, for a timer of Node's. */
export function timerMs(key: string, seconds: number, warnings: string[]): number {
  if (seconds <= TIMER_SECONDS_MAX) return secondsToMs(seconds);
  warnings.push(`${key} ${seconds} is more than ten days: ${TIMER_SECONDS_MAX} is used.`);
  return secondsToMs(TIMER_SECONDS_MAX);
}
