/** How the processes of a server are started and ended. A launcher of threads can stand beside that of processes. */
import type { ChildDescription } from '../identity.ts';

/** How a child has ended. */
export interface ChildEnd {
  readonly exitCode: number;
  /** The signal that has ended it, or null. */
  readonly signal: NodeJS.Signals | null;
  /** True exactly when stop() itself has ended it: it was too young to be asked. */
  readonly byStop: boolean;
}

export interface Child {
  /** The number of its start. What it says is known by it. */
  readonly life: number;
  /** What users know it by. Threads share one. */
  readonly pid: number;
  /** Asks it to end, as gracefully as its settings say. */
  stop(): void;
  /** Ends it at once. */
  kill(): void;
}

export interface Launcher {
  /** Starts a child; `onEnd` is called once, when it has ended. Throws when the kernel refuses, and never calls it then. */
  launch(description: ChildDescription, onEnd: (end: ChildEnd) => void): Child;
  /**
   * A child has ended, and those that it had started end with it: resolves when the one that users know by this pid has,
   * or the time is up.
   */
  orphanEnded(pid: number, deadline: number): Promise<void>;
}
