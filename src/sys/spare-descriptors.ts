import { closeSync, openSync } from 'node:fs';

/** Descriptors that are held for nothing, so that there are some when all are taken: they are given up before they are needed. */
export class SpareDescriptors {
  private readonly count: number;
  private readonly held: number[] = [];

  constructor(count: number) {
    this.count = count;
    this.take();
  }

  give(): void {
    for (const fd of this.held.splice(0)) closeSync(fd);
  }

  /** As many as there are. */
  take(): void {
    try {
      while (this.held.length < this.count) this.held.push(openSync('/dev/null', 'r'));
    } catch {
      // The next time, maybe.
    }
  }
}
