/** From what the user has set to what the server runs with: settings resolved, callbacks checked. */
import { setServers } from 'node:dns';
import {
  SWOOLE_ERROR_SERVER_INVALID_CALLBACK,
  SWOOLE_LOG_NOTICE,
  SWOOLE_LOG_WARNING,
  SWOOLE_PROCESS,
} from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { isFirst } from '../../process/life/this-process.ts';
import type { Runtime } from '../../process/way/runtime.ts';
import { Dispatcher, deliversEvents } from '../../reactor/dispatch.ts';
import { isDatagram, isUnix, type ReactorPort } from '../../reactor/port.ts';
import { workersMax } from '../../shm/layout.ts';
import { cpuCount, openFiles, raiseFileLimit } from '../../sys/process.ts';
import { guardedLength } from '../callbacks/user-functions.ts';
import { type PortState, protocolOf } from '../ports/port-state.ts';
import { checkTlsIsSpoken, tlsBasis, tlsConfig } from '../ports/tls.ts';
import {
  framingNotices,
  type ResolvedServerSettings,
  resolvePortSettings,
  resolveServerSettings,
  type SettingsContext,
  settledValues,
  settleHeartbeat,
} from '../settings/settings.ts';
import type { Plan } from '../state/plan.ts';
import type { Script } from '../state/script.ts';

/** Resolves all settings. Throws on what cannot work together. */
export function makePlan(script: Script): Plan {
  for (const port of script.ports) if (!port.ownSettings && port.index !== 0) port.settingValues = script.setting;
  checkTlsIsSpoken(script);
  const portSettings = script.ports.map((port) => resolvePortSettings(port.settingValues));
  for (const each of portSettings)
    if (each.framing.kind === 'lengthFunction')
      each.framing = { ...each.framing, call: guardedLength(script, each.framing.call) };
  const settings = resolveServerSettings(script.setting, {
    mode: script.mode as 1 | 2,
    cpuCount: cpuCount(),
    ...descriptorContext(script),
    portCount: script.ports.length,
    hasLengthFunction: portSettings.some((port) => port.framing.kind === 'lengthFunction'),
  });
  checkWorkers(script, settings);
  settleHeartbeat(
    settings.reactor,
    portSettings.map(({ reactor }) => reactor),
  );
  return { script, said: script.setting, settings, portSettings, tls: tlsBasis(script) };
}

/** What the first process has found is in force everywhere. Others raise their own limit all the same. */
function descriptorContext({ processes }: Script): Pick<SettingsContext, 'fdLimit' | 'openFiles' | 'userProcessCount'> {
  const fdLimit = raiseFileLimit();
  if (!isFirst()) return { fdLimit: Number.POSITIVE_INFINITY };
  return { fdLimit, openFiles: openFiles(), userProcessCount: processes.length };
}

/** The shared memory has places for so many. */
function checkWorkers(
  { mode, processes }: Script,
  { workerNum, taskWorkerNum, reactorNum }: ResolvedServerSettings,
): void {
  const most = workersMax(mode === SWOOLE_PROCESS ? reactorNum : 0);
  const all = workerNum + taskWorkerNum + processes.length;
  if (all <= most) return;
  const [key, other] =
    workerNum >= taskWorkerNum ? ['worker_num', 'task_worker_num'] : ['task_worker_num', 'worker_num'];
  throw new TswooleError(
    'ERR_SETTING_VALUE',
    `${key} ${Math.max(workerNum, taskWorkerNum)} is too much: with ${other} and user processes a server has at most ${most} workers, and these are ${all}`,
    { key, expected: `at most ${most} in all`, got: String(all) },
  );
}

/** What of the plan holds before the server runs: what users read in `server.setting`, the log, warnings. */
export function adopt({ script, settings, portSettings }: Plan): void {
  script.setting = { ...script.setting, ...settledValues(settings) };
  script.logger.configure(settings.log);
  if (settings.dnsServer !== null) setServers([settings.dnsServer]);
  if (!isFirst()) return;
  const warnings = [...settings.warnings, ...portSettings.flatMap((port) => port.warnings)];
  for (const warning of warnings) script.logger.once(`warning:${warning}`, SWOOLE_LOG_WARNING, warning);
  for (const notice of script.ports.flatMap((port) => framingNotices(port.settingValues)))
    script.logger.once(`notice:${notice}`, SWOOLE_LOG_NOTICE, notice);
}

/** Every port needs somebody to take what it receives, and task workers need somebody to do the tasks. */
export function checkCallbacks(plan: Plan): void {
  const { script, settings } = plan;
  for (const port of script.ports)
    for (const event of script.events.needing(protocolOf(port))) checkPort(script, port, event);
  if (settings.taskWorkerNum > 0)
    for (const event of script.events.needing('task_worker_num')) checkTasks(script, event);
  warnOfUncalled(plan);
}

function checkPort({ ports }: Script, { callbacks, index, type, host, port }: PortState, key: string): void {
  if ((callbacks.get(key) ?? ports[0].callbacks.get(key)) !== null) return;
  const which = index === 0 ? 'the server' : `port ${isUnix(type) ? host : `${host}:${port}`}`;
  const call = index === 0 ? `server.on("${key}", …)` : `port.on("${key}", …) or server.on("${key}", …)`;
  throw new TswooleError('ERR_CALLBACK_MISSING', `${which} has no ${key} callback: call ${call} before start()`, {
    key,
  });
}

function checkTasks({ callbacks }: Script, key: string): void {
  if (callbacks.get(key) !== null) return;
  throw new TswooleError(
    'ERR_CALLBACK_MISSING',
    `task_worker_num asks for task workers, but there is no ${key} callback: call server.on("${key}", …) before start()`,
    { key },
  );
}

/** Some modes have no worker for a connection, and so no events of it. */
function warnOfUncalled({ script, settings }: Plan): void {
  const { mode, unsafeEvents } = settings.dispatch;
  if (script.mode !== SWOOLE_PROCESS || deliversEvents(mode, unsafeEvents) || !isFirst()) return;
  const uncalled = script.events
    .needing('connections')
    .filter((event) => script.ports.some((port) => port.callbacks.get(event) !== null));
  if (uncalled.length === 0) return;
  script.logger.log(
    SWOOLE_LOG_WARNING,
    `the callbacks of ${uncalled.join(' and ')} are not called in dispatch_mode ${mode}: set enable_unsafe_event, or take mode 2, 4, 5 or 8`,
    SWOOLE_ERROR_SERVER_INVALID_CALLBACK,
  );
}

/** What reactors must know of the ports. */
export function reactorPorts({ script, portSettings, tls }: Plan): ReactorPort[] {
  return script.ports.map((port, index) => {
    const settings = portSettings[index];
    return {
      index,
      listener: port.fd,
      socketType: port.type,
      framing: settings.framing.kind === 'http' || isDatagram(port.type) ? { kind: 'raw' } : settings.framing,
      otherFramings: port.speaker?.framings ?? [],
      ...settings.reactor,
      tls: port.ssl && tls !== null ? tlsConfig(settings.ssl, tls) : null,
    };
  });
}

export function makeDispatcher({ settings }: Plan, runtime: Runtime): Dispatcher {
  return new Dispatcher(settings.dispatch, runtime.connections, runtime.workers);
}
