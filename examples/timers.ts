/**
 * tick(), after(), clearTimer(): timers belong to the process that made them. Workers and task workers start one each;
 * `tick` starts another one for your connection, `stop` ends it, `later` answers once.
 */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, task_worker_num: 1, open_eof_split: true, package_eof: '\n' });

const timers = new Map<number, number>();

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('workerStart', (server, workerId) => {
  if (!server.taskworker)
    server.tick(100, (timerId) => {
      console.log(`worker ${workerId}: timer ${timerId}`);
      server.clearTimer(timerId);
    });
  else
    server.after(100, () => {
      console.log(`task worker ${workerId}: once`);
    });
});
// A live timer would keep a worker that is to stop waiting.
server.on('workerExit', (server) => {
  for (const timerId of timers.values()) server.clearTimer(timerId);
});
server.on('task', () => {});
server.on('receive', (server, fd, _reactorId, line) => {
  switch (line.toString().trim()) {
    case 'tick': {
      stop(fd);
      const timerId = server.tick(100, () => server.send(fd, 'hello world\n'));
      if (timerId !== false) timers.set(fd, timerId);
      return;
    }
    case 'stop':
      server.send(fd, `stopped: ${stop(fd)}\n`);
      return;
    case 'later':
      server.after(50, (text: string) => server.send(fd, text), 'that is all\n');
  }
});
server.on('close', (_server, fd) => {
  stop(fd);
});

function stop(fd: number): boolean {
  const timerId = timers.get(fd);
  timers.delete(fd);
  return timerId !== undefined && server.clearTimer(timerId);
}

await server.start();
