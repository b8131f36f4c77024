/**
 * reload(true): new task workers, one after the other; the workers stay. `kill -USR2 <master>` does the same from outside.
 * `who` tells who serves you and who works for you, `reload` replaces the task workers, `stop` the first one.
 */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 1, task_worker_num: 2, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}, master ${server.master_pid}`);
});
server.on('afterReload', () => {
  console.log('reload is complete');
});
server.on('workerStop', (server, workerId) => {
  console.log(`${server.taskworker ? 'task worker' : 'worker'} ${workerId} (${process.pid}) stops`);
});
server.on('task', () => process.pid);
server.on('receive', async (server, fd, _reactorId, line) => {
  switch (line.toString().trim()) {
    case 'reload':
      server.send(fd, `reload: ${server.reload(true)}\n`);
      return;
    case 'stop':
      // Task workers count from worker_num here, and from 0 in task().
      server.send(fd, `stop: ${server.stop(server.setting.worker_num, true)}\n`);
      return;
    default: {
      const pids = [await server.taskwait(null, 5, 0), await server.taskwait(null, 5, 1)];
      server.send(fd, `worker ${process.pid}, task workers ${pids.join(' ')}\n`);
    }
  }
});

await server.start();
