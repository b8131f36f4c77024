import { CORE_EVENTS, type EventRow, type EventRows } from './event-rows.ts';

interface NamedRow extends EventRow {
  readonly name: string;
}

/** The events of one server: those that every server has, and those that its class has added. Names are of any case. */
export class EventTable {
  private readonly rows = new Map<string, NamedRow>();

  constructor() {
    this.add(CORE_EVENTS);
  }

  add(rows: EventRows): void {
    for (const [name, row] of Object.entries(rows)) this.rows.set(name.toLowerCase(), { name, ...row });
  }

  find(name: string): NamedRow | undefined {
    return this.rows.get(name.toLowerCase());
  }

  /** The names of the events that need this, in the order of their rows. */
  needing(need: string): string[] {
    return [...this.rows.values()].filter((row) => row.needs === need).map((row) => row.name);
  }
}
