import type { Message } from '../../shm/ring.ts';

/** The payload of a message as text, or null where it has none. */
export function messageText({ bytes, data, offset, length }: Message): string | null {
  if (length === 0) return null;
  return bytes !== null ? bytes.toString() : data.text.toString('utf8', offset, offset + length);
}
