/**
 * reload(): new code without a lost connection. Every worker is a new process that evaluates the script and what it
 * imports again. Connect, say something, change the text in reload-greeting.ts, send `reload`, say something again: the
 * connection is the same, the worker and its code are new. `kill -USR1 <master>` does the same from outside.
 */
import { Server, SWOOLE_PROCESS } from 'tswoole';

const module = process.argv[3] ?? new URL('./reload-greeting.ts', import.meta.url).href;
const { greeting } = (await import(module)) as { greeting: string };

const server = new Server('127.0.0.1', Number(process.argv[2] ?? 9501), SWOOLE_PROCESS);
server.set({ worker_num: 2, open_eof_split: true, package_eof: '\n' });

server.on('start', () => {
  console.log(`Listening on 127.0.0.1:${server.port}, master ${server.master_pid}`);
});
server.on('workerStart', (server, workerId) => {
  console.log(`worker ${workerId} is process ${server.worker_pid} and says "${greeting}"`);
});
server.on('beforeReload', () => {
  console.log('reload begins');
});
server.on('afterReload', () => {
  console.log('reload is complete');
});
server.on('receive', (server, fd, _reactorId, line) => {
  const reloading = line.toString().trim() === 'reload' && server.reload();
  server.send(fd, reloading ? 'reloading\n' : `${greeting} from process ${process.pid}\n`);
});

await server.start();
