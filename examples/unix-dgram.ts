/**
 * A server on a Unix datagram socket. The address of a client is a path, and send() takes it where it otherwise takes the
 * number of a connection. `node examples/unix-dgram.ts [path]`, then
 * `socat - UNIX-SENDTO:/tmp/tswoole.sock,bind=/tmp/client.sock`.
 */
import { Server, SWOOLE_BASE, SWOOLE_UNIX_DGRAM } from 'tswoole';

const server = new Server(process.argv[2] ?? '/tmp/tswoole.sock', 0, SWOOLE_BASE, SWOOLE_UNIX_DGRAM);

server.on('start', () => {
  console.log(`Listening on ${server.host}`);
});
server.on('packet', (server, data, addr) => {
  console.log(`${addr.address || 'somebody without a path'} sent ${data.length} bytes`);
  // Whoever is not bound to a path cannot be answered.
  if (addr.address !== '' && !server.send(addr.address, `SUCCESS: ${data}`, addr.server_socket))
    console.log(`${addr.address} cannot be answered: errno ${server.getLastError()}`);
});

await server.start();
// The file is gone again.
