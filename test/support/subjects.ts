import { SWOOLE_BASE, SWOOLE_PROCESS } from '../../src/index.ts';

/** A way to run a server. The behaviour suite runs the same cases against each. */
export interface Subject {
  name: string;
  mode: number;
  workerNum: number;
}

export const PROCESS: Subject = { name: 'SWOOLE_PROCESS', mode: SWOOLE_PROCESS, workerNum: 2 };
export const BASE: Subject = { name: 'SWOOLE_BASE', mode: SWOOLE_BASE, workerNum: 2 };
/** One process that is everything. */
export const ALONE: Subject = { name: 'SWOOLE_BASE in one process', mode: SWOOLE_BASE, workerNum: 1 };

export const SUBJECTS = [PROCESS, BASE];
export const ALL_SUBJECTS = [PROCESS, BASE, ALONE];
