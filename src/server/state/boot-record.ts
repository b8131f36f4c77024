/** What the first process tells the others of itself: read here, made in start/inherit.ts. */
import { isMainThread, workerData } from 'node:worker_threads';
import { DAEMON_VARIABLE, type Inherited } from '../../process/environment.ts';
import type { ReactorScriptData } from '../../process/reactor-threads.ts';
import type { ReactorThreadConfig } from '../../reactor/thread.ts';
import { Segment } from '../../shm/segment.ts';
import type { ListenAttempt } from '../ports/address.ts';
import type { TlsBasis } from '../ports/tls-basis.ts';

/** A port as children are told of it. */
export interface BootAttempt extends Omit<ListenAttempt, 'file'> {
  /** Which of the inherited sockets is the port's; -1 where children have none. */
  inherited: number;
}

/**
 * A script may make one server after the other, and each process runs it from its beginning. So a server is found by
 * counting, and those before it are passed over: they bind nothing, and start() answers what it has answered before.
 */
export interface Place {
  server: number;
  /** What start() of those before it has answered. */
  before: boolean[];
}

/** What the first process writes into the segment for its children. */
export interface BootRecord {
  place: Place;
  attempts: BootAttempt[];
  /** Null where children have no TLS sockets. */
  tls: TlsBasis | null;
  /** Of user processes. */
  processes: number[];
}

let segment: Segment | null = null;

/** The segment that this child inherits; mapped once. */
export function inheritedSegment(inherited: Inherited): Segment {
  segment ??= Segment.attach(inherited.segmentFd);
  return segment;
}

let record: BootRecord | null = null;

/** The record, in a child or (where nothing is inherited) in a reactor thread; read once. */
export function bootRecord(inherited: Inherited | null): BootRecord {
  record ??= segmentToRead(inherited).readBootRecord() as BootRecord;
  return record;
}

function segmentToRead(inherited: Inherited | null): Segment {
  if (inherited !== null) return inheritedSegment(inherited);
  const config = reactorConfig();
  if (config === null) throw new Error('the first process has no boot record to read');
  return Segment.attach(config.segmentFd);
}

/** What a daemon takes over from the process that the user started: its listening sockets, by attempt. */
export interface DaemonRecord {
  place: Place;
  attempts: ListenAttempt[];
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

/** What the daemon's own server takes over; the next one that it makes takes over nothing. */
export function daemonAttempts(place: number): ListenAttempt[] | null {
  const record = daemonRecord();
  return record !== null && record.place.server === place ? record.attempts : null;
}

/** What a thread is told that runs the user's script beside the sockets; null in every other thread. */
export function reactorConfig(): ReactorThreadConfig | null {
  if (isMainThread || typeof workerData !== 'object' || workerData === null) return null;
  return (workerData as Partial<ReactorScriptData>).tswooleReactor ?? null;
}

/** True exactly in the process that the user has started, or the daemon that it became; not in its threads. */
export function isFirst({ inherited }: { readonly inherited: Inherited | null }): boolean {
  return inherited === null && reactorConfig() === null;
}
