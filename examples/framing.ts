/**
 * Packages with their length in front: four bytes in network order, then as many bytes of body. `receive` gets exactly one
 * package each time, however TCP cut or joined them.
 */
import { Server } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501));
server.set({
  open_length_check: true,
  package_length_type: 'N', // unsigned, 32 bits, big endian
  package_length_offset: 0, // where the length is
  package_body_offset: 4, // what it does not count: itself
  package_max_length: '1M',
});

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  const body = Buffer.from(data.toString('utf8', 4).toUpperCase());
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  server.send(fd, Buffer.concat([header, body]));
});

await server.start();
