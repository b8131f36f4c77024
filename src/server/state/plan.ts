import { SWOOLE_BASE } from '../../constants.ts';
import type { TlsBasis } from '../ports/tls-basis.ts';
import type { NormalisedSettings, ResolvedPortSettings, ResolvedServerSettings } from '../settings/settings.ts';
import type { Script } from './script.ts';

/** What start() has made of the script, the same in every process: all settings are resolved, all callbacks are there. */
export interface Plan {
  readonly script: Script;
  /** As the script has set them, before anything was resolved. */
  readonly said: NormalisedSettings;
  readonly settings: ResolvedServerSettings;
  /** By port. */
  readonly portSettings: readonly ResolvedPortSettings[];
  /** Null where no port uses TLS, and in processes that own no sockets. */
  readonly tls: TlsBasis | null;
}

/** True exactly when one process is the whole server. */
export function isAlone({ script, settings }: Plan): boolean {
  return (
    script.mode === SWOOLE_BASE &&
    settings.workerNum === 1 &&
    settings.taskWorkerNum === 0 &&
    settings.maxRequest === 0 &&
    script.processes.length === 0
  );
}
