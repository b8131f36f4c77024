/** The servers that are compared, each as the command that starts it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type SubjectName = 'c' | 'node' | 'base' | 'process';

export interface Subject {
  name: SubjectName;
  label: string;
  command: readonly string[];
}

export const LABELS: Readonly<Record<SubjectName, string>> = {
  c: 'C, epoll, one thread',
  node: 'node:net',
  base: 'tswoole BASE',
  process: 'tswoole PROCESS',
};
export const SUBJECT_NAMES = Object.keys(LABELS) as SubjectName[];

export function isSubjectName(name: string): name is SubjectName {
  return (SUBJECT_NAMES as string[]).includes(name);
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Without a C compiler the C server is left out, and said so: the comparison is with node:net anyway. */
export function prepareSubjects(names: readonly SubjectName[], source: boolean): Subject[] {
  const subjects: Subject[] = [];
  for (const name of names) {
    const command = commandOf(name, source);
    if (command === null) console.log('There is no C compiler (cc): the C server is left out.');
    else subjects.push({ name, label: LABELS[name], command });
  }
  return subjects;
}

export function tswooleCommand(mode: 'base' | 'process', source: boolean, ...args: string[]): string[] {
  return [process.execPath, path('../subjects/echo.ts'), mode, ...(source ? ['--source'] : []), ...args];
}

function commandOf(name: SubjectName, source: boolean): string[] | null {
  switch (name) {
    case 'c': {
      const program = compile(path('../peers/echo.c'));
      return program === null ? null : [program];
    }
    case 'node':
      return [process.execPath, path('../peers/node-net.ts')];
    case 'base':
    case 'process':
      return tswooleCommand(name, source);
  }
}

/** Compiles into a directory that goes with this process; null when there is no compiler. */
function compile(file: string): string | null {
  const directory = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'echo');
  const { error, status, stderr } = spawnSync('cc', ['-O2', '-o', program, file], { encoding: 'utf8' });
  if (error !== undefined) return null;
  if (status !== 0) throw new Error(`cc failed: ${stderr}`);
  return program;
}
