/**
 * Receives what is sent to a multicast group, and answers each sender. `node examples/multicast.ts [port] [interface]`.
 * The group is joined before start(), by the first process; in the others the same lines change nothing.
 */
import { Server, SWOOLE_BASE, SWOOLE_SOCK_UDP } from 'tswoole';

const GROUP = '224.10.20.30';
const server = new Server('0.0.0.0', Number(process.argv[2] ?? 9905), SWOOLE_BASE, SWOOLE_SOCK_UDP);
server.set({ worker_num: 1 });

const socket = server.getSocket();
// The interface by name, number or address; without one the kernel chooses.
if (socket === false || !socket.addMembership(GROUP, process.argv[3] ?? 0)) {
  throw new Error(`Unable to join multicast group: errno ${server.getLastError()}`);
}

server.on('start', () => {
  console.log(`Listening to ${GROUP}:${server.port}`);
});
server.on('packet', (server, data, addr) => {
  server.sendto(addr.address, addr.port, `Swoole: ${data}`);
  console.log(addr, data.length);
});

await server.start();
