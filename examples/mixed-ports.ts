/**
 * One server for all kinds of sockets: TCP and UDP on one port number, IPv6 beside IPv4, and a Unix socket for
 * administration. `node examples/mixed-ports.ts [port] [path]`, then for example `nc -U /tmp/tswoole-admin.sock`.
 */
import {
  type Port,
  Server,
  SWOOLE_PROCESS,
  SWOOLE_SOCK_TCP,
  SWOOLE_SOCK_TCP6,
  SWOOLE_SOCK_UDP,
  SWOOLE_UNIX_STREAM,
} from 'tswoole';

const adminPath = process.argv[3] ?? '/tmp/tswoole-admin.sock';
const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS, SWOOLE_SOCK_TCP);
server.set({ worker_num: 2 });

const { port } = server;
const udp = listening(server.addListener('127.0.0.1', port, SWOOLE_SOCK_UDP));
const tcp6 = listening(server.addListener('::1', port, SWOOLE_SOCK_TCP6));
const admin = listening(server.addListener(adminPath, 0, SWOOLE_UNIX_STREAM));

function listening(added: Port | false): Port {
  if (added === false) throw new Error(`a port cannot be used: errno ${server.getLastError()}`);
  return added;
}

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${port} (TCP and UDP), on [::1]:${tcp6.port} and on ${admin.host}`);
});
// Of the server's own port, and of every other one that has no callback of its own.
server.on('receive', (server, fd, _reactorId, data) => {
  const info = server.getClientInfo(fd);
  if (info !== false) server.send(fd, `you are ${info.remote_ip}:${info.remote_port}, and said: ${data}`);
});
udp.on('packet', (server, data, { address, port: clientPort, server_socket }) => {
  server.sendto(address, clientPort, `you are ${address}:${clientPort}, and said: ${data}`, server_socket);
});
// A port with settings of its own inherits none: here lines are cut, elsewhere not.
admin.set({ open_eof_split: true, package_eof: '\n' });
admin.on('receive', (server, fd, _reactorId, line) => {
  const command = line.toString().trim();
  if (command === 'shutdown') server.shutdown();
  else if (command === 'count') server.send(fd, `${server.connections.count()} connections\n`);
  else server.send(fd, 'count or shutdown?\n');
});

await server.start();
console.log('Shut down');
