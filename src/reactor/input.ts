/**
 * What comes in: one read of a socket, as it is to the Delivery, or to be cut into packages where the connection has a
 * framing.
 */
import { F64_RECEIVE_TIME, F64_RECEIVED_AT } from '../shm/connections.ts';
import { RECEIVED_BYTES, RECEIVES_RETRIED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import { EAGAIN, EINTR } from '../sys/constants.ts';
import type { Region } from '../sys/memory.ts';
import type { Connection } from './connection.ts';
import { Cutter, type CutterEnding, type CutterHost } from './cutter.ts';
import type { Delivery } from './delivery.ts';
import type { Framings } from './framings.ts';
import { READ_BYTES } from './limits.ts';
import type { ReactorOptions } from './reactor-options.ts';
import { READ_ON } from './transport.ts';
import type { TurnClock } from './turn-clock.ts';

/** What the input tells the reactor that it belongs to. */
export interface InputHost extends CutterHost, TurnClock {
  /** Reads the connection in the next turn, although no event will come. */
  queueToRead(connection: Connection): void;
  /** The error that waits at the socket, or 0. */
  socketError(connection: Connection): number;
}

/** Where connections end. */
export interface InputEnding extends CutterEnding {
  /** The connection has ended: of itself (0), or with an errno. */
  left(connection: Connection, error: number): void;
}

export class Input {
  private readonly numbers: Float64Array;
  private readonly counters: LaneCounters;
  private readonly delivery: Delivery;
  private readonly host: InputHost;
  private readonly ending: InputEnding;
  private readonly cutter: Cutter;
  /** Where framed connections are read to. */
  private readonly scratch: Region;
  /** What has come in this turn. */
  turnBytes = 0;

  constructor(
    { connections, counters, delivery }: ReactorOptions,
    framings: Framings,
    host: InputHost,
    ending: InputEnding,
    scratch: Region,
  ) {
    this.numbers = connections.numbers;
    this.counters = counters;
    this.delivery = delivery;
    this.host = host;
    this.ending = ending;
    this.cutter = new Cutter(connections, framings, delivery, host, ending);
    this.scratch = scratch;
  }

  /** Reads once, as much as one turn allows, and delivers what came. */
  read(connection: Connection): void {
    if (this.cutter.cuts(connection)) this.readFramed(connection);
    else this.readRaw(connection);
  }

  private readRaw(connection: Connection): void {
    const { delivery } = this;
    const room = delivery.reserve(connection);
    if (room < 0) {
      this.host.block(connection);
      return;
    }
    const count = connection.transport.read(connection.fd, delivery.address, room);
    if (count > 0) {
      this.received(connection, count, room);
      delivery.deliver(connection, count);
    } else this.readEnded(connection, count);
  }

  private readFramed(connection: Connection): void {
    const { scratch } = this;
    const count = connection.transport.read(connection.fd, scratch.at(0, READ_BYTES), READ_BYTES);
    if (count > 0) {
      this.received(connection, count, READ_BYTES);
      this.cutter.take(connection, scratch.u8, count);
    } else this.readEnded(connection, count);
  }

  /** Delivers the whole packages that a connection has kept. Answers false when it closed or has to wait. */
  deliverKept(connection: Connection): boolean {
    return this.cutter.deliverKept(connection);
  }

  /** Book-keeping of a read: a short one has emptied the socket, and a new event will come. */
  private received(connection: Connection, count: number, room: number): void {
    if (count > room) throw new RangeError(`a read brought more than there was room for: count=${count} room=${room}`);
    this.turnBytes += count;
    this.counters.numbers[this.counters.base + RECEIVED_BYTES] += count;
    this.numbers[connection.numberBase + F64_RECEIVE_TIME] = this.host.seconds;
    this.numbers[connection.numberBase + F64_RECEIVED_AT] = this.host.now;
    if (count === room || connection.hangup || connection.transport.more) this.host.queueToRead(connection);
    else connection.readable = false;
  }

  private readEnded(connection: Connection, result: number): void {
    if (connection.finished) return;
    switch (result) {
      case -EAGAIN:
        connection.readable = false;
        // Only an error that a read does not report can have hung up without ending.
        if (connection.hangup) {
          const pending = this.host.socketError(connection);
          connection.hangup = false;
          if (pending !== 0) this.ending.left(connection, pending);
        }
        return;
      case READ_ON:
        this.host.queueToRead(connection);
        return;
      case -EINTR:
        this.counters.add(RECEIVES_RETRIED, 1);
        this.host.queueToRead(connection);
        return;
      default:
        this.ending.left(connection, -result);
    }
  }
}
