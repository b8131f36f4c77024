/** The way to a running server for a program beside it, which may look and touch nothing. */
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { SEGMENT_NAME, Segment } from './segment.ts';

/**
 * The segments of the servers that a process belongs to (the first process of a server, or any other): mapped for reading
 * only. Throws what the system says where the process has gone, or is of a user whose memory we may not see.
 */
export function openSegments(pid: number): Segment[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder)
    .filter((fd) => isSegment(`${folder}/${fd}`))
    .map((fd) => {
      const file = openSync(`${folder}/${fd}`, 'r');
      try {
        return Segment.attachReadOnly(file);
      } finally {
        closeSync(file);
      }
    });
}

function isSegment(path: string): boolean {
  try {
    return readlinkSync(path).startsWith(`/memfd:${SEGMENT_NAME} `);
  } catch {
    // It was closed a moment ago.
    return false;
  }
}
