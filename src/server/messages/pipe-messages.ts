import { SWOOLE_ERROR_INVALID_PARAMS, SWOOLE_ERROR_WRONG_OPERATION, SWOOLE_LOG_WARNING } from '../../constants.ts';
import { describeValue, TswooleError } from '../../errors.ts';
import type { Runtime } from '../../process/runtime.ts';
import { workerInbox } from '../../shm/layout.ts';
import { postLetter } from '../../shm/letter.ts';
import { PIPE_MESSAGE } from '../../shm/messages.ts';
import type { ServerCore } from '../state/core.ts';

/** Sends a value to the pipeMessage event of another process. Where its ring is full it waits here, in order. */
export function sendMessage(core: ServerCore, runtime: Runtime, message: unknown, workerId: number): boolean {
  const { layout } = runtime.segment;
  const refuse = (text: string, code: number): false => {
    core.logger.log(SWOOLE_LOG_WARNING, `sendMessage(): ${text}`);
    core.lastError = code;
    return false;
  };
  if (message === undefined)
    throw new TswooleError('ERR_ARGUMENT', 'sendMessage() needs a message', { key: 'message' });
  if (core.callbacks.get('pipeMessage') === null)
    return refuse(
      'there is no pipeMessage callback: call server.on("pipeMessage", …) before start()',
      SWOOLE_ERROR_WRONG_OPERATION,
    );
  if (!Number.isInteger(workerId) || workerId < 0 || workerId >= layout.workerIdCount)
    return refuse(
      `there is no worker ${describeValue(workerId)}: they count from 0 to ${layout.workerIdCount - 1}`,
      SWOOLE_ERROR_INVALID_PARAMS,
    );
  if (workerId === runtime.workerId) return refuse('a process cannot send to itself', SWOOLE_ERROR_WRONG_OPERATION);
  const sender = Math.max(0, runtime.workerId);
  postLetter(runtime.outbox.to(workerInbox(layout, workerId)), PIPE_MESSAGE, sender, 0, 0, 0, message, 'a message');
  runtime.sent();
  return true;
}
