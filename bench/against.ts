/**
 * This checkout beside another one of tswoole: `node bench/against.ts ../before --cases echo,tls-echo,task-64 --rounds 20`.
 * Every case of run.ts, tls.ts and tasks.ts; old and new take turns in one run, and ratios are taken within each round.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES, type Case } from './cases.ts';
import type { Round } from './load/result.ts';
import { printTable, thousands } from './report.ts';
import { Asked } from './support/asked.ts';
import { runLoad } from './support/load.ts';
import { describeBuild, describeMachine, printMachine } from './support/machine.ts';
import { LOAD_CPU, pinned, type RunningServer, SERVER_CPU, startServer } from './support/server.ts';
import { median, spread } from './support/statistics.ts';
import { makeCertificate, runTlsLoad, type TlsKind } from './support/tls-load.ts';
import { TASK_CASES, type TaskCase } from './task-cases.ts';

/** Below this a change has made something slower, and not only the machine. */
const RATIO_MIN = 0.97;
const MODES = ['base', 'process'] as const;
const TLS_KINDS = ['echo', 'handshake'] as const;
const names = [...CASES, ...TASK_CASES].map(({ name }) => name).concat(TLS_KINDS.map((kind) => `tls-${kind}`));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: 'string', default: names.join(',') },
    rounds: { type: 'string', default: '15' },
    duration: { type: 'string', default: '0.5' },
    'warm-up': { type: 'string', default: '1' },
  },
});
if (positionals.length !== 1) throw new Error('name the other checkout: node bench/against.ts ../before');
const wanted = values.cases.split(',');
const unknown = wanted.find((name) => !names.includes(name));
if (unknown !== undefined) throw new RangeError(`unknown case "${unknown}": choose from ${names.join(', ')}`);
const rounds = Number(values.rounds);
const seconds = Number(values.duration);
const warmUpSeconds = Number(values['warm-up']);

/** The two checkouts: the other one first, as what ratios are taken to. */
const ROOTS = [resolve(positionals[0]), fileURLToPath(new URL('..', import.meta.url))] as const;
printMachine(describeMachine());
for (const root of ROOTS) console.log(`${root}: ${await describeBuild(root, false)}`);
console.log(`${rounds} rounds of ${seconds} s for each server, after ${warmUpSeconds} s of warm-up`);

/** What one server has reached in each round, as a figure of which more is better. */
type Rates = number[];

let slower = 0;
for (const test of CASES) if (wanted.includes(test.name)) await compare(test.title, () => measureEcho(test));
for (const kind of TLS_KINDS) if (wanted.includes(`tls-${kind}`)) await compare(`TLS, ${kind}`, () => measureTls(kind));
for (const test of TASK_CASES) if (wanted.includes(test.name)) await compare(test.title, () => measureTasks(test));
console.log(`\nratio: the median of new ÷ old within each round; less than ${RATIO_MIN} is marked.`);
if (slower > 0) process.exitCode = 1;

/** Measures old and new of each mode, in this order, and prints the ratios. */
async function compare(title: string, measure: () => Promise<Rates[]>): Promise<void> {
  const rates = await measure();
  console.log(`\n${title}`);
  const rows = MODES.map((mode, index) => {
    const [old, fresh] = [rates[2 * index], rates[2 * index + 1]];
    const ratio = median(fresh.map((rate, round) => rate / old[round]));
    if (ratio < RATIO_MIN) slower++;
    const mark = ratio < RATIO_MIN ? ' !' : '';
    const spreads = [old, fresh].map((each) => `${(spread(each) * 100).toFixed(0)} %`);
    return [
      `tswoole ${mode.toUpperCase()}`,
      thousands(median(old)),
      spreads[0],
      thousands(median(fresh)),
      spreads[1],
      `${ratio.toFixed(3)}×${mark}`,
    ];
  });
  printTable([['', 'old', 'spread', 'new', 'spread', 'ratio'], ...rows]);
}

/** Old and new server of each mode. */
function commands(script: string, ...args: string[]): string[][] {
  return MODES.flatMap((mode) =>
    ROOTS.map((root) => [process.execPath, `${root}/bench/subjects/${script}`, mode, ...args]),
  );
}

async function withServers(all: string[][], use: (servers: RunningServer[]) => Promise<Rates[]>): Promise<Rates[]> {
  const servers: RunningServer[] = [];
  try {
    for (const command of all) servers.push(await startServer(pinned(SERVER_CPU, command)));
    return await use(servers);
  } finally {
    for (const server of servers) await server.stop();
  }
}

function measureEcho(test: Case): Promise<Rates[]> {
  const latency = test.metric === 'latency';
  // The shorter the better: turned over, as all figures here.
  const rate = (round: Round): number =>
    latency ? 1e6 / (round.latencyUs?.p99 ?? Number.NaN) : round.requestsPerSecond;
  return withServers(commands('echo.ts', '--transport', test.transport), async (servers) => {
    const ports = servers.map((server) => server.port);
    const { targets } = await runLoad({ ...test, ports, latency, warmUpSeconds, rounds, seconds });
    return targets.map((target) => {
      if (target.errors > 0) throw new Error(`${target.errors} connections failed; ${target.firstError}`);
      return target.rounds.map(rate);
    });
  });
}

function measureTls(kind: TlsKind): Promise<Rates[]> {
  return withServers(commands('tls-echo.ts', ...makeCertificate(kind)), async (servers) => {
    const load = await runTlsLoad(kind, servers, rounds, seconds);
    return servers.map((_, index) => load.rounds.map((round) => round[index].done / round[index].seconds));
  });
}

async function measureTasks({ kind, form, bytes, underWay }: TaskCase): Promise<Rates[]> {
  const turn = { kind, form, bytes, underWay };
  const running: Asked[] = [];
  try {
    for (const command of commands('tasks.ts'))
      running.push(await Asked.start(pinned(`${SERVER_CPU},${LOAD_CPU}`, command)));
    const rates: Rates[] = running.map(() => []);
    for (const asked of running) await asked.ask({ ...turn, seconds: warmUpSeconds });
    for (let round = 0; round < rounds; round++) {
      for (const [index, asked] of running.entries()) {
        const { done, seconds: taken } = await asked.ask({ ...turn, seconds });
        rates[index].push(done / taken);
      }
    }
    return rates;
  } finally {
    for (const { server } of running) await server.stop();
  }
}
