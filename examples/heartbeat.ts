/**
 * heartbeat(): whoever is silent for two seconds is disconnected. `protect` exempts your connection, `silent` lists those
 * that are over the time, `sweep` closes them now instead of at the next check.
 */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ heartbeat_idle_time: 2, heartbeat_check_interval: 1, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, line) => {
  switch (line.toString().trim()) {
    case 'protect':
      server.send(fd, `protected: ${server.protect(fd)}\n`);
      break;
    case 'silent':
      server.send(fd, `silent: ${JSON.stringify(server.heartbeat(false))}\n`);
      break;
    case 'sweep':
      server.send(fd, `closed: ${JSON.stringify(server.heartbeat())}\n`);
      break;
    default:
      server.send(fd, 'still there\n');
  }
});
server.on('close', (_server, fd) => {
  console.log(`${fd} close`);
});

await server.start();
