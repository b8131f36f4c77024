import { SWOOLE_LOG_NOTICE, SWOOLE_LOG_WARNING } from '../constants.ts';
import { describeValue, TswooleError } from '../errors.ts';
import { Callbacks, checkEventName, unknownEvent } from './callbacks/callbacks.ts';
import type { AnyCallback, PortCallback, PortObjectCallback } from './callbacks/events.ts';
import { ConnectionList } from './connection-list.ts';
import { ListenSocket } from './listen-socket.ts';
import type { Address, Bound } from './ports/listen.ts';
import type { SocketFile } from './ports/socket-file.ts';
import { checkSslFiles } from './ports/tls.ts';
import { type NormalisedSettings, type PortSettings, validateSettings } from './settings/settings.ts';
import { isFirst } from './start/boot-record.ts';
import type { ServerCore } from './state/core.ts';

/** How the server reaches into its ports; users do not. */
export interface PortInternals {
  readonly callbacks: Callbacks;
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
  /** Level, option and value of what the user has set through getSocket(), in order. */
  readonly socketOptions: [level: number, option: number, value: number][];
}

const internals = new WeakMap<Port, PortInternals>();

export function internalsOf(port: Port): PortInternals {
  const found = internals.get(port);
  if (found === undefined) throw new TswooleError('ERR_ARGUMENT', 'this is not a port of a server');
  return found;
}

/** A listening port of a server. Made by `server.listen()`; the server's own is `server.ports[0]`. */
export class Port {
  /** The address; of a Unix socket the path. */
  readonly host: string;
  /** The port number; where 0 was asked for, the one that the kernel gave. 0 for Unix sockets. */
  readonly port: number;
  /** SWOOLE_SOCK_*, without SWOOLE_SSL. */
  readonly type: number;
  /** True exactly when the port was made with SWOOLE_SSL. */
  readonly ssl: boolean;
  /** The connections of this port. */
  readonly connections: ConnectionList;
  readonly #core: ServerCore;

  constructor(core: ServerCore, address: Address, bound: Bound) {
    this.#core = core;
    this.host = address.host;
    this.port = address.port;
    this.type = address.type;
    this.ssl = address.ssl;
    internals.set(this, {
      callbacks: Callbacks.ofPort(),
      fd: bound.fd,
      file: bound.file ?? null,
      activated: bound.activated === true,
      bindError: bound.error,
      ownSettings: false,
      settingValues: {},
      socketOptions: [],
    });
    this.connections = new ConnectionList(core, core.ports.length);
  }

  /** Descriptor of the listening socket in this process; -1 where it has none. */
  get sock(): number {
    return internalsOf(this).fd;
  }

  /** The settings of this port. */
  get setting(): NormalisedSettings {
    return internalsOf(this).settingValues;
  }

  /** Settings of this port alone. A port with settings of its own inherits none from the server. */
  set(settings: PortSettings): boolean {
    const core = this.#core;
    if (core.started) {
      core.logger.log(SWOOLE_LOG_WARNING, 'port.set() has no effect after start()');
      return false;
    }
    if (typeof settings !== 'object' || settings === null) {
      throw new TswooleError('ERR_ARGUMENT', `port.set() takes an object of settings, got ${describeValue(settings)}`);
    }
    const { values, notices } = validateSettings(settings, 'port');
    if (isFirst(core)) checkSslFiles(values);
    if (isFirst(core)) for (const notice of notices) core.logger.once(`notice:${notice}`, SWOOLE_LOG_NOTICE, notice);
    const own = internalsOf(this);
    own.settingValues = { ...own.settingValues, ...values };
    own.ownSettings = true;
    return true;
  }

  /** Registers a callback for an event of this port: connect, receive, close, packet, bufferFull, bufferEmpty. */
  on<Name extends string>(event: Name, callback: PortCallback<Name>): boolean;
  on<Name extends string>(event: Name, callback: PortObjectCallback<Name>): boolean;
  on(event: string, callback: AnyCallback): boolean {
    const core = this.#core;
    checkEventName(event);
    if (core.started) {
      core.logger.log(SWOOLE_LOG_WARNING, `callbacks cannot be registered after start(): "${event}" is ignored`);
      return false;
    }
    const { callbacks } = internalsOf(this);
    if (!callbacks.knows(event)) {
      // The same script runs in every process: what it does wrong is told once.
      if (isFirst(core)) core.logger.log(SWOOLE_LOG_WARNING, unknownEvent(event));
      return false;
    }
    callbacks.set(event, callback);
    return true;
  }

  getCallback(event: string): AnyCallback | null {
    return internalsOf(this).callbacks.get(event);
  }

  /** The listening socket: for its options and for multicast groups. */
  getSocket(): ListenSocket {
    return new ListenSocket(this.#core, this);
  }
}
