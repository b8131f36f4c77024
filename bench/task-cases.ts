import type { Turn } from './load/round-trips.ts';
import type { Family } from './support/task-subjects.ts';

/** What is measured of tasks and messages, and what tswoole promises there. */
export interface TaskCase extends Omit<Turn, 'seconds'> {
  name: string;
  title: string;
  /** Round trips per second, as a multiple of a peer's; nothing where the peer has nothing like it. */
  targets: Partial<Record<Family, number>>;
  /** Of one round trip at a time: the median, at most. */
  medianUsMax: number | null;
}

const many = { form: 'text', bytes: 64, underWay: 64, medianUsMax: null } as const;
const one = { form: 'text', bytes: 64, underWay: 1, targets: {} } as const;
export const TASK_CASES: readonly TaskCase[] = [
  { ...many, name: 'task-64', title: 'task and result, 64 B', kind: 'task', targets: { ipc: 2, piscina: 6 } },
  {
    ...many,
    ...{ name: 'task-16k', title: 'task and result, 16 KiB of text', kind: 'task', bytes: 16384 },
    targets: { ipc: 3, piscina: 3 },
  },
  {
    ...many,
    ...{
      name: 'task-16k-bytes',
      title: 'task and result, Buffer of 16 KiB',
      kind: 'task',
      bytes: 16384,
      form: 'bytes',
    },
    targets: { ipc: 3, piscina: 3 },
  },
  { ...many, name: 'message-64', title: 'message there and back, 64 B', kind: 'message', targets: { ipc: 2 } },
  { ...one, name: 'taskwait', title: 'await taskwait(), one at a time', kind: 'taskwait', medianUsMax: 60 },
  { ...one, name: 'taskwaitSync', title: 'taskwaitSync(), one at a time', kind: 'taskwaitSync', medianUsMax: 30 },
];
