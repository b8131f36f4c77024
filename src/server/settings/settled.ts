import type { ReactorSettings } from '../../reactor/settings.ts';
import { validateSettings } from './check.ts';
import type { ConnectionSlice } from './connection.ts';
import type { NormalisedSettings, ServerSettings } from './known.ts';
import type { ProcessSlice } from './process.ts';
import type { TaskSlice } from './task.ts';

/** What users read in `server.setting` from the start on, whether they have set it or not, under each of its names. */
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
