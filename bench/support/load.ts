import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Transport } from '../load/clients.ts';
import type { LoadResult } from '../load/result.ts';
import { LOAD_CPU, pinned } from './server.ts';

const GENERATOR = fileURLToPath(new URL('../load/main.ts', import.meta.url));
/** Opening, last answers and the start of the process, beyond warm-up and duration. */
const OVERHEAD_MAX_MS = 20_000;

export interface LoadOptions {
  /** The servers, which are loaded in turns. */
  ports: readonly string[];
  transport: Transport;
  connections: number;
  messageBytes: number;
  pipeline: number;
  latency: boolean;
  warmUpSeconds: number;
  rounds: number;
  /** How long each server is loaded in each round. */
  seconds: number;
}

/** Runs the load generator in a process of its own. Whether every byte came back is told for each server. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const args = [
    ...options.ports.flatMap((port) => ['--port', port]),
    ...['--transport', options.transport],
    ...['--connections', options.connections, '--size', options.messageBytes, '--pipeline', options.pipeline],
    ...['--warm-up', options.warmUpSeconds, '--rounds', options.rounds, '--duration', options.seconds],
    ...(options.latency ? ['--latency'] : []),
  ].map(String);
  const command = pinned(LOAD_CPU, [process.execPath, GENERATOR, ...args]);
  const secondsEach = options.warmUpSeconds + options.rounds * options.seconds;
  const child = spawn(command[0], command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.ports.length * (secondsEach * 1000 + OVERHEAD_MAX_MS),
    killSignal: 'SIGKILL',
  });
  const killChild = () => child.kill('SIGKILL');
  process.once('exit', killChild);
  const [output, complaint, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  process.off('exit', killChild);
  if (code !== 0) throw new Error(`the load generator ended with ${signal ?? code}: ${complaint.trim()}`);
  return JSON.parse(output) as LoadResult;
}
