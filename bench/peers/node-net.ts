/** The echo server that a Node user writes today: one process, `node:net`. With the argument `unix` on a Unix socket. */
import { rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (data) => socket.write(data));
  // Without a listener a client that resets its connection would end the process.
  socket.on('error', () => socket.destroy());
});
if (process.argv[2] === 'unix') {
  const path = join(tmpdir(), `node-net-bench-${process.pid}.sock`);
  server.listen(path, () => console.log(`listening ${path}`));
  process.once('SIGTERM', () => {
    rmSync(path);
    process.exit();
  });
} else {
  server.listen(0, '127.0.0.1', () => {
    console.log(`listening ${(server.address() as AddressInfo).port}`);
  });
}
