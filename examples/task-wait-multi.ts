/**
 * taskWaitMulti(): gives out many tasks and waits for all of them. Results stand where their tasks stood, whoever was
 * first; the place of a task that was too late is empty. Send milliseconds, as `10 2000 20`: each is a task of that length.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_PROCESS } from 'tswoole';

const WAIT_SECONDS = 1;

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, task_worker_num: 3, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('workerStart', (server, workerId) => {
  if (server.taskworker) console.log(`task worker ${workerId} waits for tasks`);
});
server.on('receive', async (server, fd, _reactorId, line) => {
  const tasks = line.toString().trim().split(' ').map(Number);
  const results = await server.taskWaitMulti<string>(tasks, WAIT_SECONDS);
  if (results === false) return;
  for (let i = 0; i < tasks.length; i++)
    server.send(fd, i in results ? `task ${i + 1}: ${results[i]}\n` : `task ${i + 1} was not in time\n`);
});
server.on('task', async (server, _taskId, _sourceWorkerId, ms: number) => {
  await delay(ms);
  return `${ms} ms, by task worker ${server.worker_id}`;
});

await server.start();
