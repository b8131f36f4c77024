/** Clients of TLS servers, which take turns, and a certificate for those. */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { treeCpuSeconds } from './process-tree.ts';
import { LOAD_CPU, pinned, type RunningServer } from './server.ts';

export type TlsKind = 'echo' | 'handshake';

/** Echo is told apart by what a message costs; handshakes by what the key costs. */
const KEY_OPTIONS: Readonly<Record<TlsKind, readonly string[]>> = {
  echo: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  handshake: ['-newkey', 'rsa:2048'],
};
const GENERATOR = fileURLToPath(new URL('../load/tls-clients.ts', import.meta.url));

export interface TlsTurn {
  done: number;
  seconds: number;
  cpuShare: number;
}

/** Paths of a certificate and its key, which go with this process. */
export function makeCertificate(kind: TlsKind): [certificate: string, key: string] {
  const directory = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const certificate = join(directory, 'certificate');
  const key = join(directory, 'key');
  const options = ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key];
  execFileSync('openssl', [...options, '-out', certificate, ...KEY_OPTIONS[kind]], { stdio: 'ignore' });
  return [certificate, key];
}

/** Answers each round's turns in the order of the servers, and the processor time of each. */
export async function runTlsLoad(
  kind: TlsKind,
  servers: readonly RunningServer[],
  rounds: number,
  seconds: number,
): Promise<{ rounds: TlsTurn[][]; cpu: number[] }> {
  const ports = servers.map((server) => server.port);
  const command = pinned(LOAD_CPU, [process.execPath, GENERATOR, kind, String(rounds), String(seconds), ...ports]);
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  const done: TlsTurn[][] = [];
  let before: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const told = JSON.parse(line) as TlsTurn[] | 'warm';
    if (told === 'warm') before = servers.map((server) => treeCpuSeconds(server.pid));
    else done.push(told);
  }
  if (done.length !== rounds) throw new Error(`the clients ended after ${done.length} rounds`);
  return { rounds: done, cpu: servers.map((server, index) => treeCpuSeconds(server.pid) - before[index]) };
}
