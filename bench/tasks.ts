/**
 * Tasks and messages beside `process.send()` and piscina: `node bench/tasks.ts --cases task-64 --rounds 30`. Each subject
 * asks itself: its event worker, or the peer's main thread, keeps 64 round trips under way to one other process or thread.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BarGroup, drawBars } from './chart.ts';
import type { TurnResult } from './load/round-trips.ts';
import { FOREIGN_DISTURBS, printTable, thousands } from './report.ts';
import { Asked } from './support/asked.ts';
import { busySeconds, describeBuild, describeMachine, type Machine, printMachine } from './support/machine.ts';
import { treeCpuSeconds } from './support/process-tree.ts';
import { LOAD_CPU, pinned, SERVER_CPU } from './support/server.ts';
import { median, spread } from './support/statistics.ts';
import { type Family, prepareTaskSubjects, type TaskSubject } from './support/task-subjects.ts';
import { TASK_CASES, type TaskCase } from './task-cases.ts';

/** The subject that promises are kept by. */
const PROMISING = 'process';
const COLOURS: Readonly<Record<Family, string>> = { ipc: '#8792a2', piscina: '#c3cad4', ours: '#13a08b' };

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: TASK_CASES.map((test) => test.name).join(',') },
    subjects: { type: 'string' },
    rounds: { type: 'string', default: '15' },
    duration: { type: 'string', default: '0.3' },
    'warm-up': { type: 'string', default: '1' },
    source: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
});

interface Comparison {
  subject: string;
  label: string;
  family: Family;
  perSecond: number;
  spread: number;
  /** To the fastest of a family: the median of the ratios within each round. */
  ratios: Partial<Record<Family, number>>;
  medianUs: number;
  /** Processor time of all processes for one round trip. */
  cpuUs: number;
  rounds: TurnResult[];
}

interface TaskCaseResult extends TaskCase {
  comparisons: Comparison[];
  failures: Record<string, string>;
  foreignCpus: number;
}

interface TaskResults {
  date: string;
  machine: Machine;
  parameters: { rounds: number; seconds: number; warmUpSeconds: number; build: string };
  cases: TaskCaseResult[];
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));
const cases = values.cases.split(',').map((name) => {
  const found = TASK_CASES.find((test) => test.name === name);
  if (found === undefined)
    throw new RangeError(`unknown case "${name}": choose from ${TASK_CASES.map((test) => test.name).join(', ')}`);
  return found;
});
const rounds = Number(values.rounds);
const seconds = Number(values.duration);
const warmUpSeconds = Number(values['warm-up']);
if (!(rounds > 0 && seconds > 0 && warmUpSeconds > 0))
  throw new RangeError('--rounds, --duration and --warm-up need positive numbers');
if (availableParallelism() < 2) throw new Error('Two processors are needed: one for each side.');

const machine = describeMachine();
printMachine(machine);
const build = await describeBuild(ROOT, values.source);
console.log(
  `both sides on CPUs ${SERVER_CPU} and ${LOAD_CPU}; ${rounds} rounds of ${seconds} s for each subject, after ` +
    `${warmUpSeconds} s of warm-up; tswoole from ${build}`,
);
const subjects = prepareTaskSubjects(values.source).filter(
  ({ name }) => values.subjects === undefined || values.subjects.split(',').includes(name),
);

const results: TaskResults = {
  date: new Date().toISOString(),
  machine,
  parameters: { rounds, seconds, warmUpSeconds, build },
  cases: [],
};
for (const test of cases) {
  const result = await runCase(test);
  results.cases.push(result);
  report(result);
}
console.log('\nvs: the median of the ratios within each round, to the fastest set-up of that peer.');
if (values.save || (cases.length === TASK_CASES.length && values.subjects === undefined)) save();
if (results.cases.some((result) => Object.keys(result.failures).length > 0)) process.exitCode = 1;

async function runCase(test: TaskCase): Promise<TaskCaseResult> {
  const result: TaskCaseResult = { ...test, comparisons: [], failures: {}, foreignCpus: 0 };
  const running = new Map<TaskSubject, Asked>();
  try {
    for (const subject of subjects) {
      if (subject.family !== 'ours' && test.targets[subject.family] === undefined) continue;
      if (test.form === 'bytes' && !subject.bytes) continue;
      try {
        running.set(subject, await Asked.start(pinned(`${SERVER_CPU},${LOAD_CPU}`, subject.command)));
      } catch (error) {
        result.failures[subject.name] = (error as Error).message;
      }
    }
    await measure(test, running, result);
  } finally {
    for (const { server } of running.values()) await server.stop();
  }
  const fastest = (family: Family): Comparison | undefined =>
    result.comparisons.filter((other) => other.family === family).toSorted((a, b) => b.perSecond - a.perSecond)[0];
  for (const family of Object.keys(test.targets) as Family[]) {
    const peer = fastest(family);
    if (peer === undefined) continue;
    for (const comparison of result.comparisons)
      comparison.ratios[family] = median(comparison.rounds.map((round, i) => rate(round) / rate(peer.rounds[i])));
  }
  return result;
}

async function measure(test: TaskCase, running: Map<TaskSubject, Asked>, result: TaskCaseResult): Promise<void> {
  const { kind, form, bytes, underWay } = test;
  const turn = { kind, form, bytes, underWay };
  const turns = new Map([...running.keys()].map((subject) => [subject, [] as TurnResult[]]));
  /** All take turns. One that rests waits in the kernel, and so costs the one that works nothing. */
  const round = async (length: number): Promise<void> => {
    for (const [subject, asked] of running) {
      if (subject.name in result.failures) continue;
      try {
        turns.get(subject)!.push(await asked.ask({ ...turn, seconds: length }));
      } catch (error) {
        result.failures[subject.name] = `${(error as Error).message} ${asked.server.complaint}`;
      }
    }
  };
  await round(warmUpSeconds);
  for (const done of turns.values()) done.length = 0;
  const before = { time: performance.now(), busy: busySeconds(), own: ownCpuSeconds() };
  const cpuBefore = new Map([...running].map(([subject, { server }]) => [subject, treeCpuSeconds(server.pid)]));
  for (let count = 0; count < rounds; count++) await round(seconds);
  let ours = ownCpuSeconds() - before.own;
  for (const [subject, { server }] of running) {
    if (subject.name in result.failures) continue;
    const cpu = treeCpuSeconds(server.pid) - cpuBefore.get(subject)!;
    ours += cpu;
    const done = turns.get(subject)!;
    result.comparisons.push({
      subject: subject.name,
      label: subject.label,
      family: subject.family,
      perSecond: median(done.map(rate)),
      spread: spread(done.map(rate)),
      ratios: {},
      medianUs: median(done.map((one) => one.medianUs)),
      cpuUs: (cpu * 1e6) / done.reduce((sum, one) => sum + one.done, 0),
      rounds: done,
    });
  }
  result.foreignCpus = Math.max(0, (busySeconds() - before.busy - ours) / ((performance.now() - before.time) / 1000));
}

function rate(turn: TurnResult): number {
  return turn.done / turn.seconds;
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function report(result: TaskCaseResult): void {
  const { targets, medianUsMax, comparisons } = result;
  console.log(`\n${result.title}${result.underWay > 1 ? `, ${result.underWay} under way` : ''}`);
  const families = Object.keys(targets) as Family[];
  const heads = families.map((family) => (family === 'ipc' ? 'vs process.send' : `vs ${family}`));
  const rows = comparisons.map((comparison) => [
    comparison.label,
    thousands(comparison.perSecond),
    `${(comparison.spread * 100).toFixed(0)} %`,
    ...families.map((family) => ratioText(comparison, family, targets[family]!)),
    ...(medianUsMax === null ? [] : [medianText(comparison, medianUsMax)]),
    comparison.cpuUs.toFixed(2),
  ]);
  printTable([['', 'per s', 'spread', ...heads, ...(medianUsMax === null ? [] : ['median µs']), 'CPU µs'], ...rows]);
  if (result.foreignCpus >= FOREIGN_DISTURBS)
    console.log(`  ! Something else kept ${result.foreignCpus.toFixed(2)} processors busy meanwhile: measure again.`);
  for (const [subject, reason] of Object.entries(result.failures)) console.log(`  ${subject} FAILED: ${reason}`);
}

function ratioText({ subject, ratios }: Comparison, family: Family, target: number): string {
  const ratio = ratios[family];
  if (ratio === undefined) return '–';
  return `${ratio.toFixed(2)}×${subject === PROMISING ? ` ${verdict(ratio >= target)} ≥ ${target.toFixed(1)}` : ''}`;
}

function medianText({ subject, medianUs }: Comparison, most: number): string {
  return `${medianUs.toFixed(1)}${subject === PROMISING ? ` ${verdict(medianUs <= most)} ≤ ${most}` : ''}`;
}

function verdict(reached: boolean): string {
  return reached ? '✓' : '✗ missed';
}

function save(): void {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(`${RESULTS}tasks.json`, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(`${RESULTS}tasks.svg`, draw());
  console.log('\nSaved as bench/results/tasks.json and tasks.svg.');
}

function draw(): string {
  const groups = results.cases
    .filter(({ targets }) => targets.ipc !== undefined)
    .map(
      ({ title, comparisons, targets }): BarGroup => ({
        title,
        about: 'round trips/s, longer is better',
        rows: comparisons.map((comparison) => ({
          label: comparison.label,
          colour: COLOURS[comparison.family],
          ratio: comparison.ratios.ipc ?? null,
          figure: `${thousands(comparison.perSecond)} /s`,
          target: comparison.subject === PROMISING ? (targets.ipc ?? null) : null,
        })),
      }),
    );
  return drawBars({
    name: 'tswoole, process.send and piscina: tasks and messages',
    title: 'Tasks and messages, 64 under way',
    hint: 'Bars are relative to the faster process.send = 1.00× in the same run. A dark mark is the target.',
    groups,
    machine,
    date: results.date,
    how: `Both sides share two CPUs. Medians of ${rounds} rounds of ${seconds} s, taking turns.`,
    disturbed: results.cases.some((result) => result.foreignCpus >= FOREIGN_DISTURBS),
  });
}
