import { LANES_PER_WORKER, reactorInbox, workerLane } from '../../shm/layout.ts';
import { ringConsumed, ringTail } from '../../shm/ring.ts';
import type { Runtime } from '../way/runtime.ts';

interface Position {
  inbox: number;
  lane: number;
  end: number;
}

/** The lanes of the other processes of our worker id: those before us, and one behind us. */
export function lanesBeside({ segment, workerId, lane }: Runtime): number[] {
  const lanes = Array.from({ length: LANES_PER_WORKER }, (_, generation) =>
    workerLane(segment.layout, workerId, generation),
  );
  return lanes.filter((each) => each !== lane);
}

/**
 * What the processes that had our worker id before us have written to the reactors, and those have not taken yet. A ring
 * keeps the order of one process only: a reactor that is behind would find our answers beside theirs.
 */
export class EarlierOutput {
  private readonly runtime: Runtime;
  private readonly positions: Position[] = [];

  /** Looks at what is there now: later output of theirs has no order with ours. */
  constructor(runtime: Runtime) {
    this.runtime = runtime;
    const { segment } = runtime;
    const { layout } = segment;
    for (const lane of lanesBeside(runtime)) {
      for (let reactor = 0; reactor < layout.reactorCount; reactor++) {
        const inbox = reactorInbox(reactor);
        this.positions.push({ inbox, lane, end: ringTail(segment, inbox, lane) });
      }
    }
  }

  /** True exactly when the reactors have taken all of it. */
  get taken(): boolean {
    const { segment } = this.runtime;
    return this.positions.every(({ inbox, lane, end }) => ringConsumed(segment, inbox, lane, end));
  }
}
