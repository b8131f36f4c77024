/**
 * The payload of a PACKET message: one datagram on its way from a reactor to a worker. In the message a is the index of
 * the port, b the length of the peer's address.
 *
 *   0                      8                 8 + b, padded to 8        length
 *   +----------------------+-----------------+-------------------------+
 *   | received at, s (f64) | peer's sockaddr | the datagram            |
 *   +----------------------+-----------------+-------------------------+
 *   Written by the reactor thread that owns the datagram sockets, read once by the worker.
 */
import type { Message } from './ring.ts';

const ADDRESS_OFFSET = 8;
/** A sockaddr is at most that of a Unix socket. */
const ADDRESS_BYTES_MAX = 128;

/** Where the datagram begins in the payload. */
export function packetDataOffset(addressLength: number): number {
  return ADDRESS_OFFSET + ((addressLength + 7) & ~7);
}

/** Writes what precedes the datagram at the given place, which is a multiple of 8. */
export function writePacketHead(
  target: { u8: Uint8Array; f64: Float64Array },
  at: number,
  seconds: number,
  source: Uint8Array,
  addressAt: number,
  addressLength: number,
): void {
  target.f64[at >> 3] = seconds;
  const { u8 } = target;
  for (let i = 0; i < addressLength; i++) u8[at + ADDRESS_OFFSET + i] = source[addressAt + i];
}

/** Views on a packet that a reader has found; valid until its release(), but for `bytes` of their own. */
export interface PacketView {
  bytes: Uint8Array;
  seconds: number;
  addressAt: number;
  addressLength: number;
  dataAt: number;
  dataLength: number;
}

/** Fills the view from the reader's message. Throws when the lengths cannot be: they come from shared memory. */
export function readPacket(reader: Message, view: PacketView): void {
  const { bytes, offset, length, b: addressLength, data } = reader;
  const start = bytes === null ? offset : 0;
  const dataOffset = packetDataOffset(addressLength);
  if (!(addressLength >= 0 && addressLength <= ADDRESS_BYTES_MAX && dataOffset <= length))
    throw new Error(`a packet is damaged: address=${addressLength} length=${length}`);
  view.bytes = bytes ?? data.u8;
  view.seconds = bytes === null ? data.f64[start >> 3] : bytes.readDoubleLE(0);
  view.addressAt = start + ADDRESS_OFFSET;
  view.addressLength = addressLength;
  view.dataAt = start + dataOffset;
  view.dataLength = length - dataOffset;
}
