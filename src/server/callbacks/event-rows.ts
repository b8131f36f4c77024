/** The events as rows: whose each is, and what it needs. What checks or lists the names of events goes by them. */
import type { Events, PortEvents } from './events.ts';

export type Owner = 'server' | 'port';

export interface EventRow {
  readonly of: Owner;
  /**
   * What must be there for it to be called: what its port speaks (`protocolOf`), `task_worker_num`, or
   * `connections`, which stands for the modes whose workers hear of clients that come and go.
   */
  readonly needs?: string;
}

/** By the event's name. */
export type EventRows<Name extends string = string> = Readonly<Record<Name, EventRow>>;

type CoreRows = {
  readonly [Name in keyof Events<object>]: EventRow & { of: Name extends keyof PortEvents<object> ? 'port' : 'server' };
};

export const CORE_EVENTS: CoreRows = {
  start: { of: 'server' },
  beforeShutdown: { of: 'server' },
  shutdown: { of: 'server' },
  managerStart: { of: 'server' },
  managerStop: { of: 'server' },
  workerStart: { of: 'server' },
  workerStop: { of: 'server' },
  workerExit: { of: 'server' },
  workerError: { of: 'server' },
  task: { of: 'server', needs: 'task_worker_num' },
  finish: { of: 'server' },
  pipeMessage: { of: 'server' },
  beforeReload: { of: 'server' },
  afterReload: { of: 'server' },
  connect: { of: 'port', needs: 'connections' },
  receive: { of: 'port', needs: 'stream' },
  packet: { of: 'port', needs: 'datagrams' },
  close: { of: 'port', needs: 'connections' },
  bufferFull: { of: 'port', needs: 'connections' },
  bufferEmpty: { of: 'port', needs: 'connections' },
};
