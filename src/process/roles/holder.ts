import type { Child } from '../life/launcher.ts';

/** A process of a worker id: it holds the id, or stands by to take it over, or did hold it and is ending. */
export interface Holder {
  id: number;
  /** Which of the id's lanes it has. */
  generation: number;
  child: Child;
  /** It has started, and waits for its id, unless it has that already. */
  standsBy: boolean;
  /** When it had taken its role; 0 before. One that has served is replaced at once when it dies. */
  readyAt: number;
  /** In SWOOLE_BASE: it may accept clients, though another one may still hold the id. */
  open: boolean;
  /** It takes no more work, and nobody waits for its end. */
  detached: boolean;
  /** It was asked to end. */
  told: boolean;
}
