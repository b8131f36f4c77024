/** What may wait for all connections together (max_output_memory). */
import { SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { Notice } from '../../reactor/notice.ts';
import { OUTPUT_WAITING } from '../../shm/counters.ts';
import { sumRare } from '../../shm/lanes.ts';
import type { Member } from '../state/member.ts';

const notices = new WeakMap<Member, Notice>();

/** True exactly when so many bytes more would be too much; that is told once a second at most. */
export function outputMemoryIsFull(member: Member, length: number): boolean {
  const { settings, runtime } = member;
  const most = settings.maxOutputMemory;
  if (most === 0) return false;
  const waits = sumRare(runtime.segment, OUTPUT_WAITING) + runtime.outbox.bytesForOwners;
  if (waits + length <= most) return false;
  noticeOf(member).tell(
    `send() is refused: ${waits} bytes wait for clients to read, max_output_memory is ${most} [${SWOOLE_ERROR_OUTPUT_BUFFER_OVERFLOW}]`,
  );
  return true;
}

function noticeOf(member: Member): Notice {
  const { logger } = member.runtime;
  let notice = notices.get(member);
  if (notice === undefined) {
    const host = {
      get now(): number {
        return performance.now();
      },
      log: (level: number, text: string): void => logger.log(level, text),
    };
    notice = new Notice(host, SWOOLE_LOG_WARNING);
    notices.set(member, notice);
  }
  return notice;
}
