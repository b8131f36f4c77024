/** What bench/tasks.ts compares, each as the command that starts it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Those of one family are different set-ups of one thing; the fastest of them is what ratios are taken to. */
export type Family = 'ipc' | 'piscina' | 'ours';

export interface TaskSubject {
  name: string;
  label: string;
  family: Family;
  /** JSON turns bytes into a list of numbers, which is no comparison. */
  bytes: boolean;
  command: readonly string[];
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const node = (file: string, ...args: string[]): string[] => [process.execPath, path(file), ...args];

/** Piscina is installed for the first run; where it cannot be, it is left out, and said so. */
export function prepareTaskSubjects(source: boolean): TaskSubject[] {
  const ours = (...args: string[]): string[] => node('../subjects/tasks.ts', ...args, ...(source ? ['--source'] : []));
  const ipc = '../peers/ipc.ts';
  const piscina = '../peers/piscina/main.ts';
  const subjects: TaskSubject[] = [
    { name: 'ipc-json', label: 'process.send, json', family: 'ipc', bytes: false, command: node(ipc, 'json') },
    {
      name: 'ipc-advanced',
      label: 'process.send, advanced',
      family: 'ipc',
      bytes: true,
      command: node(ipc, 'advanced'),
    },
    { name: 'piscina', label: 'piscina', family: 'piscina', bytes: true, command: node(piscina, '1') },
    { name: 'piscina-64', label: 'piscina, 64 at once', family: 'piscina', bytes: true, command: node(piscina, '64') },
    { name: 'process', label: 'tswoole PROCESS', family: 'ours', bytes: true, command: ours('process') },
    {
      name: 'process-2',
      label: 'PROCESS, 2 task workers',
      family: 'ours',
      bytes: true,
      command: ours('process', '--task-workers', '2'),
    },
    { name: 'base', label: 'tswoole BASE', family: 'ours', bytes: true, command: ours('base') },
  ];
  const reason = installPiscina();
  if (reason === null) return subjects;
  console.log(`piscina could not be installed and is left out: ${reason}`);
  return subjects.filter(({ family }) => family !== 'piscina');
}

function installPiscina(): string | null {
  const cwd = path('../peers/piscina');
  if (existsSync(`${cwd}/node_modules/piscina`)) return null;
  const args = ['install', '--no-package-lock', '--no-fund', '--no-audit', '--loglevel=error'];
  const { error, status, stderr } = spawnSync('npm', args, { cwd, encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? null : stderr.trim();
}
