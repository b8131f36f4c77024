import { parentPort } from 'node:worker_threads';
import { type ReactorThreadConfig, runReactorThread } from '../../reactor/thread.ts';
import { guardedDispatch } from '../callbacks/user-functions.ts';
import type { ServerCore } from '../state/core.ts';

/** A thread that runs the script because functions of it are needed beside the sockets. Returns when the server has ended. */
export function runReactor(core: ServerCore, config: ReactorThreadConfig): void {
  const { dispatchFunc } = core.settings!;
  // Functions do not cross to a thread: they are taken from the settings that the script has made here.
  const ports = config.ports.map((port, index) => {
    const { framing } = core.portSettings[index];
    return framing.kind === 'lengthFunction' ? { ...port, framing } : port;
  });
  const ask = dispatchFunc === null ? null : guardedDispatch(core, dispatchFunc);
  // The master of a daemon waits for that.
  parentPort!.postMessage('begun');
  runReactorThread({ ...config, ports }, { askUser: ask, runCommand: (request) => core.commands.runNow(request) });
  // Ends this thread only. The script may wait for start(), which never resolves here.
  process.exit(0);
}
