/** The same with tswoole: `node bench/subjects/tls-echo.ts base|process <certificate> <key> [--source]`. */
const [, , mode, cert, key, source] = process.argv;
const entry = source === '--source' ? '../../src/index.ts' : '../../dist/index.js';
const tswoole = (await import(entry)) as typeof import('../../src/index.ts');
const { Server, SWOOLE_BASE, SWOOLE_LOG_WARNING, SWOOLE_PROCESS, SWOOLE_SOCK_TCP, SWOOLE_SSL } = tswoole;

const base = mode === 'base';
const server = new Server('127.0.0.1', 0, base ? SWOOLE_BASE : SWOOLE_PROCESS, SWOOLE_SOCK_TCP | SWOOLE_SSL);
server.set({ worker_num: 1, log_level: SWOOLE_LOG_WARNING, ssl_cert_file: cert, ssl_key_file: key });
if (!base) server.set({ reactor_num: 1 });
server.on('start', (server) => {
  console.log(`listening ${server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, data);
});
server.start();
