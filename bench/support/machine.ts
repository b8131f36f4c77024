import { readFileSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';

export interface Machine {
  cpu: string;
  cpuCount: number;
  memoryGib: number;
  kernel: string;
  node: string;
  congestionControl: string;
  loadAverage: number;
}

/** The kernel counts processor time in these, on every architecture that Node runs on. */
export const TICKS_PER_SECOND = 100;

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpuCount: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    congestionControl: readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim(),
    loadAverage: loadavg()[0],
  };
}

export function printMachine(machine: Machine): void {
  console.log(
    `${machine.cpu}, ${machine.cpuCount} CPUs, ${machine.memoryGib} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}, TCP ${machine.congestionControl}, load average ${machine.loadAverage.toFixed(2)}`,
  );
  if (machine.loadAverage > 0.5) console.log('The machine is busy with something else: the figures will be too low.');
}

/** Seconds of work that all processors together have done since the machine started, for whomever. */
export function busySeconds(): number {
  // cpu user nice system idle iowait irq softirq steal …; steal is work that a neighbour of this virtual machine got done.
  const fields = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/ +/).slice(1).map(Number);
  const [user, nice, system, , , irq, softirq, steal] = fields;
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** Whether dist/ was built before the newest change in src/: then it is not the code that one thinks one measures. */
export async function isBuildStale(root: string): Promise<boolean> {
  const built = statSync(join(root, 'dist', 'index.js'), { throwIfNoEntry: false });
  if (built === undefined) return true;
  const sources = await readdir(join(root, 'src'), { recursive: true });
  return sources.some((source) => {
    if (!source.endsWith('.ts') || source.endsWith('.test.ts')) return false;
    return statSync(join(root, 'src', source)).mtimeMs > built.mtimeMs;
  });
}

/** What is measured, in a few words; says so where it is not what one thinks. */
export async function describeBuild(root: string, source: boolean): Promise<string> {
  if (source) return 'src';
  if (!(await isBuildStale(root))) return 'dist';
  console.log('dist/ is older than src/: run "npm run build" first.');
  return 'dist, older than src';
}
