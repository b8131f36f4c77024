/**
 * A UDP server: each datagram is one `packet`, answered with sendto(). `node examples/udp.ts [port]`, then
 * `nc -u 127.0.0.1 9502`.
 */
import { Server, SWOOLE_PROCESS, SWOOLE_SOCK_UDP } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9502), SWOOLE_PROCESS, SWOOLE_SOCK_UDP);
server.set({ worker_num: 2 });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port} (UDP)`);
});
server.on('packet', (server, data, clientInfo) => {
  console.log(`${clientInfo.address}:${clientInfo.port} sent ${data.length} bytes to port ${clientInfo.server_port}`);
  server.sendto(clientInfo.address, clientInfo.port, `Server: ${data}`, clientInfo.server_socket);
});

await server.start();
