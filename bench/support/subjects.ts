/** The servers that are compared, each as the command that starts it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Transport } from '../load/clients.ts';

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

/**
 * The servers of the given names that speak the transport; the C server speaks TCP only. Without a C compiler it is left
 * out, and said so: the comparison is with Node anyway.
 */
export function prepareSubjects(
  names: readonly SubjectName[],
  source: boolean,
  transport: Transport = 'tcp',
): Subject[] {
  const subjects: Subject[] = [];
  for (const name of names) {
    if (name === 'c' && transport !== 'tcp') continue;
    const command = commandOf(name, source, transport);
    const label = name === 'node' && transport === 'udp' ? 'node:dgram' : LABELS[name];
    if (command === null) console.log('There is no C compiler (cc): the C server is left out.');
    else subjects.push({ name, label, command });
  }
  return subjects;
}

export function tswooleCommand(mode: 'base' | 'process', source: boolean, ...args: string[]): string[] {
  return [process.execPath, path('../subjects/echo.ts'), mode, ...(source ? ['--source'] : []), ...args];
}

/** The C server, compiled once. */
let echoProgram: { file: string | null } | undefined;

function commandOf(name: SubjectName, source: boolean, transport: Transport): string[] | null {
  switch (name) {
    case 'c':
      echoProgram ??= { file: compile(path('../peers/echo.c')) };
      return echoProgram.file === null ? null : [echoProgram.file];
    case 'node':
      if (transport === 'udp') return [process.execPath, path('../peers/node-dgram.ts')];
      return [process.execPath, path('../peers/node-net.ts'), ...(transport === 'unix' ? ['unix'] : [])];
    case 'base':
    case 'process':
      return tswooleCommand(name, source, '--transport', transport);
  }
}

/** Compiles into a directory that goes with this process; null when there is no compiler. */
export function compile(file: string): string | null {
  const directory = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'echo');
  const { error, status, stderr } = spawnSync('cc', ['-O2', '-o', program, file], { encoding: 'utf8' });
  if (error !== undefined) return null;
  if (status !== 0) throw new Error(`cc failed: ${stderr}`);
  return program;
}
