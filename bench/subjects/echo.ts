/**
 * A tswoole echo server, written as a user would:
 * `node bench/subjects/echo.ts base|process [--workers 1] [--transport tcp|udp|unix] [--source]`.
 * It runs what `npm run build` made, as users do; --source takes src/ instead.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: {
    workers: { type: 'string', default: '1' },
    transport: { type: 'string', default: 'tcp' },
    source: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const entry = values.source ? '../../src/index.ts' : '../../dist/index.js';
const tswoole = (await import(entry)) as typeof import('../../src/index.ts');
const { Server, SWOOLE_BASE, SWOOLE_LOG_WARNING, SWOOLE_PROCESS, SWOOLE_SOCK_TCP } = tswoole;
const { SWOOLE_SOCK_UDP, SWOOLE_SOCK_UNIX_STREAM } = tswoole;

const mode = positionals[0] === 'process' ? SWOOLE_PROCESS : SWOOLE_BASE;
const types = { tcp: SWOOLE_SOCK_TCP, udp: SWOOLE_SOCK_UDP, unix: SWOOLE_SOCK_UNIX_STREAM };
const type = types[values.transport as keyof typeof types];
// A name that all processes of the server find alike: the first tells the others by its environment.
process.env.ECHO_PATH ??= join(tmpdir(), `tswoole-bench-${process.pid}.sock`);
const server = new Server(values.transport === 'unix' ? process.env.ECHO_PATH : '127.0.0.1', 0, mode, type);
server.set({ worker_num: Number(values.workers), log_level: SWOOLE_LOG_WARNING });
// BASE mode has a reactor in each worker; there is nothing to choose.
if (mode === SWOOLE_PROCESS) server.set({ reactor_num: 1 });
server.on('start', (server) => {
  console.log(`listening ${values.transport === 'unix' ? server.host : server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, data);
});
server.on('packet', (server, data, { address, port, server_socket }) => {
  server.sendto(address, port, data, server_socket);
});
server.start();
