/**
 * What `npm start` runs: a chat over plain TCP, served by five processes. Reload it or kill its workers while people
 * talk: nobody is disconnected. Everything below is what any program of yours could do.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, SWOOLE_LOG_WARNING, SWOOLE_PROCESS } from 'tswoole';

const HOST = '127.0.0.1';
const PORT = 9501;
const WORKERS = 2;
const TASK_WORKERS = 1;
/** What the task worker counts in about a second. */
const PRIMES_MAX = 100_000_000;

const HELP = `\
  help      this text
  who       everybody who is connected
  stats     what the server has counted
  primes N  counts the prime numbers below N, in the task worker: the chat goes on
  reload    replaces every worker by a new process; you stay connected
  crash     kills the worker that serves you; you stay connected
  quit      good bye
  Anything else is said to everybody.
`;

// What stands here runs in every process: what is to be said once is said in a callback, as in `start`.
let server = makeServer(PORT);
if (!(await server.start())) {
  server = makeServer(0);
  if (!(await server.start())) process.exit(1);
}
console.log('The server has ended.');

/** The script runs in every process: each makes the same server, and start() gives each its role. */
function makeServer(port: number): Server {
  const server = new Server(HOST, port, SWOOLE_PROCESS);
  server.set({
    worker_num: WORKERS,
    task_worker_num: TASK_WORKERS,
    reactor_num: 1,
    open_eof_split: true, // a package is a line …
    package_eof: '\n',
    package_max_length: '64K', // … of at most so many bytes
    log_level: SWOOLE_LOG_WARNING,
  });

  // Titles are what ps and top show.
  server.on('start', (server) => {
    process.title = 'tswoole demo: master';
    introduce(server);
  });
  server.on('managerStart', () => {
    process.title = 'tswoole demo: manager';
  });
  server.on('workerStart', (server, workerId) => {
    process.title = `tswoole demo: ${server.taskworker ? 'task worker' : 'worker'} ${workerId}`;
  });
  server.on('afterReload', (server) => {
    sayToAll(server, '* every worker is a new process now, and you are still here\n');
  });

  server.on('connect', (server, fd) => {
    server.send(fd, `* welcome, you are guest ${fd}, served by ${whoAmI(server)}; try "help"\n`);
    sayToAll(server, `* guest ${fd} has come\n`, fd);
  });
  server.on('receive', (server, fd, _reactorId, line) => {
    answer(server, fd, line.toString().trim());
  });
  server.on('task', (_server, _taskId, _sourceWorkerId, limit: number) => countPrimes(limit));
  server.on('close', (server, fd) => {
    sayToAll(server, `* guest ${fd} has gone\n`, fd);
  });
  return server;
}

function answer(server: Server, fd: number, line: string): void {
  const [word, argument] = line.split(' ');
  if (word === 'primes' && argument !== undefined) {
    startCounting(server, fd, Number(argument));
    return;
  }
  switch (line) {
    case '':
      return;
    case 'help':
      server.send(fd, HELP);
      return;
    case 'who':
      server.send(fd, guests(server, fd));
      return;
    case 'stats':
      server.send(fd, counters(server));
      return;
    case 'reload':
      server.send(fd, server.reload() ? '* reloading …\n' : '* a reload is under way already\n');
      return;
    case 'crash':
      server.send(fd, `* ${whoAmI(server)} dies now; say something, and another process will answer\n`);
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'quit':
      server.send(fd, '* good bye\n');
      server.close(fd);
      return;
    default:
      sayToAll(server, `guest ${fd}: ${line}\n`, fd);
      server.send(fd, `* said to ${server.connections.count() - 1} others by ${whoAmI(server)}\n`);
  }
}

/** The worker does not wait: it serves others until the result calls it back. */
function startCounting(server: Server, fd: number, limit: number): void {
  if (!(limit >= 0 && limit <= PRIMES_MAX)) {
    server.send(fd, `* N is a number up to ${PRIMES_MAX}\n`);
    return;
  }
  const began = Date.now();
  server.task(limit, -1, (server, _taskId, count) => {
    const text = count === false ? 'the task worker died over it' : `there are ${count} primes below ${limit}`;
    server.send(fd, `* ${text} (${Date.now() - began} ms)\n`);
  });
  server.send(fd, '* counting …\n');
}

/** The sieve of Eratosthenes, odd numbers only. */
function countPrimes(limit: number): number {
  const composite = new Uint8Array(limit >> 1);
  let count = limit > 2 ? 1 : 0;
  for (let n = 3; n < limit; n += 2) {
    if (composite[n >> 1] === 1) continue;
    count++;
    for (let multiple = n * n; multiple < limit; multiple += 2 * n) composite[multiple >> 1] = 1;
  }
  return count;
}

function whoAmI(server: Server): string {
  return `worker ${server.worker_id} (process ${process.pid})`;
}

/** Any process can send to any connection. */
function sayToAll(server: Server, text: string, except = 0): void {
  for (const fd of server.connections) if (fd !== except) server.send(fd, text);
}

function guests(server: Server, me: number): string {
  let text = '';
  for (const fd of server.connections) {
    const info = server.getClientInfo(fd);
    if (info === false) continue;
    const silent = Math.round(Date.now() / 1000 - info.last_recv_time);
    const you = fd === me ? ', you' : '';
    text += `  guest ${fd} from ${info.remote_ip}:${info.remote_port}, silent for ${silent} s${you}\n`;
  }
  return text;
}

function counters(server: Server): string {
  const stats = server.stats();
  return [
    `  running for ${Math.round(Date.now() / 1000) - stats.start_time} s with ${stats.worker_num} workers`,
    `  connections now ${stats.connection_num}, accepted ${stats.accept_count}, closed ${stats.close_count}`,
    `  lines received ${stats.request_count}, of them by this worker process ${stats.worker_request_count}`,
    `  bytes received ${stats.total_recv_bytes}, sent ${stats.total_send_bytes}`,
    '',
  ].join('\n');
}

/** Shows the processes once all of them run, and what to do with them. */
async function introduce(server: Server): Promise<void> {
  const manager = server.getManagerPid();
  const count = WORKERS + TASK_WORKERS;
  const workers = (): number[] => Array.from({ length: count }, (_, id) => Number(server.getWorkerPid(id)));
  while (![manager, ...workers()].every(isUp)) await delay(10, undefined, { ref: false });
  const tree = workers().map((pid, id) => {
    const name = id < WORKERS ? `worker ${id}` : `task worker ${id}: works while the others talk`;
    return `      ${id === count - 1 ? '└' : '├'}─ ${pid}  ${name}`;
  });
  if (server.port !== PORT) console.log(`Port ${PORT} cannot be used: a free one is taken instead.\n`);
  console.log(`\
A chat listens on ${HOST}:${server.port}. Its processes:

  ${process.pid}  master: owns the connections
  └─ ${manager}  manager: starts and replaces workers
${tree.join('\n')}

Try, in another terminal:

  nc ${HOST} ${server.port}        talk; "help" tells what it can do
  kill -USR1 ${process.pid}         reload: new workers, and nobody is disconnected
  pkill -KILL -P ${manager}     a crash of all workers: new ones come, and nobody is disconnected

Ctrl+C ends it.
`);
}

/** True exactly when the process has reached the callback that gives it its title. */
function isUp(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('tswoole demo');
  } catch {
    return false;
  }
}
