import type { ReactorSettings } from '../../reactor/settings.ts';
import { validateSettings } from './check.ts';
import type { ConnectionSlice } from './connection.ts';
import type { NormalisedSettings, ServerSettings } from './known.ts';
import type { ProcessSlice } from './process.ts';
import type { TaskSlice } from './task.ts';

type SettledKey =
  | 'worker_num'
  | 'task_worker_num'
  | 'output_buffer_size'
  | 'buffer_output_size'
  | 'max_connection'
  | 'max_conn';

/** What `server.setting` is from the start on: these are there, whether they were set or not. */
export type SettledSettings = NormalisedSettings & { [Key in SettledKey]: number };

/** What users read in `server.setting` from the start on, under each of its names. */
export function settledValues(
  settings: ProcessSlice & TaskSlice & ConnectionSlice & { reactor: ReactorSettings },
): NormalisedSettings {
  const settled: ServerSettings = {
    worker_num: settings.workerNum,
    task_worker_num: settings.taskWorkerNum,
    output_buffer_size: settings.bufferOutputSize,
    max_connection: settings.reactor.maxConnections,
  };
  return validateSettings(settled, 'server').values;
}
