/** How a port cuts what arrives into packages. */
import { EOF_BYTES_MAX } from '../../protocol/eof.ts';
import type { FramingConfig } from '../../protocol/framer.ts';
import { LENGTH_TYPE_BYTES, type LengthType } from '../../protocol/length.ts';
import { SWOOLE_IPC_BYTES } from '../../protocol/swoole-limits.ts';
import {
  alias,
  bytes,
  type Checked,
  type Flag,
  FUNCTION,
  filled,
  flag,
  oneOf,
  type Rows,
  type Size,
  size,
  whole,
} from './row.ts';

/** Smaller limits are raised: one read may bring this much, and it must fit. */
const PACKAGE_BYTES_MAX_MIN = 65536;
/** An offset must lie in what one message between processes carries. */
const OFFSET = { max: SWOOLE_IPC_BYTES, outside: 'throw' } as const;
const LENGTH_KEYS = [
  'package_length_type',
  'package_length_offset',
  'package_body_offset',
  'package_length_func',
] as const;
/** The letters of `pack()` that Swoole reads a length with. */
const LENGTH_TYPES = Object.keys(LENGTH_TYPE_BYTES) as LengthType[];

/** A letter of PHP's `pack()` that stands for an integer. */
export type PackageLengthType = LengthType;

/** Tells the length of the package that `data` begins with: 0 = more data is needed, negative = close. */
export type PackageLengthFunction = (data: Buffer) => number;

export interface FramingPortKeys {
  /** A package ends where the received data ends with `package_eof`. @default false */
  open_eof_check?: Flag;
  /** Cut the data at every `package_eof`; turns open_eof_check on. @default false */
  open_eof_split?: Flag;
  /** The end mark of a package, 1 to 8 bytes. @default '\r\n\r\n' */
  package_eof?: string | Uint8Array;
  /** A package begins with a header that tells its length. @default false */
  open_length_check?: Flag;
  /** Type of the length field, a letter of PHP's pack(). @default 'N' */
  package_length_type?: PackageLengthType;
  /** Bytes before the length field, 0 to 8152. @default 0 */
  package_length_offset?: number;
  /** Bytes that the length field does not count, 0 to 8152: a package has this plus the length field's value. @default 4 */
  package_body_offset?: number;
  /** The same as package_body_offset. */
  package_body_start?: number;
  /** Finds the length of a package where a length field is not enough; synchronous. @default none */
  package_length_func?: PackageLengthFunction;
  /** Bytes of the largest package; at least 64 KiB. @default 2M */
  package_max_length?: Size;
  /** Cut the data into MQTT packets. @default false */
  open_mqtt_protocol?: Flag;
  /** Cut the data into Redis requests. @default false (true for Redis.Server) */
  open_redis_protocol?: Flag;
}

export const FRAMING_PORT_ROWS = {
  open_eof_check: flag(),
  open_eof_split: flag(),
  package_eof: bytes({ min: 1, max: EOF_BYTES_MAX, default: '\r\n\r\n' }),
  open_length_check: flag(),
  package_length_type: oneOf(LENGTH_TYPES, 'N'),
  package_length_offset: whole({ ...OFFSET, default: 0 }),
  package_body_offset: whole({ ...OFFSET, default: 4 }),
  package_body_start: alias('package_body_offset'),
  package_length_func: FUNCTION,
  package_max_length: size({ default: 2 * 1024 ** 2 }),
  open_mqtt_protocol: flag(),
  open_redis_protocol: flag(),
} satisfies Rows<FramingPortKeys>;

/** How a port cuts what arrives into packages, with the ways that `protocol` does not know (yet). */
export type Framing = FramingConfig | { kind: 'http'; max: number };

export interface FramingPortSlice {
  framing: Framing;
  packageMaxLength: number;
}

export function resolvePortFraming(
  values: Checked<FramingPortKeys>,
  openHttp: boolean,
  warnings: string[],
): FramingPortSlice {
  const set = filled(FRAMING_PORT_ROWS, values);
  const packageMaxLength = resolvePackageMaxLength(set.package_max_length, warnings);
  return { framing: resolveFraming(values, openHttp, packageMaxLength), packageMaxLength };
}

/** True exactly when a function of the user has to run beside the sockets, or would if open_length_check were on. */
export function hasLengthFunction(values: Checked<FramingPortKeys>): boolean {
  return values.package_length_func !== undefined;
}

/** What says how packages are cut does not yet say that they are. Sentences for the log at NOTICE level. */
export function framingNotices(values: Checked<FramingPortKeys>): string[] {
  const notices: string[] = [];
  if (values.package_eof !== undefined && !values.open_eof_check && !values.open_eof_split)
    notices.push('The setting "package_eof" has no effect without open_eof_split or open_eof_check.');
  if (values.open_length_check) return notices;
  for (const key of LENGTH_KEYS)
    if (values[key] !== undefined) notices.push(`The setting "${key}" has no effect without open_length_check.`);
  return notices;
}

function resolvePackageMaxLength(bytes: number, warnings: string[]): number {
  if (bytes >= PACKAGE_BYTES_MAX_MIN) return bytes;
  warnings.push(`package_max_length ${bytes} is below the smallest possible: ${PACKAGE_BYTES_MAX_MIN} is used.`);
  return PACKAGE_BYTES_MAX_MIN;
}

/** When several are on, the first in this order counts (Swoole's order). */
function resolveFraming(values: Checked<FramingPortKeys>, openHttp: boolean, max: number): Framing {
  const set = filled(FRAMING_PORT_ROWS, values);
  const split = set.open_eof_split;
  if (split || set.open_eof_check) return { kind: 'eof', eof: bytesOf(set.package_eof), split, max };
  if (set.open_length_check) {
    if (set.package_length_func !== undefined) return { kind: 'lengthFunction', call: set.package_length_func, max };
    const { package_length_offset: lengthOffset, package_body_offset: bodyOffset } = set;
    return { kind: 'length', type: set.package_length_type, lengthOffset, bodyOffset, max };
  }
  if (openHttp) return { kind: 'http', max };
  if (set.open_mqtt_protocol) return { kind: 'mqtt', max };
  if (set.open_redis_protocol) return { kind: 'redis', max };
  return { kind: 'raw' };
}

/** A copy: the user may use the array again. */
function bytesOf(eof: string | Uint8Array): Uint8Array {
  return typeof eof === 'string' ? new TextEncoder().encode(eof) : Uint8Array.from(eof);
}
