/**
 * When a process rings doorbells and flushes output. Messages that are handled in a batch are one turn, ended by whoever
 * handles them; what user code does outside of one (a timer, a promise) is gathered until its microtasks run.
 */
export class Turn {
  /** Called for each thing that was written, where the others are not to wait for the end of the turn. */
  announce: (() => void) | null = null;
  private readonly end: () => void;
  private active = false;
  private scheduled = false;
  private readonly endScheduled = (): void => {
    this.scheduled = false;
    if (!this.active) this.end();
  };

  constructor(end: () => void) {
    this.end = end;
  }

  /** Something was written: makes sure that the turn will end. */
  touch(): void {
    this.announce?.();
    if (this.active || this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(this.endScheduled);
  }

  begin(): void {
    this.active = true;
  }
  finish(): void {
    this.active = false;
    this.end();
  }
}
