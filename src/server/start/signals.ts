/** The signals of a server. They come to processes only: in a thread none of this works. */
import { onSigrtmin } from '../../sys/signal.ts';
import { handleInterrupts } from './interrupt.ts';

/** Those that mean something to a server. */
export const SIGNALS = ['SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGWINCH'] as const satisfies NodeJS.Signals[];

interface SignalHandlers {
  onTerm(): void;
  /** Null where reload signals are ignored. */
  onReload: ((taskWorkersOnly: boolean) => void) | null;
  onReopen(): void;
}

export function handleSignals(handlers: SignalHandlers): { close(): void } {
  const actions: Record<(typeof SIGNALS)[number], () => void> = {
    SIGTERM: () => handlers.onTerm(),
    SIGUSR1: () => handlers.onReload?.(false),
    SIGUSR2: () => handlers.onReload?.(true),
    SIGHUP: () => {},
    SIGWINCH: () => handlers.onReopen(),
  };
  for (const name of SIGNALS) process.on(name, actions[name]);
  const realtime = onSigrtmin(() => handlers.onReopen());
  return {
    close: () => {
      for (const name of SIGNALS) process.off(name, actions[name]);
      realtime.close();
    },
  };
}

/** The process that the user has started hears the keyboard, too. */
export function handleSignalsOfFirst(handlers: SignalHandlers): { close(): void } {
  const signals = handleSignals(handlers);
  const interrupts = handleInterrupts(() => handlers.onTerm());
  return {
    close: () => {
      signals.close();
      interrupts.close();
    },
  };
}
