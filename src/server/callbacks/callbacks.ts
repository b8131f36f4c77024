import { badArgument } from '../../errors.ts';
import { asFunction } from '../../loop/method.ts';
import type { Owner } from './event-rows.ts';
import type { EventTable } from './event-table.ts';
import type { AnyCallback } from './events.ts';

/** The callbacks of a server or of a port, by event. A later registration replaces an earlier one. */
export class Callbacks {
  private readonly byName = new Map<string, AnyCallback>();
  private readonly events: EventTable;
  private readonly owner: Owner;

  constructor(events: EventTable, owner: Owner) {
    this.events = events;
    this.owner = owner;
  }

  knows(event: string): boolean {
    return this.events.find(event)?.of === this.owner;
  }

  set(event: string, callback: unknown): void {
    const call = asFunction(callback);
    if (typeof call !== 'function')
      throw badArgument(
        event,
        Array.isArray(callback) ? "a function, or [object, 'method'] where the object has it" : 'a function',
        callback,
        `the callback of "${event}"`,
      );
    this.byName.set(event.toLowerCase(), call as AnyCallback);
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
export function unknownEvent(events: EventTable, event: string): string {
  if (events.find(event)?.of === 'server')
    return `"${event}" is an event of the server, not of a port: use server.on()`;
  const hint = events.find(event.replace(/^on/i, '')) === undefined ? '' : ': leave "on" out';
  return `there is no event "${event}"${hint}`;
}
