/**
 * What tswoole costs besides time: memory for each idle connection, memory of a worker that does nothing, and the time
 * until a server answers. `node bench/memory.ts --connections 9000`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printTable, thousands } from './report.ts';
import { describeMachine, isBuildStale, printMachine } from './support/machine.ts';
import { type ProcessMemory, processTree, readMemory, treeMemory } from './support/process-tree.ts';
import { LOAD_CPU, pinned, type RunningServer, SERVER_CPU, startServer } from './support/server.ts';
import { median } from './support/statistics.ts';
import { prepareSubjects, type Subject, tswooleCommand } from './support/subjects.ts';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '9000' },
    settle: { type: 'string', default: '3' },
    starts: { type: 'string', default: '5' },
    source: { type: 'boolean', default: false },
  },
});

/** Enough to have every path of a server run once before its memory is taken as its own. */
const WARM_UP_CONNECTIONS = 100;
const WORKERS = 4;
const COLLECT_GARBAGE = new URL('support/collect-garbage.ts', import.meta.url).href;
const IDLE_CLIENTS = fileURLToPath(new URL('load/idle.ts', import.meta.url));
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));

const connections = Number(values.connections);
const settleMs = Number(values.settle) * 1000;
const starts = Number(values.starts);
const failures: string[] = [];

/** Summed over all processes of a server. */
interface MemorySum {
  pssKib: number;
  dataKib: number;
}

interface ConnectionCost {
  subject: string;
  processes: number;
  before: MemorySum;
  after: MemorySum;
  bytesPerConnection: number;
}

interface ProcessCost {
  what: string;
  count: number;
  rssKib: number;
  pssKib: number;
  dataKib: number;
}

interface StartCost {
  what: string;
  medianMs: number;
  allMs: number[];
}

const machine = describeMachine();
printMachine(machine);
if (!values.source && (await isBuildStale(fileURLToPath(new URL('..', import.meta.url))))) {
  console.log('dist/ is older than src/: run "npm run build" first.');
}

const connectionCosts: ConnectionCost[] = [];
for (const subject of prepareSubjects(['node', 'base', 'process'], values.source)) {
  await attempt(subject.label, async () => {
    connectionCosts.push(await measureConnections(subject));
  });
}
const processCosts: ProcessCost[] = [
  await measureBareNode('bare Node process', ['-e', 'setInterval(() => undefined, 1e9)']),
  await measureBareNode('the same, from a .ts file', [fileURLToPath(new URL('peers/idle.ts', import.meta.url))]),
];
await attempt('idle workers', async () => {
  processCosts.push(...(await measureWorkers()));
});
const startCosts: StartCost[] = [];
const commands = {
  'node:net, 1 process': prepareSubjects(['node'], false)[0].command,
  'tswoole BASE, 1 worker': tswooleCommand('base', values.source),
  [`tswoole PROCESS, ${WORKERS} workers`]: tswooleCommand('process', values.source, '--workers', String(WORKERS)),
};
for (const [what, command] of Object.entries(commands)) {
  await attempt(`start of ${what}`, async () => {
    startCosts.push(await measureStarts(what, command));
  });
}

report();
mkdirSync(RESULTS, { recursive: true });
const results = { date: new Date().toISOString(), machine, connections, connectionCosts, processCosts, startCosts };
writeFileSync(`${RESULTS}memory.json`, `${JSON.stringify({ ...results, failures }, null, 2)}\n`);
if (failures.length > 0) process.exitCode = 1;

async function attempt(what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    failures.push(`${what}: ${(error as Error).message}`);
  }
}

async function measureConnections(subject: Subject): Promise<ConnectionCost> {
  const server = await startServer(pinned(SERVER_CPU, collecting(subject.command)));
  try {
    await holdClients(server, WARM_UP_CONNECTIONS, async () => undefined);
    const before = await settledMemory(server);
    const after = await holdClients(server, connections, () => settledMemory(server));
    return {
      subject: subject.label,
      processes: processTree(server.pid).length,
      before,
      after,
      bytesPerConnection: Math.round(((after.dataKib - before.dataKib) * 1024) / connections),
    };
  } finally {
    await server.stop();
  }
}

/** The memory of all processes of a server when its garbage is collected and what that set free was given back. */
async function settledMemory(server: RunningServer): Promise<MemorySum> {
  for (let repeat = 0; repeat < 2; repeat++) {
    await sleep(settleMs / 2);
    for (const { pid } of processTree(server.pid)) process.kill(pid, 'SIGURG');
  }
  await sleep(settleMs / 2);
  const processes = treeMemory(server.pid);
  return {
    pssKib: processes.reduce((sum, entry) => sum + entry.pssKib, 0),
    dataKib: processes.reduce((sum, entry) => sum + entry.dataKib, 0),
  };
}

/** The same command with a Node that collects garbage when it is asked; children inherit the options. */
function collecting([node, ...args]: readonly string[]): string[] {
  return [node, '--expose-gc', '--import', COLLECT_GARBAGE, ...args];
}

/** Opens idle connections from another process, and closes them when the action is done. */
async function holdClients<T>(server: RunningServer, count: number, action: () => Promise<T>): Promise<T> {
  const args = [IDLE_CLIENTS, '--port', server.port, '--connections', String(count)];
  const [file, ...rest] = pinned(LOAD_CPU, [process.execPath, ...args]);
  // Its standard input is our pipe: it ends when we end, however that happens.
  const clients = spawn(file, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(clients, 'exit');
  try {
    await firstLine(clients);
    return await action();
  } finally {
    clients.stdin.end();
    await ended;
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stdout! });
  const line = new Promise<string>((resolve) => lines.once('line', resolve));
  const ended = once(child, 'exit').then(([code]) => new Error(`the clients ended with ${code}`));
  const result = await Promise.race([line, ended]);
  if (result instanceof Error) throw result;
  return result;
}

/** Several at once, as there are several workers: they share the pages of the program. */
async function measureBareNode(what: string, args: readonly string[]): Promise<ProcessCost> {
  const children = Array.from({ length: WORKERS }, () => spawn(process.execPath, args, { stdio: 'ignore' }));
  try {
    await sleep(settleMs);
    return summarise(
      what,
      children.map((child) => readMemory(child.pid!)),
    );
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

async function measureWorkers(): Promise<ProcessCost[]> {
  const server = await startServer(tswooleCommand('process', values.source, '--workers', String(WORKERS)));
  try {
    await sleep(settleMs);
    const tree = processTree(server.pid);
    const parents = new Set(tree.map((entry) => entry.parent));
    const workers = tree.filter((entry) => !parents.has(entry.pid));
    const others = tree.filter((entry) => parents.has(entry.pid));
    return [
      summarise(
        'tswoole worker',
        workers.map((entry) => readMemory(entry.pid)),
      ),
      ...others.map((entry) =>
        summarise(entry.pid === server.pid ? 'tswoole master' : 'tswoole manager', [readMemory(entry.pid)]),
      ),
    ];
  } finally {
    await server.stop();
  }
}

function summarise(what: string, processes: readonly ProcessMemory[]): ProcessCost {
  return {
    what,
    count: processes.length,
    rssKib: median(processes.map((entry) => entry.rssKib)),
    pssKib: median(processes.map((entry) => entry.pssKib)),
    dataKib: median(processes.map((entry) => entry.dataKib)),
  };
}

/** From the start of the process until the first connection has its answer, with all processors at hand. */
async function measureStarts(what: string, command: readonly string[]): Promise<StartCost> {
  const times: number[] = [];
  for (let index = 0; index < starts; index++) {
    const server = await startServer(command);
    try {
      await exchange(Number(server.port));
      times.push(performance.now() - server.spawnedAt);
    } finally {
      await server.stop();
    }
  }
  return { what, medianMs: median(times), allMs: times.map(Math.round) };
}

async function exchange(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  const timeout = AbortSignal.timeout(10_000);
  try {
    await once(socket, 'connect', { signal: timeout });
    socket.write('hello');
    await once(socket, 'data', { signal: timeout });
  } finally {
    socket.destroy();
  }
}

function report(): void {
  console.log(`\nMemory of ${thousands(connections)} idle connections, data of all server processes`);
  printTable([
    ['', 'processes', 'before', 'after', 'per connection'],
    ...connectionCosts.map((cost) => [
      cost.subject,
      String(cost.processes),
      mebibytes(cost.before.dataKib),
      mebibytes(cost.after.dataKib),
      `${thousands(cost.bytesPerConnection)} B`,
    ]),
  ]);
  console.log('\nMemory of a process that does nothing, median');
  printTable([
    ['', 'processes', 'Rss', 'Pss', 'data'],
    ...processCosts.map((cost) => [
      cost.what,
      String(cost.count),
      mebibytes(cost.rssKib),
      mebibytes(cost.pssKib),
      mebibytes(cost.dataKib),
    ]),
  ]);
  console.log('\nStart: from the command to the first answer');
  printTable([
    ['', 'median', 'all'],
    ...startCosts.map((cost) => [cost.what, `${cost.medianMs.toFixed(0)} ms`, cost.allMs.join(' ')]),
  ]);
  for (const failure of failures) console.log(`FAILED  ${failure}`);
}

function mebibytes(kib: number): string {
  return `${(kib / 1024).toFixed(1)} MiB`;
}
