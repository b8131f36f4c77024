/** What processes are told of the settings: resolved by the server before the first child starts. */
import type { ReactorSettings } from '../reactor/settings.ts';

export interface RoleSettings extends LifeSettings, TaskLifeSettings, PrivilegeSettings {
  /** Data of connections that are gone is dropped, in the dispatch modes where it may reach any worker. */
  discardTimeoutRequest: boolean;
  /** For workers that own sockets. */
  reactor: ReactorSettings;
}

/** How workers end. */
export interface LifeSettings {
  /** Requests after which an event worker is replaced, and up to how many more by chance; 0 = never. */
  maxRequest: number;
  maxRequestGrace: number;
  /** How long a worker that stops may take; 0 = it ends at once, and nobody is killed. */
  maxWaitMs: number;
  reloadAsync: boolean;
  /** How long the processes of a reload may take to start; 0 = for ever. */
  reloadTimeoutMs: number;
  /** How many of them start at once; 0 = all. */
  reloadWorkerNum: number;
}

export interface TaskLifeSettings {
  /** As maxRequest and maxRequestGrace. */
  taskMaxRequest: number;
  taskMaxRequestGrace: number;
  /** Several tasks at a time. */
  taskEnableCoroutine: boolean;
}

/** What workers and task workers may do, and where. */
export interface PrivilegeSettings {
  user: string | null;
  group: string | null;
  chroot: string | null;
  openCpuAffinity: boolean;
  cpuAffinityIgnore: readonly number[];
}
