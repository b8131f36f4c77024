/** set(): of a server and of a port. */
import { SWOOLE_LOG_NOTICE } from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import { isFirst } from '../../process/life/this-process.ts';
import type { PortState } from '../ports/port-state.ts';
import { checkSslFiles } from '../ports/tls.ts';
import { type Script, warn } from '../state/script.ts';
import {
  type NormalisedSettings,
  type PortSettings,
  resolveLog,
  type ServerSettings,
  validateSettings,
} from './settings.ts';

/** Merges settings into those set before; the server's own port has them, too. */
export function setForServer(script: Script, settings: ServerSettings): boolean {
  const values = accept(script, settings, 'server', 'set()');
  if (values === null) return false;
  script.setting = { ...script.setting, ...values };
  script.logger.configure(resolveLog(script.setting));
  const [primary] = script.ports;
  primary.settingValues = { ...primary.settingValues, ...values };
  return true;
}

/** The port inherits nothing from now on. */
export function setForPort(script: Script, port: PortState, settings: PortSettings): boolean {
  const values = accept(script, settings, 'port', 'port.set()');
  if (values === null) return false;
  port.settingValues = { ...port.settingValues, ...values };
  port.ownSettings = true;
  return true;
}

/** Throws on what cannot be set; null after start(). */
function accept(
  script: Script,
  settings: ServerSettings | PortSettings,
  of: 'server' | 'port',
  method: string,
): NormalisedSettings | null {
  if (script.started) {
    warn(script, `${method} has no effect after start()`);
    return null;
  }
  if (typeof settings !== 'object' || settings === null) {
    throw new TswooleError('ERR_ARGUMENT', `${method} takes an object of settings, got ${describeValue(settings)}`);
  }
  const { values, notices } = validateSettings(settings, of);
  // The same script runs in every process: what it does wrong is told once.
  if (!isFirst()) return values;
  checkSslFiles(values);
  for (const notice of notices) script.logger.once(`notice:${notice}`, SWOOLE_LOG_NOTICE, notice);
  return values;
}
