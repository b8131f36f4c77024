import { SLOT_REST } from './limits.ts';

/** Slots that may be used again, the one that was freed first first. */
export class FreeSlots {
  private slots: number[] = [];
  private first = 0;

  give(slot: number): void {
    this.slots.push(slot);
  }

  /** A slot that has been free for a while, or null: then one that was never used is better. */
  take(): number | null {
    if (this.slots.length - this.first <= SLOT_REST) return null;
    const slot = this.slots[this.first++];
    if (this.first > this.slots.length / 2) {
      this.slots = this.slots.slice(this.first);
      this.first = 0;
    }
    return slot;
  }
}
