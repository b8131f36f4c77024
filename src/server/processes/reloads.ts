/** Who has asked for a reload and waits to hear how it went: in every process but the manager, which does it. */
import type { ReloadResult } from '../../process/reload-result.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { inboxOfLane, MANAGER_INBOX } from '../../shm/layout.ts';
import { postLetter } from '../../shm/letter.ts';
import { RELOAD_ASKED, RELOADED } from '../../shm/messages.ts';
import { RELOAD_HANDS_OVER, WORD_GENERATION, WORD_RELOADING } from '../../shm/segment.ts';

interface Waiting {
  began: number;
  resolve(result: ReloadResult): void;
}

export class Reloads {
  private readonly runtime: Runtime;
  private readonly waiting = new Map<number, Waiting>();
  private nextRequest = 0;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
  }

  ask(taskWorkersOnly: boolean): Promise<ReloadResult> {
    const { runtime } = this;
    const request = this.nextRequest++;
    return new Promise((resolve) => {
      this.waiting.set(request, { began: performance.now(), resolve });
      runtime.blocker.expect();
      const own = inboxOfLane(runtime.segment.layout, runtime.lane);
      const writer = runtime.outbox.to(MANAGER_INBOX);
      postLetter(writer, RELOAD_ASKED, request, own, runtime.life, 0, taskWorkersOnly, 'a wish');
      runtime.sent();
    });
  }

  answer(request: number, life: number, value: unknown): void {
    const { runtime } = this;
    if (runtime.keepForHeir({ kind: RELOADED, a: request, b: 0, life, flags: 0, value })) return;
    if (life !== runtime.life) return;
    this.waiting.get(request)?.resolve(value as ReloadResult);
    this.waiting.delete(request);
  }

  /** The next process of our worker id hears of what comes now. When that is the reload's doing, it goes well. */
  noMoreAnswers(): void {
    const handsOver = this.runtime.segment.load(WORD_RELOADING) === RELOAD_HANDS_OVER;
    this.resolveAll(handsOver ? null : 'this worker was replaced before the reload was over');
  }

  managerDied(): void {
    this.resolveAll('the manager has died, and its workers with it: a new one has started the new code');
  }

  private resolveAll(refused: string | null): void {
    const generation = this.runtime.segment.load(WORD_GENERATION) + (refused === null ? 1 : 0);
    for (const { began, resolve } of this.waiting.values())
      resolve({ generation, seconds: (performance.now() - began) / 1000, longestStall: 0, refused });
    this.waiting.clear();
  }
}
