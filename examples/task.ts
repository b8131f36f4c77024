/**
 * task(): slow work goes to task workers, while the worker that took the request serves the next one. Whatever you send
 * becomes two tasks: the result of the first comes to a callback of its own, that of the second to the finish event.
 */
import { Server, SWOOLE_BASE } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_BASE);
server.set({ worker_num: 2, task_worker_num: 4 });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('workerStart', (server, workerId) => {
  // What ps and top show.
  process.title = `task.ts: ${server.taskworker ? 'task worker' : 'worker'} ${workerId}`;
});
server.on('receive', (server, fd, _reactorId, data) => {
  const text = data.toString().trim();
  // To any task worker, an idle one if there is one.
  server.task(text, -1, (_server, taskId, result) => {
    console.log(`callback: task ${taskId} answered ${JSON.stringify(result)}`);
  });
  // To the first task worker. The first task of a process has the id 0, so a failure is only `=== false`.
  const taskId = server.task(text, 0);
  server.send(fd, taskId === false ? `error ${server.getLastError()}\n` : `task ${taskId} is on its way\n`);
});
server.on('task', (server, taskId, sourceWorkerId, data: string) => {
  console.log(`task worker ${server.worker_id} has task ${taskId} of worker ${sourceWorkerId}: ${data}`);
  server.finish(data.toUpperCase());
});
server.on('finish', (_server, taskId, result) => {
  console.log(`finish: task ${taskId} answered ${JSON.stringify(result)}`);
});

await server.start();
