/**
 * task_ipc_mode 3 with message_queue_key: tasks wait in a message queue of the kernel, where they outlive the server. Any
 * task worker takes the next one, and other programs may put tasks there: `node examples/task-queue.ts push 4711 hello`.
 * Start the server with `node examples/task-queue.ts 9501 4711`, after the push or before. `ipcrm -Q 4711` removes the queue.
 */
import { Process, Server, SWOOLE_IPC_PREEMPTIVE, SWOOLE_PROCESS, Task } from 'tswoole';

if (process.argv[2] === 'push') await push(Number(process.argv[3]), process.argv[4]);
else await serve(Number(process.argv[2] ?? 9501), Number(process.argv[3] ?? 4711));

/** Needs no server: only the queue. */
async function push(key: number, data: string): Promise<void> {
  const queue = new Process(() => {});
  const pushed = queue.useQueue(key) && (await queue.push(Task.pack(data)));
  console.log(pushed ? 'pushed' : `error ${queue.getLastError()}`);
}

async function serve(port: number, key: number): Promise<void> {
  const server = new Server('127.0.0.1', port, SWOOLE_PROCESS);
  server.set({
    worker_num: 1,
    task_worker_num: 2,
    task_ipc_mode: SWOOLE_IPC_PREEMPTIVE,
    message_queue_key: key,
    open_eof_split: true,
    package_eof: '\n',
  });

  server.on('start', () => {
    console.log(`Listening on 127.0.0.1:${server.port}`);
  });
  server.on('receive', async (server, fd, _reactorId, line) => {
    const answer = await server.taskwait(line.toString().trim(), 5);
    server.send(fd, `${answer === false ? `error ${server.getLastError()}` : answer}\n`);
  });
  server.on('task', (server, _taskId, _sourceWorkerId, data) => {
    console.log(`task worker ${server.worker_id}: ${data}`);
    return `task worker ${server.worker_id} has done: ${data}`;
  });

  await server.start();
}
