/**
 * Loads TLS servers in turns: `node bench/load/tls-clients.ts echo|handshake <rounds> <seconds> <port>…`. Writes one line
 * of JSON for each round: by server what was done, and how long it took. As the servers do, it uses OpenSSL through
 * memory, on one epoll loop, so that it is not what is measured.
 *
 * echo: 50 connections, 64 bytes there and back, again and again. handshake: 16 at a time connect, shake hands, send a
 * byte, get it back and leave; every handshake is a full one.
 */
import {
  AF_INET,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SOCK_STREAM,
  TCP_NODELAY,
} from '../../src/sys/constants.ts';
import { Epoll } from '../../src/sys/epoll.ts';
import { recv, send } from '../../src/sys/libc.ts';
import { allocate } from '../../src/sys/memory.ts';
import { BIO_C_SET_BUF_MEM_EOF_RETURN, openssl } from '../../src/sys/openssl.ts';
import { closeDescriptor, connectTo, openSocket, resetOnClose, setOption } from '../../src/sys/socket.ts';

const EINPROGRESS = 115;
const BUFFER_BYTES = 65536;
const WARM_UP_SECONDS = 1;

const [, , kind, rounds, seconds, ...ports] = process.argv;
const handshakes = kind === 'handshake';
const connections = handshakes ? 16 : 50;
const messageBytes = handshakes ? 1 : 64;

const lib = openssl();
const context = lib.newContext(lib.clientMethod());
const input = memoryBio();
const output = memoryBio();
const wire = allocate(BUFFER_BYTES);
const answer = allocate(BUFFER_BYTES);
const message = allocate(4096);
message.u8.fill(120, 0, messageBytes);

function memoryBio(): number {
  const bio = lib.newBio(lib.memoryBio());
  lib.bioControl(bio, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, 0);
  return bio;
}

/** All connections to one server. */
class Load {
  done = 0;
  running = false;
  private readonly port: number;
  private readonly epoll = new Epoll(256);
  private readonly fds = new Int32Array(connections);
  private readonly sessions = new Float64Array(connections);
  private readonly ready = new Uint8Array(connections);
  private readonly serials = new Int32Array(connections);
  private readonly received = new Int32Array(connections);
  private idle: number[] = [];

  constructor(port: number) {
    this.port = port;
    this.idle = Array.from({ length: connections }, (_, client) => client);
  }

  run(milliseconds: number): number {
    this.running = true;
    const begun = performance.now();
    const end = begun + milliseconds;
    for (const client of this.idle.splice(0)) this.begin(client);
    while (performance.now() < end) this.turn(10);
    this.running = false;
    const elapsed = performance.now() - begun;
    while (this.idle.length < connections) this.turn(1000);
    return elapsed / 1000;
  }

  private begin(client: number): void {
    if (!this.running) this.idle.push(client);
    else if (this.sessions[client] === 0) this.connect(client);
    else this.ask(client);
  }

  private connect(client: number): void {
    const fd = openSocket(AF_INET, SOCK_STREAM);
    setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    const error = connectTo(fd, { family: AF_INET, host: '127.0.0.1', port: this.port });
    if (error !== 0 && error !== EINPROGRESS) throw new Error(`connect: errno ${error}`);
    const ssl = lib.newSession(context);
    lib.shareBio(input);
    lib.shareBio(output);
    lib.setBios(ssl, input, output);
    lib.setConnectState(ssl);
    this.fds[client] = fd;
    this.sessions[client] = ssl;
    this.ready[client] = 0;
    this.epoll.add(fd, EPOLLIN | EPOLLOUT | EPOLLET, client, ++this.serials[client]);
  }

  private ask(client: number): void {
    this.received[client] = 0;
    lib.write(this.sessions[client], message.address, messageBytes);
    this.flush(client);
  }

  private flush(client: number): void {
    const length = lib.readBio(output, wire.address, BUFFER_BYTES);
    if (length > 0) send(this.fds[client], wire.address, length, MSG_NOSIGNAL);
  }

  private turn(timeoutMs: number): void {
    const { epoll } = this;
    const count = epoll.wait(timeoutMs);
    for (let i = 0; i < count; i++) {
      const client = epoll.lowAt(i);
      if (this.sessions[client] !== 0 && epoll.highAt(i) === this.serials[client])
        this.serve(client, epoll.eventsAt(i));
    }
  }

  private serve(client: number, events: number): void {
    const ssl = this.sessions[client];
    if ((events & EPOLLIN) !== 0) {
      const count = recv(this.fds[client], wire.address, BUFFER_BYTES, 0);
      if (count === 0) throw new Error('the server closed a connection');
      if (count > 0) lib.writeBio(input, wire.address, count);
    }
    if (this.ready[client] === 0) {
      const result = lib.handshake(ssl);
      this.flush(client);
      if (result !== 1) return;
      this.ready[client] = 1;
      this.ask(client);
    }
    for (;;) {
      const count = lib.read(ssl, answer.address, BUFFER_BYTES);
      if (count <= 0) return;
      this.received[client] += count;
      if (this.received[client] < messageBytes) continue;
      this.done++;
      if (handshakes) this.leave(client);
      this.begin(client);
      if (handshakes || this.idle.includes(client)) return;
    }
  }

  private leave(client: number): void {
    lib.freeSession(this.sessions[client]);
    this.sessions[client] = 0;
    // No TIME_WAIT: the ports of this machine would be used up.
    resetOnClose(this.fds[client]);
    closeDescriptor(this.fds[client]);
  }
}

const loads = ports.map((port) => new Load(Number(port)));
for (const load of loads) load.run(WARM_UP_SECONDS * 1000);
console.log(JSON.stringify('warm'));
for (let round = 0; round < Number(rounds); round++) {
  const results = loads.map((load) => {
    const before = load.done;
    const cpu = process.cpuUsage();
    const elapsed = load.run(Number(seconds) * 1000);
    const used = process.cpuUsage(cpu);
    return { done: load.done - before, seconds: elapsed, cpuShare: (used.user + used.system) / 1e6 / elapsed };
  });
  console.log(JSON.stringify(results));
}
