import { applyPrivileges } from '../../process/roles/privileges.ts';
import type { Member } from '../state/member.ts';
import { handleSignals } from './signals.ts';

/**
 * What a worker does that has a process of its own: it listens to signals, and gives rights away. A thread gets no signals,
 * and shares its directory, root and user with others. `parent`: the process to die with.
 */
export function ownProcess(
  { script, settings, runtime }: Member,
  parent: number,
  stop: (graceful: boolean) => void,
): void {
  handleSignals({
    onTerm: () => stop(settings.reloadAsync),
    onReload: null,
    onReopen: () => script.logger.reopen(),
  });
  applyPrivileges(settings, runtime, parent);
}
