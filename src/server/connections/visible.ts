/** Which connections a process knows of. */
import { SWOOLE_BASE } from '../../constants.ts';
import { describeValue } from '../../errors.ts';
import { OWNER, PORT, SERIAL } from '../../shm/connections.ts';
import type { Member } from '../state/member.ts';
import { warn } from '../state/script.ts';

/** How many ids a page has at most. */
const PAGE_MAX = 100;
/** For a visible owner: every one, and none. */
const ALL = -1;
const NOBODY = -2;

/**
 * The owner whose connections this process may see. Workers of SWOOLE_BASE know their own, as Swoole has it; task workers
 * and user processes have none, and are there to broadcast to all.
 */
function visibleOwner({ script, runtime, workerId }: Member): number {
  if (script.mode !== SWOOLE_BASE) return ALL;
  switch (runtime.role) {
    case 'worker':
      return workerId;
    case 'task':
    case 'user':
      return ALL;
    default:
      return NOBODY;
  }
}

export function isVisible(member: Member, slot: number): boolean {
  const owner = visibleOwner(member);
  const { connections } = member.runtime;
  return owner === ALL || connections.words[connections.wordBase(slot) + OWNER] === owner;
}

/** The slot of a connection that this process may see, that is open and that nobody has begun to close; else -1. */
export function openSlot(member: Member, fd: number): number {
  const { connections } = member.runtime;
  const slot = connections.find(fd);
  return slot !== -1 && connections.isOpen(slot) && isVisible(member, slot) ? slot : -1;
}

/** Ids of the connections that this process may see, of one port or (-1) of all, in ascending order. */
export function listConnections(member: Member, portIndex: number): number[] {
  const fds: number[] = [];
  visitConnections(member, portIndex, (fd) => fds.push(fd));
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
  visitConnections(member, -1, (fd) => {
    if (fd <= after || (page.length === count && fd > page[count - 1])) return;
    let at = page.length;
    while (at > 0 && page[at - 1] > fd) at--;
    page.splice(at, 0, fd);
    if (page.length > count) page.pop();
  });
  return page;
}

function visitConnections(member: Member, portIndex: number, visit: (fd: number) => void): void {
  const owner = visibleOwner(member);
  if (owner === NOBODY) return;
  const { connections } = member.runtime;
  connections.forEach(owner, (slot, base) => {
    if (portIndex !== -1 && connections.words[base + PORT] !== portIndex) return;
    if (connections.isOpen(slot)) visit(connections.fdOf(connections.words[base + SERIAL]));
  });
}
