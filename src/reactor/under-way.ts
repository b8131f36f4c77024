/** How many messages a worker has not taken yet, of those that one reactor has put into its ring. */

/** A ring as its writer sees it. */
export interface Way {
  /** Where the newest message ends. */
  readonly position: number;
  /** True exactly when everything up to a position was taken. */
  consumed(position: number): boolean;
}

/** The front of the list is cut off when it has become longer than this, and than what is behind it. */
const TAKEN_MAX = 1024;

export class UnderWay {
  private way: Way | null = null;
  private positions: number[] = [];
  private first = 0;

  /** A message has just been put into the ring. */
  add(way: Way): void {
    this.way = way;
    this.forgetTaken(way);
    this.positions.push(way.position);
  }

  get count(): number {
    if (this.way !== null) this.forgetTaken(this.way);
    return this.positions.length - this.first;
  }

  private forgetTaken(way: Way): void {
    const { positions } = this;
    while (this.first < positions.length && way.consumed(positions[this.first])) this.first++;
    if (this.first < TAKEN_MAX || this.first * 2 < positions.length) return;
    this.positions = positions.slice(this.first);
    this.first = 0;
  }
}
