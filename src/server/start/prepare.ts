/** From what the user has set to what the server runs with: settings resolved, callbacks checked. */
import { setServers } from 'node:dns';
import { SWOOLE_ERROR_SERVER_INVALID_CALLBACK, SWOOLE_LOG_WARNING, SWOOLE_PROCESS } from '../../constants.ts';
import { TswooleError } from '../../errors.ts';
import { Dispatcher, deliversEvents } from '../../reactor/dispatch.ts';
import { isDatagram, isUnix, type ReactorPort } from '../../reactor/port.ts';
import { cpuCount, raiseFileLimit } from '../../sys/process.ts';
import { guardedLength } from '../callbacks/user-functions.ts';
import { internalsOf } from '../port.ts';
import { tlsBasis, tlsConfig } from '../ports/tls.ts';
import { resolvePortSettings, resolveServerSettings, settleHeartbeat } from '../settings/settings.ts';
import type { ServerCore } from '../state/core.ts';
import { isFirst } from './boot-record.ts';

/** Resolves all settings. Throws on what cannot work together. */
export function prepareSettings(core: ServerCore): void {
  for (const port of core.ports) {
    const own = internalsOf(port);
    if (!own.ownSettings && port !== core.ports[0]) own.settingValues = core.setting;
  }
  core.portSettings = core.ports.map((port) => resolvePortSettings(internalsOf(port).settingValues));
  for (const each of core.portSettings)
    if (each.framing.kind === 'lengthFunction')
      each.framing = { ...each.framing, call: guardedLength(core, each.framing.call) };
  const settings = resolveServerSettings(core.setting, {
    mode: core.mode as 1 | 2,
    cpuCount: cpuCount(),
    fdLimit: raiseFileLimit(),
    portCount: core.ports.length,
    hasLengthFunction: core.portSettings.some((port) => port.framing.kind === 'lengthFunction'),
  });
  const heartbeat = settleHeartbeat(
    settings.heartbeatCheckIntervalMs,
    core.portSettings.map((port) => port.heartbeatIdleMs),
  );
  settings.heartbeatCheckIntervalMs = heartbeat.checkIntervalMs;
  core.portSettings.forEach((port, index) => {
    port.heartbeatIdleMs = heartbeat.idleMs[index];
  });
  core.tls = tlsBasis(core);
  core.settings = settings;
  core.setting = {
    ...core.setting,
    worker_num: settings.workerNum,
    task_worker_num: settings.taskWorkerNum,
    output_buffer_size: settings.bufferOutputSize,
    buffer_output_size: settings.bufferOutputSize,
    max_connection: settings.maxConnection,
    max_conn: settings.maxConnection,
  };
  core.logger.configure(settings.log);
  if (settings.dnsServer !== null) setServers([settings.dnsServer]);
  if (!isFirst(core)) return;
  const warnings = [...settings.warnings, ...core.portSettings.flatMap((port) => port.warnings)];
  for (const warning of warnings) core.logger.once(`warning:${warning}`, SWOOLE_LOG_WARNING, warning);
}

/** Every port needs somebody to take what it receives: packets, or what comes over connections. */
export function checkCallbacks(core: ServerCore): void {
  const primary = internalsOf(core.ports[0]).callbacks;
  core.ports.forEach((port, index) => {
    const key = isDatagram(port.type) ? 'packet' : 'receive';
    if ((internalsOf(port).callbacks.get(key) ?? primary.get(key)) !== null) return;
    const which = index === 0 ? 'the server' : `port ${isUnix(port.type) ? port.host : `${port.host}:${port.port}`}`;
    const call = index === 0 ? `server.on("${key}", …)` : `port.on("${key}", …) or server.on("${key}", …)`;
    throw new TswooleError('ERR_CALLBACK_MISSING', `${which} has no ${key} callback: call ${call} before start()`, {
      key,
    });
  });
  if (core.settings!.taskWorkerNum > 0 && core.callbacks.get('task') === null) {
    throw new TswooleError(
      'ERR_CALLBACK_MISSING',
      'task_worker_num asks for task workers, but there is no task callback: call server.on("task", …) before start()',
      { key: 'task' },
    );
  }
  warnOfUncalled(core);
}

/** Some modes have no worker for a connection, and so no events of it. */
function warnOfUncalled(core: ServerCore): void {
  const { dispatchMode, enableUnsafeEvent } = core.settings!;
  if (core.mode !== SWOOLE_PROCESS || deliversEvents(dispatchMode, enableUnsafeEvent) || !isFirst(core)) return;
  const uncalled = (['connect', 'close', 'bufferFull', 'bufferEmpty'] as const).filter((event) =>
    core.ports.some((port) => internalsOf(port).callbacks.get(event) !== null),
  );
  if (uncalled.length === 0) return;
  core.logger.log(
    SWOOLE_LOG_WARNING,
    `the callbacks of ${uncalled.join(' and ')} are not called in dispatch_mode ${dispatchMode}: set enable_unsafe_event, or take mode 2, 4, 5 or 8`,
    SWOOLE_ERROR_SERVER_INVALID_CALLBACK,
  );
}

/** What reactors must know of the ports. */
export function reactorPorts(core: ServerCore): ReactorPort[] {
  return core.ports.map((port, index) => {
    const settings = core.portSettings[index];
    return {
      index,
      listener: internalsOf(port).fd,
      socketType: port.type,
      framing: settings.framing.kind === 'http' || isDatagram(port.type) ? { kind: 'raw' } : settings.framing,
      socketBufferSize: settings.socketBufferSize,
      bufferHighWatermark: settings.bufferHighWatermark,
      bufferLowWatermark: settings.bufferLowWatermark,
      heartbeatIdleMs: settings.heartbeatIdleMs,
      maxIdleMs: settings.maxIdleMs,
      proxyFrom: settings.proxyFrom,
      socketOptions: {
        nodelay: settings.openTcpNodelay,
        keepalive: settings.openTcpKeepalive,
        keepIdleSeconds: settings.tcpKeepIdleSeconds,
        keepIntervalSeconds: settings.tcpKeepIntervalSeconds,
        keepCount: settings.tcpKeepCount,
        userTimeoutMs: settings.openTcpKeepalive ? settings.tcpUserTimeoutMs : 0,
        receiveBufferBytes: settings.kernelReceiveBufferSize,
        sendBufferBytes: settings.kernelSendBufferSize,
      },
      tls: port.ssl && core.tls !== null ? tlsConfig(settings.ssl, core.tls) : null,
    };
  });
}

export function makeDispatcher(core: ServerCore): Dispatcher {
  const settings = core.settings!;
  return new Dispatcher(
    { mode: settings.dispatchMode, workerCount: settings.workerNum, unsafeEvents: settings.enableUnsafeEvent },
    core.runtime!.connections,
    core.runtime!.workers,
  );
}
