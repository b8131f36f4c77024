import type { TurnClock } from './turn-clock.ts';

/** One kind of thing is told of no more often than this. */
const TELL_MS = 1000;

/** Where notices go. */
export interface NoticeHost extends Pick<TurnClock, 'now'> {
  log(level: number, text: string): void;
}

/**
 * What strangers can cause as often as they like, in the log: the first time at once, and then at most once a second, the
 * newest of those that there were with their number.
 */
export class Notice {
  private readonly level: number;
  private readonly host: NoticeHost;
  private toldAt = Number.NEGATIVE_INFINITY;
  private untold = 0;
  private newest = '';

  constructor(host: NoticeHost, level: number) {
    this.host = host;
    this.level = level;
  }

  tell(text: string): void {
    this.newest = text;
    this.untold++;
    this.tick();
  }

  /** To be called now and then, so that the last ones are told of, too. */
  tick(): void {
    if (this.untold !== 0 && this.host.now - this.toldAt >= TELL_MS) this.finish();
  }

  /** Tells of those that nobody was told of yet. */
  finish(): void {
    if (this.untold === 0) return;
    this.toldAt = this.host.now;
    const others = this.untold - 1;
    this.untold = 0;
    this.host.log(this.level, others === 0 ? this.newest : `${this.newest} (and ${others} more like this)`);
  }
}
