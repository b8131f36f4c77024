import type { Process } from '../../child/process.ts';
import type { Logger } from '../../log/log.ts';
import type { Inherited } from '../../process/environment.ts';
import type { Runtime } from '../../process/runtime.ts';
import type { Dispatcher } from '../../reactor/dispatch.ts';
import type { ServerApplication } from '../callbacks/application.ts';
import type { Callbacks } from '../callbacks/callbacks.ts';
import type { Commands } from '../messages/commands.ts';
import type { Port } from '../port.ts';
import type { TlsBasis } from '../ports/tls.ts';
import type { Pipe } from '../processes/user-processes.ts';
import type { Server } from '../server.ts';
import type { NormalisedSettings, ResolvedPortSettings, ResolvedServerSettings } from '../settings/settings.ts';
import type { ListenAttempt } from '../start/boot-record.ts';
import type { Tasks } from '../tasks/tasks.ts';

/** What the process does as long as it serves; the server asks it to stop, reload and end. */
export interface Control {
  /** Ends the whole server. */
  shutdown(): boolean;
  reload(taskWorkersOnly: boolean): boolean;
  /** Stops this worker; answers false where the process is none. */
  stopSelf(graceful: boolean): boolean;
}

/** The state of a server, shared by the files that make it up. Users see the Server only. */
export interface ServerCore {
  readonly server: Server;
  readonly mode: number;
  /** Which of the servers it is that the script makes one after the other, from 1. */
  readonly place: number;
  readonly ports: Port[];
  /** Every port that the script has asked for, those that could not be bound too: in children they must fail alike. */
  readonly attempts: ListenAttempt[];
  readonly callbacks: Callbacks;
  readonly logger: Logger;
  /** What this process inherits, when it is a child. */
  readonly inherited: Inherited | null;
  readonly commands: Commands;
  /** User processes, in the order in which they were added. */
  readonly processes: Process[];
  setting: NormalisedSettings;
  lastError: number;
  /** start() was called; callbacks and settings can no longer change. */
  started: boolean;
  ended: boolean;

  // Known once the server runs.
  runtime: Runtime | null;
  settings: ResolvedServerSettings | null;
  portSettings: ResolvedPortSettings[];
  /** Null where no port uses TLS, and in processes that own no sockets. */
  tls: TlsBasis | null;
  dispatcher: Dispatcher | null;
  control: Control | null;
  application: ServerApplication | null;
  tasks: Tasks | null;
  /** By user process; null where it has none. */
  pipes: (Pipe | null)[];
  /** True exactly when this process is the whole server. */
  alone: boolean;
  /** -1 outside of workers, and before workerStart. */
  workerId: number;
  workerPid: number;
  taskworker: boolean;
}
