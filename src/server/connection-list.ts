import { type ClientInfo, clientInfo } from './connections/client-info.ts';
import { listConnections, openSlot } from './connections/visible.ts';
import type { ServerState } from './state/running.ts';
import { warnNotRunning } from './state/script.ts';
import { STAYS } from './stays.ts';

/** The connections of a server or of one port: iterate over their ids, or count them. In SWOOLE_BASE a worker lists its own. */
export class ConnectionList implements Iterable<number> {
  readonly #state: ServerState;
  readonly #portIndex: number;
  protected readonly stays = STAYS;

  /** `portIndex` -1 means all ports. */
  constructor(state: ServerState, portIndex: number) {
    this.#state = state;
    this.#portIndex = portIndex;
  }

  *[Symbol.iterator](): Generator<number, void, undefined> {
    const { running } = this.#state;
    if (running === null) return;
    // Those that end while the caller works on earlier ones are left out; later ones are not in it.
    for (const fd of listConnections(running, this.#portIndex)) if (openSlot(running, fd) !== -1) yield fd;
  }

  /** How many there are; server-wide in every mode. */
  count(): number {
    const { running } = this.#state;
    if (running === null) return 0;
    const { segment } = running;
    return this.#portIndex === -1 ? segment.connections : segment.portConnections(this.#portIndex);
  }

  offsetExists(fd: number): boolean {
    const { running } = this.#state;
    return running !== null && openSlot(running, fd) !== -1;
  }
  offsetGet(fd: number): ClientInfo | false {
    const { running } = this.#state;
    if (running !== null) return clientInfo(running, fd, false);
    warnNotRunning(this.#state.script, 'getClientInfo');
    return false;
  }
}
