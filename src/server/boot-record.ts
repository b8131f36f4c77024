import { isMainThread, workerData } from 'node:worker_threads';
import type { Inherited } from '../process/environment.ts';
import { DAEMON_VARIABLE } from '../process/environment.ts';
import type { ReactorScriptData } from '../process/reactor-threads.ts';
import type { ReactorThreadConfig } from '../reactor/thread.ts';
import { Segment } from '../shm/segment.ts';
import type { Address, Bound } from './listen.ts';

/** What the first process writes into the segment for its children. */
export interface BootRecord {
  ports: { host: string; port: number; type: number }[];
}

let segment: Segment | null = null;

/** The segment that this child inherits; mapped once. */
export function inheritedSegment(inherited: Inherited): Segment {
  segment ??= Segment.attach(inherited.segmentFd);
  return segment;
}

/** What a daemon takes over from the process that the user started: its listening sockets, in order. */
export interface DaemonRecord {
  ports: { fd: number; port: number }[];
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

/** The socket of a port where it need not be bound: in a child, a daemon, a reactor thread. Null where it must. */
export function inheritedPort(inherited: Inherited | null, index: number, address: Address): Bound | null {
  const reactor = reactorConfig();
  if (reactor !== null) {
    const record = Segment.attach(reactor.segmentFd).readBootRecord() as BootRecord;
    return { fd: -1, port: record.ports[index]?.port ?? address.port, error: 0 };
  }
  if (inherited === null) {
    const taken = daemonRecord()?.ports[index];
    return taken === undefined ? null : { fd: taken.fd, port: taken.port, error: 0 };
  }
  const record = inheritedSegment(inherited).readBootRecord() as BootRecord;
  const known = record.ports[index];
  // A script that adds a port in some processes only: there is no socket for it here.
  if (known === undefined) return { fd: -1, port: address.port, error: 0 };
  return { fd: inherited.listeners[index] ?? -1, port: known.port, error: 0 };
}
