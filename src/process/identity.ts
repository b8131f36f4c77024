/** What a process of a running server may be. */
export type Role = 'master' | 'manager' | 'worker' | 'task' | 'user';
/** What another process starts. */
export type ChildRole = Exclude<Role, 'master'>;
/** What the manager starts. */
export type ManagedRole = Exclude<ChildRole, 'manager'>;

/** Who a process of a running server is. */
export interface Identity {
  readonly role: Role;
  /** Worker id; -1 in master and manager. */
  readonly id: number;
  readonly lane: number;
  /** The number of its start, which no other of this server has: see Segment.nextLife. A pid may come again. */
  readonly life: number;
}

/** Who a child is to be. */
export interface ChildDescription extends Identity {
  readonly role: ChildRole;
  /** True exactly when it replaces one of its id. */
  readonly again: boolean;
}
