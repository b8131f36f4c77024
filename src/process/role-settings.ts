import type { LogSettings } from '../log/log.ts';

/** What processes must know of the settings. All of it is decided before the first child starts. */
export interface RoleSettings {
  workerNum: number;
  reactorNum: number;
  taskWorkerNum: number;
  taskMaxRequest: number;
  taskMaxRequestGrace: number;
  taskEnableCoroutine: boolean;
  maxRequest: number;
  maxRequestGrace: number;
  maxWaitMs: number;
  reloadAsync: boolean;
  pidFile: string | null;
  user: string | null;
  group: string | null;
  chroot: string | null;
  openCpuAffinity: boolean;
  cpuAffinityIgnore: readonly number[];
  entryScript: string | null;
  dispatchMode: number;
  enableUnsafeEvent: boolean;
  discardTimeoutRequest: boolean;
  enableDelayReceive: boolean;
  enableReusePort: boolean;
  maxConnection: number;
  maxQueuedBytes: number;
  heartbeatCheckIntervalMs: number;
  log: LogSettings;
}
