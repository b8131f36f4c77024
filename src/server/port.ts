import type { MethodOf } from '../loop/method.ts';
import type { PortObjectEvents } from './callbacks/event-objects.ts';
import type { AnyCallback, PortEvents } from './callbacks/events.ts';
import type { CallbackOf, EventName, NameOf, ObjectCallbackOf } from './callbacks/on.ts';
import { registerForPort } from './callbacks/register.ts';
import { ConnectionList } from './connection-list.ts';
import { ListenSocket } from './listen-socket.ts';
import type { PortState } from './ports/port-state.ts';
import { setForPort } from './settings/apply.ts';
import type { NormalisedSettings, PortSettings } from './settings/settings.ts';
import type { ServerState } from './state/running.ts';
import type { Script } from './state/script.ts';

/**
 * A listening port of a server. Made by `server.listen()`; the server's own is `server.ports[0]`. Its callbacks are `Rows`:
 * a class that extends Server may have more of them.
 */
export class Port<Self = object, Rows = PortEvents<Self>> {
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
  readonly #script: Script;
  readonly #state: PortState;

  constructor(server: ServerState, state: PortState) {
    this.#script = server.script;
    this.#state = state;
    this.host = state.host;
    this.port = state.port;
    this.type = state.type;
    this.ssl = state.ssl;
    this.connections = new ConnectionList(server, state.index);
  }

  /** Descriptor of the listening socket in this process; -1 where it has none. */
  get sock(): number {
    return this.#state.fd;
  }

  /** The settings of this port. */
  get setting(): NormalisedSettings {
    return this.#state.settingValues;
  }

  /** Settings of this port alone. A port with settings of its own inherits none from the server. */
  set(settings: PortSettings): boolean {
    return setForPort(this.#script, this.#state, settings);
  }

  /** Registers a callback for an event of this port: connect, receive, close, packet, bufferFull, bufferEmpty. */
  on<
    Name extends string = NameOf<Rows>,
    Callback extends ObjectCallbackOf<PortObjectEvents<Self>, Name> = never,
    Method extends string = never,
  >(
    event: EventName<Rows, Name>,
    callback: CallbackOf<Rows, Name> | Callback | MethodOf<CallbackOf<Rows, Name>, Method>,
  ): boolean {
    return registerForPort(this.#script, this.#state, event, callback);
  }

  getCallback(event: string): AnyCallback | null {
    return this.#state.callbacks.get(event);
  }

  /** The listening socket: for its options and for multicast groups. */
  getSocket(): ListenSocket {
    return new ListenSocket(this.#script, this.#state);
  }
}
