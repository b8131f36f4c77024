/** Ctrl+C in the process that the user has started: the first one ends the server in order, a second one at once. */
import { SIGINT } from '../../sys/constants.ts';
import { sendSignal } from '../../sys/process.ts';
import { resetSignal } from '../../sys/signal.ts';

/**
 * One key press may come twice: from the terminal, and from npm or another program above us, which hands it on. Whoever
 * presses again takes longer than this.
 */
const SAME_PRESS_MS = 100;
/** What shells make of an end by SIGINT. */
const EXIT_CODE = 128 + SIGINT;

export function handleInterrupts(shutdown: () => void): { close(): void } {
  let firstAt: number | null = null;
  const interrupted = (): void => {
    // As everywhere in Node, a handler of the user's own decides alone.
    if (process.listenerCount('SIGINT') > 1) return;
    const now = performance.now();
    if (firstAt === null) {
      firstAt = now;
      shutdown();
    } else if (now - firstAt >= SAME_PRESS_MS) endAtOnce();
  };
  // In front of the user's: one that listens once must still be there to be counted.
  process.prependListener('SIGINT', interrupted);
  return { close: () => process.off('SIGINT', interrupted) };
}

/** By the signal itself, so that a shell knows what has happened. Children die with this process. */
function endAtOnce(): void {
  resetSignal(SIGINT);
  sendSignal(process.pid, SIGINT);
  // Process 1 of a container does not die of a signal.
  process.exit(EXIT_CODE);
}
