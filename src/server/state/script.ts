import type { Process } from '../../child/process.ts';
import { SWOOLE_LOG_WARNING } from '../../constants.ts';
import type { LastError } from '../../errors.ts';
import type { Logger } from '../../log/log.ts';
import type { Callbacks } from '../callbacks/callbacks.ts';
import type { EventTable } from '../callbacks/event-table.ts';
import type { CommandTable } from '../messages/command-table.ts';
import type { ListenAttempt } from '../ports/address.ts';
import type { PortState } from '../ports/port-state.ts';
import type { NormalisedSettings } from '../settings/settings.ts';

/** What the script has said of its server. It is there before start() and after the end; nothing in it runs. */
export interface Script {
  /** What users know as the server: the first argument of every callback. */
  readonly self: object;
  readonly mode: number;
  /** Which of the servers it is that the script makes one after the other, from 1. */
  readonly place: number;
  readonly ports: PortState[];
  /** Every port that the script has asked for, those that could not be bound too: in children they must fail alike. */
  readonly attempts: ListenAttempt[];
  /** Which events there are: of the server and of all its ports. */
  readonly events: EventTable;
  readonly callbacks: Callbacks;
  readonly logger: Logger;
  readonly commands: CommandTable;
  /** User processes, in the order in which they were added. */
  readonly processes: Process[];
  setting: NormalisedSettings;
  /** For getLastError(). */
  readonly lastError: LastError;
  /** Of this worker; 0 before workerStart, and in other processes. */
  workerPid: number;
  /** start() was called; callbacks and settings can no longer change. */
  started: boolean;
  ended: boolean;
}

/** Notes why a call has failed, for getLastError(), and answers what such a call answers. */
export function fail(script: Script, code: number): false {
  return script.lastError.fail(code);
}

export function warn(script: Script, text: string, code?: number): void {
  script.logger.log(SWOOLE_LOG_WARNING, text, code);
}

/** For methods that need a server that runs, before it does or when it has ended. */
export function warnNotRunning(script: Script, method: string): void {
  warn(script, `${method}(): the server is not running`);
}
