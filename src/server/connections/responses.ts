import { LIFE_RESPONSES, RESPONSES, SENT_BYTES } from '../../shm/counters.ts';
import type { LaneCounters } from '../../shm/lanes.ts';

/** Something was accepted for a client, or handed to the kernel. */
export function countResponse({ numbers, base }: LaneCounters, bytes: number): void {
  numbers[base + RESPONSES]++;
  numbers[base + LIFE_RESPONSES]++;
  numbers[base + SENT_BYTES] += bytes;
}
