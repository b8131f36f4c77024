/** close(): `bye` ends a connection after what was sent, `reset` drops it at once, `close 3` ends that of somebody else. */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 2, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, line) => {
  const [word, argument] = line.toString().trim().split(' ');
  switch (word) {
    case 'bye':
      server.send(fd, 'good bye\n');
      server.close(fd);
      break;
    case 'reset':
      server.send(fd, 'never seen\n');
      server.close(fd, true);
      break;
    case 'close': {
      const closed = server.close(Number(argument));
      server.send(fd, closed ? 'closed\n' : `error ${server.getLastError()}\n`);
      break;
    }
    default:
      server.send(fd, `you are connection ${fd}\n`);
  }
});
server.on('close', (_server, fd, reactorId) => {
  console.log(`connection ${fd} was closed by the ${reactorId < 0 ? 'server' : 'client'}`);
});

await server.start();
