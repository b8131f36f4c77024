/**
 * taskCo(): as taskWaitMulti(), but the result of a task that failed or was too late is `false`, so every place is filled.
 * Whatever you send, two tasks of it are given out; one of the two task workers sleeps, and is too late.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_BASE } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9502), SWOOLE_BASE);
server.set({ worker_num: 1, task_worker_num: 2 });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('workerStart', (server, workerId) => {
  if (server.taskworker) console.log(`#${workerId} waits for tasks`);
});
server.on('task', async (server, taskId, sourceWorkerId, data) => {
  console.log(`#${server.worker_id} task: worker ${sourceWorkerId}, id ${taskId}`);
  if (server.worker_id === 1) await delay(1000);
  return data;
});
server.on('receive', async (server, fd) => {
  const tasks = ['hello world', { data: 1234, code: 200 }];
  const results = await server.taskCo(tasks, 0.5);
  server.send(fd, `${JSON.stringify(results)}\n`);
});

await server.start();
