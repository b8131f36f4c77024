/**
 * TLS of the connections of one reactor. OpenSSL never sees a socket: what was received goes into a memory BIO, what it
 * wants to send comes out of another, and both are shared by all sessions of the reactor, because every call here leaves
 * them empty. So a read is one recv() as without TLS, a short one has emptied the socket, and a full socket is the
 * output's affair alone; an idle connection holds no buffer.
 */
import { SWOOLE_LOG_WARNING } from '../constants.ts';
import { type ConnectionTable, F64_SEND_TIME, QUEUED_BYTES } from '../shm/connections.ts';
import { RECEIVES_RETRIED, REKEYS_REFUSED, SENDS_RETRIED } from '../shm/counters.ts';
import type { LaneCounters } from '../shm/lanes.ts';
import { EAGAIN, EINTR, ENOBUFS, EPIPE, EPROTO } from '../sys/constants.ts';
import { allocate, type Region } from '../sys/memory.ts';
import {
  BIO_C_SET_BUF_MEM_EOF_RETURN,
  BIO_CTRL_RESET,
  type OpenSsl,
  openssl,
  SSL_ERROR_WANT_READ,
  SSL_ERROR_ZERO_RETURN,
  X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
  X509_V_OK,
} from '../sys/openssl.ts';
import type { Connection } from './connection.ts';
import { READ_BYTES, SEAL_BYTES, TLS_REPLIES_MAX, TLS_REPLIES_MS } from './limits.ts';
import type { Notice } from './notice.ts';
import type { ReactorPort } from './port.ts';
import { TlsContexts } from './tls-context.ts';
import { READ_ON, type Transport } from './transport.ts';
import type { TurnClock } from './turn-clock.ts';

/**
 * What a step of a session comes to, where it brings no bytes: minus an errno. 0 is the end of the stream, with
 * close_notify or without; -EPROTO means that the peer broke the rules, or did not prove who it is: the session is over.
 */
const END = 0;
const BROKEN = -EPROTO;
/** More must come from the peer; whether it is there already, `more` tells. */
const AGAIN = -EAGAIN;

/** Records of what is sealed at once, a ticket or an alert beside them, the worst cipher: well below this. */
const SEALED_BYTES = SEAL_BYTES + 16384;
/** A certificate with all its text, as PEM. */
const CERTIFICATE_BYTES_MAX = 65536;

/** Where connections end. */
export interface TlsHost extends TurnClock {
  readonly counters: LaneCounters;
  readonly rekeys: Notice;
  log(level: number, text: string): void;
  /** Nothing can be sent to the peer any more. */
  peerGone(connection: Connection, error: number): void;
}

/** What goes on with records that the socket has refused. */
export interface TlsOutput {
  /** They wait for room, or because of an errno that no event will follow. */
  waits(connection: Connection, error: number): void;
}

/** What the sessions of a reactor share. Made where there is a TLS port, and only there. */
export class TlsEngine {
  readonly lib: OpenSsl = openssl();
  /** The way to the sockets, over which the sessions run theirs. */
  readonly socket: Transport;
  readonly table: ConnectionTable;
  readonly host: TlsHost;
  readonly records: TlsOutput;
  readonly input: number;
  readonly output: number;
  /** What came from a socket. */
  readonly received: Region = allocate(READ_BYTES);
  /** What is to go to a socket: take() puts it here. */
  readonly sealed: Region = allocate(SEALED_BYTES);
  private readonly contexts: (TlsContexts | null)[];

  /** Throws TlsConfigError when a certificate or another file cannot be used. */
  constructor(
    socket: Transport,
    table: ConnectionTable,
    ports: readonly ReactorPort[],
    records: TlsOutput,
    host: TlsHost,
  ) {
    this.socket = socket;
    this.table = table;
    this.records = records;
    this.host = host;
    this.contexts = ports.map((port) => (port.tls === null ? null : new TlsContexts(port.tls, port.index)));
    this.input = this.memory();
    this.output = this.memory();
  }

  private memory(): number {
    const { lib } = this;
    const bio = lib.newBio(lib.memoryBio());
    if (bio === 0) throw new Error('BIO_new() failed');
    // Empty means "later", not "the end".
    lib.bioControl(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, 0);
    return bio;
  }

  /** The server's side of a new connection; null when there is no memory for one. */
  accept(connection: Connection): TlsSession | null {
    const { lib } = this;
    const contexts = this.contexts[connection.port.index]!;
    this.forgetErrors();
    const ssl = lib.newSession(contexts.context);
    if (ssl === 0) return null;
    lib.shareBio(this.input);
    lib.shareBio(this.output);
    lib.setBios(ssl, this.input, this.output);
    lib.setAcceptState(ssl);
    return new TlsSession(this, contexts, ssl, connection);
  }

  /** Reads certificates again. New connections get the new ones; a port whose files are not in order keeps the old. */
  reload(): void {
    for (const contexts of this.contexts) {
      try {
        contexts?.load();
      } catch (error) {
        this.host.log(
          SWOOLE_LOG_WARNING,
          `certificates are not reloaded, the old ones stay: ${(error as Error).message}`,
        );
      }
    }
  }

  /**
   * Moves what a session wants to send into `sealed` and answers how much it is. To be called again as long as it answers
   * SEALED_BYTES, so that nothing is left for the next session.
   */
  take(): number {
    return Math.max(0, this.lib.readBio(this.output, this.sealed.at(0, SEALED_BYTES), SEALED_BYTES));
  }

  /**
   * What others have left in the thread's queue of errors would be taken for ours: to be called before every call of
   * which outcome() is asked. Looking costs a quarter of clearing, and nearly always there is nothing.
   */
  forgetErrors(): void {
    if (this.lib.lastError() !== 0) this.lib.clearErrors();
  }

  /** Forgets what a session has not read, so that the next one does not. */
  clearInput(): void {
    this.lib.bioControl(this.input, BIO_CTRL_RESET, 0, 0);
  }

  /** Forgets what a session wanted to send, so that nobody sends it for the next one. */
  clearOutput(): void {
    this.lib.bioControl(this.output, BIO_CTRL_RESET, 0, 0);
  }
}

class TlsSession implements Transport {
  readonly plain = false;
  /** True exactly when a read would bring more although the kernel tells of nothing. */
  more = false;
  reason = '';
  certificate: string | null = null;

  private readonly engine: TlsEngine;
  private readonly contexts: TlsContexts;
  private readonly ssl: number;
  private readonly connection: Connection;
  /** True until the handshake is done: nothing may be sealed. */
  private opening = true;
  /** True exactly when the last step found the socket empty. */
  private dry = false;
  /** Records that the socket did not take. Nothing more is sealed while there are any. */
  private unsent: Buffer | null = null;
  /** Records that came but could not be read for lack of room. */
  private rest: Buffer | null = null;
  /** True exactly when there may be bytes that OpenSSL has opened and nobody has taken. */
  private opened = false;
  private peerClosed = false;
  private broken = false;
  private replies = 0;
  private repliesSince = 0;

  constructor(engine: TlsEngine, contexts: TlsContexts, ssl: number, connection: Connection) {
    this.engine = engine;
    this.contexts = contexts;
    this.ssl = ssl;
    this.connection = connection;
  }

  // ---- the handshake ------------------------------------------------------------------------------------------------

  handshake(fd: number): number {
    const result = this.shakeHands(fd);
    // Also after a failure: the alert tells the peer why.
    this.sendReplies(fd);
    if (result === AGAIN) return this.later();
    if (result === END) this.reason = 'the client has left';
    else if (result < 0 && result !== BROKEN) this.reason = `errno ${-result}`;
    return result;
  }

  private shakeHands(fd: number): number {
    const count = this.receive(fd);
    if (count <= 0) return count;
    const result = this.engine.lib.handshake(this.ssl);
    if (result !== 1) return this.outcome(result);
    if (!this.admit()) return BROKEN;
    this.opening = false;
    this.keepRest();
    return 1;
  }

  /** Nothing has come of what has come: a record in part, or one without content. Is there more already? */
  private later(): number {
    return !this.dry && (this.more || this.connection.hangup) ? READ_ON : -EAGAIN;
  }

  // ---- reading ------------------------------------------------------------------------------------------------------

  read(fd: number, address: number, room: number): number {
    const count = this.open(fd, address, room);
    const replied = this.sendReplies(fd) !== 0;
    if (replied && !this.broken && !this.peerClosed && !this.mayReply()) {
      const id = this.engine.table.fdOf(this.connection.serial);
      this.engine.host.rekeys.tell(`connection ${id} asks for new TLS keys again and again, closing it`);
      this.engine.host.counters.add(REKEYS_REFUSED, 1);
      return -EPROTO;
    }
    return count === AGAIN ? this.later() : count;
  }

  private open(fd: number, address: number, room: number): number {
    const { lib, input } = this.engine;
    if (this.broken) return BROKEN;
    if (this.peerClosed) return END;
    // What is here already comes first. The socket is not looked at then, so there is always more.
    if (this.opened) {
      this.opened = false;
      this.more = true;
      this.dry = false;
      this.engine.forgetErrors();
      if (this.rest !== null) this.feedRest();
    } else {
      const count = this.receive(fd);
      if (count <= 0) return count;
    }
    let total = 0;
    for (;;) {
      const count = lib.read(this.ssl, address + total, room - total);
      if (count <= 0) {
        const result = this.outcome(count);
        if (total === 0) return result;
        this.more ||= result !== AGAIN;
        return total;
      }
      total += count;
      if (total === room) {
        this.opened = true;
        this.keepRest();
        this.more = true;
        return total;
      }
      if (lib.waitingIn(input) === 0) return total;
    }
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  get hasUnsent(): boolean {
    return this.unsent !== null;
  }

  /**
   * Encrypts and sends as much as the socket takes. Records that it refused wait in `unsent`, so what has been encrypted is
   * sent in that order, and what follows is encrypted only when those have gone.
   */
  write(fd: number, bytes: Uint8Array, start: number, length: number, address: number): number {
    const error = this.flush(fd);
    if (error !== 0) return error;
    let done = 0;
    while (done < length && this.unsent === null) {
      const part = Math.min(length - done, SEAL_BYTES);
      const at = address === 0 ? 0 : address + done;
      if (!this.seal(bytes, start + done, part, at)) return -EPIPE;
      const failed = this.sendSealed(fd);
      if (failed !== 0) return failed;
      done += part;
    }
    return done;
  }

  flush(fd: number): number {
    const { table, host } = this.engine;
    while (this.unsent !== null) {
      const { length } = this.unsent;
      const count = this.put(fd, this.unsent, length, 0);
      if (count < 0) return count;
      table.words[this.connection.base + QUEUED_BYTES] -= count;
      table.numbers[this.connection.numberBase + F64_SEND_TIME] = host.seconds;
      this.connection.sentAt = host.now;
      this.unsent = count === length ? null : this.unsent.subarray(count);
    }
    return 0;
  }

  drop(): void {
    this.unsent = null;
  }

  /** Encrypts bytes[start, start + length), at most SEAL_BYTES, for take(). Answers false when the session is over. */
  private seal(bytes: Uint8Array, start: number, length: number, address: number): boolean {
    const { lib } = this.engine;
    if (this.broken || this.opening) return false;
    // Old errors do not matter here: there is but one way to fail, and the result tells it.
    const count =
      address !== 0
        ? lib.write(this.ssl, address, length)
        : lib.writeBytes(this.ssl, start === 0 ? bytes : bytes.subarray(start, start + length), length);
    if (count === length) return true;
    this.broken = true;
    this.engine.clearOutput();
    return false;
  }

  /** Sends all that was encrypted, or keeps it. Answers 0, or -errno when the peer has gone. */
  private sendSealed(fd: number): number {
    let failed = 0;
    for (;;) {
      const length = this.engine.take();
      if (failed === 0 && length !== 0) failed = this.sendRecords(fd, length);
      // Even then nothing may be left for the next session.
      if (length < SEALED_BYTES) return failed;
    }
  }

  /** Sends what the session itself has to say: a handshake, an alert, new keys. Answers how many bytes that were. */
  private sendReplies(fd: number): number {
    const { engine, connection } = this;
    let total = 0;
    for (;;) {
      const length = engine.take();
      total += length;
      const failed = length !== 0 && connection.open ? this.sendRecords(fd, length) : 0;
      if (failed !== 0) engine.host.peerGone(connection, -failed);
      if (length < SEALED_BYTES) return total;
    }
  }

  /** As sendSealed(), for the first `length` bytes of what was encrypted. */
  private sendRecords(fd: number, length: number): number {
    const { sealed } = this.engine;
    if (this.unsent !== null) {
      this.keepUnsent(Buffer.concat([this.unsent, sealed.u8.subarray(0, length)]), length, EAGAIN);
      return 0;
    }
    const count = this.put(fd, sealed.u8, length, sealed.at(0, length));
    if (count === length) return 0;
    if (count < 0 && count !== -EAGAIN && count !== -ENOBUFS) return count;
    const taken = Math.max(0, count);
    // Where only a part was taken, there is no room for the rest.
    this.keepUnsent(Buffer.from(sealed.u8.subarray(taken, length)), length - taken, count < 0 ? -count : EAGAIN);
    return 0;
  }

  /** Sends records, however often that is interrupted: answers as write() does. */
  private put(fd: number, records: Uint8Array, length: number, address: number): number {
    const { socket, host } = this.engine;
    for (;;) {
      const count = socket.write(fd, records, 0, length, address);
      if (count !== -EINTR) return count;
      host.counters.add(SENDS_RETRIED, 1);
    }
  }

  private keepUnsent(records: Buffer, added: number, error: number): void {
    const { engine } = this;
    this.unsent = records;
    engine.table.words[this.connection.base + QUEUED_BYTES] += added;
    engine.records.waits(this.connection, error);
  }

  /** Says that nothing follows, if that is polite and there is room for it; then the session is gone. */
  end(fd: number, polite: boolean): void {
    const { socket, lib, sealed } = this.engine;
    const mayTalk = !this.opening && !this.broken && !this.peerClosed && this.unsent === null;
    if (polite && mayTalk) {
      this.engine.forgetErrors();
      lib.shutdown(this.ssl);
      const length = this.engine.take();
      if (length !== 0) socket.write(fd, sealed.u8, 0, length, sealed.at(0, length));
    }
    lib.freeSession(this.ssl);
    this.rest = null;
    this.unsent = null;
  }

  /**
   * Counts what OpenSSL answered of itself: to attempts to renegotiate, to changes of keys. Answers false when the peer
   * asks for so much that it must be meant as a burden.
   */
  private mayReply(): boolean {
    const { now } = this.engine.host;
    if (now - this.repliesSince > TLS_REPLIES_MS) {
      this.repliesSince = now;
      this.replies = 0;
    }
    return ++this.replies <= TLS_REPLIES_MAX;
  }

  // ---- what came ----------------------------------------------------------------------------------------------------

  /** Hands records to OpenSSL: those that were left, else what one recv() brings. Answers as the steps do. */
  private receive(fd: number): number {
    const { socket, lib, input, received } = this.engine;
    this.dry = false;
    this.engine.forgetErrors();
    if (this.rest !== null) {
      this.more = true;
      return this.feedRest();
    }
    const count = socket.read(fd, received.at(0, READ_BYTES), READ_BYTES);
    if (count > 0) {
      this.more = count === READ_BYTES;
      lib.writeBio(input, received.at(0, count), count);
      return count;
    }
    if (count === 0) return END;
    this.more = count === -EINTR;
    if (this.more) this.engine.host.counters.add(RECEIVES_RETRIED, 1);
    this.dry = count === -EAGAIN;
    return count === -EINTR ? AGAIN : count;
  }

  private feedRest(): number {
    const rest = this.rest!;
    this.rest = null;
    this.engine.lib.writeBioBytes(this.engine.input, rest, rest.length);
    return rest.length;
  }

  /** What was not read stays with the session: the BIO is everybody's. */
  private keepRest(): void {
    const { lib, input } = this.engine;
    const length = lib.waitingIn(input);
    if (length === 0) return;
    // Never more than one recv() brought, so it fits where that put it.
    lib.readBio(input, this.engine.received.at(0, length), length);
    this.rest = Buffer.from(this.engine.received.u8.subarray(0, length));
    this.more = true;
  }

  /** Why a call of OpenSSL brought nothing. The input is empty afterwards. */
  private outcome(result: number): number {
    const { lib } = this.engine;
    switch (lib.result(this.ssl, result)) {
      case SSL_ERROR_WANT_READ:
        return AGAIN;
      case SSL_ERROR_ZERO_RETURN:
        this.peerClosed = true;
        this.engine.clearInput();
        return END;
      default:
        // A memory BIO takes everything, so there is no other reason to wait.
        this.broken = true;
        this.reason = lib.reason(lib.lastError()) ?? 'unknown';
        lib.clearErrors();
        this.engine.clearInput();
        return BROKEN;
    }
  }

  // ---- the client's certificate -------------------------------------------------------------------------------------

  /** Looks at the certificate of a client whose handshake is done. Answers false when it may not come in. */
  private admit(): boolean {
    const { config } = this.contexts;
    if (!config.verifyPeer && config.clientCertFile === null) return true;
    const { lib } = this.engine;
    const certificate = lib.peerCertificate(this.ssl);
    if (certificate === 0) return !config.verifyPeer || this.refuse('no certificate');
    try {
      if (this.contexts.checksHere && !this.verify(certificate)) return this.refuse('certificate verify failed');
      if (config.clientCertFile !== null) this.certificate = this.pemOf(certificate);
      return true;
    } finally {
      lib.freeCertificate(certificate);
    }
  }

  private refuse(reason: string): false {
    this.broken = true;
    this.reason = reason;
    this.engine.clearInput();
    return false;
  }

  private verify(certificate: number): boolean {
    const { lib } = this.engine;
    const check = lib.newCheck();
    try {
      const store = lib.certificateStore(this.contexts.context);
      if (lib.beginCheck(check, store, certificate, lib.peerChain(this.ssl)) !== 1) return false;
      lib.setCheckPurpose(check, 'ssl_client');
      if (this.contexts.config.verifyDepth > 0) lib.setCheckDepth(check, this.contexts.config.verifyDepth);
      const verified = lib.check(check) === 1;
      const error = lib.checkError(check);
      return (verified && error === X509_V_OK) || error === X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
    } finally {
      lib.freeCheck(check);
      lib.clearErrors();
    }
  }

  private pemOf(certificate: number): string | null {
    const { lib, sealed } = this.engine;
    const bio = lib.newBio(lib.memoryBio());
    try {
      if (lib.writeCertificate(bio, certificate) !== 1 || lib.waitingIn(bio) > CERTIFICATE_BYTES_MAX) return null;
      // The output may hold the end of the handshake, but its memory is free until it is taken.
      const length = lib.readBio(bio, sealed.at(0, CERTIFICATE_BYTES_MAX), CERTIFICATE_BYTES_MAX);
      return length > 0 ? sealed.text.toString('latin1', 0, length) : null;
    } finally {
      lib.freeBio(bio);
    }
  }
}
