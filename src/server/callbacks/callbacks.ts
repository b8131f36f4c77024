import { badArgument } from '../../errors.ts';
import { type AnyCallback, isPortEvent, isServerEvent } from './events.ts';

/** The callbacks of a server or of a port, by event. A later registration replaces an earlier one. */
export class Callbacks {
  private readonly byName = new Map<string, AnyCallback>();
  private readonly known: (lowerName: string) => boolean;

  private constructor(known: (lowerName: string) => boolean) {
    this.known = known;
  }
  static ofServer(): Callbacks {
    return new Callbacks(isServerEvent);
  }
  static ofPort(): Callbacks {
    return new Callbacks(isPortEvent);
  }

  knows(event: string): boolean {
    return this.known(event.toLowerCase());
  }

  set(event: string, callback: unknown): void {
    if (typeof callback !== 'function') throw badArgument(event, 'a function', callback, `the callback of "${event}"`);
    this.byName.set(event.toLowerCase(), callback as AnyCallback);
  }

  get(event: string): AnyCallback | null {
    checkEventName(event);
    return this.byName.get(event.toLowerCase()) ?? null;
  }
}

export function checkEventName(event: unknown): void {
  if (typeof event !== 'string') throw badArgument('event', 'a string', event, 'the event');
}

/** What to say to the name of an event that a port does not have. */
export function unknownEvent(event: string): string {
  const name = event.toLowerCase();
  if (isServerEvent(name)) return `"${event}" is an event of the server, not of a port: use server.on()`;
  const bare = name.replace(/^on/, '');
  const hint = isServerEvent(bare) || isPortEvent(bare) ? ': leave "on" out' : '';
  return `there is no event "${event}"${hint}`;
}
