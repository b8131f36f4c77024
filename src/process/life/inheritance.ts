/**
 * What every child of a server inherits: descriptors in named groups, from 3 on.
 *
 *   3            4 … 3 + inboxes        then                         then
 *   +------------+----------------------+----------------------------+----------------------------------+
 *   | segment    | doorbells, by inbox  | sockets, by port           | pipes of user processes: two ends |
 *   +------------+----------------------+----------------------------+----------------------------------+
 *   sockets: of all ports in BASE; in PROCESS of those for datagrams, which every process sends by itself.
 *
 * The first process makes it, launchers hand it down as it is, and a child finds it again by how long each group is. It is
 * plain data: threads of a process would share its descriptors.
 */
import { fstatSync, type Stats } from 'node:fs';

export const FIRST_INHERITED_FD = 3;

/** In their order. A new group needs a line here, and somebody who reads it. */
const KINDS = { segment: 'file', doorbells: 'eventfd', sockets: 'socket', pipes: 'socket' } as const;
const GROUPS = Object.keys(KINDS) as Group[];

type Group = keyof typeof KINDS;
export type Inheritance = Readonly<Record<Group, number[]>>;
/** How long each group is: all that a child must be told. */
export type InheritedLengths = Readonly<Record<Group, number>>;

/** In the order in which a child finds them. */
export function descriptorsOf(inheritance: Inheritance): number[] {
  return GROUPS.flatMap((group) => inheritance[group]);
}

export function lengthsOf(inheritance: Inheritance): InheritedLengths {
  return eachGroup((group) => inheritance[group].length);
}

/**
 * In a child: what its parent has handed down. Throws when something else lies there, which would be written to and read
 * from as if it were ours.
 */
export function readInheritance(lengths: InheritedLengths, first = FIRST_INHERITED_FD): Inheritance {
  const told = Object.keys(lengths).join(', ');
  if (told !== GROUPS.join(', '))
    throw new Error(`a child inherits ${GROUPS.join(', ')}, and is told of ${told || 'nothing'}`);
  let next = first;
  return eachGroup((group) =>
    Array.from({ length: lengths[group] }, (_, index) => {
      checkKind(next, group, index);
      return next++;
    }),
  );
}

/** Throws when a group is not as long as what is known otherwise says. */
export function checkLength(inheritance: Inheritance, group: Group, length: number): void {
  const found = inheritance[group].length;
  if (found !== length) throw new Error(`a child inherits ${found} descriptors as ${group}, and ${length} are needed`);
}

function eachGroup<T>(make: (group: Group) => T): Record<Group, T> {
  return Object.fromEntries(GROUPS.map((group) => [group, make(group)])) as Record<Group, T>;
}

function checkKind(fd: number, group: Group, index: number): void {
  const kind = kindOf(fd);
  if (kind !== KINDS[group])
    throw new Error(
      `descriptor ${fd} is inherited as ${group}[${index}], and must be of the kind ${KINDS[group]}, but is ${kind}`,
    );
}

function kindOf(fd: number): string {
  let stats: Stats;
  try {
    stats = fstatSync(fd);
  } catch {
    return 'not open';
  }
  if (stats.isSocket()) return 'socket';
  if (stats.isFile()) return 'file';
  // What lies in no file system at all has no type there.
  return (stats.mode & TYPE_MASK) === 0 ? 'eventfd' : 'something else';
}

const TYPE_MASK = 0o170000;
