/**
 * A worker of SWOOLE_BASE: the reactor and the callbacks in one process. The reactor's epoll descriptor is nested in Node's
 * loop, so user code keeps timers, files and every library of Node.
 */

import { type Connection, DRAINING } from '../../reactor/connection.ts';
import type { PacketDelivery, PacketSource } from '../../reactor/datagram.ts';
import type { Delivery } from '../../reactor/delivery.ts';
import { LINGER_TURNS, READ_BYTES } from '../../reactor/limits.ts';
import { handleOwnerMessage } from '../../reactor/owner-messages.ts';
import type { ReactorPort } from '../../reactor/port.ts';
import { Reactor } from '../../reactor/reactor.ts';
import { F64_RECEIVE_TIME, F64_TAKEN_TIME, FLAG_CLOSE_TAKEN, FLAGS } from '../../shm/connections.ts';
import { ownerOfLane } from '../../shm/layout.ts';
import { CLOSE_REQUEST, isForOwner, isLetter, REOPEN_LOG, RESET_REQUEST, STOP_WORKER } from '../../shm/messages.ts';
import type { Message } from '../../shm/ring.ts';
import { peerAddressText, peerPort } from '../../sys/datagram.ts';
import { runNextTicks, type Watch, watchReadable } from '../../sys/libc.ts';
import { yieldProcessor } from '../../sys/process.ts';
import { Slab } from '../../sys/slab.ts';
import type { Application } from '../application.ts';
import { Beginning } from '../life/beginning.ts';
import { HandedInbox } from '../life/handed-inbox.ts';
import { flushOutbox, WorkerLife } from '../life/worker-life.ts';
import type { RoleSettings } from '../role-settings.ts';
import { Letters } from '../way/letters.ts';
import { LocalWire } from '../way/local-wire.ts';
import type { Runtime, TurnEnd } from '../way/runtime.ts';
import { Requests } from './requests.ts';

/** However much the sockets bring: the rest of Node's loop has its turn this often. */
const TURN_MS = 1;

export interface BaseWorkerOptions {
  runtime: Runtime;
  application: Application;
  settings: RoleSettings;
  ports: ReactorPort[];
  /** Called once, before it accepts anybody. */
  beforeAccepting(): void;
  /** Called when the worker has ended: the end of the process, or of the server. */
  onEnd(): void;
}

export class BaseWorker implements Delivery, PacketDelivery, TurnEnd {
  address = 0;
  readonly reactor: Reactor;
  private readonly runtime: Runtime;
  private readonly application: Application;
  private readonly slab = new Slab();
  private readonly inbox: HandedInbox;
  private readonly beforeAccepting: () => void;
  private readonly firstSlot: number;
  private readonly lastSlot: number;
  private readonly letters: Letters;
  private readonly life: WorkerLife;
  private readonly requests: Requests;
  private readonly beginning: Beginning;
  private watch: Watch | null = null;
  private ticker: NodeJS.Timeout | null = null;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  /** Goes on where a turn has left something. */
  private again: NodeJS.Immediate | null = null;
  private readonly pollAgain = (): void => {
    this.again = null;
    this.poll();
  };

  constructor(options: BaseWorkerOptions) {
    const { runtime, settings } = options;
    this.runtime = runtime;
    this.application = options.application;
    this.words = runtime.segment.words;
    this.numbers = runtime.segment.numbers;
    this.beforeAccepting = options.beforeAccepting;
    const owner = ownerOfLane(runtime.lane);
    const { slotsPerOwner } = runtime.segment.layout;
    this.firstSlot = owner * slotsPerOwner;
    this.lastSlot = this.firstSlot + slotsPerOwner - 1;
    this.reactor = new Reactor({
      owner,
      reactorId: runtime.workerId,
      reactorCount: 1,
      segment: runtime.segment,
      connections: runtime.connections,
      workers: runtime.workers,
      counters: runtime.counters,
      delivery: this,
      ports: options.ports,
      settings: settings.reactor,
      log: (level, text) => runtime.logger.log(level, text),
      packets: this,
    });
    runtime.wire = new LocalWire(runtime, this.reactor);
    runtime.addTurnEnd(this);
    this.letters = new Letters(options.application);
    this.inbox = new HandedInbox({ runtime, handle: (reader) => this.handle(reader), lingerTurns: LINGER_TURNS });
    this.life = new WorkerLife({
      runtime,
      application: options.application,
      maxWaitMs: settings.maxWaitMs,
      stopTaking: () => this.stopTaking(),
      finish: (deadline) => this.finish(deadline),
      onEnd: options.onEnd,
    });
    this.requests = new Requests({
      runtime,
      settings,
      life: this.life,
      flush: () => {
        this.reactor.flushOutput();
        runtime.outbox.flush();
      },
      onLimit: () => this.stop(settings.reloadAsync),
    });
    this.beginning = new Beginning({
      ...{ runtime, application: this.application, life: this.life, blocker: this.inbox.watch },
      open: () => this.open(),
      take: () => {
        this.requests.open();
        this.inbox.take();
      },
    });
  }

  run(): void {
    this.beginning.run();
  }

  /** Clients may come, also while the process before this one holds the worker id and its inbox. */
  private open(): void {
    const { reactor } = this;
    this.beforeAccepting();
    reactor.startAccepting();
    this.watch = watchReadable(reactor.epoll.fd, () => this.poll());
    // What is due by time must not wait for the next event.
    this.ticker = setInterval(() => this.poll(), Math.max(10, reactor.tickMs));
    this.ticker.unref();
  }

  /** One that has time to spare serves until its successor stands by, and is told then. */
  leave(graceful: boolean): void {
    if (!graceful || !this.runtime.askToBeReplaced()) this.stop(graceful);
  }

  stop(graceful: boolean): void {
    this.life.stop(graceful);
  }

  /** Handles what there is, then looks again for a while: see LINGER_TURNS. */
  private poll(): void {
    const end = performance.now() + TURN_MS;
    let lingering = 0;
    do {
      if (this.turn()) lingering = LINGER_TURNS;
      else if (lingering > 0) {
        lingering--;
        yieldProcessor();
      }
    } while (lingering > 0 && this.mayLinger() && performance.now() < end);
  }

  /** One turn of the reactor. Answers true exactly when there was something. */
  private turn(): boolean {
    const { turn } = this.runtime;
    turn.begin();
    const events = this.reactor.poll(0);
    turn.finish();
    if (events === 0) return false;
    // Async callbacks go on now, not after all the turns.
    runNextTicks();
    return true;
  }

  /** False where Node's loop has something to do for us. */
  private mayLinger(): boolean {
    return this.again === null && !this.life.stopping && !this.inbox.inbox.hasPending();
  }

  /** What was written in it is handed to the kernel. */
  endTurn(): void {
    this.reactor.endTurn();
    this.pollSoon();
  }

  /** Sockets that have more to read than one turn allows bring no new event. */
  private pollSoon(): void {
    if (this.reactor.hasReady) this.again ??= setImmediate(this.pollAgain);
  }

  private stopTaking(): void {
    this.application.retire();
    this.reactor.stopAccepting();
    this.reactor.stopReading();
    this.watch?.unref();
    this.inbox.watch.unref();
  }

  /** Every connection that is left ends here: close events, then what is queued goes out as far as peers take it in time. */
  private finish(deadline: number): void {
    const { reactor, runtime, application } = this;
    this.inbox.watch.handleKept(true);
    this.watch?.close();
    if (this.ticker !== null) clearInterval(this.ticker);
    reactor.forEachOpen((connection) => {
      if (connection.life !== DRAINING) application.closeRequested(connection.slot, connection.serial, false);
    });
    reactor.endTurn();
    // None of its connections takes part any more: what comes now is for the next process.
    this.inbox.finish(deadline);
    this.inbox.give(true);
    while (reactor.hasOutput && performance.now() < deadline) {
      reactor.poll(reactor.hasReady ? 0 : 10);
      reactor.endTurn();
    }
    flushOutbox(runtime, deadline);
    reactor.closeAll();
    runtime.removeTurnEnd(this);
    // The server may have been this process's, which lives on.
    if (this.again !== null) clearImmediate(this.again);
  }

  // ---- what other processes ask for -------------------------------------------------------------------------------

  private handle(reader: Message): void {
    if (this.isForHeir(reader) && this.runtime.keepMessageForHeir(reader)) return;
    if (handleOwnerMessage(this.reactor, reader)) return;
    const { kind, a, b } = reader;
    if (isLetter(kind)) {
      this.letters.handle(reader);
      return;
    }
    reader.release();
    switch (kind) {
      case STOP_WORKER:
        this.leave(b === 1);
        break;
      case REOPEN_LOG:
        this.runtime.logger.reopen();
        break;
      case CLOSE_REQUEST:
      case RESET_REQUEST:
        if (this.reactor.find(a, b) !== null) this.application.closeRequested(a, b, kind === RESET_REQUEST);
        break;
    }
  }

  /** About a connection of another process of our worker id: the next one has those that are not ours, once there is one. */
  private isForHeir({ kind, a }: Message): boolean {
    return (
      (isForOwner(kind) || kind === CLOSE_REQUEST || kind === RESET_REQUEST) &&
      !(a >= this.firstSlot && a <= this.lastSlot)
    );
  }

  // ---- Delivery: what the reactor has read goes straight to the callbacks -----------------------------------------

  connect(connection: Connection): void {
    this.application.connect(connection.slot, connection.serial, connection.transport.certificate);
  }

  reserve(): number {
    const room = this.slab.reserve(READ_BYTES);
    this.address = this.slab.address;
    return room;
  }

  deliver(connection: Connection, length: number): void {
    if (this.wants(connection)) this.receive(connection, this.slab.take(length));
  }

  deliverPackage(connection: Connection, bytes: Uint8Array, start: number, length: number): boolean {
    if (this.wants(connection)) this.receive(connection, this.slab.copy(bytes, start, length));
    return true;
  }

  private wants(connection: Connection): boolean {
    if ((this.words[connection.base + FLAGS] & FLAG_CLOSE_TAKEN) === 0) return true;
    this.application.dropLate(connection.serial);
    return false;
  }

  private receive(connection: Connection, data: Buffer): void {
    const { numbers } = this;
    numbers[connection.numberBase + F64_TAKEN_TIME] = numbers[connection.numberBase + F64_RECEIVE_TIME];
    this.requests.begin();
    this.application.receive(connection.slot, connection.serial, data);
    this.requests.end();
  }

  packet({ port, batch, next, seconds }: PacketSource): boolean {
    const { u8 } = batch.memory;
    const addressAt = batch.addressAt(next);
    const addressLength = batch.addressLength(next);
    const data = this.slab.copy(u8, batch.dataAt(next), batch.length(next));
    const address = peerAddressText(u8, addressAt, addressLength);
    this.requests.begin();
    this.application.packet(port.index, data, address, peerPort(u8, addressAt, addressLength), seconds);
    this.requests.end();
    return true;
  }

  canTake(): boolean {
    return true;
  }

  close(connection: Connection): boolean {
    return this.application.close(connection.slot, connection.serial);
  }

  /** The reactor is in the middle of its output, to which the callback may want to add: it runs a little later. */
  bufferFull({ slot, serial }: Connection): void {
    setImmediate(() => {
      if (this.reactor.find(slot, serial) !== null) this.application.bufferFull(slot, serial);
    });
  }
  bufferEmpty({ slot, serial }: Connection): void {
    setImmediate(() => {
      if (this.reactor.find(slot, serial) !== null) this.application.bufferEmpty(slot, serial);
    });
  }
  freed(): void {}
}
