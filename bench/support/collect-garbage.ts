/**
 * Loaded before a server whose memory is measured (`node --expose-gc --import …`): collects garbage on SIGURG, a signal
 * that nobody uses and that is ignored where this file is not loaded. Without it the figures tell when V8 last felt like
 * collecting, which is worth more than all connections together.
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) process.on('SIGURG', () => globalThis.gc?.());
