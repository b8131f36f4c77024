/**
 * TLS beside node:tls: `node bench/tls.ts --rounds 10`. Echo of 64 bytes on connections that stay, and full handshakes
 * with an RSA key of 2048 bits, which cost the server most. The servers take turns as in run.ts.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printTable } from './report.ts';
import { describeMachine, printMachine } from './support/machine.ts';
import { LOAD_CPU, pinned, type RunningServer, SERVER_CPU, startServer } from './support/server.ts';
import { median } from './support/statistics.ts';
import { makeCertificate, runTlsLoad, type TlsKind, type TlsTurn } from './support/tls-load.ts';

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
printMachine(describeMachine());
console.log(
  `servers on CPU ${SERVER_CPU}, clients on CPU ${LOAD_CPU}; ${values.rounds} rounds of ${values.duration} s`,
);
await measure('echo');
await measure('handshake');

async function measure(kind: TlsKind): Promise<void> {
  const [cert, key] = makeCertificate(kind);
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
    const { rounds, cpu } = await runTlsLoad(kind, servers, Number(values.rounds), Number(values.duration));
    const of = (index: number): TlsTurn[] => rounds.map((round) => round[index]);
    const rate = ({ done, seconds }: TlsTurn): number => done / seconds;
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
