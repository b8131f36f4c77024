import { isDatagram } from '../../reactor/port.ts';
import { Callbacks } from '../callbacks/callbacks.ts';
import type { EventTable } from '../callbacks/event-table.ts';
import type { Speaker } from '../sessions/session.ts';
import type { NormalisedSettings } from '../settings/settings.ts';
import type { Address, Bound, SocketFile } from './address.ts';

/** A listening port, as everything below the facades knows it. */
export interface PortState extends Address {
  /** Its place among the server's ports. */
  readonly index: number;
  readonly callbacks: Callbacks;
  /** The listening socket; -1 where this process has none. */
  fd: number;
  /** The file of a Unix socket that this process has to remove in the end; else null. */
  file: SocketFile | null;
  /** True exactly when systemd has opened the socket. */
  readonly activated: boolean;
  /** Why the port could not be bound: an errno, or 0. */
  bindError: number;
  /** True exactly when the user has called set() on this port: it then inherits nothing. */
  ownSettings: boolean;
  settingValues: NormalisedSettings;
  /** What is spoken on the port in place of its receive callback; null for bytes as they come. */
  speaker: Speaker | null;
  /** Level, option and value of what the user has set through getSocket(), in order. */
  readonly socketOptions: [level: number, option: number, value: number][];
}

export function newPort(events: EventTable, index: number, { host, type, ssl }: Address, bound: Bound): PortState {
  return {
    ...{ index, host, port: bound.port, type, ssl },
    callbacks: new Callbacks(events, 'port'),
    fd: bound.fd,
    file: bound.file ?? null,
    activated: bound.activated === true,
    bindError: bound.error,
    ownSettings: false,
    settingValues: {},
    speaker: null,
    socketOptions: [],
  };
}

/** What comes to the port: the events that need it take it. */
export function protocolOf({ speaker, type }: PortState): string {
  return speaker?.protocol ?? (isDatagram(type) ? 'datagrams' : 'stream');
}
