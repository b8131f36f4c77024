import { ownerInbox } from '../../shm/layout.ts';
import { RESET } from '../../shm/messages.ts';
import type { Runtime } from '../way/runtime.ts';

/** What the dead process had still told its readers is handled by then. */
const ORPHAN_WAIT_MS = 500;

/**
 * A worker of SWOOLE_PROCESS died: connections whose close callback it was running would wait for its answer for ever. The
 * reactor is told to end them, unless the answer was under way.
 */
export function endOrphans(runtime: Runtime, lane: number): void {
  const { connections, segment } = runtime;
  const orphans = connections.closing(lane);
  if (orphans.length === 0) return;
  setTimeout(() => {
    for (const { slot, serial } of orphans) {
      if (!connections.isClosing(slot, serial)) continue;
      runtime.tell(ownerInbox(segment.layout, slot), RESET, slot, serial);
    }
  }, ORPHAN_WAIT_MS);
}
