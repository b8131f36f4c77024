/** What time it is in a turn of the reactor: both clocks are read once in each. */
export interface TurnClock {
  /** Milliseconds on the monotonic clock: for all that is a duration, because a wall clock may be set. */
  readonly now: number;
  /** Seconds since 1970: for times that users see. */
  readonly seconds: number;
}
