/**
 * Everything that must hold before a change lands: types, lint and format, the build, all tests. Arguments are passed to
 * the test runner in place of all test files: `npm test -- test/api/send.test.ts`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = `${ROOT}node_modules/.bin/`;
const files = process.argv.slice(2);

// First, because the examples are checked against it.
run('tsc', ['-p', 'tsconfig.build.json']);
if (files.length === 0) {
  run('tsc', ['--noEmit']);
  run('biome', ['check', '--error-on-warnings', '.']);
}
const chosen = files.length > 0 ? files : ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'];
// Two at a time: most of the tests start servers of several processes, and each has a deadline.
run('node', ['--test', '--test-concurrency=2', '--test-timeout=300000', ...chosen]);

function run(command: string, args: string[]): void {
  const { status, signal } = spawnSync(`${BIN}${command}`, args, { cwd: ROOT, stdio: 'inherit' });
  if (status === 0) return;
  console.error(`${command} ${args.join(' ')} failed${signal === null ? '' : ` by ${signal}`}`);
  process.exit(status ?? 1);
}
