/** What a setting's row may say: the form of its value, what it is by default, and whether it has an effect at all. */

/** A boolean setting. Swoole's manual writes 0 and 1 as often as false and true. */
export type Flag = boolean | 0 | 1;

/** A number of bytes, or a string with the suffix K, M or G: `8388608`, `'8M'`. */
export type Size = number | string;

/** One certificate of `ssl_sni_certs`. */
export interface SniCertificate {
  /** Path of the certificate chain (PEM). */
  ssl_cert_file: string;
  /** Path of the private key (PEM). */
  ssl_key_file: string;
}

/** What a number outside its range does: becomes the nearest that is inside, is left out, or is an error. */
export type Outside = 'clamp' | 'ignore-below' | 'throw';

/** The forms a value may have. Numbers carry their range, both ends included. */
export type SettingType =
  | { kind: 'any' }
  | { kind: 'bool' }
  | { kind: 'bytes'; min: number; max: number }
  | { kind: 'certificates' }
  | { kind: 'float'; min: number; max: number; outside: Outside }
  | { kind: 'function' }
  | { kind: 'int'; min: number; max: number; outside: Outside }
  | { kind: 'intList'; min: number; max: number }
  | { kind: 'choice'; choices: readonly (number | string)[] }
  | { kind: 'size'; min: number; max: number; outside: Outside }
  | { kind: 'string'; bytesMax: number }
  | { kind: 'stringList' }
  | { kind: 'stringMap' };

type TypeByKind = { [Type in SettingType as Type['kind']]: Type };
type OfKind<Kind extends keyof TypeByKind> = TypeByKind[Kind];

export interface Row<Type extends SettingType = SettingType, Value = unknown> {
  readonly type: Type;
  /** What it is where nobody sets it; absent where that is nothing, or depends on something else. */
  readonly default?: Value;
  /** Why the setting means nothing here, as the end of a sentence; absent when it works. */
  readonly noEffect?: string;
}

/** A row whose setting always has a value. */
export type Preset<Type extends SettingType, Value> = Row<Type, Value> & { readonly default: Value };

/** Another name of a setting. */
export interface Alias<Key> {
  readonly aliasOf: Key;
}

type Normalised<Value> = unknown extends Value
  ? Value
  : [Flag] extends [NonNullable<Value>]
    ? boolean
    : [Size] extends [NonNullable<Value>]
      ? number
      : Value;

/** Settings after the check: a flag is a boolean and a size a number of bytes. */
export type Checked<Keys> = { [Key in keyof Keys]?: Normalised<Keys[Key]> };

/** The kinds of row that fit the type of a key. */
type KindOf<Value> = [Flag] extends [Value]
  ? 'bool'
  : [Size] extends [Value]
    ? 'size'
    : [Uint8Array] extends [Value]
      ? 'bytes'
      : Value extends (...args: never[]) => unknown
        ? 'function'
        : Value extends readonly (infer Item)[]
          ? Item extends string
            ? 'stringList'
            : 'intList'
          : Value extends Record<string, infer Item>
            ? Item extends string
              ? 'stringMap'
              : 'certificates'
            : Value extends string
              ? 'string' | 'choice'
              : 'int' | 'float' | 'choice';

/** A table with one row for each key, of a kind that fits the key's type. */
export type Rows<Keys> = {
  readonly [Key in keyof Keys]-?:
    | Row<OfKind<KindOf<NonNullable<Keys[Key]>>>, Normalised<NonNullable<Keys[Key]>>>
    | Alias<keyof Keys>;
};

/** The same for settings without effect, whose values nobody looks at. */
export type RowsWithoutEffect<Keys> = {
  readonly [Key in keyof Keys]-?: (Row<OfKind<'any'>> & { readonly noEffect: string }) | Alias<keyof Keys>;
};

/** The values of those settings of a table that have a default. */
type Presets<Table> = {
  [Key in keyof Table as Table[Key] extends { readonly default: unknown } ? Key : never]: Table[Key] extends {
    readonly default: infer Value;
  }
    ? Value
    : never;
};

/** What was set of a table's settings, and the defaults of the others. */
export function filled<Table extends Record<string, Row | Alias<string>>, Values extends object>(
  table: Table,
  values: Values,
): Values & Presets<Table> {
  const presets: Record<string, unknown> = {};
  for (const [key, row] of Object.entries(table)) if ('default' in row) presets[key] = row.default;
  return { ...presets, ...values } as Values & Presets<Table>;
}

export const U8_MAX = 0xff;
export const U16_MAX = 0xffff;
export const U32_MAX = 0xffffffff;
export const I32_MAX = 0x7fffffff;
export const I32_MIN = -0x80000000;

interface Range {
  min?: number;
  max?: number;
  outside?: Outside;
}

/** A number in its range, which begins at 0 and becomes the nearest number inside unless told otherwise. */
function ranged<Kind extends 'int' | 'float' | 'size'>(kind: Kind, range: Range & { default?: number }, max: number) {
  const outside: Outside = range.outside ?? 'clamp';
  return { type: { kind, min: range.min ?? 0, max: range.max ?? max, outside }, ...preset(range) };
}

/** A default that is absent must be no key at all: `filled` asks for it. */
function preset<Value>(options: { default?: Value }): { default?: Value } {
  return 'default' in options ? { default: options.default } : {};
}

export function flag(value = false): Preset<OfKind<'bool'>, boolean> {
  return { type: { kind: 'bool' }, default: value };
}

/** A whole number. */
export function whole(range: Range & { default: number }): Preset<OfKind<'int'>, number>;
export function whole(range?: Range): Row<OfKind<'int'>, number>;
export function whole(range: Range & { default?: number } = {}): Row<OfKind<'int'>, number> {
  return ranged('int', range, U32_MAX);
}

/** A number of bytes. */
export function size(range: Range & { default: number }): Preset<OfKind<'size'>, number>;
export function size(range?: Range): Row<OfKind<'size'>, number>;
export function size(range: Range & { default?: number } = {}): Row<OfKind<'size'>, number> {
  return ranged('size', range, U32_MAX);
}

/** A time that may be a fraction. */
export function seconds(value: number): Preset<OfKind<'float'>, number> {
  return { ...ranged('float', {}, I32_MAX), default: value };
}

export function text(options: { default: string; bytesMax?: number }): Preset<OfKind<'string'>, string>;
export function text(options?: { bytesMax?: number }): Row<OfKind<'string'>, string>;
export function text(options: { default?: string; bytesMax?: number } = {}): Row<OfKind<'string'>, string> {
  return { type: { kind: 'string', bytesMax: options.bytesMax ?? Number.POSITIVE_INFINITY }, ...preset(options) };
}

export function oneOf<const Choice extends number | string>(
  choices: readonly Choice[],
  value: Choice,
): Preset<OfKind<'choice'>, Choice> {
  return { type: { kind: 'choice', choices }, default: value };
}

export function bytes(range: { min: number; max: number; default: string }): Preset<OfKind<'bytes'>, string> {
  return { type: { kind: 'bytes', min: range.min, max: range.max }, default: range.default };
}

export const FUNCTION: Row<OfKind<'function'>, never> = { type: { kind: 'function' } };
export const STRINGS: Row<OfKind<'stringList'>, never> = { type: { kind: 'stringList' } };
export const STRING_MAP: Row<OfKind<'stringMap'>, never> = { type: { kind: 'stringMap' } };
export const CERTIFICATES: Row<OfKind<'certificates'>, never> = { type: { kind: 'certificates' } };

export function integers(range: { min: number; max: number }): Row<OfKind<'intList'>, never> {
  return { type: { kind: 'intList', ...range } };
}

/** Another name of a setting in the same table. */
export function alias<const Key extends string>(aliasOf: Key): Alias<Key> {
  return { aliasOf };
}

/** A setting that is taken, told about, and never looked at. */
export function ignored(noEffect: string): Row<OfKind<'any'>> & { readonly noEffect: string } {
  return { type: { kind: 'any' }, noEffect };
}

/** A setting that is checked, told about, and used by nothing. */
export function unused<R extends Row>(row: R, noEffect: string): R & { readonly noEffect: string } {
  return { ...row, noEffect };
}
