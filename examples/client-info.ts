/** getClientInfo(): whatever you send, the answer is what the server knows of your connection. */
import { Server } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501));

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd) => {
  const info = server.getClientInfo(fd);
  server.send(fd, `${JSON.stringify(info, null, 2)}\n`);
});

await server.start();
