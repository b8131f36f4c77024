/**
 * bind(): all connections of a user id go to one worker. The first message of a connection binds it; later ones go to
 * everybody whom that worker knows. Each worker has its own `users`: processes share no variables.
 */
import { Server, SWOOLE_DISPATCH_UIDMOD, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
const users = new Map<number, number>();

server.set({ worker_num: 4, dispatch_mode: SWOOLE_DISPATCH_UIDMOD });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('connect', (server, fd) => {
  console.log(`${fd} connect, worker: ${server.worker_id}`);
});
server.on('receive', (server, fd, _reactorId, data) => {
  const info = server.connection_info(fd);
  if (info === false) return;
  console.log(`${fd} receive, worker: ${server.worker_id}, uid: ${info.uid}`);
  if (!info.uid) {
    const uid = fd + 1;
    if (server.bind(fd, uid)) server.send(fd, `bind ${uid} success\n`);
    return;
  }
  users.set(fd, info.uid);
  for (const other of users.keys()) server.send(other, `${fd} say: ${data}`);
});
server.on('close', (server, fd) => {
  console.log(`${fd} close, worker: ${server.worker_id}`);
  users.delete(fd);
});

await server.start();
