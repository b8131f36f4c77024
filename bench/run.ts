/**
 * Compares tswoole with node:net and with C: `npm run bench -- --cases echo,large --rounds 5 --duration 3`.
 * See bench/README.md for what is measured and how it is kept honest.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES, type Case } from './cases.ts';
import { drawChart } from './chart.ts';
import { printCase, printNotes } from './report.ts';
import { type CaseResult, compare, type Results } from './results.ts';
import { runLoad } from './support/load.ts';
import { busySeconds, describeBuild, describeMachine, printMachine } from './support/machine.ts';
import { treeCpuSeconds } from './support/process-tree.ts';
import { LOAD_CPU, pinned, type RunningServer, SERVER_CPU, startServer } from './support/server.ts';
import { isSubjectName, prepareSubjects, SUBJECT_NAMES, type Subject } from './support/subjects.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: CASES.map((test) => test.name).join(',') },
    subjects: { type: 'string', default: SUBJECT_NAMES.join(',') },
    rounds: { type: 'string', default: '15' },
    duration: { type: 'string', default: '0.5' },
    'warm-up': { type: 'string', default: '1' },
    source: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
  },
});

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));
const rounds = positive('rounds', values.rounds);
const seconds = positive('duration', values.duration);
const warmUpSeconds = positive('warm-up', values['warm-up']);
const cases = values.cases.split(',').map(findCase);
const names = values.subjects.split(',').map((name) => {
  if (!isSubjectName(name)) throw new RangeError(`unknown subject "${name}": choose from ${SUBJECT_NAMES.join(', ')}`);
  return name;
});
if (availableParallelism() < 2) throw new Error('Two processors are needed: one for the server, one for the load.');

const machine = describeMachine();
printMachine(machine);
const build = await describeBuild(ROOT, values.source);
console.log(
  `server on CPU ${SERVER_CPU}, load generator on CPU ${LOAD_CPU}; ${rounds} rounds in which each subject is ` +
    `loaded for ${seconds} s, after ${warmUpSeconds} s of warm-up; tswoole from ${build}`,
);

const results: Results = {
  date: new Date().toISOString(),
  machine,
  parameters: { rounds, seconds, warmUpSeconds, build },
  cases: [],
};
for (const test of cases) {
  const result = await runCase(test);
  results.cases.push(result);
  printCase(result);
}
printNotes(results.cases);

// A run of a few cases must not replace the picture of the whole.
const complete = cases.length === CASES.length && names.length === SUBJECT_NAMES.length;
if (values.save || complete) save();
if (results.cases.some((result) => Object.keys(result.failures).length > 0)) process.exitCode = 1;
if (complete) measureTasks();

async function runCase(test: Case): Promise<CaseResult> {
  const subjects = prepareSubjects(names, values.source, test.transport);
  const result: CaseResult = { ...test, comparisons: [], failures: {}, measurements: {}, foreignCpus: 0 };
  const servers = new Map<Subject, RunningServer>();
  try {
    for (const subject of subjects) {
      try {
        servers.set(subject, await startServer(pinned(SERVER_CPU, subject.command)));
      } catch (error) {
        result.failures[subject.name] = (error as Error).message;
      }
    }
    if (servers.size > 0) await measure(test, servers, result);
  } catch (error) {
    for (const { name } of servers.keys()) result.failures[name] ??= (error as Error).message;
  } finally {
    for (const [{ label }, server] of servers) {
      const left = await server.stop();
      if (left > 0) console.log(`${label}: ${left} processes did not end when asked and were killed`);
    }
  }
  for (const { name, label } of subjects) {
    const measurement = result.measurements[name];
    if (measurement === undefined) continue;
    result.comparisons.push(compare(test, name, label, measurement, result.measurements.node));
  }
  return result;
}

/** Loads all servers in turns. One that rests waits in the kernel, and so costs the one that works nothing. */
async function measure(test: Case, servers: Map<Subject, RunningServer>, result: CaseResult): Promise<void> {
  const running = [...servers.values()];
  const before = { time: performance.now(), machine: busySeconds(), own: ownCpuSeconds() };
  const cpuBefore = running.map((server) => treeCpuSeconds(server.pid));
  const ports = running.map((server) => server.port);
  const load = await runLoad({ ...test, ports, latency: test.metric === 'latency', warmUpSeconds, rounds, seconds });
  const cpu = running.map((server, index) => treeCpuSeconds(server.pid) - cpuBefore[index]);
  const ours = cpu.reduce((sum, seconds) => sum + seconds, load.cpuSeconds + ownCpuSeconds() - before.own);
  const elapsed = (performance.now() - before.time) / 1000;
  result.foreignCpus = Math.max((busySeconds() - before.machine - ours) / elapsed, 0);

  [...servers].forEach(([{ name }, server], index) => {
    const target = load.targets[index];
    if (!server.alive) result.failures[name] = `the server ended under load: ${server.complaint}`;
    else if (target.errors > 0) result.failures[name] = `${target.errors} connections failed; ${target.firstError}`;
    else result.measurements[name] = { ...target, serverMicroseconds: (cpu[index] * 1e6) / target.requestsTotal };
  });
}

function save(): void {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(`${RESULTS}latest.json`, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(`${RESULTS}latest.svg`, drawChart(results));
  console.log('\nSaved as bench/results/latest.json and latest.svg.');
}

/** A program of its own, because it has other subjects; part of the whole all the same. */
function measureTasks(): void {
  console.log();
  const args = [fileURLToPath(new URL('tasks.ts', import.meta.url)), ...(values.source ? ['--source'] : [])];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exitCode = 1;
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function findCase(name: string): Case {
  const found = CASES.find((test) => test.name === name);
  if (found === undefined) {
    throw new RangeError(`unknown case "${name}": choose from ${CASES.map((test) => test.name).join(', ')}`);
  }
  return found;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`--${name} needs a positive number: ${name}=${text}`);
  return value;
}
