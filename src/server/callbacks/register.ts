/** on(): of a server, whose other events are its own port's, and of a port. */

import { isFirst } from '../../process/life/this-process.ts';
import type { PortState } from '../ports/port-state.ts';
import { type Script, warn } from '../state/script.ts';
import { checkEventName, unknownEvent } from './callbacks.ts';

export function registerForServer(script: Script, event: string, callback: unknown): boolean {
  checkEventName(event);
  if (isTooLate(script, event)) return false;
  if (!script.callbacks.knows(event)) return registerForPort(script, script.ports[0], event, callback);
  script.callbacks.set(event, callback);
  return true;
}

export function registerForPort(script: Script, port: PortState, event: string, callback: unknown): boolean {
  checkEventName(event);
  if (isTooLate(script, event)) return false;
  if (!port.callbacks.knows(event)) {
    // The same script runs in every process: what it does wrong is told once.
    if (isFirst()) warn(script, unknownEvent(script.events, event));
    return false;
  }
  port.callbacks.set(event, callback);
  return true;
}

function isTooLate(script: Script, event: string): boolean {
  if (script.started) warn(script, `callbacks cannot be registered after start(): "${event}" is ignored`);
  return script.started;
}
