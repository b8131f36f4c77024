/**
 * A tswoole echo server, written as a user would: `node bench/subjects/echo.ts base|process [--workers 1] [--source]`.
 * It runs what `npm run build` made, as users do; --source takes src/ instead.
 */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { workers: { type: 'string', default: '1' }, source: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const entry = values.source ? '../../src/index.ts' : '../../dist/index.js';
const tswoole = (await import(entry)) as typeof import('../../src/index.ts');
const { Server, SWOOLE_BASE, SWOOLE_LOG_WARNING, SWOOLE_PROCESS } = tswoole;

const mode = positionals[0] === 'process' ? SWOOLE_PROCESS : SWOOLE_BASE;
const server = new Server('127.0.0.1', 0, mode);
server.set({ worker_num: Number(values.workers), log_level: SWOOLE_LOG_WARNING });
// BASE mode has a reactor in each worker; there is nothing to choose.
if (mode === SWOOLE_PROCESS) server.set({ reactor_num: 1 });
server.on('start', (server) => {
  console.log(`listening ${server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, data);
});
server.start();
