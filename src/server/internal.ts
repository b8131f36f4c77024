/** The one door to what stands behind a Server, for rooms that build on it. It is not exported to users. */
import type { EventRows } from './callbacks/event-rows.ts';
import type { ServerState } from './state/running.ts';

let readState: (server: object) => ServerState;

/** Called once, by the class itself. */
export function openState(read: (server: object) => ServerState): void {
  readState = read;
}

export function stateOf(server: object): ServerState {
  return readState(server);
}

/** In the constructor of a subclass: it has these events too, of the server or of its ports. */
export function addEvents(server: object, rows: EventRows): void {
  stateOf(server).script.events.add(rows);
}
