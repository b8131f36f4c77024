/** What the first process tells the others of itself: read here, made in start/inherit.ts. */
import { thisProcess } from '../../process/life/this-process.ts';
import { Segment } from '../../shm/segment.ts';
import type { ListenAttempt } from '../ports/address.ts';
import type { TlsBasis } from '../ports/tls-basis.ts';
import type { NormalisedSettings } from '../settings/settings.ts';

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
  said: Said;
}

/** Settings as they cross to another process: functions stay behind. */
export interface PlainSettings {
  values: NormalisedSettings;
  /** The settings that are functions. */
  functions: string[];
}

/** What the script has said in the first process. It must say the same in all the others. */
export interface Said {
  mode: number;
  /** As they were set. */
  settings: PlainSettings;
  /** What start() has made of them for all to see. */
  settled: NormalisedSettings;
  ports: { ownSettings: boolean; settings: PlainSettings }[];
  commands: [name: string, types: number][];
  /** Children run another script. */
  hasEntryScript: boolean;
  /** Of user processes: see marksOf. */
  processes: number[];
}

let segment: Segment | null = null;

/** The segment that this child inherits, or this thread is told of; mapped once. */
export function inheritedSegment(): Segment {
  segment ??= Segment.attach(inheritedDescriptor());
  return segment;
}

function inheritedDescriptor(): number {
  const me = thisProcess();
  if (me.kind === 'reactor') return me.config.segmentFd;
  if ('inheritance' in me) return me.inheritance.segment[0];
  throw new Error('the first process makes the segment, and inherits none');
}

let record: BootRecord | null = null;

/** Read once. */
export function bootRecord(): BootRecord {
  record ??= inheritedSegment().readBootRecord() as BootRecord;
  return record;
}

/** What a daemon takes over from the process that the user started: its listening sockets, by attempt. */
export interface DaemonRecord {
  place: Place;
  attempts: ListenAttempt[];
}

export function daemonRecord(): DaemonRecord | null {
  const me = thisProcess();
  return me.kind === 'first' ? (me.daemon as DaemonRecord | null) : null;
}

/** What the daemon's own server takes over; the next one that it makes takes over nothing. */
export function daemonAttempts(place: number): ListenAttempt[] | null {
  const record = daemonRecord();
  return record !== null && record.place.server === place ? record.attempts : null;
}
