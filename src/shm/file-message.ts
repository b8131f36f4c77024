/**
 * The payload of SENDFILE:
 *
 *   0            8            16                    16 + bytes of the path
 *   +------------+------------+---------------------+
 *   | offset f64 | length f64 | absolute path, UTF-8 |
 *   +------------+------------+---------------------+
 *   Written by the process that calls sendfile, which has checked the file; read by the owner of the connection.
 */
import type { Message } from './ring.ts';

const HEADER_BYTES = 16;

export interface FileMessage {
  path: string;
  offset: number;
  length: number;
}

export function encodeFileMessage(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + Buffer.byteLength(path));
  bytes.writeDoubleLE(offset, 0);
  bytes.writeDoubleLE(length, 8);
  bytes.write(path, HEADER_BYTES);
  return bytes;
}

/** Must be called before the reader's release(). */
export function decodeFileMessage(reader: Message): FileMessage {
  const bytes = reader.bytes ?? reader.data.text.subarray(reader.offset, reader.offset + reader.length);
  if (bytes.length <= HEADER_BYTES) throw new RangeError(`a file message has a path: length=${bytes.length}`);
  const message = {
    offset: bytes.readDoubleLE(0),
    length: bytes.readDoubleLE(8),
    path: bytes.toString('utf8', HEADER_BYTES),
  };
  if (!(message.offset >= 0 && message.length > 0))
    throw new RangeError(`a file message has a range: offset=${message.offset} length=${message.length}`);
  return message;
}
