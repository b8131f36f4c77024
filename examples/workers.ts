/** Who is who: `list` shows all processes, `stop` replaces the worker that serves you, `stop 1` another, `shutdown` ends all. */
import { Server, SWOOLE_PROCESS, SWOOLE_WORKER_BUSY, SWOOLE_WORKER_IDLE } from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 3, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}`);
});
server.on('workerStop', (_server, workerId) => {
  console.log(`worker ${workerId} (${process.pid}) stops`);
});
server.on('receive', (server, fd, _reactorId, line) => {
  const [word, argument] = line.toString().trim().split(' ');
  if (word === 'stop') server.send(fd, `stop: ${server.stop(argument === undefined ? -1 : Number(argument), true)}\n`);
  else if (word === 'shutdown') server.shutdown();
  else server.send(fd, list(server));
});

function list(server: Server): string {
  const lines = [`master ${server.getMasterPid()}`, `manager ${server.getManagerPid()}`];
  for (let id = 0; id < server.setting.worker_num!; id++) {
    const me = id === server.getWorkerId() ? ', serves you' : '';
    lines.push(`worker ${id}: ${server.getWorkerPid(id)} ${statusName(server.getWorkerStatus(id))}${me}`);
  }
  return `${lines.join('\n')}\n.\n`;
}

function statusName(status: number | false): string {
  if (status === false) return 'unknown';
  return status === SWOOLE_WORKER_BUSY ? 'busy' : status === SWOOLE_WORKER_IDLE ? 'idle' : 'exiting';
}

console.log(`start() answered ${await server.start()}`);
