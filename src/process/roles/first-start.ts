/** A server none of whose workers could ever serve has a mistake that no further start repairs: it gives up. */
import { SWOOLE_LOG_ERROR } from '../../constants.ts';
import { START_FAILED, START_OPEN, START_SUCCEEDED, WORD_START } from '../../shm/segment.ts';
import type { Runtime } from '../way/runtime.ts';

/** So many starts of one process in a row. The pauses between them take about two seconds together. */
const ATTEMPTS = 5;

/** An event worker is ready: from here on whatever fails is started again for ever. */
export function succeedInStart({ segment }: Runtime): void {
  segment.exchange(WORD_START, START_OPEN, START_SUCCEEDED);
}

/** True when the server must end now; the first one who is told so says it in the log. */
export function mustGiveUp({ segment, logger }: Runtime, name: string, failures: number): boolean {
  if (failures < ATTEMPTS) return false;
  if (segment.exchange(WORD_START, START_OPEN, START_FAILED))
    logger.log(
      SWOOLE_LOG_ERROR,
      `the server does not start: ${name} has failed ${failures} times in a row, and no worker has served yet (the log above tells why). start() answers false`,
    );
  return segment.load(WORD_START) === START_FAILED;
}
