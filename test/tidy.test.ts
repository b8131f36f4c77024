/** The rules of the house, each with what to do instead. They hold for every file, so nobody has to remember them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TSWOOLE_ERROR_CODES } from '../src/errors.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LINES_MAX = 900;

/**
 * Arrows between the rooms of src go from a higher floor to a lower one, never up and never along; imports of types count.
 * The leaves may be used on every floor, but for protocol, which is bytes in and events out.
 */
const FLOORS: Record<string, number> = {
  index: 7,
  websocket: 6,
  http: 6,
  server: 5,
  /** What users can have without a server: processes, and memory that they share. */
  child: 4,
  shared: 4,
  process: 3,
  reactor: 2,
  shm: 1,
  protocol: 1,
  /** Timers and descriptors for users. */
  loop: 1,
  sys: 0,
};
/** Websocket begins as a request, so this one goes along its floor. */
const ALONG = new Set(['websocket → http']);
const LEAVES = new Set(['constants', 'errors', 'log']);
const LEAF_ARROWS = new Set(['log → constants']);

interface Source {
  /** Its path from the root, with slashes. */
  path: string;
  text: string;
}

interface Import {
  from: string;
  /** The room, or the package, that is imported. */
  to: string;
  isOwn: boolean;
  isType: boolean;
  line: string;
}

function sourcesIn(folder: string, pattern: RegExp): Source[] {
  const entries = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

const SRC = sourcesIn('src', /\.ts$/);
const ALL = [
  ...['src', 'test', 'bench', 'scripts', 'examples', 'docs'].flatMap((folder) =>
    sourcesIn(folder, /\.(ts|mjs|js|json|md|sh|c)$/),
  ),
  ...readdirSync(ROOT)
    .filter((name) => /\.(md|json)$/.test(name))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
].filter(({ path }) => path !== 'test/tidy.test.ts');

/** src/shm/ring.ts is of the room shm, src/constants.ts of the room constants. */
function roomOf(path: string): string {
  return path.replace(/^src\//, '').replace(/(\/.*|(\.test)?\.ts)$/, '');
}

function importsOf({ path, text }: Source): Import[] {
  const result: Import[] = [];
  const pattern =
    /^(import|export)\b(\s+type\b)?[^;'"]*?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|new URL\(\s*['"]([^'"]+)['"]/gm;
  for (const [line, , type, named, dynamic, url] of text.matchAll(pattern)) {
    const target = named ?? dynamic ?? url;
    // `export const x = 'y'` is no import.
    if (named !== undefined && !/\bfrom\s*['"][^'"]+['"]$|^import\s*['"]/.test(line)) continue;
    const isOwn = target.startsWith('.');
    const own = relative(ROOT, resolve(ROOT, dirname(path), target))
      .split(sep)
      .join('/');
    // The helpers of tests stand in test/; only tests may reach them.
    const to = isOwn ? (own.startsWith('src/') ? roomOf(own) : own) : target;
    result.push({
      from: roomOf(path),
      to,
      isOwn,
      isType: type !== undefined,
      line: `${path}: ${line.replace(/\s+/g, ' ')}`,
    });
  }
  return result;
}

/** Without comments and the insides of strings, which may say anything. */
function codeOf(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, "''")
    .replace(/\/\/.*$/gm, '');
}

function none(found: string[], instead: string): void {
  assert.deepEqual(found, [], instead);
}

function linesWith(sources: Source[], pattern: RegExp): string[] {
  return sources.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
}

describe('in src', () => {
  const imports = SRC.filter(({ path }) => !path.endsWith('.test.ts')).flatMap(importsOf);

  it('imports are found at all', () => {
    assert.ok(imports.length > 150, `${imports.length}`);
    assert.ok(imports.some(({ from, to, isType }) => from === 'reactor' && to === 'shm' && isType));
    assert.ok(imports.some(({ from, to, isType }) => from === 'index' && to === 'server' && !isType));
  });

  it('koffi is imported in sys only', () => {
    const found = imports.filter(({ from, to }) => /^koffi\b/.test(to) && from !== 'sys').map(({ line }) => line);
    none(found, 'bind the function in src/sys and import it from there');
  });

  it('nothing is imported but Node’s own modules, koffi and our own files', () => {
    const found = imports.filter(({ to, isOwn }) => !isOwn && !to.startsWith('node:') && to !== 'koffi');
    none(
      found.map(({ line }) => line),
      'a dependency has to be argued for',
    );
  });

  it('arrows between rooms go down', () => {
    const found = imports.filter(({ from, to, isOwn }) => {
      if (!isOwn || from === to) return false;
      if (LEAVES.has(from)) return !LEAF_ARROWS.has(`${from} → ${to}`);
      if (!(from in FLOORS)) return true;
      if (LEAVES.has(to)) return from === 'protocol';
      return !(to in FLOORS) || (FLOORS[to] >= FLOORS[from] && !ALONG.has(`${from} → ${to}`));
    });
    none(
      found.map(({ line }) => line),
      'move it to the floor where it is used, or pass it in (a new room needs a floor in this test)',
    );
  });

  it('protocol needs nothing but its own files and types', () => {
    const found = imports.filter(({ from, to, isType }) => from === 'protocol' && to !== 'protocol' && !isType);
    none(
      found.map(({ line }) => line),
      'pass it in as an argument',
    );
  });

  it('nothing is any', () => {
    const code = SRC.map(({ path, text }) => ({ path, text: codeOf(text) }));
    none(linesWith(code, /[:<,|&([=]\s*any\b|\bany\[\]|\bas any\b/), 'unknown, or a type parameter');
  });

  it('no compiler or linter is silenced without a reason', () => {
    none(linesWith(SRC, /@ts-(ignore|nocheck)|biome-ignore[^:]*:?\s*$/), 'write what is right, or why it is');
  });

  it(`no file is longer than ${LINES_MAX} lines`, () => {
    const found = SRC.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
      .filter(({ lines }) => lines > LINES_MAX)
      .map(({ path, lines }) => `${path}: ${lines}`);
    none(found, 'look for the second concept in it');
  });
});

describe('everywhere', () => {
  it('there is enough to look at', () => {
    assert.ok(ALL.length > 60, `${ALL.length}`);
  });

  it('nothing is left to do', () => {
    none(linesWith(ALL, /\b(TODO|FIXME|XXX)\b/), 'do it, or tell it in an issue');
  });

  it('no path of somebody’s machine is named', () => {
    none(
      linesWith(ALL, /(?<![\w.:/~])\/(home|Users|root|work|workspace|mnt|build)\/[\w.-]/),
      'import.meta.url, os.tmpdir(), or a path from the root of the project',
    );
  });
});

describe('the documentation', () => {
  // The formatter pads tables.
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').replace(/ +/g, ' ');

  it('tells of every code of a TswooleError, with its meaning', () => {
    const missing = Object.entries(TSWOOLE_ERROR_CODES).filter(
      ([code, meaning]) => !page.includes(`| \`${code}\` | ${meaning} |`),
    );
    none(
      missing.map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
      'docs/errors.md needs these lines',
    );
  });

  it('tells of none that does not exist', () => {
    const codes = new Set([...page.matchAll(/`(ERR_[A-Z_]+)`/g)].map(([, code]) => code));
    none(
      [...codes].filter((code) => !(code in TSWOOLE_ERROR_CODES)),
      'it is not in src/errors.ts',
    );
  });
});
