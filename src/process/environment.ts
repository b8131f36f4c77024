/**
 * What this process is: the first one, or a child that runs the same script in a role. A child learns its role from one
 * environment variable, and finds what it inherits at fixed descriptors:
 *
 *   3            4 … 3 + inboxes        then                         then
 *   +------------+----------------------+----------------------------+----------------------------------+
 *   | segment    | doorbells, by inbox  | sockets, by port           | pipes of user processes: two ends |
 *   +------------+----------------------+----------------------------+----------------------------------+
 *   sockets: of all ports in BASE; in PROCESS of those for datagrams, which every process sends by itself.
 */
import { SIGKILL } from '../sys/constants.ts';
import { dieWithParent } from '../sys/process.ts';
import type { Identity, Role } from './identity.ts';

export const ROLE_VARIABLE = 'TSWOOLE_CHILD';
export const FIRST_INHERITED_FD = 3;

export type ChildRole = Exclude<Role, 'master'>;

/** How a child is told what it is. */
export interface ChildDescription extends Identity {
  role: ChildRole;
  /** The parent to die with. */
  parent: number;
  doorbellCount: number;
  portCount: number;
  pipeCount: number;
  /** True exactly when the process replaces one of its id. */
  again: boolean;
}

/** A process that runs as a daemon has inherited its listening sockets from the one that the user started. */
export const DAEMON_VARIABLE = 'TSWOOLE_DAEMON';

export interface Inherited {
  description: ChildDescription;
  segmentFd: number;
  doorbells: number[];
  listeners: number[];
  pipes: number[];
}

let cached: Inherited | null | undefined;

/**
 * What this process inherits, or null in the first process. The variable is taken away, so that its own children are free.
 * From the first call on, which is the import, a child dies with its parent: what the script does before start() may take long.
 */
export function inherited(): Inherited | null {
  if (cached !== undefined) return cached;
  const text = process.env[ROLE_VARIABLE];
  if (text === undefined) {
    cached = null;
    return null;
  }
  delete process.env[ROLE_VARIABLE];
  const description = JSON.parse(text) as ChildDescription;
  dieWithParent(description.parent, SIGKILL);
  const firstDoorbell = FIRST_INHERITED_FD + 1;
  const firstListener = firstDoorbell + description.doorbellCount;
  const firstPipe = firstListener + description.portCount;
  cached = {
    description,
    segmentFd: FIRST_INHERITED_FD,
    doorbells: Array.from({ length: description.doorbellCount }, (_, i) => firstDoorbell + i),
    listeners: Array.from({ length: description.portCount }, (_, i) => firstListener + i),
    pipes: Array.from({ length: description.pipeCount }, (_, i) => firstPipe + i),
  };
  return cached;
}
