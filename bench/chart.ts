/** Draws comparisons as bar charts: one group for each case, bars relative to one subject, no dependency. */
import { FOREIGN_DISTURBS, thousands } from './report.ts';
import type { CaseResult, Results } from './results.ts';
import type { Machine } from './support/machine.ts';
import type { SubjectName } from './support/subjects.ts';

const WIDTH = 860;
const MARGIN = 28;
const LABEL_WIDTH = 170;
const FIGURES_WIDTH = 170;
const BARS_X = MARGIN + LABEL_WIDTH;
const FIGURES_X = WIDTH - MARGIN - FIGURES_WIDTH;
const BARS_WIDTH = FIGURES_X - BARS_X - 8;
const BAR_HEIGHT = 18;
const ROW_HEIGHT = 25;
const GROUP_TITLE_HEIGHT = 30;
const GROUP_GAP = 22;
const HEAD_HEIGHT = 84;
const FOOT_HEIGHT = 54;

const DISTURBED = 'Other work disturbed this run: measure again';
const INK = '#1c2430';
const FAINT_INK = '#66707f';
const COLOURS: Readonly<Record<SubjectName, string>> = {
  c: '#c3cad4',
  node: '#8792a2',
  base: '#2f6fde',
  process: '#13a08b',
};

/** Bars of any comparison. Ratios are to whatever stands at 1. */
export interface BarChart {
  /** For readers that see no picture. */
  name: string;
  title: string;
  hint: string;
  groups: readonly BarGroup[];
  machine: Machine;
  date: string;
  how: string;
  /** True exactly when other work disturbed the run. */
  disturbed: boolean;
}

export interface BarGroup {
  title: string;
  about: string;
  rows: readonly Bar[];
}

export interface Bar {
  label: string;
  colour: string;
  ratio: number | null;
  figure: string;
  target: number | null;
}

export function drawChart({ cases, machine, date, parameters }: Results): string {
  return drawBars({
    name: 'tswoole and node:net, TCP echo',
    title: 'TCP echo on one processor',
    hint: 'Bars are relative to node:net = 1.00× in the same run. A dark mark is the target.',
    groups: cases.filter((group) => group.comparisons.some(({ ratio }) => ratio !== null)).map(groupOf),
    machine,
    date,
    how:
      `Server pinned to one CPU, load generator to another. Medians of ${parameters.rounds} rounds of ` +
      `${parameters.seconds} s, servers taking turns.`,
    disturbed: cases.some((group) => group.foreignCpus >= FOREIGN_DISTURBS),
  });
}

function groupOf({ title, metric, comparisons }: CaseResult): BarGroup {
  const latency = metric === 'latency';
  return {
    title,
    about: latency ? 'p99 latency, shorter is better' : 'requests/s, longer is better',
    rows: comparisons.map(({ label, subject, ratio, target, p99Us, requestsPerSecond }) => ({
      label,
      colour: COLOURS[subject],
      ratio,
      figure: latency ? `${thousands(p99Us ?? 0)} µs` : `${thousands(requestsPerSecond)} /s`,
      target,
    })),
  };
}

export function drawBars(chart: BarChart): string {
  const { groups } = chart;
  const lengths = groups.flatMap(({ rows }) => rows.flatMap(({ ratio, target }) => [ratio ?? 0, target ?? 0]));
  const scale = BARS_WIDTH / Math.max(1, ...lengths);

  const body: string[] = [];
  let y = HEAD_HEIGHT;
  for (const group of groups) {
    body.push(drawGroup(group, y, scale));
    y += groupHeight(group) + GROUP_GAP;
  }
  const height = y + FOOT_HEIGHT - GROUP_GAP;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`,
    ` font-family="system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif" font-size="13" fill="${INK}">`,
    `<title>${escapeXml(chart.name)}</title>`,
    `<rect width="${WIDTH}" height="${height}" rx="10" fill="#ffffff"/>`,
    text(MARGIN, 38, chart.title, 'font-size="20" font-weight="600"'),
    text(MARGIN, 60, chart.hint, `fill="${FAINT_INK}"`),
    ...body,
    drawFoot(chart, height),
    '</svg>\n',
  ].join('\n');
}

function drawGroup(group: BarGroup, top: number, scale: number): string {
  const rowsTop = top + GROUP_TITLE_HEIGHT;
  const rowsBottom = top + groupHeight(group);
  const one = BARS_X + scale;
  return [
    `<text x="${MARGIN}" y="${top + 16}"><tspan font-weight="600">${escapeXml(group.title)}</tspan>` +
      `<tspan dx="10" fill="${FAINT_INK}">${escapeXml(group.about)}</tspan></text>`,
    ...group.rows.map((bar, index) => drawBar(bar, rowsTop + index * ROW_HEIGHT, (bar.ratio ?? 0) * scale)),
    ...group.rows.map((bar, index) => drawTarget(bar, rowsTop + index * ROW_HEIGHT, scale)),
    `<line x1="${round(one)}" x2="${round(one)}" y1="${rowsTop - 4}" y2="${rowsBottom}" stroke="${FAINT_INK}" ` +
      'stroke-dasharray="2 3"/>',
  ].join('\n');
}

function drawBar({ label, colour, ratio, figure }: Bar, top: number, width: number): string {
  const baseline = top + 14;
  return [
    text(BARS_X - 12, baseline, label, 'text-anchor="end"'),
    `<rect x="${BARS_X}" y="${top}" width="${round(width)}" height="${BAR_HEIGHT}" rx="3" fill="${colour}"/>`,
    // In columns of their own, because beside a bar they would run into the marks.
    text(FIGURES_X + 48, baseline, ratio === null ? '' : `${ratio.toFixed(2)}×`, 'text-anchor="end" font-weight="600"'),
    text(WIDTH - MARGIN, baseline, figure, `text-anchor="end" fill="${FAINT_INK}"`),
  ].join('\n');
}

function drawTarget({ target }: Bar, top: number, scale: number): string {
  if (target === null) return '';
  const x = round(BARS_X + target * scale);
  return `<line x1="${x}" x2="${x}" y1="${top - 2}" y2="${top + BAR_HEIGHT + 2}" stroke="${INK}" stroke-width="2"/>`;
}

function drawFoot({ machine, date, how, disturbed }: BarChart, height: number): string {
  const first = `${machine.cpu}, ${machine.cpuCount} CPUs, Linux ${machine.kernel}, Node ${machine.node}, ${date.slice(0, 10)}`;
  const warning = disturbed ? text(WIDTH - MARGIN, 38, DISTURBED, 'text-anchor="end" fill="#b3261e"') : '';
  return [
    warning,
    text(MARGIN, height - 36, first, `fill="${FAINT_INK}" font-size="11"`),
    text(MARGIN, height - 19, how, `fill="${FAINT_INK}" font-size="11"`),
  ].join('\n');
}

function groupHeight(group: BarGroup): number {
  return GROUP_TITLE_HEIGHT + group.rows.length * ROW_HEIGHT;
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escapeXml(content)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
