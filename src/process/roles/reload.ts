/**
 * One reload, as the manager sees it. A new process starts beside each old one, which serves on:
 *
 *   old   serves ────────────────────────────┐ told to stop: hands over, ends in its own time
 *   new   loads the script, workerStart ─ stands by ─┘ takes over
 *
 * The old ones are told only once all new ones stand by. One that ends, fails or takes too long before that is the end of
 * the reload: all new ones are dropped, and the old ones have noticed nothing. Where fewer may start at once than there
 * are workers this happens in groups, one after the other: a later one that fails leaves the ones before it in their place.
 *
 * An old one that dies meanwhile has its successor already, which takes over as soon as it stands by. What happens to
 * processes once they have been told is the manager's everyday business.
 */
import type { ChildEnd } from '../life/launcher.ts';
import type { Holder } from './holder.ts';

/** What a reload asks of the manager. */
export interface ReloadHost {
  /** The process that holds an id; null where there is none, or only a pause before the next start. */
  holderOf(id: number): Holder | null;
  /** Starts the next process of an id; null while there is no lane for it. Throws when the kernel refuses. */
  startNext(id: number): Holder | null;
  /** Asks the process that holds an id to stop. */
  end(holder: Holder): void;
  /** It did not end in time. */
  killLate(holder: Holder): void;
  /** Ends a process that has been started beside another, and has not taken over. */
  drop(holder: Holder): void;
  nameOf(id: number): string;
  /** The first old process is about to be told. */
  handingOver(): void;
  done(outcome: ReloadOutcome): void;
}

export interface ReloadOptions {
  ids: readonly number[];
  /** So many new processes are there beside old ones at a time. */
  groupSize: number;
  /** So many old ones hand over at a time. */
  handOverSize: number;
  /** How long a new process may take to start; 0 = for ever. */
  timeoutMs: number;
  /** How long an old one may take to end; 0 = for ever. */
  endMs: number;
}

export interface ReloadOutcome {
  /** Why it came to nothing, or to less than was meant; null where all processes were replaced. */
  refused: string | null;
  /** Workers that are of the new generation. */
  replaced: number;
  /** When it began, on the clock of performance.now(). */
  began: number;
  /** The longest time for which a worker id had nobody who served. */
  stallMs: number;
}

export function endInWords({ exitCode, signal }: ChildEnd): string {
  return signal === null ? `exit code ${exitCode}` : `signal ${signal}`;
}

export class Reload {
  private readonly host: ReloadHost;
  private readonly options: ReloadOptions;
  /** Whose group has not come yet. */
  private readonly ids: number[];
  /** Of this group: those without a process yet, because there was no lane. */
  private unstarted: number[] = [];
  /** Of this group: the new processes. */
  private readonly fresh = new Set<Holder>();
  private starting = true;
  /** Old processes that must end, those that were not told yet among them. */
  private readonly leaving = new Set<Holder>();
  /** New ones that have not taken over yet. */
  private readonly arriving = new Set<Holder>();
  private timer: NodeJS.Timeout | null = null;
  private over = false;
  private replaced = 0;
  private readonly began = performance.now();
  private stallMs = 0;

  constructor(host: ReloadHost, options: ReloadOptions) {
    this.host = host;
    this.options = options;
    this.ids = [...options.ids];
  }

  begin(): void {
    if (this.ids.length === 0) this.finish(null);
    else this.startGroup();
  }

  /** The server ends: nothing more comes of it. */
  abandon(): void {
    this.over = true;
    this.stopTimer();
  }

  // ---- what the manager tells -------------------------------------------------------------------------------------

  standsBy(): void {
    this.continue();
  }

  failed(holder: Holder, reason: string): void {
    if (this.starting && this.fresh.has(holder)) this.refuse(`${this.inWords(holder)}: ${reason}`);
  }

  ready(holder: Holder): void {
    this.arriving.delete(holder);
    this.continue();
  }

  /** An id had nobody for so long. */
  stalled(ms: number): void {
    this.stallMs = Math.max(this.stallMs, ms);
  }

  ended(holder: Holder, end: ChildEnd): void {
    if (this.over) return;
    if (this.starting && this.fresh.delete(holder)) {
      this.refuse(`${this.inWords(holder)} ended before it was ready (${endInWords(end)})`);
      return;
    }
    this.arriving.delete(holder);
    const left = this.leaving.delete(holder);
    // One that died before its turn is not the one that the others wait for.
    if (left && holder.told) this.tellNext(1);
    this.continue();
  }

  // ---- its course -------------------------------------------------------------------------------------------------

  private startGroup(): void {
    this.starting = true;
    this.fresh.clear();
    this.unstarted = this.ids.splice(0, this.options.groupSize);
    if (this.options.timeoutMs > 0) this.timer = setTimeout(() => this.refuseLate(), this.options.timeoutMs);
    this.continue();
  }

  private continue(): void {
    if (this.over) return;
    if (this.starting) {
      if (!this.startThose()) return;
      if (this.unstarted.length === 0 && [...this.fresh].every(({ standsBy }) => standsBy)) this.handOver();
      return;
    }
    if (this.leaving.size > 0 || this.arriving.size > 0) return;
    if (this.ids.length > 0) this.startGroup();
    else this.finish(null);
  }

  /** Answers false when that was the end of it. */
  private startThose(): boolean {
    for (const id of this.unstarted.splice(0)) {
      try {
        const holder = this.host.startNext(id);
        if (holder === null) this.unstarted.push(id);
        else this.fresh.add(holder);
      } catch (error) {
        this.refuse(`${this.host.nameOf(id)} cannot be started: ${(error as Error).message}`);
        return false;
      }
    }
    return true;
  }

  private handOver(): void {
    this.starting = false;
    this.stopTimer();
    if (this.replaced === 0) this.host.handingOver();
    this.replaced += this.fresh.size;
    for (const holder of this.fresh) {
      const old = this.host.holderOf(holder.id);
      if (old !== null && old !== holder) this.leaving.add(old);
      if (holder.readyAt === 0) this.arriving.add(holder);
    }
    this.tellNext(this.options.handOverSize);
    this.continue();
  }

  /** Whose turn comes only now has all of its time as well. */
  private tellNext(count: number): void {
    const next = [...this.leaving].filter((holder) => !holder.told).slice(0, count);
    if (next.length === 0) return;
    for (const holder of next) this.host.end(holder);
    if (this.options.endMs === 0) return;
    this.stopTimer();
    this.timer = setTimeout(() => {
      for (const holder of this.leaving) if (holder.told) this.host.killLate(holder);
    }, this.options.endMs);
  }

  private refuseLate(): void {
    const late = [...this.fresh].filter(({ standsBy }) => !standsBy).map((holder) => this.inWords(holder));
    const seconds = this.options.timeoutMs / 1000;
    if (late.length > 0)
      this.refuse(`${late.join(', ')} ${late.length === 1 ? 'was' : 'were'} not ready within ${seconds} s`);
    else
      this.refuse(
        `${this.unstarted.map((id) => this.host.nameOf(id)).join(', ')} did not start within ${seconds} s: too many of the processes before are still ending`,
      );
  }

  private refuse(reason: string): void {
    for (const holder of this.fresh) if (this.host.holderOf(holder.id) !== holder) this.host.drop(holder);
    this.finish(reason);
  }

  private finish(refused: string | null): void {
    this.abandon();
    const { replaced, began, stallMs } = this;
    this.host.done({ refused, replaced, began, stallMs });
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private inWords({ id, child }: Holder): string {
    return `${this.host.nameOf(id)} (pid=${child.pid})`;
  }
}
