import type { Message } from '../../shm/ring.ts';

/** What a blocked process waits for. */
export interface Wait {
  lanes: readonly (readonly [first: number, end: number])[];
  wants(message: Message): boolean;
  done(): boolean;
  /** On the clock of performance.now(). */
  deadline: number;
}

/** What reads the messages of a process can hold all of it until one has come. */
export interface Blocker {
  /** An answer to this process is expected: one that takes nothing yet must begin to. */
  expect(): void;
  /** False exactly where nothing that we might wait for comes here, or not before the deadline. */
  canBlock(deadline: number): boolean;
  /** Takes messages of some lanes only. Whatever else is in their rings is kept, and handled before anything that comes later. */
  block(wait: Wait): void;
}

/** For processes that do not take their messages so. */
export const NO_BLOCKER: Blocker = { expect: () => {}, canBlock: () => false, block: () => {} };
