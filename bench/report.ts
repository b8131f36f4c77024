/** The comparison as text. */
import type { CaseResult, Comparison } from './results.ts';

/** From here on the generator has no time left, so a faster server could not show it. */
export const GENERATOR_SATURATED = 0.97;
/** From here on something else took so much of the machine that the figure is not to be trusted. */
export const FOREIGN_DISTURBS = 0.1;

export function printCase(result: CaseResult): void {
  const latency = result.metric === 'latency';
  console.log(`\n${result.title}: ${latency ? 'p99 latency, less is better' : 'requests/s, more is better'}`);
  const header = ['', 'requests/s', ...(latency ? ['p50 µs', 'p99 µs'] : []), 'spread', 'vs node:net', 'target'];
  header.push('server µs/req', 'generator');
  printTable([header, ...result.comparisons.map((comparison) => row(comparison, latency))]);
  if (result.foreignCpus >= FOREIGN_DISTURBS) {
    console.log(`  ! Something else kept ${result.foreignCpus.toFixed(2)} processors busy meanwhile: measure again.`);
  }
  for (const [subject, reason] of Object.entries(result.failures)) console.log(`  ${subject} FAILED: ${reason}`);
}

export function printNotes(results: readonly CaseResult[]): void {
  const comparisons = results.flatMap((result) => result.comparisons);
  console.log(
    '\nvs node:net: the median of the ratios within each round. spread: of eight rounds in ten, by their median.',
  );
  console.log('server µs/req: processor time of all server processes. generator: its share of its own processor.');
  if (comparisons.some((comparison) => comparison.generatorCpu >= GENERATOR_SATURATED)) {
    console.log('* The generator had no time left: the server may be faster than shown.');
  }
}

function row(comparison: Comparison, latency: boolean): string[] {
  const { target, reached, generatorCpu } = comparison;
  const verdict = reached === null ? '' : reached ? ' ✓' : ' ✗ missed';
  return [
    comparison.label,
    thousands(comparison.requestsPerSecond),
    ...(latency ? [thousands(comparison.p50Us ?? 0), thousands(comparison.p99Us ?? 0)] : []),
    `${(comparison.spread * 100).toFixed(0)} %`,
    comparison.ratio === null ? '–' : `${comparison.ratio.toFixed(2)}×`,
    target === null ? '–' : `${latency ? '≤' : '≥'} ${target.toFixed(2)}×${verdict}`,
    comparison.serverMicroseconds.toFixed(2),
    `${(generatorCpu * 100).toFixed(0)} %${generatorCpu >= GENERATOR_SATURATED ? ' *' : ''}`,
  ];
}

/** Prints rows of equal length: the first column to the left, the others to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  for (const cells of rows) {
    const padded = cells.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(`  ${padded.join('   ').trimEnd()}`);
  }
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}
