/** How a reload went. */
export interface ReloadResult {
  /** Of the workers: 1 at the start of the server, and one more with each reload that was not refused. */
  generation: number;
  /** From when the reload began, in seconds. */
  seconds: number;
  /** The longest time, in seconds, for which a worker id had no process that served it. */
  longestStall: number;
  /** Why nothing has changed, or less than was meant to; null where all went well. */
  refused: string | null;
}
