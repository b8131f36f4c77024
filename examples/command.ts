/**
 * addCommand() and command(): functions that any process of the server can be asked to run. This one asks three processes
 * for their pids, and ends.
 */
import {
  Server,
  SWOOLE_BASE,
  SWOOLE_SERVER_COMMAND_EVENT_WORKER,
  SWOOLE_SERVER_COMMAND_MANAGER,
  SWOOLE_SERVER_COMMAND_MASTER,
} from 'tswoole';

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_BASE);
server.set({ worker_num: 2 });

// The data comes as JSON, and the answer is JSON.
const accepted = SWOOLE_SERVER_COMMAND_MASTER | SWOOLE_SERVER_COMMAND_EVENT_WORKER | SWOOLE_SERVER_COMMAND_MANAGER;
server.addCommand('test_getpid', accepted, (_server, data) => {
  const { type } = JSON.parse(data) as { type: string };
  return JSON.stringify({ pid: process.pid, type });
});

server.on('start', async (server) => {
  const ask = (name: string, id: number, processType: number, type: string) =>
    server.command<{ pid: number; type: string }>(name, id, processType, { type });

  const master = await ask('test_getpid', 0, SWOOLE_SERVER_COMMAND_MASTER, 'master');
  report('master', master !== false && master.pid === server.getMasterPid());
  const worker = await ask('test_getpid', 1, SWOOLE_SERVER_COMMAND_EVENT_WORKER, 'worker');
  report('worker 1', worker !== false && worker.pid === server.getWorkerPid(1));
  const manager = await ask('test_getpid', 0, SWOOLE_SERVER_COMMAND_MANAGER, 'manager');
  report('manager', manager !== false && manager.pid === server.getManagerPid());
  const nobody = await ask('test_not_found', 1, SWOOLE_SERVER_COMMAND_EVENT_WORKER, 'worker');
  console.log(`test_not_found: ${nobody}, error ${server.getLastError()}`);

  server.shutdown();
});
server.on('receive', () => {});

function report(who: string, right: boolean): void {
  console.log(`${who}: ${right ? 'the pid is right' : 'the pid is wrong'}`);
}

await server.start();
