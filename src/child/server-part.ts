/** What part this process has in a server, as far as a `Process` must know. */
import { leaveReplayOfServer } from './replay.ts';
import { releaseSignals, reserveSignals } from './signals.ts';

let inServer = false;
let isMaster = false;

/**
 * This process has its role in a running server: from here on a Process acts, and does not repeat. The signals are the
 * server's. In a master no Process can be constructed any more.
 */
export function joinServer(options: { isMaster: boolean; signals: readonly NodeJS.Signals[] }): void {
  inServer = true;
  isMaster = options.isMaster;
  reserveSignals(options.signals);
  leaveReplayOfServer();
}

/** The server has ended in the first process. The next one may have processes of its own. */
export function leaveServer(): void {
  isMaster = false;
  releaseSignals();
}

export function isInServer(): boolean {
  return inServer;
}

export function isRunningMaster(): boolean {
  return isMaster;
}
