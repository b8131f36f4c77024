/**
 * Which worker serves a connection or a package: the modes of dispatch_mode. In the modes that keep a connection at one
 * worker, every process finds the same answer from the table of connections.
 */
import { crc32 } from 'node:zlib';
import {
  SWOOLE_DISPATCH_CO_CONN_LB,
  SWOOLE_DISPATCH_CO_REQ_LB,
  SWOOLE_DISPATCH_CONCURRENT_LB,
  SWOOLE_DISPATCH_FDMOD,
  SWOOLE_DISPATCH_IPMOD,
  SWOOLE_DISPATCH_ROUND,
  SWOOLE_DISPATCH_UIDMOD,
  SWOOLE_SOCK_UDP,
  SWOOLE_SOCK_UDP6,
} from '../constants.ts';
import { ADDRESS, type ConnectionTable, FAMILY, SOCKET, UID, WORKER } from '../shm/connections.ts';
import { WORKER_IDLE, type WorkerTable } from '../shm/workers.ts';
import { AF_INET, AF_INET6 } from '../sys/constants.ts';
import { UnderWay, type Way } from './under-way.ts';

export interface DispatchSettings {
  mode: number;
  workerCount: number;
  /** Keep connect and close even where they may reach any worker. */
  unsafeEvents: boolean;
}

/** True exactly when all events of a connection go to one worker. */
export function keepsWorker(mode: number): boolean {
  return (
    mode === SWOOLE_DISPATCH_FDMOD ||
    mode === SWOOLE_DISPATCH_IPMOD ||
    mode === SWOOLE_DISPATCH_UIDMOD ||
    mode === SWOOLE_DISPATCH_CO_CONN_LB
  );
}

/** True exactly when connect, close and the buffer events are delivered. */
export function deliversEvents(mode: number, unsafeEvents: boolean): boolean {
  return keepsWorker(mode) || unsafeEvents;
}

/** True exactly when a worker is chosen by how much it has to do. */
function goesByLoad(mode: number): boolean {
  return (
    mode === SWOOLE_DISPATCH_CO_CONN_LB || mode === SWOOLE_DISPATCH_CO_REQ_LB || mode === SWOOLE_DISPATCH_CONCURRENT_LB
  );
}

export class Dispatcher {
  readonly mode: number;
  readonly workerCount: number;
  /** See deliversEvents(). */
  readonly events: boolean;
  private readonly connections: ConnectionTable;
  private readonly workers: WorkerTable;
  private round = -1;
  /** By worker, in the modes that go by load. */
  private readonly underWay: UnderWay[] = [];
  /** How often no worker was idle since it was last asked. */
  busyRounds = 0;

  constructor(settings: DispatchSettings, connections: ConnectionTable, workers: WorkerTable) {
    this.mode = settings.mode;
    this.workerCount = settings.workerCount;
    this.events = deliversEvents(settings.mode, settings.unsafeEvents);
    this.connections = connections;
    this.workers = workers;
    if (goesByLoad(settings.mode)) for (let id = 0; id < settings.workerCount; id++) this.underWay.push(new UnderWay());
  }

  /** Something was put into the ring to a worker: until it is taken it is load that the worker does not know of. */
  sent(worker: number, way: Way): void {
    if (this.underWay.length !== 0) this.underWay[worker].add(way);
  }

  /** The worker for the next package of a connection. */
  choose(slot: number): number {
    switch (this.mode) {
      case SWOOLE_DISPATCH_FDMOD:
      case SWOOLE_DISPATCH_IPMOD:
      case SWOOLE_DISPATCH_UIDMOD:
      case SWOOLE_DISPATCH_CO_CONN_LB:
        return this.owner(slot);
      case SWOOLE_DISPATCH_ROUND:
        this.round = (this.round + 1) % this.workerCount;
        return this.round;
      case SWOOLE_DISPATCH_CO_REQ_LB:
      case SWOOLE_DISPATCH_CONCURRENT_LB:
        return this.leastBusy();
      default:
        return this.nextIdle();
    }
  }

  /** True exactly when all datagrams of a peer go to one worker. */
  get keepsPeers(): boolean {
    return keepsWorker(this.mode) && this.mode !== SWOOLE_DISPATCH_CO_CONN_LB;
  }

  /**
   * The worker for a datagram, by the address of its peer where the mode goes by that: there is no connection. With
   * SWOOLE_DISPATCH_IPMOD it is the worker that the connections of the same IP address have.
   */
  choosePeer(socketType: number, bytes: Uint8Array, addressAt: number, addressLength: number): number {
    switch (this.mode) {
      case SWOOLE_DISPATCH_IPMOD:
        return this.peerKey(socketType, bytes, addressAt, addressLength, true) % this.workerCount;
      case SWOOLE_DISPATCH_FDMOD:
      case SWOOLE_DISPATCH_UIDMOD:
        return this.peerKey(socketType, bytes, addressAt, addressLength, false) % this.workerCount;
      case SWOOLE_DISPATCH_ROUND:
        this.round = (this.round + 1) % this.workerCount;
        return this.round;
      case SWOOLE_DISPATCH_CO_CONN_LB:
      case SWOOLE_DISPATCH_CO_REQ_LB:
      case SWOOLE_DISPATCH_CONCURRENT_LB:
        return this.leastBusy();
      default:
        return this.nextIdle();
    }
  }

  private peerKey(socketType: number, bytes: Uint8Array, at: number, length: number, byIp: boolean): number {
    switch (socketType) {
      case SWOOLE_SOCK_UDP:
        if (byIp) return hashIPv4(bytes, at + 4);
        // Swoole takes the address as this machine's integer: its first byte is the lowest.
        return (bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24)) >>> 0;
      case SWOOLE_SOCK_UDP6:
        return byIp ? hashIPv6(bytes, at + 8) : crc32(bytes.subarray(at + 8, at + 24));
      default:
        return crc32(bytes.subarray(at + 2, at + Math.max(2, length)));
    }
  }

  /** The worker that a connection belongs to, in the modes where it has one; elsewhere any fixed one. */
  owner(slot: number): number {
    const { words } = this.connections;
    const base = this.connections.wordBase(slot);
    switch (this.mode) {
      case SWOOLE_DISPATCH_IPMOD:
        return this.addressHash(base) % this.workerCount;
      case SWOOLE_DISPATCH_UIDMOD: {
        const uid = words[base + UID] >>> 0;
        return (uid !== 0 ? uid : words[base + SOCKET]) % this.workerCount;
      }
      case SWOOLE_DISPATCH_CO_CONN_LB: {
        const chosen = Atomics.load(words, base + WORKER);
        if (chosen !== -1) return chosen;
        Atomics.compareExchange(words, base + WORKER, -1, this.leastBusy());
        return Atomics.load(words, base + WORKER);
      }
      default:
        return words[base + SOCKET] % this.workerCount;
    }
  }

  private addressHash(base: number): number {
    const { words, bytes } = this.connections;
    const at = (base + ADDRESS) * 4;
    const family = words[base + FAMILY];
    if (family === AF_INET) return hashIPv4(bytes, at);
    return family === AF_INET6 ? hashIPv6(bytes, at) : words[base + SOCKET];
  }

  private nextIdle(): number {
    for (let tries = 0; tries <= this.workerCount; tries++) {
      this.round = (this.round + 1) % this.workerCount;
      if (this.workers.status(this.round) === WORKER_IDLE) return this.round;
    }
    this.busyRounds++;
    return this.round;
  }

  private leastBusy(): number {
    let best = 0;
    let bestCount = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.workerCount; i++) {
      // Start behind the last choice, so that equals take turns.
      const id = (this.round + 1 + i) % this.workerCount;
      const count = this.workers.callbacks(id) + this.underWay[id].count;
      if (count < bestCount) {
        best = id;
        bestCount = count;
      }
    }
    this.round = best;
    return best;
  }
}

function hashIPv4(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

function hashIPv6(bytes: Uint8Array, at: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < 16; i++) hash = Math.imul(hash ^ bytes[at + i], 0x01000193);
  return hash >>> 0;
}
