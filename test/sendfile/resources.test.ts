/** What sending files costs: no descriptor is lost over many connections, and a huge file takes no memory. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { within } from '../support/until.ts';

const MIB = 1024 * 1024;
const CONNECTIONS = 10_000;
const AT_ONCE = 50;
const HUGE_BYTES = 2048 * MIB;
/** The heap breathes by that much between two collections. */
const RESIDENT_MAX_GROWTH = 24 * MIB;

for (const { name, mode } of SUBJECTS) {
  test(`${CONNECTIONS} connections with a file each lose no descriptor in ${name}`, async () => {
    await using server = await startSender(mode, 'file');
    writeFileSync(join(server.directory, 'file'), Buffer.alloc(20_000, 'f'));
    for (let i = 0; i < 100; i++) await receive(server.port);
    const before = descriptors(server);
    let left = CONNECTIONS;
    const work = async (): Promise<void> => {
      // Every tenth client leaves early.
      while (left-- > 0) assert.ok((await receive(server.port, left % 10 === 0 ? 1 : undefined)) > 0);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await server.until(() => descriptors(server) <= before, `no more than ${before} descriptors`);
  });

  test(`a sparse file of 2 GiB arrives whole with flat memory in ${name}`, async () => {
    await using server = await startSender(mode, 'file');
    const fd = openSync(join(server.directory, 'file'), 'w');
    ftruncateSync(fd, HUGE_BYTES);
    writeSync(fd, 'end', HUGE_BYTES - 3);
    closeSync(fd);
    await receive(server.port, MIB);
    const pids = server.processes();
    const before = pids.map(residentBytes);
    const growth = pids.map(() => 0);
    const sampler = setInterval(() => {
      pids.forEach((pid, index) => {
        growth[index] = Math.max(growth[index], residentBytes(pid) - before[index]);
      });
    }, 20);
    try {
      assert.equal(await within(receive(server.port), 'the whole file', 60_000), HUGE_BYTES);
    } finally {
      clearInterval(sampler);
    }
    assert.ok(Math.max(...growth) < RESIDENT_MAX_GROWTH, `grew by ${growth} bytes`);
  });
}

/** A server that answers every connection with the file, and closes it. */
function startSender(mode: number, path: string): Promise<TestServer> {
  return startServer({
    mode,
    settings: { worker_num: 1 },
    args: path,
    setup: ({ server, args }) => {
      server.on('connect', (server, fd) => {
        server.sendfile(fd, args);
        server.close(fd);
      });
      server.on('receive', () => {});
    },
  });
}

function descriptors(server: TestServer): number {
  return server.processes().reduce((sum, pid) => sum + descriptorCount(pid), 0);
}

/** Reads, and forgets, until the server ends the connection or so much has come; answers how much that was. */
function receive(port: number, enough = Number.POSITIVE_INFINITY): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: BUFFER,
        callback: (length) => {
          count += length;
          if (count >= enough) socket.resetAndDestroy();
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(count));
  });
}

const BUFFER = Buffer.alloc(256 * 1024);
