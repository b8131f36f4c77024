/**
 * TLS beside node:tls: `node bench/tls.ts --rounds 10`. Echo of 64 bytes on connections that stay, and full handshakes
 * with an RSA key of 2048 bits, which cost the server most. The servers take turns as in run.ts.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
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

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    duration: { type: 'string', default: '0.5' },
    source: { type: 'boolean', default: false },
  },
});
/** What is promised beside node:tls. */
const TARGETS = { echo: 1.2, handshake: 1 };

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const cert = join(directory, 'certificate');
const key = join(directory, 'key');

printMachine(describeMachine());
console.log(
  `servers on CPU ${SERVER_CPU}, clients on CPU ${LOAD_CPU}; ${values.rounds} rounds of ${values.duration} s`,
);
await measure('echo', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']);
await measure('handshake', ['-newkey', 'rsa:2048']);

interface Turn {
  done: number;
  seconds: number;
  cpuShare: number;
}

async function measure(kind: 'echo' | 'handshake', keyOptions: string[]): Promise<void> {
  const options = ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...options, ...keyOptions], { stdio: 'ignore' });
  const own = [process.execPath, path('subjects/tls-echo.ts')];
  const rest = [cert, key, ...(values.source ? ['--source'] : [])];
  const subjects = [
    { label: 'node:tls', command: [process.execPath, path('peers/node-tls.ts'), cert, key] },
    { label: 'tswoole BASE', command: [...own, 'base', ...rest] },
    { label: 'tswoole PROCESS', command: [...own, 'process', ...rest] },
  ];
  const servers: RunningServer[] = [];
  try {
    for (const { command } of subjects) servers.push(await startServer(pinned(SERVER_CPU, command)));
    const { rounds, cpu } = await load(kind, servers);
    const of = (index: number): Turn[] => rounds.map((round) => round[index]);
    const rate = ({ done, seconds }: Turn): number => done / seconds;
    const ratios = subjects.map((_, index) => median(rounds.map((round) => rate(round[index]) / rate(round[0]))));
    const rows = subjects.map(({ label }, index) => {
      const total = of(index).reduce((sum, turn) => sum + turn.done, 0);
      const clients = median(of(index).map((turn) => turn.cpuShare));
      return [
        label,
        median(of(index).map(rate)).toFixed(0),
        `${ratios[index].toFixed(2)}×`,
        ((cpu[index] * 1e6) / total).toFixed(1),
        `${(clients * 100).toFixed(0)} %${clients > 0.97 ? ' *' : ''}`,
      ];
    });
    console.log(kind === 'echo' ? '\n64 B, 50 connections' : '\nfull handshakes, RSA 2048');
    printTable([['server', `${kind}s/s`, 'ratio', 'server µs each', 'clients'], ...rows]);
    const reached = ratios.slice(1).every((ratio) => ratio >= TARGETS[kind]);
    console.log(`promised: ≥ ${TARGETS[kind].toFixed(2)}×: ${reached ? 'reached' : 'NOT reached'}`);
  } finally {
    for (const server of servers) await server.stop();
  }
}

async function load(kind: string, servers: RunningServer[]): Promise<{ rounds: Turn[][]; cpu: number[] }> {
  const ports = servers.map((server) => server.port);
  const generator = [process.execPath, path('load/tls-clients.ts'), kind, values.rounds, values.duration, ...ports];
  const command = pinned(LOAD_CPU, generator);
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const rounds: Turn[][] = [];
  let before: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const told = JSON.parse(line) as Turn[] | 'warm';
    if (told === 'warm') before = servers.map((server) => treeCpuSeconds(server.pid));
    else rounds.push(told);
  }
  if (rounds.length !== Number(values.rounds)) throw new Error(`the clients ended after ${rounds.length} rounds`);
  return { rounds, cpu: servers.map((server, index) => treeCpuSeconds(server.pid) - before[index]) };
}
