// Installs what package-lock.json names when it is not installed yet, so that `npm start` and `npm test` each work alone
// on a fresh machine. Plain JavaScript: the system's Node may be too old to run TypeScript.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
const stamp = join(root, 'node_modules', '.installed-lock');
const node = join(root, 'node_modules', '.bin', 'node');

const installed = existsSync(stamp) && existsSync(node) && readFileSync(stamp, 'utf8') === lock;
// Not "npm ci": it refuses a lock file without the packages of platforms that the registry at hand does not carry.
if (!installed) run('npm', ['install', '--no-save', '--no-fund', '--no-audit', '--loglevel=error']);
if (!existsSync(node)) {
  console.error('The development copy of Node.js did not install: run "npm rebuild node" and try again.');
  process.exit(1);
}
if (!installed) writeFileSync(stamp, lock);
if (!existsSync(join(root, 'dist', 'index.js'))) run('npm', ['run', '--silent', 'build']);

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
