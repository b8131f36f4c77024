/**
 * One server, several TCP ports. Ports without callbacks of their own use the server's; getClientInfo() tells which port
 * a connection came through. See mixed-ports.ts for other kinds of ports.
 */
import { Server, SWOOLE_PROCESS, SWOOLE_SOCK_TCP } from 'tswoole';

const port = Number(process.argv[2] ?? 9501);
const server = new Server('127.0.0.1', port, SWOOLE_PROCESS);

const admin = server.addListener('127.0.0.1', port === 0 ? 0 : port + 1, SWOOLE_SOCK_TCP);
// 0: the kernel chooses; the number is known at once.
const random = server.listen('127.0.0.1', 0, SWOOLE_SOCK_TCP);
if (admin === false || random === false) {
  console.error(`A port is taken (errno ${server.getLastError()})`);
  process.exit(1);
}

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
  console.log(`Administration on 127.0.0.1:${admin.port}`);
  console.log(`A port that the kernel chose: 127.0.0.1:${random.port}`);
});

server.on('receive', (server, fd, _reactorId, data) => {
  const info = server.getClientInfo(fd);
  if (info !== false) server.send(fd, `port ${info.server_port}: ${data}`);
});

// This port cuts its input into lines and has a callback of its own.
admin.set({ open_eof_split: true, package_eof: '\n' });
admin.on('receive', (server, fd, _reactorId, line) => {
  if (line.toString().trim() === 'shutdown') server.shutdown();
  else server.send(fd, `${server.connections.count()} connections, ${admin.connections.count()} of them here\n`);
});

await server.start();
console.log('Shut down');
