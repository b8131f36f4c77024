import { SWOOLE_BASE } from '../constants.ts';
import { PORT, SERIAL } from '../shm/connections.ts';
import type { ClientInfo } from './connections/client-info.ts';
import type { ServerCore } from './state/core.ts';

/**
 * What has a field with this value cannot be serialized, at whatever depth: what belongs to a server would arrive in
 * another process as an empty object.
 */
export const STAYS = Symbol('what belongs to a server');

/** The connections of a server or of one port: iterate over their ids, or count them. In SWOOLE_BASE a worker sees its own. */
export class ConnectionList implements Iterable<number> {
  readonly #core: ServerCore;
  readonly #portIndex: number;
  protected readonly stays = STAYS;

  /** `portIndex` -1 means all ports. */
  constructor(core: ServerCore, portIndex: number) {
    this.#core = core;
    this.#portIndex = portIndex;
  }

  *[Symbol.iterator](): Generator<number, void, undefined> {
    const { server } = this.#core;
    // Those that end while the caller works on earlier ones are left out; later ones are not in it.
    for (const fd of listConnections(this.#core, this.#portIndex)) if (server.exists(fd)) yield fd;
  }

  /** How many there are; server-wide in every mode. */
  count(): number {
    const { runtime } = this.#core;
    if (runtime === null) return 0;
    return this.#portIndex === -1 ? runtime.segment.connections : runtime.segment.portConnections(this.#portIndex);
  }

  offsetExists(fd: number): boolean {
    return this.#core.server.exists(fd);
  }
  offsetGet(fd: number): ClientInfo | false {
    return this.#core.server.getClientInfo(fd);
  }
}

/**
 * The owner whose connections this process may see: -1 for all, -2 for none. Workers of SWOOLE_BASE know their own, as
 * Swoole has it; task workers and user processes have none, and are there to broadcast to all.
 */
export function visibleOwner(core: ServerCore): number {
  if (core.mode !== SWOOLE_BASE) return -1;
  switch (core.runtime?.role) {
    case 'worker':
      return core.workerId;
    case 'task':
    case 'user':
      return -1;
    default:
      return -2;
  }
}

/** Ids of the connections that this process may see, in ascending order. */
export function listConnections(core: ServerCore, portIndex: number): number[] {
  const fds: number[] = [];
  visitConnections(core, portIndex, (fd) => fds.push(fd));
  return fds.sort((a, b) => a - b);
}

/** The next `count` ids behind `after`: one pass over the table, which never sorts more than a page. */
export function nextConnections(core: ServerCore, after: number, count: number): number[] {
  const page: number[] = [];
  if (count <= 0) return page;
  visitConnections(core, -1, (fd) => {
    if (fd <= after || (page.length === count && fd > page[count - 1])) return;
    let at = page.length;
    while (at > 0 && page[at - 1] > fd) at--;
    page.splice(at, 0, fd);
    if (page.length > count) page.pop();
  });
  return page;
}

function visitConnections(core: ServerCore, portIndex: number, visit: (fd: number) => void): void {
  const { runtime } = core;
  const owner = visibleOwner(core);
  if (runtime === null || owner === -2) return;
  const { connections } = runtime;
  connections.forEach(owner, (slot, base) => {
    if (portIndex !== -1 && connections.words[base + PORT] !== portIndex) return;
    if (connections.isOpen(slot)) visit(connections.fdOf(connections.words[base + SERIAL]));
  });
}
