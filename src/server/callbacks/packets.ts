import { isUnix } from '../../reactor/port.ts';
import { internalsOf, type Port, type PortInternals } from '../port.ts';
import type { ServerCore } from '../state/core.ts';
import { Packet, type PortObjectEvents } from './event-objects.ts';
import type { PortEvents } from './events.ts';

/** Where a datagram came from, and to which of our sockets. */
export interface PacketInfo {
  /** Descriptor of the socket that it came to, for sendto() and send() in this process. */
  server_socket: number;
  /** Port of that socket; 0 for Unix sockets. */
  server_port: number;
  /** IP address of the peer, or the path of its Unix socket: "" when it has none, and then it cannot be answered. */
  address: string;
  /** Port of the peer. Not there for Unix sockets. */
  port: number;
  /** When it was received, in seconds since 1970. */
  dispatch_time: number;
}

/** The packet callbacks of all ports: each its own, else the server's. */
export class PacketCallbacks {
  private readonly core: ServerCore;
  private readonly asObject: boolean;
  private readonly callbacks: (((...args: never[]) => unknown) | null)[];
  private readonly sockets: PortInternals[];

  constructor(core: ServerCore) {
    this.core = core;
    this.asObject = core.settings!.eventObject;
    const primary = internalsOf(core.ports[0]).callbacks;
    this.sockets = core.ports.map(internalsOf);
    this.callbacks = core.ports.map((port) => internalsOf(port).callbacks.get('packet') ?? primary.get('packet'));
  }

  /** Runs the callback; it may throw, and answers what that answered. */
  call(portIndex: number, data: Buffer, address: string, port: number, seconds: number): unknown {
    const callback = this.callbacks[portIndex];
    if (callback === null) return undefined;
    const { server, ports } = this.core;
    const info = describe(ports[portIndex], this.sockets[portIndex].fd, address, port, seconds);
    if (this.asObject) return (callback as PortObjectEvents['packet'])(server, new Packet(info, port, data));
    return (callback as PortEvents['packet'])(server, data, info);
  }
}

function describe(own: Port, server_socket: number, address: string, port: number, dispatch_time: number): PacketInfo {
  if (isUnix(own.type)) return { server_socket, server_port: own.port, address, dispatch_time } as PacketInfo;
  return { server_socket, server_port: own.port, address, port, dispatch_time };
}
