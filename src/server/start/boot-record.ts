import { isMainThread, workerData } from 'node:worker_threads';
import { SWOOLE_BASE } from '../../constants.ts';
import type { Inherited } from '../../process/environment.ts';
import { DAEMON_VARIABLE } from '../../process/environment.ts';
import type { ReactorScriptData } from '../../process/reactor-threads.ts';
import { isDatagram } from '../../reactor/port.ts';
import type { ReactorThreadConfig } from '../../reactor/thread.ts';
import { Segment } from '../../shm/segment.ts';
import { internalsOf } from '../port.ts';
import type { Address, Bound } from '../ports/listen.ts';
import type { TlsBasis } from '../ports/tls.ts';
import { marksOf } from '../processes/user-processes.ts';
import type { ServerCore } from '../state/core.ts';

/** A port that the script has asked for: the server's own, then one for each listen(). */
export interface ListenAttempt extends Address, Bound {}

/** A port as children are told of it. */
interface BootAttempt extends Omit<ListenAttempt, 'file'> {
  /** Which of the inherited sockets is the port's; -1 where children have none. */
  inherited: number;
}

/**
 * A script may make one server after the other, and each process runs it from its beginning. So a server is found by
 * counting, and those before it are passed over: they bind nothing, and start() answers what it has answered before.
 */
interface Place {
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

export function makeBootRecord(core: ServerCore): BootRecord {
  let next = 0;
  return {
    place: placeOf(core),
    attempts: core.attempts.map(({ host, port, type, ssl, fd, error, activated }) => ({
      ...{ host, port, type, ssl, fd, error, activated },
      inherited: error === 0 && isInherited(core, type) ? next++ : -1,
    })),
    // The keys of sessions are for those who speak with clients, and for nobody else.
    tls: core.mode === SWOOLE_BASE ? core.tls : null,
    processes: marksOf(core),
  };
}

const answers: boolean[] = [];

/** What start() answers, for processes that run the script again. */
export function rememberAnswer(core: ServerCore, answer: boolean): boolean {
  answers[core.place - 1] = answer;
  return answer;
}

export function placeOf(core: ServerCore): Place {
  return { server: core.place, before: answers.slice(0, core.place - 1) };
}

/** What start() answers at once, where this process is there for a later server; else null. */
export function earlierAnswer(core: Pick<ServerCore, 'place' | 'inherited'>): boolean | null {
  const place = isFirst(core) ? daemonRecord()?.place : bootRecord(core.inherited).place;
  return place !== undefined && core.place < place.server ? (place.before[core.place - 1] ?? false) : null;
}

/** Children in BASE serve all sockets. In PROCESS the master does, but every process sends datagrams by itself. */
function isInherited(core: ServerCore, type: number): boolean {
  return core.mode === SWOOLE_BASE || isDatagram(type);
}

/** The sockets that every child of this process gets, in the order of the record. */
export function inheritedSockets(core: ServerCore): number[] {
  return core.ports.filter((port) => isInherited(core, port.type)).map((port) => internalsOf(port).fd);
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
  record ??= (
    inherited !== null ? inheritedSegment(inherited) : Segment.attach(reactorConfig()!.segmentFd)
  ).readBootRecord() as BootRecord;
  return record;
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

/** What a thread is told that runs the user's script beside the sockets; null in every other thread. */
export function reactorConfig(): ReactorThreadConfig | null {
  if (isMainThread || typeof workerData !== 'object' || workerData === null) return null;
  return (workerData as Partial<ReactorScriptData>).tswooleReactor ?? null;
}

/** True exactly in the process that the user has started, or the daemon that it became; not in its threads. */
export function isFirst(core: Pick<ServerCore, 'inherited'>): boolean {
  return core.inherited === null && reactorConfig() === null;
}

/** What the daemon's own server takes over; the next one that it makes takes over nothing. */
export function daemonAttempts(place: number): ListenAttempt[] | null {
  const record = daemonRecord();
  return record !== null && record.place.server === place ? record.attempts : null;
}

/**
 * The socket of the next port where it need not be bound: in a child, a daemon, a reactor thread. Null where it must.
 */
export function inheritedPort(core: ServerCore, address: Address): Bound | null {
  const { inherited, attempts } = core;
  if (earlierAnswer(core) !== null) return { fd: -1, port: address.port, error: 0 };
  if (isFirst(core)) return daemonAttempts(core.place)?.[attempts.length] ?? null;
  const known = bootRecord(inherited).attempts[attempts.length];
  // A script that adds a port in some processes only: there is no socket for it here.
  if (known === undefined) return { fd: -1, port: address.port, error: 0 };
  return { fd: socketOf(inherited, known), port: known.port, error: known.error };
}

/** The sockets that the first process has from systemd, where this process is not the first; null in the first. */
export function inheritedFromSystemd(core: ServerCore): ListenAttempt[] | null {
  if (isFirst(core)) return daemonAttempts(core.place)?.filter((attempt) => attempt.activated) ?? null;
  const { inherited } = core;
  return bootRecord(inherited)
    .attempts.filter((attempt) => attempt.activated)
    .map((attempt) => ({ ...attempt, fd: socketOf(inherited, attempt) }));
}

/** -1 where this process has none; threads inherit nothing. */
function socketOf(inherited: Inherited | null, attempt: BootAttempt): number {
  return inherited?.listeners[attempt.inherited] ?? -1;
}
