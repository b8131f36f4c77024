import { SWOOLE_BASE, SWOOLE_PROCESS, SWOOLE_THREAD } from '../../constants.ts';
import { describeValue, LastError, TswooleError } from '../../errors.ts';
import { Logger } from '../../log/log.ts';
import { Callbacks } from '../callbacks/callbacks.ts';
import { EventTable } from '../callbacks/event-table.ts';
import { CommandTable } from '../messages/command-table.ts';
import type { Script } from './script.ts';

/** The newest server of this process. */
let newest: Script | null = null;

/** What a script has said that has only made its server. Throws where a process cannot have another one. */
export function newScript(self: object, mode: number): Script {
  checkMode(mode);
  if (newest !== null && !newest.ended) {
    throw new TswooleError(
      'ERR_STATE',
      'there is a Server in this process already: add further ports to it with listen()',
    );
  }
  const events = new EventTable();
  return {
    self,
    mode,
    place: (newest?.place ?? 0) + 1,
    ports: [],
    attempts: [],
    events,
    callbacks: new Callbacks(events, 'server'),
    commands: new CommandTable(),
    processes: [],
    logger: new Logger(),
    setting: {},
    lastError: new LastError(),
    workerPid: 0,
    started: false,
    ended: false,
  };
}

/** Its ports are there: until it has ended, the process can make no other. */
export function keepAsNewest(script: Script): void {
  newest = script;
}

/** False as soon as the process has made another server. */
export function isNewest(script: Script): boolean {
  return newest === script;
}

function checkMode(mode: number): void {
  if (mode === SWOOLE_THREAD)
    throw new TswooleError('ERR_UNSUPPORTED', 'SWOOLE_THREAD is not supported yet: use SWOOLE_PROCESS or SWOOLE_BASE');
  if (mode !== SWOOLE_BASE && mode !== SWOOLE_PROCESS) {
    throw new TswooleError('ERR_ARGUMENT', `mode must be SWOOLE_BASE or SWOOLE_PROCESS, got ${describeValue(mode)}`, {
      key: 'mode',
    });
  }
}
