import type { Inheritance } from '../../process/life/inheritance.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import type { Dispatcher } from '../../reactor/dispatch.ts';
import type { Segment } from '../../shm/segment.ts';
import type { CallbackRunner } from '../callbacks/callback-runner.ts';
import type { Certificates } from '../connections/certificates.ts';
import type { WaitingSends } from '../connections/waiting-sends.ts';
import type { Plan } from './plan.ts';

/** The two ends of a user process's pipe, as descriptors of this process. */
export interface Pipe {
  readonly parent: number;
  readonly child: number;
}

/** What all processes of a server share: made by the first one, inherited by the others. */
export interface Shared {
  readonly segment: Segment;
  readonly doorbells: number[];
  /** All of it as children get it. */
  readonly inheritance: Inheritance;
  /** By user process; null where it has none. */
  readonly pipes: readonly (Pipe | null)[];
}

/** One process of a running server: what it follows, shares and is. */
export interface Member extends Plan, Shared {
  readonly runtime: Runtime;
  readonly dispatcher: Dispatcher;
  readonly runner: CallbackRunner;
  readonly certificates: Certificates;
  readonly waitingSends: WaitingSends;
  /** -1 outside of workers. */
  readonly workerId: number;
  readonly taskworker: boolean;
}
