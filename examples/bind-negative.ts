/** bind() with a negative id: it is kept as an unsigned number of 32 bits, and `| 0` brings it back. */
import { Server, SWOOLE_DISPATCH_UIDMOD, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 2, dispatch_mode: SWOOLE_DISPATCH_UIDMOD });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd) => {
  server.bind(fd, -10);
  const info = server.connection_info(fd);
  if (info === false || info.uid === undefined) return;
  server.send(fd, `kept as ${info.uid}, was ${info.uid | 0}\n`);
});

await server.start();
