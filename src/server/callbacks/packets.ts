import { isDatagram, isUnix } from '../../reactor/port.ts';
import type { PortState } from '../ports/port-state.ts';
import type { Plan } from '../state/plan.ts';
import { Packet, type PacketInfo, type PortObjectEvents } from './event-objects.ts';
import type { PortEvents } from './events.ts';
import { packetOrigin } from './packet-origin.ts';

/** The packet callbacks of all ports: each its own, else the server's. */
export class PacketCallbacks {
  private readonly self: object;
  private readonly asObject: boolean;
  private readonly ports: readonly PortState[];
  private readonly keepsOrigin: boolean;
  private readonly callbacks: (((...args: never[]) => unknown) | null)[];

  constructor({ script, settings }: Plan) {
    this.self = script.self;
    this.asObject = settings.eventObject;
    this.ports = script.ports;
    const kinds = script.ports.map(({ type }) => type).filter(isDatagram);
    this.keepsOrigin = new Set(kinds).size < kinds.length;
    const primary = script.ports[0].callbacks;
    this.callbacks = script.ports.map((port) => port.callbacks.get('packet') ?? primary.get('packet'));
  }

  /** Runs the callback; it may throw, and answers what that answered. */
  call(portIndex: number, data: Buffer, address: string, port: number, seconds: number): unknown {
    if (!this.keepsOrigin) return this.run(portIndex, data, address, port, seconds);
    return packetOrigin.run(portIndex, () => this.run(portIndex, data, address, port, seconds));
  }

  private run(portIndex: number, data: Buffer, address: string, port: number, seconds: number): unknown {
    const callback = this.callbacks[portIndex];
    if (callback === null) return undefined;
    const info = describe(this.ports[portIndex], address, port, seconds);
    if (this.asObject) return (callback as PortObjectEvents<object>['packet'])(this.self, new Packet(info, port, data));
    return (callback as PortEvents<object>['packet'])(this.self, data, info);
  }
}

function describe(own: PortState, address: string, port: number, dispatch_time: number): PacketInfo {
  const { fd: server_socket, port: server_port } = own;
  if (isUnix(own.type)) return { server_socket, server_port, address, dispatch_time };
  return { server_socket, server_port, address, port, dispatch_time };
}
