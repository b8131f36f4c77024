/** The first server of the manual: answers once, then closes. `node examples/echo.ts [port]`, then `nc 127.0.0.1 9501`. */
import { Server } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501));

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('connect', (_server, fd) => {
  console.log(`Client ${fd}: connect`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  server.send(fd, `Swoole: ${data}`);
  server.close(fd);
});
server.on('close', (_server, fd) => {
  console.log(`Client ${fd}: close`);
});

await server.start();
