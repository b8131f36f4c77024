import type { Application } from '../../process/application.ts';
import type { ReloadResult } from '../../process/reload-result.ts';
import type { Commands } from '../messages/commands.ts';
import type { Reloads } from '../processes/reloads.ts';
import type { Tasks } from '../tasks/tasks.ts';
import type { Member } from './member.ts';
import type { Script } from './script.ts';

/** What the process does as long as it serves; the server asks it to stop, reload and end. */
export interface Control {
  /** Ends the whole server. */
  shutdown(): boolean;
  reload(taskWorkersOnly: boolean): boolean;
  /** The same, and tells how it went. */
  reloadAsync(taskWorkersOnly: boolean): Promise<ReloadResult>;
  /** Stops this worker; answers false where the process is none. */
  stopSelf(graceful: boolean): boolean;
}

/** A member that has its parts: it calls the user back, sends tasks, and knows commands. */
export interface Equipped extends Member {
  readonly application: Application;
  readonly tasks: Tasks;
  readonly commands: Commands;
  readonly reloads: Reloads;
}

/** A server that runs, as this process knows it. Nothing in it is missing. */
export interface Running extends Equipped {
  readonly control: Control;
}

/** A server in this process: what the script said, and from start() on what runs. */
export interface ServerState {
  readonly script: Script;
  running: Running | null;
}
