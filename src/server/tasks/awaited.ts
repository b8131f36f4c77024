/**
 * Who waits for what, by an id that counts up. The newest have a place each in an array; one that still waits when its
 * place is needed again, as a task of a minute among a million short ones, goes into a Map. Not all into a Map: one that
 * is filled and emptied all the time makes new tables, which its old ones keep alive until the next full collection.
 */
const PLACES = 1024;

export class Awaited<T> {
  private readonly ids = new Uint32Array(PLACES);
  private readonly waiting: (T | undefined)[] = new Array(PLACES).fill(undefined);
  private readonly old = new Map<number, T>();

  /** `id` is an integer below 2^32, and not in use. */
  add(id: number, waiting: T): void {
    const place = id % PLACES;
    const before = this.waiting[place];
    if (before !== undefined) this.old.set(this.ids[place], before);
    this.ids[place] = id;
    this.waiting[place] = waiting;
  }

  /** Answers who waits for the id, who then does so no longer; undefined where nobody does. */
  take(id: number): T | undefined {
    const place = id % PLACES;
    const waiting = this.waiting[place];
    if (waiting !== undefined && this.ids[place] === id) {
      this.waiting[place] = undefined;
      return waiting;
    }
    if (this.old.size === 0) return undefined;
    const late = this.old.get(id);
    if (late !== undefined) this.old.delete(id);
    return late;
  }

  /** Answers all who wait, who then do so no longer. */
  takeAll(): [id: number, waiting: T][] {
    const all = [...this.old];
    for (const [place, waiting] of this.waiting.entries())
      if (waiting !== undefined) all.push([this.ids[place], waiting]);
    this.old.clear();
    this.waiting.fill(undefined);
    return all;
  }
}
