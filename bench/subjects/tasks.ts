/**
 * Tasks and messages of tswoole, written as a user would: `node bench/subjects/tasks.ts base|process [--task-workers 1]
 * [--source]`. Its event worker is told over TCP what to do: bench/load/round-trips.ts.
 */
import { parseArgs } from 'node:util';
import { type Payload, runOneByOne, runTurn, type Turn, type TurnResult } from '../load/round-trips.ts';

const { values, positionals } = parseArgs({
  options: {
    'task-workers': { type: 'string', default: '1' },
    source: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const entry = values.source ? '../../src/index.ts' : '../../dist/index.js';
const tswoole = (await import(entry)) as typeof import('../../src/index.ts');
const { Server, SWOOLE_BASE, SWOOLE_LOG_ERROR, SWOOLE_PROCESS } = tswoole;

const mode = positionals[0] === 'process' ? SWOOLE_PROCESS : SWOOLE_BASE;
const server = new Server('127.0.0.1', 0, mode);
// 64 tasks for one task worker: that none is idle is no news here.
server.set({ worker_num: 1, task_worker_num: Number(values['task-workers']), log_level: SWOOLE_LOG_ERROR });
if (mode === SWOOLE_PROCESS) server.set({ reactor_num: 1 });

/** Those who wait for a message, in order: one ring keeps it. */
const waiting: ((value: unknown) => void)[] = [];
let next = 0;

server.on(mode === SWOOLE_PROCESS ? 'start' : 'managerStart', (server) => console.log(`listening ${server.port}`));
server.on('receive', (server, fd, _reactorId, data) => {
  void run(JSON.parse(data.toString()) as Turn).then((result) => server.send(fd, `${JSON.stringify(result)}\n`));
});
server.on('task', (_server, _taskId, _workerId, data) => data);
server.on('finish', () => {});
server.on('pipeMessage', (server, workerId, message) => {
  if (server.taskworker) server.sendMessage(message, workerId);
  else waiting[next++](message);
});
server.start();

function run(turn: Turn): Promise<TurnResult> {
  switch (turn.kind) {
    case 'task':
      return runTurn(turn, (payload, answered) => {
        server.task(payload, -1, (_server, _taskId, result) => answered(result));
      });
    case 'message':
      return runTurn(turn, sendMessage);
    case 'taskwait':
      return runOneByOne(turn, (payload) => server.taskwait(payload, 10));
    case 'taskwaitSync':
      return runOneByOne(turn, (payload) => server.taskwaitSync(payload, 10));
  }
}

function sendMessage(payload: Payload, answered: (value: unknown) => void): void {
  if (next === 1024) {
    waiting.splice(0, next);
    next = 0;
  }
  waiting.push(answered);
  server.sendMessage(payload, server.setting!.worker_num as number);
}
