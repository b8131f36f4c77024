/**
 * taskwait(): waits for the result of a task, while the worker goes on with other connections. `add 1 2 3` is answered by
 * a task worker. `slow` needs longer than we wait, `crash` kills its task worker and `throw` fails: the answer is then
 * `false`, and getLastError() tells why. `sync 1 2 3` waits in Swoole's synchronous mode: this worker does nothing else.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_PROCESS } from 'tswoole';

const WAIT_SECONDS = 2;

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, task_worker_num: 2, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', async (server, fd, _reactorId, line) => {
  const [word, ...numbers] = line.toString().trim().split(' ');
  const task = { word, numbers: numbers.map(Number) };
  const timeout = word === 'slow' ? 0.05 : WAIT_SECONDS;
  const sum = word === 'sync' ? server.taskwaitSync(task, timeout) : await server.taskwait(task, timeout);
  server.send(fd, sum === false ? `error ${server.getLastError()}\n` : `${sum}\n`);
});
server.on('task', async (_server, _taskId, _sourceWorkerId, task: { word: string; numbers: number[] }) => {
  if (task.word === 'slow') await delay(200);
  if (task.word === 'crash') process.kill(process.pid, 'SIGKILL');
  if (task.word === 'throw') throw new Error('this task cannot be done');
  return task.numbers.reduce((sum, number) => sum + number, 0);
});

await server.start();
