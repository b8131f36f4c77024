/** set(): threads, processes, the listen queue, worker turnover and dispatching. Packages go to the workers in turn. */
import { Server, SWOOLE_DISPATCH_ROUND, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);

server.set({
  reactor_num: 2, // threads of the master that own the sockets
  worker_num: 4, // processes that run the callbacks
  backlog: 128, // connections that may wait to be accepted
  max_request: 50, // packages after which a worker is replaced
  dispatch_mode: SWOOLE_DISPATCH_ROUND, // each package to the next worker
});

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd) => {
  server.send(fd, `worker ${server.worker_id} of ${server.setting.worker_num}\n`);
});

await server.start();
