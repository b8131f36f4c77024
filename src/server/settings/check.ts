import { describeValue, TswooleError } from '../../errors.ts';
import { isBytes } from '../../sys/memory.ts';
import { KNOWN_SETTINGS, type KnownSetting, type NormalisedSettings, type SettingScope } from './known.ts';
import { unknownSetting } from './nearest.ts';
import type { Outside, SettingType, SniCertificate } from './row.ts';

export interface ValidatedSettings {
  values: NormalisedSettings;
  /** Sentences for the log at NOTICE level: settings without effect, or in the wrong place, or clamped. */
  notices: string[];
}

/**
 * Checks what a user gave to `server.set` or `port.set`, and throws a TswooleError on the first mistake: an unknown
 * name, a wrong type, an impossible value. Nothing is applied here, so a call that throws has changed nothing.
 * null and undefined count as absent. A setting with several names is stored under each of them, so a reader that
 * knows any of the names finds the value that was set last.
 */
export function validateSettings(input: object, scope: SettingScope): ValidatedSettings {
  assertSettingsObject(input);
  const values: Record<string, unknown> = {};
  const notices: string[] = [];
  const given = new Map(Object.entries(input).filter(([, value]) => value !== null && value !== undefined));

  for (const [key, raw] of given) {
    const setting = KNOWN_SETTINGS.get(key);
    if (setting === undefined) throw unknownSetting(key);
    const value = readValue(key, setting.type, raw, notices);
    if (asksInVain(setting, value)) notices.push(`The setting "${key}" has no effect: ${setting.noEffect}.`);
    else if (scope === 'port' && setting.scope === 'server') notices.push(serverSettingOnPort(key));
    if (value === undefined) continue;
    const canonical = given.get(setting.canonical);
    if (key !== setting.canonical && canonical !== undefined) {
      if (canonical !== raw) notices.push(aliasOverruled(key, setting.canonical));
      continue;
    }
    for (const name of setting.names) values[name] = value;
  }
  return { values: values as NormalisedSettings, notices };
}

/** A flag that is off asks for nothing, and gets it. One of somebody else's is not even looked at. */
function asksInVain({ noEffect, type }: KnownSetting, value: unknown): boolean {
  return noEffect !== undefined && value !== undefined && (value !== false || type.kind === 'any');
}

function assertSettingsObject(input: unknown): void {
  if (typeof input === 'object' && input !== null && !(Symbol.iterator in input)) return;
  const expected = 'an object of settings';
  const got = describeValue(input);
  const message = `set() wants ${expected}, such as { worker_num: 4 }, but got ${got}.`;
  throw new TswooleError('ERR_ARGUMENT', message, { key: 'settings', expected, got });
}

/** Silent when both are equal, as in `server.set({ ...server.setting, worker_num: 8 })`. */
function aliasOverruled(key: string, canonical: string): string {
  return `The setting "${key}" is another name of "${canonical}", which is set too and counts.`;
}

function serverSettingOnPort(key: string): string {
  return `The setting "${key}" belongs to the whole server and does nothing in port.set(): give it to server.set().`;
}

/** The value in the form the program works with, or undefined when it is left out (with a notice). */
function readValue(key: string, type: SettingType, value: unknown, notices: string[]): unknown {
  switch (type.kind) {
    case 'any':
      return value;
    case 'bool':
      if (typeof value === 'boolean') return value;
      if (value === 0 || value === 1) return value === 1;
      throw wrongType(key, type, value);
    case 'int':
      if (!Number.isSafeInteger(value)) throw wrongType(key, type, value);
      return readInRange(key, type, value as number, notices);
    case 'float':
      if (!Number.isFinite(value)) throw wrongType(key, type, value);
      return readInRange(key, type, value as number, notices);
    case 'size':
      return readInRange(key, type, readSize(key, type, value), notices);
    case 'choice':
      return readChoice(key, type, value);
    case 'string':
      return readString(key, type, value);
    case 'bytes':
      return readBytes(key, type, value);
    case 'function':
      if (typeof value === 'function') return value;
      throw wrongType(key, type, value);
    case 'intList':
      return readIntList(key, type, value);
    case 'stringList':
      return readArray(key, type, value, isString);
    case 'stringMap':
      return readRecord(key, type, value, isString);
    case 'certificates':
      return readCertificates(key, type, value);
  }
}

interface NumberRange {
  min: number;
  max: number;
  outside: Outside;
}

function readInRange(key: string, range: NumberRange, value: number, notices: string[]): number | undefined {
  if (value >= range.min && value <= range.max) return value;
  const span = describeRange(range.min, range.max);
  if (range.outside === 'throw') throw impossibleValue(key, `a number from ${span}`, String(value));
  if (range.outside === 'ignore-below' && value < range.min) {
    notices.push(`The setting "${key}" is ${value}, outside ${span}: it is left out.`);
    return undefined;
  }
  const nearest = value < range.min ? range.min : range.max;
  notices.push(`The setting "${key}" is ${value}, outside ${span}: ${nearest} is used.`);
  return nearest;
}

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

function readSize(key: string, type: SettingType, value: unknown): number {
  if (typeof value === 'string') {
    const match = /^\s*([+-]?\d+)\s*([kmg]?)\s*$/i.exec(value);
    if (match === null) throw impossibleValue(key, describeType(type), describeValue(value));
    value = Number(match[1]) * SIZE_UNITS[match[2]!.toLowerCase()]!;
  }
  if (!Number.isSafeInteger(value)) throw wrongType(key, type, value);
  return value as number;
}

function readChoice(key: string, type: SettingType & { kind: 'choice' }, value: unknown): number | string {
  const choice = type.choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  if (typeof value !== typeof type.choices[0]) throw wrongType(key, type, value);
  throw impossibleValue(key, describeType(type), describeValue(value));
}

function readString(key: string, type: SettingType & { kind: 'string' }, value: unknown): string {
  if (typeof value !== 'string') throw wrongType(key, type, value);
  const bytes = Buffer.byteLength(value);
  if (bytes > type.bytesMax) throw impossibleValue(key, `at most ${type.bytesMax} bytes`, `${bytes} bytes`);
  return value;
}

function readBytes(key: string, type: SettingType & { kind: 'bytes' }, value: unknown): string | Uint8Array {
  if (typeof value !== 'string' && !isBytes(value)) throw wrongType(key, type, value);
  const bytes = Buffer.byteLength(value);
  if (bytes < type.min || bytes > type.max) throw impossibleValue(key, describeType(type), `${bytes} bytes`);
  return value;
}

function readIntList(key: string, type: SettingType & { kind: 'intList' }, value: unknown): unknown[] {
  const list = readArray(key, type, value, Number.isSafeInteger);
  const stray = list.find((item) => Number(item) < type.min || Number(item) > type.max);
  if (stray !== undefined) throw impossibleValue(key, describeType(type), `${stray} among them`);
  return list;
}

function readArray(key: string, type: SettingType, value: unknown, isItem: (item: unknown) => boolean): unknown[] {
  if (!Array.isArray(value)) throw wrongType(key, type, value);
  const strayIndex = value.findIndex((item) => !isItem(item));
  if (strayIndex >= 0) throw wrongType(key, type, value, value[strayIndex]);
  return value;
}

function readRecord(key: string, type: SettingType, value: unknown, isItem: (item: unknown) => boolean): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(key, type, value);
  const stray = Object.entries(value).find(([, item]) => !isItem(item));
  if (stray !== undefined) throw wrongType(key, type, value, stray[1]);
  return value;
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/** A star that never matches would be found out only when a client gets the wrong certificate. */
function readCertificates(key: string, type: SettingType, value: unknown): object {
  const certificates = readRecord(key, type, value, isCertificate);
  const stray = Object.keys(certificates).find((host) => host.replace(/^\*\./, '').includes('*'));
  if (stray === undefined) return certificates;
  throw impossibleValue(key, 'host names whose star, if any, is all of the first label ("*.b.org")', `"${stray}"`);
}

function isCertificate(value: unknown): value is SniCertificate {
  if (typeof value !== 'object' || value === null) return false;
  return (
    'ssl_cert_file' in value && isString(value.ssl_cert_file) && 'ssl_key_file' in value && isString(value.ssl_key_file)
  );
}

/** `stray` is the element for which a list or a map is wrong. */
function wrongType(key: string, type: SettingType, value: unknown, ...stray: [] | [unknown]): TswooleError {
  const expected = describeType(type);
  const got =
    stray.length === 0 ? describeValue(value) : `${describeValue(value)} that holds ${describeValue(stray[0])}`;
  return new TswooleError('ERR_SETTING_TYPE', `The setting "${key}" wants ${expected}, but got ${got}.`, {
    key,
    expected,
    got,
  });
}

function impossibleValue(key: string, expected: string, got: string): TswooleError {
  return new TswooleError('ERR_SETTING_VALUE', `The setting "${key}" wants ${expected}, but got ${got}.`, {
    key,
    expected,
    got,
  });
}

function describeType(type: SettingType): string {
  switch (type.kind) {
    case 'any':
      return 'any value';
    case 'bool':
      return 'a boolean (true, false, 1 or 0)';
    case 'int':
      return `a whole number from ${describeRange(type.min, type.max)}`;
    case 'float':
      return `a number of seconds from ${describeRange(type.min, type.max)}`;
    case 'size':
      return 'a number of bytes, or a string such as "512K", "8M" or "1G"';
    case 'choice':
      return `one of ${type.choices.join(', ')}`;
    case 'string':
      return 'a string';
    case 'bytes':
      return `${type.min} to ${type.max} bytes as a string or Uint8Array`;
    case 'function':
      return 'a function';
    case 'intList':
      return `an array of whole numbers from ${describeRange(type.min, type.max)}`;
    case 'stringList':
      return 'an array of strings';
    case 'stringMap':
      return 'an object whose values are strings';
    case 'certificates':
      return 'an object of host names, each with { ssl_cert_file, ssl_key_file }';
  }
}

function describeRange(min: number, max: number): string {
  return `${min} to ${max}`;
}
