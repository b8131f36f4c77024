import type { ConnectionTable } from '../shm/connections.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import type { Segment } from '../shm/segment.ts';
import type { WorkerTable } from '../shm/workers.ts';
import type { Kernel } from '../sys/kernel.ts';
import type { PacketDelivery } from './datagram.ts';
import type { Delivery } from './delivery.ts';
import type { ReactorPort } from './port.ts';
import type { ReactorSettings } from './settings.ts';

/** What a reactor is made of. */
export interface ReactorOptions {
  /** Which part of the connection table is ours. */
  owner: number;
  /** What users are told as the reactor of its connections; by default the same. */
  reactorId?: number;
  /** Connections are spread by descriptor over this many reactors; 1 keeps them all here. */
  reactorCount: number;
  segment: Segment;
  connections: ConnectionTable;
  workers: WorkerTable;
  counters: LaneCounters;
  delivery: Delivery;
  ports: ReactorPort[];
  settings: ReactorSettings;
  log(level: number, text: string): void;
  /** Passes an accepted descriptor on to another reactor. */
  handOver?(reactor: number, fd: number, portIndex: number, serial: number, address: Uint8Array): void;
  /** Where datagrams go; null where another reactor receives them. */
  packets: PacketDelivery | null;
  /** Whom to ask for everything about sockets and files; by default the kernel that we run on. */
  kernel?: Kernel;
}
