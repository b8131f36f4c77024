/** Slow clients and slow workers: nothing is lost or mixed, memory stays within limits, and nobody else feels it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type ServerSettings, SWOOLE_PROCESS } from '../../src/index.ts';
import { Client } from '../support/client.ts';
import { Load, MessageReader, message } from '../support/load.ts';
import { residentBytes } from '../support/process-info.ts';
import { Remote } from '../support/remote.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { BASE, PROCESS } from '../support/subjects.ts';
import { until, within } from '../support/until.ts';

const MIB = 1024 ** 2;
const OUTPUT_BUFFER_OVERFLOW = 1008;

/** An echo server; a message of one connection may be answered by any worker, over the control port. */
function startEcho(mode: number, settings: ServerSettings = {}): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: 2, open_length_check: true, package_max_length: '8M', ...settings },
    setup: ({ server, report, control }) => {
      server.on('connect', (server, fd) => {
        const info = server.getClientInfo(fd);
        report('connect', { fd, port: info === false ? 0 : info.remote_port });
      });
      server.on('receive', (server, fd, _reactorId, data) => {
        server.send(fd, data);
      });
      server.on('bufferFull', (_, fd) => report('bufferFull', { fd }));
      server.on('bufferEmpty', (_, fd) => report('bufferEmpty', { fd }));
      control();
    },
  });
}

/** A connection that reads nothing yet, and its id at the server. */
async function connectSilent(server: TestServer): Promise<{ socket: Socket; fd: number }> {
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  socket.pause();
  await within(new Promise((resolve) => socket.once('connect', resolve)), 'connection');
  const { fd } = await server.waitFor('connect', (event) => event.port === socket.localPort);
  return { socket, fd };
}

/** Reads bytes that count 32-bit words, resting between reads, and answers how many came in order. */
function readCounted(socket: Socket, wanted: number, restMs: number): Promise<number> {
  let at = 0;
  let rest: Buffer = Buffer.alloc(0);
  const all = new Promise<number>((resolve, reject) => {
    socket.on('data', (data: Buffer) => {
      const bytes = rest.length === 0 ? data : Buffer.concat([rest, data]);
      const whole = bytes.length - (bytes.length % 4);
      for (let i = 0; i < whole; i += 4) {
        if (bytes.readUInt32LE(i) !== (at + i) / 4) {
          reject(new Error(`at ${at + i} came ${bytes.readUInt32LE(i) * 4}`));
          socket.destroy();
          return;
        }
      }
      at += whole;
      rest = bytes.subarray(whole);
      if (at >= wanted) resolve(at);
      else if (restMs > 0) {
        socket.pause();
        setTimeout(() => socket.resume(), restMs);
      }
    });
    socket.on('close', () => resolve(at));
    socket.on('error', reject);
    socket.resume();
  });
  return within(all, `${wanted} bytes; ${at} came`, 60_000);
}

function totalResident(server: TestServer): number {
  return server.processes().reduce((sum, pid) => sum + residentBytes(pid), 0);
}

for (const { name, mode } of [PROCESS, BASE]) {
  describe(name, { concurrency: false }, () => {
    test('a client that never reads is told with 1008, and the others feel nothing', async (t) => {
      await using server = await startEcho(mode);
      const [remote, other] = await Remote.connectToAll(server, 2);
      const { socket, fd } = await connectSilent(server);
      using load = await Load.connect({ port: server.port, connections: 100 });
      load.start();
      await load.progress(1000);
      const before = totalResident(server);
      // Both workers send as much as they may, for a while.
      const flood = (from: Remote): Promise<{ accepted: number; errors: number[] }> =>
        from.run(
          async ({ server }, fd, bytes) => {
            const errors = new Set<number>();
            let accepted = 0;
            for (let i = 0; i < 300; i++) {
              if (server.send(fd, Buffer.alloc(bytes, 1))) accepted += bytes;
              else errors.add(server.getLastError());
              await new Promise((resolve) => setTimeout(resolve, 5));
            }
            return { accepted, errors: [...errors] };
          },
          fd,
          256 * 1024,
        );
      const floods = await Promise.all([flood(remote), flood(other)]);
      const growth = totalResident(server) - before;
      await load.progress(1000);
      await load.pause();
      load.assertPerfect();
      const accepted = floods[0].accepted + floods[1].accepted;
      t.diagnostic(`${(accepted / MIB).toFixed(1)} MiB accepted; the server grew by ${(growth / MIB).toFixed(1)} MiB`);
      for (const { errors } of floods) assert.deepEqual(errors, [OUTPUT_BUFFER_OVERFLOW]);
      // The queue of 8 MiB, what two rings hold, and the kernel's buffers of both sockets.
      assert.ok(accepted < 40 * MIB, `${accepted} bytes accepted`);
      assert.ok(growth < 96 * MIB, `grew by ${growth} bytes`);
      // Everything that was accepted arrives.
      let received = 0;
      socket.on('data', (chunk) => {
        received += chunk.length;
      });
      socket.resume();
      await until(() => received >= accepted, `${accepted} bytes`);
      await server.waitFor('bufferEmpty', (event) => event.fd === fd);
      assert.equal(received, accepted);
      socket.destroy();
      for (const each of [remote, other]) each.close();
    });

    test('64 MiB in one send reach a slow reader in order', async () => {
      await using server = await startEcho(mode, { buffer_output_size: '128M', socket_buffer_size: '128M' });
      using remote = await Remote.connect(server);
      const { socket, fd } = await connectSilent(server);
      const sent = await remote.run(
        ({ server }, fd, bytes) => {
          const words = new Uint32Array(bytes / 4);
          for (let i = 0; i < words.length; i++) words[i] = i;
          return server.send(fd, Buffer.from(words.buffer));
        },
        fd,
        64 * MIB,
      );
      assert.equal(sent, true);
      assert.equal(await readCounted(socket, 64 * MIB, 1), 64 * MIB);
      socket.destroy();
    });

    test('64 MiB in pieces, driven by bufferEmpty, reach a slow reader in order', async () => {
      await using server = await startServer({
        mode,
        settings: { worker_num: 2, socket_buffer_size: '3M' },
        args: { total: 64 * MIB, piece: MIB },
        setup: ({ server, report, args }) => {
          const sent = new Map<number, number>();
          const go = (fd: number): void => {
            for (let at = sent.get(fd)!; at < args.total; at += args.piece) {
              const words = new Uint32Array(args.piece / 4);
              for (let i = 0; i < words.length; i++) words[i] = at / 4 + i;
              if (!server.send(fd, Buffer.from(words.buffer))) {
                report('refused', { error: server.getLastError() });
                return;
              }
              sent.set(fd, at + args.piece);
            }
          };
          server.on('receive', (_, fd) => {
            sent.set(fd, 0);
            go(fd);
          });
          server.on('bufferEmpty', (_, fd) => go(fd));
        },
      });
      const socket = connect({ port: server.port, host: '127.0.0.1' });
      socket.write('go');
      assert.equal(await readCounted(socket, 64 * MIB, 1), 64 * MIB);
      for (const { error } of server.events('refused')) assert.equal(error, OUTPUT_BUFFER_OVERFLOW);
      assert.ok(server.events('refused').length > 0);
      socket.destroy();
    });

    test('sends of several workers to one connection do not mix', async () => {
      await using server = await startEcho(mode, { buffer_output_size: '8M', socket_buffer_size: '32M' });
      const remotes = await Remote.connectToAll(server, 2);
      const { socket, fd } = await connectSilent(server);
      const count = 60;
      const lengths = [12, 13, 100, 4096, 65_537, 300_000, 1_048_577, 3_145_728];
      const next = new Map<number, number>();
      let received = 0;
      const wrongs: string[] = [];
      const reader = new MessageReader();
      socket.on('data', (chunk: Buffer) => {
        for (const bytes of reader.push(chunk)) {
          const worker = bytes.readUInt32BE(4);
          const sequence = bytes.readUInt32BE(8);
          if (sequence !== (next.get(worker) ?? 0)) wrongs.push(`worker ${worker}: ${sequence} out of order`);
          if (!bytes.subarray(12).every((byte) => byte === (worker + 1) * 64 + (sequence % 64)))
            wrongs.push(`worker ${worker}: wrong bytes in ${sequence}`);
          next.set(worker, sequence + 1);
          received++;
        }
      });
      socket.resume();
      await Promise.all(
        remotes.map((remote) =>
          remote.run(
            async ({ server }, fd, count, lengths) => {
              for (let sequence = 0; sequence < count; sequence++) {
                const length = lengths[(sequence * 5 + server.worker_id) % lengths.length];
                const bytes = Buffer.alloc(length, (server.worker_id + 1) * 64 + (sequence % 64));
                bytes.writeUInt32BE(length - 4, 0);
                bytes.writeUInt32BE(server.worker_id, 4);
                bytes.writeUInt32BE(sequence, 8);
                while (!server.send(fd, bytes)) {
                  if (server.getLastError() !== 1008) throw new Error(`send failed: ${server.getLastError()}`);
                  await new Promise((resolve) => setTimeout(resolve, 1));
                }
                // What was given to send() may be used again at once.
                bytes.fill(0);
                if (sequence % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
              }
            },
            fd,
            count,
            lengths,
          ),
        ),
      );
      await until(() => received === 2 * count || wrongs.length > 0, `${2 * count} messages`);
      assert.deepEqual(wrongs, []);
      socket.destroy();
      for (const remote of remotes) remote.close();
    });

    test('callbacks of full buffers may send to every connection', async () => {
      await using server = await startServer({
        mode,
        settings: {
          worker_num: 1,
          open_length_check: true,
          buffer_high_watermark: 1,
          kernel_socket_send_buffer_size: 8192,
        },
        setup: ({ server, report }) => {
          // The output of one turn then belongs to many connections.
          server.on('receive', (server, _fd, _reactorId, data) => {
            for (const each of server.connections) if (!server.send(each, data)) report('refused');
          });
          const tellAll = (): void => {
            const note = Buffer.alloc(16, 0xee);
            note.writeUInt32BE(12, 0);
            for (const each of server.connections) server.send(each, note);
          };
          server.on('bufferFull', tellAll);
          server.on('bufferEmpty', tellAll);
        },
      });
      const clients = 8;
      const rounds = 300;
      const sockets: Socket[] = [];
      const wrongs: string[] = [];
      const received = new Array<number>(clients).fill(0);
      let notes = 0;
      for (let i = 0; i < clients; i++) {
        const socket = connect({ port: server.port, host: '127.0.0.1' });
        await within(new Promise((resolve) => socket.once('connect', resolve)), 'connection');
        const next = new Array<number>(clients).fill(0);
        const reader = new MessageReader();
        socket.on('data', (chunk: Buffer) => {
          for (const bytes of reader.push(chunk)) {
            if (bytes.length === 16 && bytes.readUInt32BE(4) === 0xeeeeeeee) {
              notes++;
              continue;
            }
            const [from, sequence] = [bytes.readUInt32BE(4), bytes.readUInt32BE(8)];
            if (sequence !== next[from]++ || !bytes.equals(message(from, sequence, bytes.length)))
              wrongs.push(`client ${i} got wrong bytes or order: ${sequence} of ${from}`);
            received[i]++;
          }
        });
        socket.on('error', (error) => wrongs.push(error.message));
        sockets.push(socket);
      }
      // Half of them read only after everything was sent.
      for (const socket of sockets.slice(0, clients / 2)) socket.pause();
      for (let round = 0; round < rounds; round++) {
        for (const [i, socket] of sockets.entries()) socket.write(message(i, round, 100 + ((round * 37) % 3000)));
        if (round % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await until(() => received.at(-1) === clients * rounds || wrongs.length > 0, 'all messages at the last client');
      for (const socket of sockets) socket.resume();
      await until(() => received.every((count) => count === clients * rounds) || wrongs.length > 0, 'all messages');
      assert.deepEqual(wrongs, []);
      assert.deepEqual(server.events('refused'), []);
      assert.ok(notes > 0, 'buffers were full');
      for (const socket of sockets) socket.destroy();
    });
  });
}

test('a worker that blocks holds up its own connections only, and loses nothing', async (t) => {
  await using server = await startEcho(SWOOLE_PROCESS, { socket_buffer_size: '64M' });
  const remotes = await Remote.connectToAll(server, 2);
  using load = await Load.connect({ port: server.port, connections: 50, depth: 40, length: () => 32_768 });
  load.start();
  await load.progress(2000);
  const before = totalResident(server);
  const file = join(server.directory, 'seen');
  const blocked = remotes[0].run(({ report }, file) => {
    const { existsSync } = process.getBuiltinModule('node:fs');
    report('blocks');
    const limit = Date.now() + 20_000;
    while (!existsSync(file) && Date.now() < limit) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    return existsSync(file);
  }, file);
  await server.waitFor('blocks');
  // What was under way has arrived by then.
  await load.progress(5000);
  const heads = load.asking.map((each) => each.outstanding[0]?.sequence);
  await load.progress(2000);
  const moving = load.asking.filter((each, i) => each.outstanding[0]?.sequence !== heads[i]).length;
  const growth = totalResident(server) - before;
  writeFileSync(file, '');
  assert.equal(await blocked, true, 'this machine was too slow to look in time');
  assert.ok(moving > 0 && moving < 50, `${moving} of 50 connections went on`);
  await load.progress(2000);
  await load.pause();
  load.assertPerfect();
  t.diagnostic(`${moving} of 50 connections went on; the server grew by ${(growth / MIB).toFixed(1)} MiB`);
  assert.ok(growth < 128 * MIB, `grew by ${growth} bytes`);
  for (const remote of remotes) remote.close();
});

for (const { name, mode } of [PROCESS, BASE]) {
  test(`the memory of a burst of stalled readers goes back to the system in ${name}`, async () => {
    const readers = 40;
    const bytes = 8 * MIB;
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, max_idle_time: 2, buffer_output_size: bytes },
      args: bytes,
      setup: ({ server, report, args: bytes }) => {
        const answer = Buffer.alloc(bytes, 1);
        server.on('receive', (server, fd) => {
          server.send(fd, answer);
        });
        server.on('workerStart', (server, id) => {
          if (!server.taskworker) report('holds', { id, pid: server.mode === 1 ? process.pid : server.getMasterPid() });
        });
        server.on('close', (_server, fd) => report('close', { fd }));
      },
    });
    const { pid } = await server.waitFor('holds');
    const before = residentBytes(pid);
    const clients = await Promise.all(Array.from({ length: readers }, () => Client.connect(server.port)));
    for (const client of clients) {
      client.stopReading();
      client.write('x');
    }
    await server.until(() => residentBytes(pid) > before + (readers * bytes) / 3, 'the burst');
    await server.waitForCount('close', readers);
    await server.until(() => residentBytes(pid) < before + 60 * MIB, 'what there was before');
    for (const client of clients) client.destroy();
  });
}

for (const { name, mode } of [PROCESS, BASE]) {
  test(`max_output_memory bounds what waits for all stalled readers, and others are served, in ${name}`, async () => {
    const most = 16 * MIB;
    const piece = 512 * 1024;
    const readers = 12;
    await using server = await startServer({
      mode,
      settings: { worker_num: 1, max_output_memory: most },
      args: piece,
      setup: ({ server, report, args: piece }) => {
        const answer = Buffer.alloc(piece, 1);
        server.on('receive', (server, fd, _reactorId, data) => {
          if (String(data) !== 'much') {
            server.send(fd, data);
            return;
          }
          let sent = 0;
          const more = (): void => {
            // As much as is taken, with a pause in which the reactor looks.
            if (sent < 8 * 1024 * 1024 && server.send(fd, answer)) {
              sent += piece;
              setTimeout(more, 1);
            } else report('refused', { code: server.getLastError(), sent, ...server.stats() });
          };
          more();
        });
        server.on('bufferEmpty', (_server, fd) => report('empty', { fd }));
      },
    });
    using honest = await Client.connect(server.port);
    const clients = await Promise.all(Array.from({ length: readers }, () => Client.connect(server.port)));
    for (const client of clients) {
      client.stopReading();
      await client.write('much');
    }
    const refused = await server.waitForCount('refused', readers);
    assert.ok(
      refused.some(({ code }) => code === OUTPUT_BUFFER_OVERFLOW),
      'a send was refused',
    );
    const waits = Math.max(...refused.map(({ output_wait_num }) => output_wait_num));
    // One message of each connection, and what was in the ring.
    assert.ok(waits <= most + readers * piece + 4 * MIB, `${waits} bytes wait`);
    assert.ok(refused.at(-1)?.output_memory_count > 0);
    assert.equal(await honest.echo('served'), 'served');
    await server.until(() => server.output.includes(`max_output_memory is ${most}`), 'a line in the log');
    for (const client of clients) client.startReading();
    await server.waitFor('empty');
    for (const client of clients) client.destroy();
  });
}
