/** Rows, what an editor shows of a key (its comment), and the pages for users say the same. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { KNOWN_SETTINGS, type KnownSetting } from './known.ts';

const FOLDER = new URL('.', import.meta.url);
const PAGES = new URL('../../../docs/', import.meta.url);

interface Comment {
  text: string;
  default: string | null;
  deprecated: string | null;
}

const comments = readComments();
const tables = readTables();
const page = readFileSync(new URL('settings.md', PAGES), 'utf8');

/** The comment of each key, out of the interfaces of this folder. */
function readComments(): Map<string, Comment> {
  const found = new Map<string, Comment>();
  for (const file of readdirSync(FOLDER).filter((name) => /^[a-z-]+\.ts$/.test(name))) {
    const source = readFileSync(new URL(file, FOLDER), 'utf8');
    for (const [, comment, key] of source.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\n {2}(\w+)\?[:(]/g)) {
      if (!KNOWN_SETTINGS.has(key)) continue;
      assert.ok(!found.has(key), `${key} has two homes`);
      const text = comment
        .replace(/\n\s*\*/g, ' ')
        .replace(/\s+/g, ' ')
        .trim();
      const tag = (name: string): string | null => new RegExp(`@${name} (.*?)(?= @[a-z]|$)`).exec(text)?.[1] ?? null;
      found.set(key, { text, default: tag('default'), deprecated: tag('deprecated') });
    }
  }
  return found;
}

interface Documented {
  page: string;
  cells: Map<string, string>;
}

/** The lines of all tables of the pages that have a column for the setting and one for its default. */
function readTables(): Map<string, Documented[]> {
  const found = new Map<string, Documented[]>();
  for (const page of readdirSync(PAGES)) {
    let columns: string[] | null = null;
    for (const line of readFileSync(new URL(page, PAGES), 'utf8').split('\n')) {
      const cells = cellsOf(line);
      if (cells.length === 0) columns = null;
      else if (columns === null) columns = cells;
      else if (columns[0] === 'Setting' && columns.includes('Default') && !cells[0].startsWith('--')) {
        const named = new Map(cells.map((cell, index) => [columns![index], cell]));
        for (const [, key] of cells[0].matchAll(/`(\w+)`/g)) {
          found.set(key, [...(found.get(key) ?? []), { page, cells: named }]);
        }
      }
    }
  }
  return found;
}

function cellsOf(line: string): string[] {
  if (!line.startsWith('|')) return [];
  return line
    .replaceAll('\\|', '/')
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** The names in the lists of a section of the page about settings. */
function namesIn(section: string): string[] {
  const [, text] = new RegExp(`## ${section}\\n([\\s\\S]*?)(?=\\n## |$)`).exec(page) ?? [];
  assert.ok(text !== undefined, section);
  const lists = text.split('\n').filter((line) => /^[-`]/.test(line));
  return [...lists.join('\n').matchAll(/`(\w+)`/g)].map(([, name]) => name).filter((name) => KNOWN_SETTINGS.has(name));
}

function isAlias(name: string, { canonical }: KnownSetting): boolean {
  return name !== canonical;
}

/** As it stands in comments and tables. */
function written(setting: KnownSetting): string {
  const { type } = setting;
  const value = setting.default;
  if (type.kind === 'size' && typeof value === 'number' && value > 0 && value % 1024 ** 2 === 0) {
    return `${value / 1024 ** 2}M`;
  }
  return typeof value === 'string' ? `'${value.replaceAll('\r', '\\r').replaceAll('\n', '\\n')}'` : String(value);
}

describe('the comment of a key', () => {
  it('is there for each, in one place', () => {
    assert.deepEqual([...comments.keys()].sort(), [...KNOWN_SETTINGS.keys()].sort());
  });

  it('tells the default of the row, or in words what it depends on', () => {
    for (const [name, setting] of KNOWN_SETTINGS) {
      if (isAlias(name, setting) || setting.type.kind === 'any') continue;
      const told = comments.get(name)?.default;
      assert.ok(told, `${name} has no @default`);
      if (setting.default === undefined) assert.doesNotMatch(told, /^(\d+[KMG]?$|true|false|')/, name);
      // What follows in brackets or behind a comma or a semicolon explains.
      else assert.match(told.replace(written(setting), '='), /^=($| \(|,|;)/, name);
    }
  });

  it('is struck through by editors where the setting has no effect, with the reason of the notice', () => {
    for (const [name, { noEffect }] of KNOWN_SETTINGS) {
      const told = comments.get(name)?.deprecated ?? null;
      assert.equal(told, noEffect === undefined ? null : `No effect: ${noEffect}.`, name);
    }
  });

  it('names the setting that it is another name of', () => {
    for (const [name, setting] of KNOWN_SETTINGS) {
      const text = comments.get(name)?.text ?? '';
      if (isAlias(name, setting)) assert.ok(text.startsWith(`The same as ${setting.canonical}.`), name);
    }
  });
});

describe('the pages for users', () => {
  it('have a line for each setting that has an effect, and for no other', () => {
    const expected = [...KNOWN_SETTINGS].filter(([, { noEffect }]) => noEffect === undefined).map(([name]) => name);
    assert.deepEqual([...tables.keys()].sort(), expected.sort());
  });

  it('tell the defaults that the comments tell', () => {
    for (const [name, lines] of tables) {
      const { canonical } = KNOWN_SETTINGS.get(name)!;
      for (const { page, cells } of lines) {
        const told = cells.get('Default')!.replaceAll('`', '');
        assert.equal(told, comments.get(canonical)?.default?.replaceAll('`', ''), `${name} in ${page}`);
      }
    }
  });

  it('tell whom a setting belongs to, and what it takes', () => {
    for (const [name, lines] of tables) {
      const { scope, type } = KNOWN_SETTINGS.get(name)!;
      for (const { page, cells } of lines) {
        assert.equal(cells.get('Scope') ?? scope, scope, `${name} in ${page}`);
        const form = cells.get('Type');
        if (form !== undefined) assert.match(form, formOf(type), `${name} in ${page}`);
      }
    }
  });

  it('list what has no effect, apart for what is to have one', () => {
    const without = (isOurs: boolean): string[] =>
      [...KNOWN_SETTINGS]
        .filter(([, { noEffect, type }]) => noEffect !== undefined && (type.kind !== 'any') === isOurs)
        .map(([name]) => name)
        .sort();
    assert.deepEqual(namesIn('Known, without effect yet').sort(), without(true));
    assert.deepEqual(namesIn('Known, without effect').sort(), without(false));
  });
});

/** What the column "Type" may say. */
function formOf(type: KnownSetting['type']): RegExp {
  switch (type.kind) {
    case 'bool':
      return /^boolean$/;
    case 'bytes':
      return new RegExp(`^${type.min}–${type.max} bytes$`);
    case 'certificates':
      return /^object$/;
    case 'choice':
      return /^(letter|1, 2 or 3)$/;
    case 'float':
      return /^seconds$/;
    case 'function':
      return /^function$/;
    case 'int':
      return new RegExp(`^(integer( ${type.min}–${type.max})?|bits)$`);
    case 'intList':
      return /^integers$/;
    case 'size':
      return /^size$/;
    case 'string':
      return /^(string|path)$/;
    case 'stringList':
      return /^array of strings$/;
    default:
      return /^$/;
  }
}
