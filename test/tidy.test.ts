/** The rules of the house, each with what to do instead. They hold for every file, so nobody has to remember them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TSWOOLE_ERROR_CODES } from '../src/errors.ts';
import { STATS } from '../src/shm/stats.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const LINES_MAX = 650;

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
const LEAF_ARROWS = new Set(['log → constants', 'log → sys']);
/** Here stands what users import. */
const PUBLIC = new Set(['src/index.ts', 'src/constants.ts']);

const FOLDERS_OF_PROCESS = ['roles', 'life', 'way'].map((name) => `src/process/${name}`);

/** What users hold of a server. Inside of the room nothing needs them: they stand on top of everything. */
const FACADES = new Set(['server', 'port', 'connection-list', 'listen-socket'].map((name) => `src/server/${name}.ts`));

interface Source {
  /** Its path from the root, with slashes. */
  path: string;
  text: string;
}

interface Import {
  path: string;
  /** The file that is imported, or the package. */
  target: string;
  /** The room that imports. */
  from: string;
  /** The room, or the package, that is imported. */
  to: string;
  isOwn: boolean;
  isType: boolean;
  /** True exactly where it is the file that another thread begins with. */
  isUrl: boolean;
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
      path,
      target: isOwn ? own : target,
      from: roomOf(path),
      to,
      isOwn,
      isType: type !== undefined,
      isUrl: url !== undefined,
      line: `${path}: ${line.replace(/\s+/g, ' ')}`,
    });
  }
  return result;
}

/** What each file imports of ours, types and what is imported on demand included. */
function arrowsOf(imports: Import[]): Map<string, Set<string>> {
  const arrows = new Map<string, Set<string>>();
  for (const { path, target, isOwn, isUrl } of imports) {
    if (!isOwn || isUrl) continue;
    const targets = arrows.get(path) ?? new Set();
    arrows.set(path, targets.add(target));
  }
  return arrows;
}

/** The shortest way from a file back to itself: `a → b → a`; null where there is none. */
function circleOf(start: string, arrows: Map<string, Set<string>>): string | null {
  const before = new Map<string, string>();
  const reached = [start];
  for (const file of reached) {
    for (const target of arrows.get(file) ?? []) {
      if (target === start) {
        const way = [start];
        for (let at = file; at !== start; at = before.get(at) ?? start) way.unshift(at);
        return [start, ...way].join(' → ');
      }
      if (before.has(target)) continue;
      before.set(target, file);
      reached.push(target);
    }
  }
  return null;
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

  it('arrows between the folders of process go one way', () => {
    const folderOf = (path: string): number => FOLDERS_OF_PROCESS.indexOf(dirname(path));
    const found = imports.filter(({ path, target }) => {
      const to = folderOf(target);
      return to !== -1 && folderOf(path) > to;
    });
    none(
      found.map(({ line }) => line),
      'roles use life and way, life uses way',
    );
  });

  it('no files stand in a circle, types included', () => {
    const arrows = arrowsOf(imports);
    none(
      [...arrows.keys()].flatMap((file) => circleOf(file, arrows) ?? []),
      'move what both need to a file below, or let the lower one declare an interface that the upper one implements',
    );
  });

  it('a circle would be found', () => {
    const arrows = new Map([
      ['a', new Set(['b', 'd'])],
      ['b', new Set(['c'])],
      ['c', new Set(['d', 'a'])],
    ]);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((file) => circleOf(file, arrows)),
      ['a → b → c → a', 'b → c → a → b', 'c → a → b → c', null],
    );
  });

  it('nothing inside of the room server needs its facades', () => {
    const found = imports.filter(({ path, target }) => FACADES.has(target) && path.startsWith('src/server/'));
    none(
      found.flatMap(({ path, line }) => (FACADES.has(path) ? [] : [line])),
      'take the record that the facade shows (src/server/state), not the facade',
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

  it('a double is not read as a word, nor a word as a double', () => {
    none(
      linesWith(SRC, /\bwords\[[^\]]*\bF64_|\bnumbers\[[^\]]*\bnumberBase\b[^\]]* \+ (?!F64_)[A-Z]/),
      'F64_… counts doubles and belongs into numbers; whatever else a slot has counts words',
    );
  });

  it('no compiler or linter is silenced without a reason', () => {
    none(linesWith(SRC, /@ts-(ignore|nocheck)|biome-ignore[^:]*:?\s*$/), 'write what is right, or why it is');
  });

  it('nothing is exported that nobody imports', () => {
    const filesWith = new Map<string, number>();
    const here = { path: 'test/tidy.test.ts', text: readFileSync(fileURLToPath(import.meta.url), 'utf8') };
    for (const { path, text } of [...ALL, here]) {
      if (!path.endsWith('.ts')) continue;
      for (const word of new Set(text.match(/\w+/g))) filesWith.set(word, (filesWith.get(word) ?? 0) + 1);
    }
    const declared = /^export (?:abstract |async )?(?:function|const|let|class) (\w+)/gm;
    const found = SRC.filter(({ path }) => !PUBLIC.has(path)).flatMap(({ path, text }) =>
      [...text.matchAll(declared)].flatMap(([, name]) => (filesWith.get(name) === 1 ? [`${path}: ${name}`] : [])),
    );
    none(found, 'leave "export" out where only the file itself needs it, and delete what nobody does');
  });

  it(`no file is longer than ${LINES_MAX} lines`, () => {
    const sizes = SRC.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
    none(
      sizes.filter(({ lines }) => lines > LINES_MAX).map(({ path, lines }) => `${path}: ${lines}`),
      'look for the second concept in it',
    );
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

  it('tells of every number of stats() in an editor, as its row does, and of no other', () => {
    const shape = readFileSync(join(ROOT, 'src/shm/stats-shape.ts'), 'utf8');
    const told = [...shape.matchAll(/\/\*\* ([^\n]*) \*\/\n {2}(\w+): number;/g)].map(
      ([, text, label]) => `${label}: ${text}`,
    );
    const wanted = STATS.map(({ label, unit, help }) => `${label}: ${`${unit} ${help}`.trim()}`);
    assert.deepEqual(told.sort(), wanted.sort(), 'src/shm/stats-shape.ts');
  });

  it('tells of every number of stats(), as its row does, and of no other', () => {
    const [, ...sections] = readFileSync(join(ROOT, 'docs/stats.md'), 'utf8').replace(/ +/g, ' ').split('\n## ');
    for (const [index, kind] of (['total', 'gauge', 'life'] as const).entries()) {
      const rows = STATS.filter((each) => each.kind === kind);
      const wanted = rows.map(({ label, unit, help }) => `| \`${label}\` | ${`${unit} ${help}`.trim()} |`);
      const told = sections[index].split('\n').filter((line) => line.startsWith('| `'));
      assert.deepEqual(told.sort(), wanted.sort(), `docs/stats.md, "${sections[index].split('\n')[0]}"`);
    }
  });
});
