import { EofCheckFramer, EofSplitFramer } from './eof.ts';
import { createLengthFramer, type LengthType } from './length.ts';
import { LengthFunctionFramer } from './length-function.ts';
import { MqttFramer } from './mqtt.ts';
import { RedisFramer } from './redis.ts';
import type { Framer } from './scan.ts';

export type { LengthType } from './length.ts';
export { type Framer, LENGTH_NOT_FOUND, MALFORMED, NEED_MORE, TOO_LARGE } from './scan.ts';

/** How a port cuts its stream into packages; `max` is `package_max_length`. */
export type FramingConfig =
  | { kind: 'raw' }
  | { kind: 'eof'; eof: Uint8Array; split: boolean; max: number }
  | { kind: 'length'; type: LengthType; lengthOffset: number; bodyOffset: number; max: number }
  | { kind: 'lengthFunction'; call: (data: Buffer) => number; max: number }
  | { kind: 'mqtt'; max: number }
  | { kind: 'redis'; max: number };

/** The framer for a port, or null when every read is a package. Throws a RangeError for impossible numbers. */
export function createFramer(config: FramingConfig): Framer | null {
  switch (config.kind) {
    case 'raw':
      return null;
    case 'eof':
      return config.split ? new EofSplitFramer(config.eof, config.max) : new EofCheckFramer(config.eof, config.max);
    case 'length':
      return createLengthFramer(config.type, config.lengthOffset, config.bodyOffset, config.max);
    case 'lengthFunction':
      return new LengthFunctionFramer(config.call, config.max);
    case 'mqtt':
      return new MqttFramer(config.max);
    case 'redis':
      return new RedisFramer(config.max);
  }
}
