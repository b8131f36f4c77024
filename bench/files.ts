/**
 * What it costs to send a big file, beside `createReadStream(file).pipe(socket)`: `node bench/files.ts --rounds 5`. The
 * file is in the page cache, one client reads at a time, the servers take turns as in run.ts.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printTable } from './report.ts';
import { describeMachine, printMachine } from './support/machine.ts';
import { treeCpuSeconds } from './support/process-tree.ts';
import { LOAD_CPU, pinned, type RunningServer, SERVER_CPU, startServer } from './support/server.ts';
import { median } from './support/statistics.ts';
import { compile } from './support/subjects.ts';

const { values } = parseArgs({
  options: {
    mebibytes: { type: 'string', default: '1024' },
    rounds: { type: 'string', default: '5' },
    source: { type: 'boolean', default: false },
  },
});
/** What is promised: the speed beside node:fs and node:net, the processor time beside C, which is the kernel's alone. */
const SPEED_TARGET = 1.5;
const CPU_TARGET = 1.2;

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const bytes = Number(values.mebibytes) * MIB;
const rounds = Number(values.rounds);
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

printMachine(describeMachine());
console.log(
  `servers on CPU ${SERVER_CPU}, reader on CPU ${LOAD_CPU}; ${rounds} rounds, a file of ${values.mebibytes} MiB`,
);

const directory = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const file = join(directory, 'file');
writeFile();

const sendfile = [process.execPath, path('subjects/sendfile.ts')];
const source = values.source ? ['--source'] : [];
const subjects = [
  { label: 'node: createReadStream().pipe()', command: [process.execPath, path('peers/node-pipe.ts'), file] },
  { label: 'tswoole BASE, sendfile', command: [...sendfile, 'base', file, ...source] },
  { label: 'tswoole PROCESS, sendfile', command: [...sendfile, 'process', file, ...source] },
];
const program = compile(path('peers/sendfile.c'));
if (program !== null) subjects.push({ label: 'C: sendfile(2), blocking', command: [program, file] });
const servers: RunningServer[] = [];
try {
  for (const { command } of subjects) servers.push(await startServer(pinned(SERVER_CPU, command)));
  const ports = servers.map((server) => server.port);
  // The first round warms up: code, page cache, the sizes of the sockets' buffers.
  await read(1, ports);
  const before = servers.map((server) => treeCpuSeconds(server.pid));
  const results = await read(rounds, ports);
  const cpu = servers.map((server, index) => (treeCpuSeconds(server.pid) - before[index]) / rounds);
  report(results, cpu);
} finally {
  for (const server of servers) await server.stop();
}

interface Transfer {
  bytes: number;
  seconds: number;
}

/** By round, then by server. */
async function read(count: number, ports: string[]): Promise<Transfer[][]> {
  const command = pinned(LOAD_CPU, [process.execPath, path('load/sink.ts'), String(count), ...ports]);
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const results: Transfer[][] = [];
  for await (const line of createInterface({ input: child.stdout })) results.push(JSON.parse(line) as Transfer[]);
  if (results.length !== count) throw new Error(`the reader ended after ${results.length} of ${count} rounds`);
  const short = results.flat().find((transfer) => transfer.bytes !== bytes);
  if (short !== undefined) throw new Error(`${short.bytes} of ${bytes} bytes came`);
  return results;
}

function report(results: Transfer[][], cpu: number[]): void {
  const speeds = subjects.map((_, index) => median(results.map((round) => bytes / round[index].seconds / GIB)));
  const ratios = subjects.map((_, index) => median(results.map((round) => round[0].seconds / round[index].seconds)));
  const rows = subjects.map(({ label }, index) => [
    label,
    speeds[index].toFixed(2),
    `${ratios[index].toFixed(2)}×`,
    ((cpu[index] / bytes) * GIB * 1000).toFixed(0),
    (cpu[index] / cpu[0]).toFixed(3),
  ]);
  printTable([['server', 'GiB/s', 'speed', 'CPU ms/GiB', 'CPU'], ...rows]);
  const ours = [1, 2];
  const fast = ours.every((index) => ratios[index] >= SPEED_TARGET);
  console.log(`promised: speed ≥ ${SPEED_TARGET}×: ${fast ? 'reached' : 'NOT reached'}`);
  if (program === null) return;
  const cheap = ours.every((index) => cpu[index] <= CPU_TARGET * cpu[3]);
  console.log(`promised: CPU ≤ ${CPU_TARGET}× that of C: ${cheap ? 'reached' : 'NOT reached'}`);
}

function writeFile(): void {
  const fd = openSync(file, 'w');
  const piece = Buffer.alloc(MIB, 'x');
  for (let left = bytes; left > 0; left -= MIB) writeSync(fd, piece, 0, Math.min(left, MIB));
  closeSync(fd);
}
