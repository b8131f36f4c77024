/**
 * Sends a file to everybody who connects, and closes: `node bench/subjects/sendfile.ts base|process <file> [--source]`.
 */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { source: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const entry = values.source ? '../../src/index.ts' : '../../dist/index.js';
const { Server, SWOOLE_BASE, SWOOLE_LOG_WARNING, SWOOLE_PROCESS } = (await import(
  entry
)) as typeof import('../../src/index.ts');

const [mode, file] = positionals;
const server = new Server('127.0.0.1', 0, mode === 'process' ? SWOOLE_PROCESS : SWOOLE_BASE);
server.set({ worker_num: 1, log_level: SWOOLE_LOG_WARNING });
if (mode === 'process') server.set({ reactor_num: 1 });
server.on('start', (server) => {
  console.log(`listening ${server.port}`);
});
server.on('connect', (server, fd) => {
  server.sendfile(fd, file);
  server.close(fd);
});
server.on('receive', () => {});
server.start();
