import { parentPort } from 'node:worker_threads';
import { joinServer } from '../../child/server-part.ts';
import { type ReactorThreadConfig, runReactorThread } from '../../reactor/thread.ts';
import { guardedDispatch } from '../callbacks/user-functions.ts';
import { runCommandNow } from '../messages/commands.ts';
import type { Plan } from '../state/plan.ts';
import { SIGNALS } from './signals.ts';

/** A thread that runs the script because functions of it are needed beside the sockets. Returns when the server has ended. */
export function runReactor({ script, settings, portSettings }: Plan, config: ReactorThreadConfig): void {
  const { dispatchFunc } = settings;
  // Functions do not cross to a thread: they are taken from the settings that the script has made here.
  const ports = config.ports.map((port, index) => {
    const { framing } = portSettings[index];
    return framing.kind === 'lengthFunction' ? { ...port, framing } : port;
  });
  // It has its role: from here on a Process acts, and does not repeat what the master's has done.
  joinServer({ isMaster: false, signals: SIGNALS });
  const ask = dispatchFunc === null ? null : guardedDispatch(script, dispatchFunc);
  // The master of a daemon waits for that.
  parentPort?.postMessage('begun');
  runReactorThread({ ...config, ports }, { askUser: ask, runCommand: (request) => runCommandNow(script, request) });
  // Ends this thread only. The script may wait for start(), which never resolves here.
  process.exit(0);
}
