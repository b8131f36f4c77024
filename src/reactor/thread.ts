/**
 * A reactor thread of the master in SWOOLE_PROCESS: one blocking loop over sockets and rings. It never returns to Node's
 * own loop, so nothing here may rely on timers, promises or streams.
 */
import { SWOOLE_ERROR_SERVER_INVALID_COMMAND, SWOOLE_LOG_ERROR } from '../constants.ts';
import { describeError } from '../errors.ts';
import { Logger, type LogSettings } from '../log/log.ts';
import { ConnectionTable } from '../shm/connections.ts';
import { LaneCounters } from '../shm/lanes.ts';
import { MASTER_INBOX, reactorInbox, reactorLane } from '../shm/layout.ts';
import { emptyLetter, postLetter, readLetter } from '../shm/letter.ts';
import { Inbox, Outbox, someStart } from '../shm/mailbox.ts';
import {
  COMMAND,
  COMMAND_REPLY,
  FINISH,
  FINISHED,
  HAND_OVER,
  NO_IDLE_WORKER,
  PAUSE_ACCEPTING,
  RELOAD_CERTIFICATES,
  REOPEN_LOG,
  START_ACCEPTING,
  STOP_ACCEPTING,
} from '../shm/messages.ts';
import type { RingReader } from '../shm/ring.ts';
import { Segment } from '../shm/segment.ts';
import { WorkerTable } from '../shm/workers.ts';
import { yieldProcessor } from '../sys/process.ts';
import { Dispatcher, type DispatchSettings } from './dispatch.ts';
import { LINGER_TURNS, MESSAGES_MAX } from './limits.ts';
import { handleOwnerMessage } from './owner-messages.ts';
import type { ReactorPort } from './port.ts';
import { SOCKADDR_BYTES } from './proxy-gate.ts';
import { Reactor } from './reactor.ts';
import { type AskUser, RingDelivery } from './ring-delivery.ts';
import { RingPackets } from './ring-packets.ts';
import type { ReactorSettings } from './settings.ts';

/** What the master tells a reactor thread. Plain data: it crosses to the thread. */
export interface ReactorThreadConfig {
  id: number;
  segmentFd: number;
  doorbells: number[];
  ports: ReactorPort[];
  settings: ReactorSettings;
  dispatch: DispatchSettings;
  log: LogSettings;
}

/** The user's functions that run beside the sockets. */
export interface UserFunctions {
  /** dispatch_func */
  askUser: AskUser | null;
  /** Runs a command and answers its error number and text. */
  runCommand(request: string): { code: number; answer: string };
}

/** Runs until the master says FINISH. */
export function runReactorThread(config: ReactorThreadConfig, functions: UserFunctions | null): void {
  new ReactorThread(config, functions).run();
}

class ReactorThread {
  private readonly config: ReactorThreadConfig;
  private readonly segment: Segment;
  private readonly reactor: Reactor;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  private readonly logger = new Logger();
  private readonly dispatcher: Dispatcher;
  private readonly functions: UserFunctions | null;
  private warnedAt = 0;
  /** True exactly when this turn had a message. */
  private handled = false;
  /** When to stop waiting for peers to take their output; 0 = not finishing. */
  private finishBy = 0;

  constructor(config: ReactorThreadConfig, functions: UserFunctions | null) {
    const askUser = functions?.askUser ?? null;
    this.config = config;
    this.functions = functions;
    const segment = Segment.attach(config.segmentFd);
    this.segment = segment;
    const connections = new ConnectionTable(segment);
    const workers = new WorkerTable(segment);
    this.logger.configure(config.log);
    this.logger.setRole('#', 0);
    const log = (level: number, text: string): void => this.logger.log(level, text);
    this.inbox = new Inbox(segment, reactorInbox(config.id), config.doorbells);
    this.inbox.take(reactorLane(config.id));
    const outbox = new Outbox(segment, reactorLane(config.id), config.doorbells);
    this.outbox = outbox;
    const handedOver = Buffer.alloc(4 + SOCKADDR_BYTES);
    const dispatcher = new Dispatcher(config.dispatch, connections, workers);
    this.dispatcher = dispatcher;
    const counters = new LaneCounters(segment, reactorLane(config.id));
    const delivery = new RingDelivery({
      outbox,
      dispatcher,
      connections,
      workers,
      counters,
      maxQueuedBytes: config.settings.maxQueuedBytes,
      askUser,
      log,
    });
    this.reactor = new Reactor({
      owner: config.id,
      reactorCount: segment.layout.reactorCount,
      segment,
      connections,
      workers,
      counters,
      delivery,
      ports: config.ports,
      settings: config.settings,
      log,
      // One thread is enough, and so the packets of a peer stay in order.
      packets: config.id === 0 ? new RingPackets({ outbox, dispatcher, counters, askUser, log }) : null,
      handOver: (reactor, fd, portIndex, serial, address) => {
        handedOver.writeInt32LE(serial, 0);
        handedOver.set(address, 4);
        outbox.to(reactorInbox(reactor)).post(HAND_OVER, fd, portIndex, handedOver);
      },
    });
    delivery.closeWanted = (connection) => this.reactor.drop(connection);
    this.reactor.watchDoorbell(this.inbox.doorbell);
  }

  run(): void {
    const { reactor, inbox, outbox } = this;
    const handle = (reader: RingReader): void => this.handle(reader);
    let more = false;
    let lingering = 0;
    try {
      while (more || !this.finished()) {
        let timeoutMs = more || lingering > 0 ? 0 : reactor.timeoutMs();
        if (timeoutMs !== 0 && !inbox.prepareSleep()) timeoutMs = 0;
        const events = reactor.poll(timeoutMs);
        if (timeoutMs !== 0) inbox.wake();
        this.handled = false;
        more = inbox.drain(handle, MESSAGES_MAX);
        if (events > 0 || this.handled) lingering = LINGER_TURNS;
        else if (lingering > 0) {
          lingering--;
          yieldProcessor();
        }
        reactor.endTurn();
        if (this.dispatcher.busyRounds !== 0) this.tellOfBusyWorkers();
        outbox.pump();
        outbox.flush();
        // Where the worker shares our processor it has its turn now, with the bytes still in the cache.
        if (reactor.hadFill) yieldProcessor();
      }
    } catch (error) {
      this.logger.log(SWOOLE_LOG_ERROR, `reactor ${this.config.id} failed: ${describeError(error)}`);
      throw error;
    }
    reactor.closeAll();
    outbox.to(MASTER_INBOX).post(FINISHED, this.config.id, 0);
    outbox.flush();
  }

  /** Told once a second at most. */
  private tellOfBusyWorkers(): void {
    const { now } = this.reactor;
    if (now - this.warnedAt < 1000) return;
    this.dispatcher.busyRounds = 0;
    // One that is only starting will be idle soon, as all are when the server starts.
    if (someStart(this.segment, 0, this.dispatcher.workerCount)) return;
    this.warnedAt = now;
    this.outbox.to(MASTER_INBOX).post(NO_IDLE_WORKER, this.config.id, 0);
  }

  private finished(): boolean {
    return this.finishBy !== 0 && (!this.reactor.hasOutput || performance.now() >= this.finishBy);
  }

  private handle(reader: RingReader): void {
    const { reactor } = this;
    const { kind, a, b } = reader;
    this.handled = true;
    if (handleOwnerMessage(reactor, reader)) return;
    switch (kind) {
      case HAND_OVER: {
        const serial = reader.data.text.readInt32LE(reader.offset);
        const address = reader.data.u8.subarray(reader.offset + 4, reader.offset + reader.length);
        reactor.adopt(a, this.config.ports[b], serial, address);
        break;
      }
      case START_ACCEPTING:
        reactor.startAccepting();
        break;
      case PAUSE_ACCEPTING:
        reactor.pauseAccepting();
        break;
      case STOP_ACCEPTING:
        reactor.stopAccepting();
        reactor.stopReading();
        break;
      case FINISH:
        this.finishBy = performance.now() + Math.max(1, a);
        break;
      case RELOAD_CERTIFICATES:
        reactor.reloadCertificates();
        break;
      case REOPEN_LOG:
        this.logger.reopen();
        break;
      case COMMAND:
        this.runCommand(reader);
        break;
    }
    reader.release();
  }

  private runCommand(reader: RingReader): void {
    const letter = emptyLetter();
    readLetter(reader, letter);
    const { a: request, b: inbox } = reader;
    const reply = this.functions?.runCommand(String(letter.value));
    const code = reply?.code ?? SWOOLE_ERROR_SERVER_INVALID_COMMAND;
    postLetter(this.outbox.to(inbox), COMMAND_REPLY, request, 0, letter.life, code, reply?.answer ?? '', 'an answer');
  }
}
