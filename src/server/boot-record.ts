import { isMainThread, workerData } from 'node:worker_threads';
import type { Inherited } from '../process/environment.ts';
import { DAEMON_VARIABLE } from '../process/environment.ts';
import type { ReactorScriptData } from '../process/reactor-threads.ts';
import type { ReactorThreadConfig } from '../reactor/thread.ts';
import { Segment } from '../shm/segment.ts';
import type { ServerCore } from './core.ts';
import type { Address, Bound } from './listen.ts';

/** A port that the script has asked for: the server's own, then one for each listen(). */
export interface ListenAttempt extends Address, Bound {}

/** What the first process writes into the segment for its children. */
export interface BootRecord {
  attempts: ListenAttempt[];
}

/** The descriptors of the listening sockets in the first process. */
export function firstListeners(core: ServerCore): number[] {
  const { attempts } =
    core.inherited === null ? core : (inheritedSegment(core.inherited).readBootRecord() as BootRecord);
  return attempts.map((attempt) => attempt.fd).filter((fd) => fd >= 0);
}

let segment: Segment | null = null;

/** The segment that this child inherits; mapped once. */
export function inheritedSegment(inherited: Inherited): Segment {
  segment ??= Segment.attach(inherited.segmentFd);
  return segment;
}

/** What a daemon takes over from the process that the user started: its listening sockets, by attempt. */
export interface DaemonRecord {
  attempts: Bound[];
}

let daemon: DaemonRecord | null | undefined;

export function daemonRecord(): DaemonRecord | null {
  if (daemon === undefined) {
    const text = process.env[DAEMON_VARIABLE];
    delete process.env[DAEMON_VARIABLE];
    daemon = text === undefined ? null : (JSON.parse(text) as DaemonRecord);
  }
  return daemon;
}

/** What a thread is told that runs the user's script beside the sockets; null in every other thread. */
export function reactorConfig(): ReactorThreadConfig | null {
  if (isMainThread || typeof workerData !== 'object' || workerData === null) return null;
  return (workerData as Partial<ReactorScriptData>).tswooleReactor ?? null;
}

/**
 * The socket of a port where it need not be bound: in a child, a daemon, a reactor thread. Null where it must. `attempt`
 * counts all ports that the script has asked for, `index` those that there are.
 */
export function inheritedPort(
  inherited: Inherited | null,
  attempt: number,
  index: number,
  address: Address,
): Bound | null {
  const reactor = reactorConfig();
  if (reactor !== null) return inChild(Segment.attach(reactor.segmentFd), attempt, address, -1);
  if (inherited === null) return daemonRecord()?.attempts[attempt] ?? null;
  return inChild(inheritedSegment(inherited), attempt, address, inherited.listeners[index] ?? -1);
}

function inChild(segment: Segment, attempt: number, address: Address, fd: number): Bound {
  const known = (segment.readBootRecord() as BootRecord).attempts[attempt];
  // A script that adds a port in some processes only: there is no socket for it here.
  if (known === undefined) return { fd: -1, port: address.port, error: 0 };
  return { fd: known.error === 0 ? fd : -1, port: known.port, error: known.error };
}
