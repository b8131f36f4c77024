import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SWOOLE_SOCK_UDP } from '../../src/index.ts';
import { AF_INET, AF_UNIX, EAGAIN, SOCK_DGRAM } from '../../src/sys/constants.ts';
import { aimIPv4, aimUnix, sendDatagram } from '../../src/sys/datagram.ts';
import { errno, recv } from '../../src/sys/libc.ts';
import { allocate } from '../../src/sys/memory.ts';
import { bindTo, closeDescriptor, openSocket } from '../../src/sys/socket.ts';
import { descriptorCount, residentBytes } from '../support/process-info.ts';
import { startServer } from '../support/server.ts';
import { SUBJECTS } from '../support/subjects.ts';
import { until } from '../support/until.ts';

const PEERS = 10_000;
const AT_ONCE = 100;
const GROWTH_BYTES_MAX = 16 * 1024 * 1024;

for (const { name, mode, workerNum } of SUBJECTS) {
  test(`${PEERS} peers of each kind of datagrams leave nothing behind in ${name}`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'tswoole-test-peers-'));
    const path = join(directory, 'server.sock');
    await using server = await startServer({
      mode,
      type: SWOOLE_SOCK_UDP,
      settings: { worker_num: workerNum },
      args: path,
      setup: ({ server, swoole, args }) => {
        if (server.listen(args, 0, swoole.SWOOLE_SOCK_UNIX_DGRAM) === false) throw new Error('no second port');
        server.on('packet', (server, data, info) => {
          server.sendto(info.address, info.port ?? 0, data, info.server_socket);
        });
      },
    });
    const memory = allocate(4096);
    let made = 0;
    /** Sends one packet from each of many new sockets, and waits for all answers. */
    const visit = async (family: number): Promise<void> => {
      const own: string[] = [];
      const fds = Array.from({ length: AT_ONCE }, () => {
        const fd = openSocket(family, SOCK_DGRAM);
        const host = family === AF_INET ? '127.0.0.1' : join(directory, `${made++}`);
        if (family === AF_UNIX) own.push(host);
        assert.equal(bindTo(fd, { family, host, port: 0 }), 0);
        assert.ok(family === AF_INET ? aimIPv4('127.0.0.1', server.port) : aimUnix(path));
        return fd;
      });
      for (const fd of fds) {
        // A Unix socket may be full for a moment.
        await until(() => sendDatagram(fd, 'hello') === 0, 'room for a packet');
      }
      for (const fd of fds) {
        await until(() => {
          const count = recv(fd, memory.address, 4096, 0);
          if (count < 0) assert.equal(errno(), EAGAIN);
          return count === 5;
        }, 'the answer');
        closeDescriptor(fd);
      }
      for (const file of own) rmSync(file);
    };
    const visitAll = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += AT_ONCE) for (const family of [AF_INET, AF_UNIX]) await visit(family);
    };
    await visitAll(PEERS / 10);
    const pids = server.processes();
    const before = pids.map((pid) => ({ descriptors: descriptorCount(pid), bytes: residentBytes(pid) }));
    await visitAll(PEERS);
    for (const [index, pid] of pids.entries()) {
      assert.ok(descriptorCount(pid) <= before[index].descriptors, `${descriptorCount(pid)} descriptors in ${pid}`);
      const growth = residentBytes(pid) - before[index].bytes;
      assert.ok(growth < GROWTH_BYTES_MAX, `${(growth / 1024 / 1024).toFixed(1)} MiB more in ${pid}`);
    }
    rmSync(directory, { recursive: true, force: true });
  });
}
