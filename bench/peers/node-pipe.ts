/** What a Node user writes today to send a file to everybody who connects: `node bench/peers/node-pipe.ts <file>`. */
import { createReadStream } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';

const server = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  createReadStream(process.argv[2]).pipe(socket);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening ${(server.address() as AddressInfo).port}`);
});
