/**
 * task_enable_coroutine: one task worker works on many tasks at a time, as long as they wait and do not compute. Each task
 * is an object then, which knows whom to answer. Send milliseconds, as `300 100 200`, and see who is first.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_PROCESS, type Task } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({
  worker_num: 1,
  task_worker_num: 1,
  task_enable_coroutine: true,
  open_eof_split: true,
  package_eof: '\n',
});

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, line) => {
  for (const ms of line.toString().trim().split(' ').map(Number)) {
    server.task(ms, -1, (server, taskId, text) => {
      server.send(fd, `task ${taskId}: ${text}\n`);
    });
  }
});
server.on('task', async (_server, task: Task) => {
  await delay(Number(task.data));
  task.finish(`${task.data} ms, sent by worker ${task.worker_id}`);
});

await server.start();
