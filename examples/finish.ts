/**
 * finish(): a task may answer as often as it likes, and what its callback returns is one more answer. Send a number: the
 * task counts up to it, and you see each step.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_PROCESS } from 'tswoole';

interface Progress {
  fd: number;
  text: string;
}

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, task_worker_num: 1, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('receive', (server, fd, _reactorId, line) => {
  server.task({ fd, steps: Number(line) || 0 });
});
// A task worker takes its next task when this promise has settled.
server.on('task', async (server, _taskId, _sourceWorkerId, { fd, steps }: { fd: number; steps: number }) => {
  for (let step = 1; step <= steps; step++) {
    await delay(10);
    server.finish({ fd, text: `step ${step}` } satisfies Progress);
  }
  return { fd, text: 'done' } satisfies Progress;
});
server.on('finish', (server, _taskId, { fd, text }: Progress) => {
  server.send(fd, `${text}\n`);
});

await server.start();
