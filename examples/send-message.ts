/**
 * sendMessage(): any process sends any value to a worker or task worker, whose pipeMessage event gets it. `task` makes a
 * task of what you send; anything else goes to the other worker and to the task workers as a message.
 */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 2, task_worker_num: 2 });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('pipeMessage', (server, sourceWorkerId, message) => {
  console.log(`#${server.worker_id} message from #${sourceWorkerId}: ${message}`);
});
server.on('task', (server, taskId, sourceWorkerId, data) => {
  console.log(`#${server.worker_id} task ${taskId} of #${sourceWorkerId}: ${data}`);
});
server.on('receive', (server, _fd, _reactorId, data) => {
  if (data.toString().trim() === 'task') {
    server.task('async task coming');
    return;
  }
  server.sendMessage('hello worker', 1 - server.worker_id);
  // The ids of task workers follow those of the workers.
  for (const id of [2, 3]) server.sendMessage('hello task process', id);
});

await server.start();
