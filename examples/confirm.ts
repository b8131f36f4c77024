/** confirm(): nothing is read from a client until its address has been looked at. */
import { Server } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501));
server.set({ enable_delay_receive: true });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('connect', (server, fd) => {
  const info = server.getClientInfo(fd);
  if (info !== false && info.remote_ip === '127.0.0.1') server.confirm(fd);
  else server.close(fd);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, `Server: ${data}`);
});
server.on('close', (_server, fd) => {
  console.log(`Client ${fd}: close`);
});

await server.start();
