/** An event worker of SWOOLE_PROCESS: takes what reactors have put into its rings and runs the callbacks. */
import { LINGER_TURNS } from '../../reactor/limits.ts';
import {
  F64_RECEIVE_TIME,
  F64_TAKEN_TIME,
  FLAG_CLOSE_TAKEN,
  FLAG_CLOSED_HERE,
  FLAGS,
  SERIAL,
  STATE,
  STATE_FREE,
  TAKEN_BYTES,
} from '../../shm/connections.ts';
import {
  BUFFER_EMPTY,
  BUFFER_FULL,
  CLOSE,
  CLOSE_REQUEST,
  CONNECT,
  DATA,
  isLetter,
  PACKET,
  REOPEN_LOG,
  RESET_REQUEST,
  STOP_WORKER,
} from '../../shm/messages.ts';
import { type PacketView, readPacket } from '../../shm/packet-message.ts';
import { BROKEN, type Message } from '../../shm/ring.ts';
import { STATE_STOPPING, WORD_STATE } from '../../shm/segment.ts';
import { peerAddressText, peerPort } from '../../sys/datagram.ts';
import { Slab } from '../../sys/slab.ts';
import type { Application } from '../application.ts';
import { Beginning } from '../life/beginning.ts';
import { HandedInbox } from '../life/handed-inbox.ts';
import { flushOutbox, WorkerLife } from '../life/worker-life.ts';
import type { RoleSettings } from '../role-settings.ts';
import { Letters } from '../way/letters.ts';
import { messageText } from '../way/message-text.ts';
import type { Runtime } from '../way/runtime.ts';
import { Requests } from './requests.ts';

/** How often a worker that is told to stop looks whether everything is served. */
const STOP_RETRY_MS = 2;

export class EventWorker {
  private readonly runtime: Runtime;
  private readonly application: Application;
  private readonly settings: RoleSettings;
  private readonly inbox: HandedInbox;
  private readonly letters: Letters;
  private readonly life: WorkerLife;
  private readonly requests: Requests;
  private readonly beginning: Beginning;
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly slab = new Slab();
  /** Without close events the end of a connection overtakes its data, which is delivered all the same. */
  private readonly deliversLate: boolean;
  /** The server ends, and everything was served: what still comes is results of tasks and the like. */
  private servedAll = false;
  private readonly view: PacketView = {
    bytes: new Uint8Array(0),
    seconds: 0,
    addressAt: 0,
    addressLength: 0,
    dataAt: 0,
    dataLength: 0,
  };

  constructor(runtime: Runtime, application: Application, settings: RoleSettings, keepsWorker: boolean) {
    this.runtime = runtime;
    this.application = application;
    this.settings = settings;
    this.deliversLate = !keepsWorker && !settings.discardTimeoutRequest;
    this.words = runtime.segment.words;
    this.numbers = runtime.segment.numbers;
    this.letters = new Letters(application);
    this.inbox = new HandedInbox({
      runtime,
      handle: (reader) => this.handle(reader),
      handOver: () => application.handOver(),
      isUnderWay: () => application.isUnderWay(),
      onGiven: () => application.noMoreResults(),
      lingerTurns: LINGER_TURNS,
    });
    this.life = new WorkerLife({
      runtime,
      application,
      maxWaitMs: settings.maxWaitMs,
      stopTaking: (graceful) => {
        if (this.servedAll) {
          application.retire();
          this.inbox.watch.unref();
        } else this.inbox.give(graceful);
      },
      finish: (deadline) => {
        this.inbox.watch.handleKept(true);
        this.inbox.finish(deadline);
        flushOutbox(runtime, deadline);
      },
      onEnd: () => process.exit(0),
    });
    this.requests = new Requests({
      runtime,
      settings,
      life: this.life,
      flush: () => runtime.outbox.flush(),
      onLimit: () => this.stop(settings.reloadAsync),
    });
    this.beginning = new Beginning({
      ...{ runtime, application, life: this.life, blocker: this.inbox.watch },
      take: () => {
        this.requests.open();
        this.inbox.take();
      },
    });
  }

  run(): void {
    this.beginning.run();
  }

  /** One that has time to spare serves until its successor stands by, and is told then. */
  leave(graceful: boolean): void {
    if (!graceful || !this.runtime.askToBeReplaced()) this.stop(graceful);
  }

  /** What is in the rings at a reload is the successor's. At the end of the server there is none: it is ours to serve. */
  stop(graceful: boolean): void {
    const last = this.runtime.segment.load(WORD_STATE) === STATE_STOPPING;
    if (!graceful || !last || !this.runtime.holdsId) {
      this.life.stop(graceful);
      return;
    }
    // Not now: we may be in the middle of taking messages, where hasPending() does not tell the truth.
    const deadline = performance.now() + this.settings.maxWaitMs / 2;
    setTimeout(() => this.stopWhenServed(deadline), 0);
  }

  /** Half the time is for this, the rest for what the callbacks have begun. */
  private stopWhenServed(deadline: number): void {
    if (this.life.stopping) return;
    const pending = this.inbox.inbox.hasPending();
    if (pending && performance.now() < deadline) {
      setTimeout(() => this.stopWhenServed(deadline), STOP_RETRY_MS);
      return;
    }
    this.servedAll = !pending;
    this.life.stop(true);
  }

  private handle(reader: Message): void {
    const { kind, a, b } = reader;
    if (kind === DATA) {
      this.receive(reader);
      return;
    }
    if (kind === PACKET) {
      this.packet(reader);
      return;
    }
    if (isLetter(kind)) {
      this.letters.handle(reader);
      return;
    }
    if (kind === BROKEN && reader.brokenKind === DATA) this.lost(a, b, reader.brokenLength);
    const certificate = kind === CONNECT ? messageText(reader) : null;
    reader.release();
    const { application } = this;
    switch (kind) {
      case CONNECT:
        if (this.lives(a, b)) application.connect(a, b, certificate);
        break;
      case CLOSE:
        if (this.lives(a, b)) application.close(a, b);
        break;
      case BUFFER_FULL:
        if (this.lives(a, b)) application.bufferFull(a, b);
        break;
      case BUFFER_EMPTY:
        if (this.lives(a, b)) application.bufferEmpty(a, b);
        break;
      case CLOSE_REQUEST:
      case RESET_REQUEST:
        if (this.lives(a, b)) application.closeRequested(a, b, kind === RESET_REQUEST);
        break;
      case STOP_WORKER:
        this.leave(b === 1);
        break;
      case REOPEN_LOG:
        this.runtime.logger.reopen();
        break;
    }
  }

  private lives(slot: number, serial: number): boolean {
    const base = this.runtime.connections.wordBase(slot);
    return this.words[base + SERIAL] === serial && this.words[base + STATE] !== STATE_FREE;
  }

  private receive(reader: Message): void {
    const { a: slot, b: serial, length } = reader;
    const data = reader.bytes ?? this.slab.copy(reader.data.u8, reader.offset, length);
    const { words, numbers } = this;
    const base = this.runtime.connections.wordBase(slot);
    const live = words[base + SERIAL] === serial && words[base + STATE] !== STATE_FREE;
    if (live) {
      Atomics.add(words, base + TAKEN_BYTES, length);
      const times = this.runtime.connections.numberBase(slot);
      numbers[times + F64_TAKEN_TIME] = numbers[times + F64_RECEIVE_TIME];
    }
    reader.release();
    const flags = live ? words[base + FLAGS] : FLAG_CLOSE_TAKEN;
    const open = (flags & FLAG_CLOSE_TAKEN) === 0;
    if (!open && ((flags & FLAG_CLOSED_HERE) !== 0 || !this.deliversLate)) {
      this.application.dropLate(serial);
      return;
    }
    this.requests.begin();
    this.application.receive(slot, serial, data);
    this.requests.end();
  }

  /** Data that died with the process before us is on its way no longer. */
  private lost(slot: number, serial: number, length: number): void {
    if (this.lives(slot, serial))
      Atomics.add(this.words, this.runtime.connections.wordBase(slot) + TAKEN_BYTES, length);
  }

  private packet(reader: Message): void {
    const { view } = this;
    const { a: portIndex } = reader;
    readPacket(reader, view);
    const { bytes, addressAt, addressLength, seconds } = view;
    const data = this.slab.copy(bytes, view.dataAt, view.dataLength);
    const address = peerAddressText(bytes, addressAt, addressLength);
    const port = peerPort(bytes, addressAt, addressLength);
    reader.release();
    this.requests.begin();
    this.application.packet(portIndex, data, address, port, seconds);
    this.requests.end();
  }
}
