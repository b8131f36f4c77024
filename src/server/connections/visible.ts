/** Which connections there are. */
import { SWOOLE_BASE } from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import { PORT, SERIAL } from '../../shm/connections.ts';
import { ownerOfLane } from '../../shm/layout.ts';
import type { Member } from '../state/member.ts';
import { warn } from '../state/script.ts';

/** How many ids a page has at most. */
const PAGE_MAX = 100;
const EVERY_OWNER = -1;

/** Whose connections the lists of this process have: a worker of SWOOLE_BASE lists its own, as Swoole has it. */
function listedOwner({ script, runtime }: Member): number {
  return script.mode === SWOOLE_BASE && runtime.role === 'worker' ? ownerOfLane(runtime.lane) : EVERY_OWNER;
}

/** The slot of a connection that is open and that nobody has begun to close; else -1. */
export function openSlot({ runtime: { connections } }: Member, fd: number): number {
  const slot = connections.find(fd);
  return slot !== -1 && connections.isOpen(slot) ? slot : -1;
}

/** Ids of the connections that this process lists, of one port or (-1) of all, in ascending order. */
export function listConnections(member: Member, portIndex: number): number[] {
  const fds: number[] = [];
  visitConnections(member, listedOwner(member), portIndex, (fd) => fds.push(fd));
  return fds.sort((a, b) => a - b);
}

/** The next ids behind `after`, where that is 0 or one of a connection, which may have ended since the page before. */
export function connectionPage(member: Member, after: number, size: number): number[] | false {
  if (!Number.isInteger(size) || size > PAGE_MAX) {
    const got = describeValue(size);
    warn(member.script, `getClientList(): a page has at most ${PAGE_MAX} connections, got ${got}`);
    return false;
  }
  if (after !== 0 && openSlot(member, after) === -1 && !member.runtime.connections.wasGiven(after)) return false;
  return nextConnections(member, after, size);
}

/** The next `count` ids behind `after`: one pass over the table, which never sorts more than a page. */
function nextConnections(member: Member, after: number, count: number): number[] {
  const page: number[] = [];
  if (count <= 0) return page;
  visitConnections(member, listedOwner(member), -1, (fd) => {
    if (fd <= after || (page.length === count && fd > page[count - 1])) return;
    let at = page.length;
    while (at > 0 && page[at - 1] > fd) at--;
    page.splice(at, 0, fd);
    if (page.length > count) page.pop();
  });
  return page;
}

/** Open connections of one owner or (-1) of all, of one port or (-1) of all. */
export function visitConnections(
  { runtime: { connections } }: Member,
  owner: number,
  portIndex: number,
  visit: (fd: number, slot: number) => void,
): void {
  connections.forEach(owner, (slot, base) => {
    if (portIndex !== -1 && connections.words[base + PORT] !== portIndex) return;
    if (connections.isOpen(slot)) visit(connections.fdOf(connections.words[base + SERIAL]), slot);
  });
}
