/** What users import. */

export type { WaitStatus } from './child/family.ts';
export type { PipeSocket } from './child/pipe-socket.ts';
export { Process, type ProcessCallback, type ProcessSettings } from './child/process.ts';
export { swoole_set_process_name } from './child/process-name.ts';
export type { QueueStatus } from './child/queue.ts';
export type { SignalNumber } from './child/signals.ts';
export * from './constants.ts';
export { TSWOOLE_ERROR_CODES, TswooleError, type TswooleErrorCode } from './errors.ts';
export { type Descriptor, Event, type EventCallback } from './loop/event.ts';
export { Timer, type TimerInfo, type TimerStats } from './loop/timer.ts';
export type { ReloadResult } from './process/reload-result.ts';
export {
  Event as ConnectionEvent,
  Packet,
  type PacketInfo,
  PipeMessage,
  StatusInfo,
  TaskResult,
} from './server/callbacks/event-objects.ts';
export type { ConnectionList } from './server/connection-list.ts';
export type { ClientInfo } from './server/connections/client-info.ts';
export { ListenSocket, socket_set_option } from './server/listen-socket.ts';
export type { MulticastGroup, SocketOption } from './server/ports/listening-socket.ts';
export {
  type CommandCallback,
  type Events,
  type FinishCallback,
  Port,
  type PortEvents,
  Server,
  type ServerEvents,
} from './server/server.ts';
export type {
  DispatchFunction,
  PackageLengthFunction,
  PortSettings,
  ServerSettings,
  SettledSettings,
} from './server/settings/settings.ts';
export { Task } from './server/tasks/task.ts';
export type { Stats } from './shm/stats-shape.ts';
