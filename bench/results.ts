/** What bench/results/latest.json holds, and how figures become a comparison. */
import type { Case } from './cases.ts';
import type { Round, TargetResult } from './load/result.ts';
import type { Machine } from './support/machine.ts';
import { median, spread } from './support/statistics.ts';
import type { SubjectName } from './support/subjects.ts';

export interface Measurement extends TargetResult {
  /** Processor time of all the server's processes for one answer; does not depend on who waited for whom. */
  serverMicroseconds: number;
}

export interface Comparison {
  subject: SubjectName;
  label: string;
  requestsPerSecond: number;
  /** 99th percentile, null where latency is not measured. */
  p99Us: number | null;
  p50Us: number | null;
  /** How far the rounds lie apart in the compared metric, as a share of their median, without the wildest tenth. */
  spread: number;
  /** The median of the ratios to node:net, each taken within one round; null without node:net. */
  ratio: number | null;
  target: number | null;
  reached: boolean | null;
  serverMicroseconds: number;
  generatorCpu: number;
}

export interface CaseResult extends Case {
  comparisons: Comparison[];
  /** What failed, by subject. A subject that failed has no comparison. */
  failures: Partial<Record<SubjectName, string>>;
  measurements: Partial<Record<SubjectName, Measurement>>;
  /** Processors that were busy with something else meanwhile: 0.5 is half of one. */
  foreignCpus: number;
}

export interface Results {
  date: string;
  machine: Machine;
  parameters: { rounds: number; seconds: number; warmUpSeconds: number; build: string };
  cases: CaseResult[];
}

/** Compares one subject; rounds are matched by their place, because the machine changes its pace in between. */
export function compare(
  test: Case,
  subject: SubjectName,
  label: string,
  measurement: Measurement,
  baseline: Measurement | undefined,
): Comparison {
  const { rounds } = measurement;
  const metric = (round: Round): number =>
    test.metric === 'throughput' ? round.requestsPerSecond : (round.latencyUs?.p99 ?? Number.NaN);
  const ratios = rounds.flatMap((round, index) =>
    baseline?.rounds[index] === undefined ? [] : [metric(round) / metric(baseline.rounds[index])],
  );
  const ratio = ratios.length === 0 ? null : median(ratios);
  const target = test.targets[subject] ?? null;
  return {
    subject,
    label,
    requestsPerSecond: measurement.requestsPerSecond,
    p50Us: measurement.latencyUs?.p50 ?? null,
    p99Us: measurement.latencyUs?.p99 ?? null,
    spread: spread(rounds.map(metric)),
    ratio,
    target,
    reached: ratio === null || target === null ? null : isReached(test, ratio, target),
    serverMicroseconds: measurement.serverMicroseconds,
    generatorCpu: median(rounds.map((round) => round.generatorCpu)),
  };
}

function isReached(test: Case, ratio: number, target: number): boolean {
  return test.metric === 'throughput' ? ratio >= target : ratio <= target;
}
