/** Where a reactor thread starts when it needs nothing of the user's script. */
import { workerData } from 'node:worker_threads';
import { type ReactorThreadConfig, runReactorThread } from './thread.ts';

runReactorThread(workerData as ReactorThreadConfig, null);
