import {
  ADDRESS,
  CLOSE_ERRNO,
  CLOSER,
  type ConnectionTable,
  DISPATCHED_BYTES,
  F64_CONNECT_TIME,
  F64_RECEIVE_TIME,
  F64_RECEIVED_AT,
  F64_SEND_TIME,
  F64_TAKEN_TIME,
  FAMILY,
  FLAGS,
  LISTENER,
  OWNER,
  PORT,
  PROTOCOL,
  QUEUED_BYTES,
  QUEUED_FILES,
  REMOTE_PORT,
  SERIAL,
  SOCKET,
  STATE,
  STATE_ACTIVE,
  STATE_CLOSING,
  STATE_FREE,
  STATE_OPENING,
  TAKEN_BYTES,
  UID,
  WORKER,
} from '../shm/connections.ts';
import { SESSION_SLOTS } from '../shm/layout.ts';
import { AF_INET, AF_INET6 } from '../sys/constants.ts';
import { Connection, FREE } from './connection.ts';
import type { Framings } from './framings.ts';
import { FreeSlots } from './free-slots.ts';
import type { ReactorPort } from './port.ts';
import type { Transport } from './transport.ts';
import type { TurnClock } from './turn-clock.ts';

/** Which states of a slot go with each life of its connection: a worker that has closed is told by its owner. */
const STATES: readonly (readonly number[])[] = [
  [STATE_OPENING],
  [STATE_ACTIVE],
  [STATE_ACTIVE, STATE_CLOSING],
  [STATE_CLOSING],
  [STATE_FREE],
];

/** The connections of one reactor, and its part of the table in shared memory. */
export class ConnectionPool {
  /** By local slot: the place within our part of the table. The objects stay when a slot is freed. */
  readonly all: Connection[] = [];
  /** How many are open. */
  openCount = 0;
  private readonly table: ConnectionTable;
  private readonly plain: Transport;
  private readonly framings: Framings;
  private readonly owner: number;
  private readonly reactorId: number;
  private readonly slots: number;
  private readonly firstSlot: number;
  private readonly freeSlots = new FreeSlots();

  /** `plain` is the transport that connections begin with. */
  constructor(
    table: ConnectionTable,
    owner: number,
    reactorId: number,
    slotsPerOwner: number,
    plain: Transport,
    framings: Framings,
  ) {
    this.table = table;
    this.plain = plain;
    this.framings = framings;
    this.owner = owner;
    this.reactorId = reactorId;
    this.slots = slotsPerOwner;
    this.firstSlot = owner * slotsPerOwner;
  }

  /**
   * Makes a connection of a socket. It gets the session id that it was given (`wanted`), unless somebody holds that still.
   * Answers null when there is no slot, or no id, for it.
   */
  open(fd: number, port: ReactorPort, wanted: number, address: Uint8Array, clock: TurnClock): Connection | null {
    const local = this.freeSlots.take() ?? this.all.length;
    const slot = this.firstSlot + local;
    if (local >= this.slots || !this.table.openSession(slot, SESSION_SLOTS, wanted)) {
      if (local < this.all.length) this.freeSlots.give(local);
      return null;
    }
    const connection = this.all[local] ?? this.create(local, slot, port);
    const serial = this.table.words[connection.base + SERIAL];
    connection.reset(fd, serial, port, this.plain, this.framings.of(port, 0));
    connection.openedAt = clock.now;
    this.fillSlot(connection, address, clock);
    this.openCount++;
    return connection;
  }

  private create(local: number, slot: number, port: ReactorPort): Connection {
    const { table } = this;
    const connection = new Connection(slot, table.wordBase(slot), table.numberBase(slot), port, this.plain);
    this.all[local] = connection;
    table.setHighSlot(this.owner, this.all.length);
    return connection;
  }

  private fillSlot(connection: Connection, address: Uint8Array, { now, seconds }: TurnClock): void {
    const { words, numbers, bytes } = this.table;
    const { base, numberBase, port } = connection;
    words[base + SOCKET] = connection.fd;
    words[base + PORT] = port.index;
    words[base + OWNER] = this.reactorId;
    words[base + WORKER] = -1;
    words[base + FLAGS] = 0;
    words[base + CLOSER] = 0;
    words[base + UID] = 0;
    words[base + LISTENER] = port.listener;
    words[base + CLOSE_ERRNO] = 0;
    words[base + DISPATCHED_BYTES] = 0;
    words[base + TAKEN_BYTES] = 0;
    words[base + QUEUED_BYTES] = 0;
    words[base + QUEUED_FILES] = 0;
    words[base + PROTOCOL] = 0;
    const family = address[0] | (address[1] << 8);
    words[base + FAMILY] = family;
    const ip = family === AF_INET || family === AF_INET6;
    words[base + REMOTE_PORT] = ip ? (address[2] << 8) | address[3] : 0;
    if (family === AF_INET) bytes.set(address.subarray(4, 8), (base + ADDRESS) * 4);
    else if (family === AF_INET6) bytes.set(address.subarray(8, 24), (base + ADDRESS) * 4);
    numbers[numberBase + F64_CONNECT_TIME] = seconds;
    numbers[numberBase + F64_RECEIVE_TIME] = seconds;
    numbers[numberBase + F64_RECEIVED_AT] = now;
    numbers[numberBase + F64_SEND_TIME] = 0;
    numbers[numberBase + F64_TAKEN_TIME] = 0;
    Atomics.store(words, base + STATE, STATE_OPENING);
  }

  /** The session has ended: others may have the slot. */
  close(connection: Connection): void {
    this.openCount--;
    connection.transport = this.plain;
    this.table.closeSession(connection.slot);
    this.freeSlots.give(this.localOf(connection));
  }

  /** The place of a connection in `all`. */
  localOf(connection: Connection): number {
    return connection.slot - this.firstSlot;
  }

  /** The connection that a message speaks of, unless it has ended meanwhile. */
  find(slot: number, serial: number): Connection | null {
    const local = slot - this.firstSlot;
    if (!(local >= 0 && local < this.all.length)) return null;
    const connection = this.all[local];
    return connection.open && connection.serial === serial ? connection : null;
  }

  forEachOpen(visit: (connection: Connection) => void): void {
    for (const connection of this.all) if (connection.open) visit(connection);
  }
  /** For tests: throws where a connection contradicts itself, or its slot in shared memory. */
  invariants(): void {
    for (const connection of this.all) {
      connection.invariants();
      const { slot, base, life, output, transport } = connection;
      const state = this.table.state(slot);
      if (!STATES[life].includes(state)) throw new Error(`slot ${slot}: state ${state} does not go with life ${life}`);
      if (transport.hasUnsent || life === FREE) continue;
      const queued = (output ?? []).reduce((sum, { start, end }) => sum + end - start, 0);
      const told = this.table.words[base + QUEUED_BYTES];
      if (told !== queued) throw new Error(`slot ${slot}: ${told} bytes are told to wait, ${queued} do`);
    }
    const open = this.all.filter((connection) => connection.open).length;
    if (open !== this.openCount) throw new Error(`${this.openCount} connections are counted, ${open} are open`);
  }
}
