/** What users import. */
export * from './constants.ts';
export { TSWOOLE_ERROR_CODES, TswooleError, type TswooleErrorCode } from './errors.ts';
export { Timer, type TimerInfo, type TimerStats } from './loop/timer.ts';
export type { ClientInfo } from './server/client-info.ts';
export type { CommandCallback } from './server/commands.ts';
export type { ConnectionList } from './server/connection-list.ts';
export { Packet, PipeMessage, StatusInfo, TaskResult } from './server/event-objects.ts';
export type { Events, PortEvents, ServerEvents } from './server/events.ts';
export { ListenSocket, type SocketOption } from './server/listen-socket.ts';
export type { PacketInfo } from './server/packets.ts';
export { Port } from './server/port.ts';
export { Server } from './server/server.ts';
export type { DispatchFunction, PackageLengthFunction, PortSettings, ServerSettings } from './server/settings.ts';
export type { Stats } from './server/stats.ts';
export { Task } from './server/task.ts';
export type { FinishCallback } from './server/tasks.ts';
