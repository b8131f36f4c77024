/** stats(): whatever you send, the answer is the server's counters. */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd) => {
  server.send(fd, `${JSON.stringify(server.stats(), null, 2)}\n`);
});

await server.start();
