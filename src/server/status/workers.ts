/** Who the workers are, and what they do. */
import { SWOOLE_WORKER_EXIT } from '../../constants.ts';
import type { Member } from '../state/member.ts';

export function workerPid({ runtime }: Member, workerId: number): number | false {
  // A worker that is being replaced: the table has the next one's already. Master and manager are no workers.
  if (workerId === -1) return runtime.workerId !== -1 && process.pid;
  // 0 before its first start: a signal to that would be for everybody.
  return runtime.workers.has(workerId) && (runtime.workers.pid(workerId) || false);
}

export function workerStatus(member: Member, workerId: number): number | false {
  const { runtime } = member;
  if ((workerId === -1 || workerId === member.workerId) && runtime.stopping) return SWOOLE_WORKER_EXIT;
  const id = workerId === -1 ? member.workerId : workerId;
  return runtime.workers.has(id) ? runtime.workers.status(id) : false;
}
