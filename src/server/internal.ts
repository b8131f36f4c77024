/** The one door to what stands behind a Server, for rooms that build on it. It is not exported to users. */
import type { ServerState } from './state/running.ts';

let readState: (server: object) => ServerState;

/** Called once, by the class itself. */
export function openState(read: (server: object) => ServerState): void {
  readState = read;
}

export function stateOf(server: object): ServerState {
  return readState(server);
}
