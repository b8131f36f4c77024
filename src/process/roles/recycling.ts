/**
 * Workers that are replaced one by one, because stop() says so. As at a reload each serves until its successor stands by.
 * One whose successor does not start serves on, and another start follows after a growing pause. (After max_request a worker
 * stops at once: the number is a promise.)
 */
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import type { Logger } from '../../log/log.ts';
import type { ChildEnd } from '../life/launcher.ts';
import type { Holder } from './holder.ts';
import { endInWords, type ReloadHost } from './reload.ts';

const PAUSE_MS = 100;
const PAUSE_MAX_MS = 5000;

interface Leaving {
  old: Holder;
  /** Its successor; null before the next start. */
  next: Holder | null;
  failures: number;
  timer: NodeJS.Timeout | null;
}

export class Recycling {
  private readonly host: ReloadHost;
  private readonly logger: Logger;
  private readonly timeoutMs: number;
  private readonly endMs: number;
  private readonly leaving = new Map<number, Leaving>();

  /** `timeoutMs`, `endMs`: how long a successor may take to start, and an old one to end; 0 = for ever. */
  constructor(host: ReloadHost, logger: Logger, timeoutMs: number, endMs: number) {
    this.host = host;
    this.logger = logger;
    this.timeoutMs = timeoutMs;
    this.endMs = endMs;
  }

  begin(old: Holder): void {
    if (this.leaving.has(old.id)) return;
    const leaving: Leaving = { old, next: null, failures: 0, timer: null };
    this.leaving.set(old.id, leaving);
    this.start(leaving);
  }

  /** A reload does the same for all. Answers those that serve on until that, for the case that it is refused. */
  interrupt(): Holder[] {
    const interrupted: Holder[] = [];
    for (const [id, leaving] of this.leaving) {
      if (leaving.old.told) continue;
      setTimer(leaving, null);
      if (leaving.next !== null) this.host.drop(leaving.next);
      this.leaving.delete(id);
      interrupted.push(leaving.old);
    }
    return interrupted;
  }

  standsBy(next: Holder): void {
    const leaving = this.startedFor(next);
    if (leaving === null) return;
    const { old } = leaving;
    this.host.end(old);
    setTimer(leaving, this.endMs === 0 ? null : setTimeout(() => this.host.killLate(old), this.endMs));
  }

  failed(next: Holder, reason: string): void {
    const leaving = this.startedFor(next);
    if (leaving === null || next.standsBy) return;
    this.host.drop(next);
    this.startLater(leaving, reason);
  }

  ended(holder: Holder, end: ChildEnd): void {
    const leaving = this.leaving.get(holder.id);
    if (leaving === undefined) return;
    if (leaving.old === holder) {
      setTimer(leaving, null);
      this.leaving.delete(holder.id);
    } else if (leaving.next === holder && !leaving.old.told) {
      this.startLater(leaving, `it ended before it was ready (${endInWords(end)})`);
    } else if (leaving.next === null && leaving.timer === null) this.start(leaving);
  }

  private startedFor(next: Holder): Leaving | null {
    const leaving = this.leaving.get(next.id);
    return leaving?.next === next && this.serves(leaving) ? leaving : null;
  }

  /** It may have gone otherwise meanwhile. */
  private serves({ old }: Leaving): boolean {
    return this.host.holderOf(old.id) === old && !old.told;
  }

  private start(leaving: Leaving): void {
    setTimer(leaving, null);
    if (!this.serves(leaving)) return;
    const { id } = leaving.old;
    try {
      // Null while there is no lane: the end of another process of this id comes first.
      leaving.next = this.host.startNext(id);
    } catch (error) {
      this.startLater(leaving, (error as Error).message);
      return;
    }
    const { next } = leaving;
    if (next === null || this.timeoutMs === 0) return;
    const late = `it was not ready within ${this.timeoutMs / 1000} s`;
    setTimer(
      leaving,
      setTimeout(() => this.failed(next, late), this.timeoutMs),
    );
  }

  private startLater(leaving: Leaving, reason: string): void {
    leaving.next = null;
    const pause = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(leaving.failures++, 10));
    this.logger.log(
      SWOOLE_LOG_ERROR,
      `the next process of ${this.host.nameOf(leaving.old.id)} does not start, and the one before serves on: ${reason}. The next start is in ${pause} ms`,
    );
    setTimer(
      leaving,
      setTimeout(() => this.start(leaving), pause),
    );
  }
}

/** None of them keeps a server that ends. */
function setTimer(leaving: Leaving, timer: NodeJS.Timeout | null): void {
  if (leaving.timer !== null) clearTimeout(leaving.timer);
  leaving.timer = timer?.unref() ?? null;
}
